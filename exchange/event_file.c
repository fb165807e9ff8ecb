#include "exchange/event_file.h"

#include <string.h>

#include "base/bytes.h"

enum { HEAD_BYTES = 12, TAIL_BYTES = 4 };

static uint32_t masked_crc(const uint8_t *data, size_t bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xA282EAD8U;
}

void event_file_append(struct message *file, const void *data, size_t bytes)
{
    uint8_t head[HEAD_BYTES], tail[TAIL_BYTES];
    bytes_put_u64(head, bytes);
    bytes_put_u32(head + 8, masked_crc(head, 8));
    bytes_put_u32(tail, masked_crc(data, bytes));
    message_append(file, head, sizeof head);
    message_append(file, data, bytes);
    message_append(file, tail, sizeof tail);
}

static uint32_t get_u32(const uint8_t *in)
{
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

enum status event_file_next(const char *path, const void *file, size_t bytes, size_t *offset, bool *found,
                            struct message_reader *record, struct error *error)
{
    const uint8_t *data = (const uint8_t *)file + *offset;
    const size_t left = bytes - *offset;
    *found = false;
    if (left < HEAD_BYTES)
        return STATUS_OK;
    if (get_u32(data + 8) != masked_crc(data, 8))
        return error_set(error, STATUS_INPUT,
                         "%s: byte %zu: the length of a record does not have its checksum; this is no event file, or "
                         "it is damaged",
                         path, *offset);
    const uint64_t length = bytes_get_u64(data);
    if (length > left - HEAD_BYTES || left - HEAD_BYTES - length < TAIL_BYTES)
        return STATUS_OK;
    if (get_u32(data + HEAD_BYTES + length) != masked_crc(data + HEAD_BYTES, (size_t)length))
        return error_set(error, STATUS_INPUT, "%s: byte %zu: the record does not have its checksum; it is damaged",
                         path, *offset);
    *record = (struct message_reader){ .data = data + HEAD_BYTES, .bytes = (size_t)length };
    *offset += HEAD_BYTES + (size_t)length + TAIL_BYTES;
    *found = true;
    return STATUS_OK;
}
