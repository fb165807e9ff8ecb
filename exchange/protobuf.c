#include "exchange/protobuf.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* ---- writing ----------------------------------------------------------------------------------------------------- */

void message_free(struct message *message)
{
    free(message->data);
    *message = (struct message){ .bytes = 0 };
}

void message_clear(struct message *message)
{
    message->bytes = 0;
    message->failed = false;
}

void message_append(struct message *message, const void *data, size_t bytes)
{
    if (message->failed || bytes == 0)
        return;
    if (bytes > message->room - message->bytes) {
        const size_t room = 2 * message->room + bytes;
        char *grown = room > message->room ? realloc(message->data, room) : NULL;
        if (grown == NULL) {
            message->failed = true;
            return;
        }
        message->data = grown;
        message->room = room;
    }
    memcpy(message->data + message->bytes, data, bytes);
    message->bytes += bytes;
}

static void append_varint(struct message *message, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;
    for (; value >= 128; value >>= 7)
        bytes[count++] = (uint8_t)(value | 128);
    bytes[count++] = (uint8_t)value;
    message_append(message, bytes, count);
}

static void append_key(struct message *message, uint32_t field, enum wire_type type)
{
    append_varint(message, (uint64_t)field << 3 | (uint64_t)type);
}

void message_add_integer(struct message *message, uint32_t field, uint64_t value)
{
    append_key(message, field, WIRE_VARINT);
    append_varint(message, value);
}

void message_add_double(struct message *message, uint32_t field, double value)
{
    uint8_t bytes[8];
    bytes_put_u64(bytes, double_bits(value));
    append_key(message, field, WIRE_64);
    message_append(message, bytes, sizeof bytes);
}

void message_add_float(struct message *message, uint32_t field, float value)
{
    uint8_t bytes[4];
    bytes_put_floats(bytes, &value, 1);
    append_key(message, field, WIRE_32);
    message_append(message, bytes, sizeof bytes);
}

void message_add_bytes(struct message *message, uint32_t field, const void *data, size_t bytes)
{
    append_key(message, field, WIRE_BYTES);
    append_varint(message, bytes);
    message_append(message, data, bytes);
}

void message_add_text(struct message *message, uint32_t field, const char *text)
{
    message_add_bytes(message, field, text, strlen(text));
}

void message_add_message(struct message *message, uint32_t field, const struct message *inner)
{
    message_add_bytes(message, field, inner->data, inner->bytes);
    message->failed = message->failed || inner->failed;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool take_varint(struct message_reader *reader, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && reader->bytes > 0; shift += 7) {
        const uint8_t byte = *reader->data++;
        reader->bytes--;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

static bool take_fixed(struct message_reader *reader, size_t bytes, uint64_t *value)
{
    if (reader->bytes < bytes)
        return false;
    *value = bytes_get(reader->data, bytes);
    reader->data += bytes;
    reader->bytes -= bytes;
    return true;
}

static bool take_bytes(struct message_reader *reader, struct message_reader *bytes)
{
    uint64_t count;
    if (!take_varint(reader, &count) || count > reader->bytes)
        return false;
    *bytes = (struct message_reader){ .data = reader->data, .bytes = (size_t)count };
    reader->data += count;
    reader->bytes -= (size_t)count;
    return true;
}

bool message_next(struct message_reader *reader, struct message_field *field, bool *wrong)
{
    uint64_t key;
    bool good = true;
    if (reader->bytes == 0)
        return false;
    *field = (struct message_field){ .number = 0 };
    if (!take_varint(reader, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX) {
        *wrong = true;
        return false;
    }
    field->number = (uint32_t)(key >> 3);
    switch (key & 7) {
    case WIRE_VARINT:
        good = take_varint(reader, &field->value);
        break;
    case WIRE_64:
        good = take_fixed(reader, 8, &field->value);
        break;
    case WIRE_32:
        good = take_fixed(reader, 4, &field->value);
        break;
    case WIRE_BYTES:
        good = take_bytes(reader, &field->bytes);
        break;
    default:
        good = false;
    }
    field->type = (enum wire_type)(key & 7);
    *wrong = *wrong || !good;
    return good;
}

double message_field_double(const struct message_field *field)
{
    if (field->type == WIRE_32)
        return (double)float_of_bits((uint32_t)field->value);
    return double_of_bits(field->value);
}
