/* Messages in the wire format of Protocol Buffers, as far as event files need it: built field by field, and read the
 * same way. Nothing is known about the types of messages; a field is its number and its bytes. */
#ifndef SELFSAME_PROTOBUF_H
#define SELFSAME_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* A message that grows. All of it zero is an empty one; message_free releases it. Without memory it remembers that, and
 * takes nothing more. */
struct message {
    char *data;
    size_t bytes, room;
    bool failed;
};

void message_free(struct message *message);
/* Empties it, and keeps its memory for the next. */
void message_clear(struct message *message);

/* Raw bytes, without a field around them. */
void message_append(struct message *message, const void *data, size_t bytes);

void message_add_integer(struct message *message, uint32_t field, uint64_t value);
void message_add_double(struct message *message, uint32_t field, double value);
void message_add_float(struct message *message, uint32_t field, float value);
void message_add_bytes(struct message *message, uint32_t field, const void *data, size_t bytes);
void message_add_text(struct message *message, uint32_t field, const char *text);
/* `inner` as a field of `message`. Fails where inner failed. */
void message_add_message(struct message *message, uint32_t field, const struct message *inner);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* What is left of a message; and one field of it. */
struct message_reader {
    const uint8_t *data;
    size_t bytes;
};

struct message_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;              /* of WIRE_VARINT; of WIRE_64 and WIRE_32 the little-endian bits */
    struct message_reader bytes; /* of WIRE_BYTES */
};

/* Takes the next field. False at the end, and where the bytes are no field: then *wrong is set. */
bool message_next(struct message_reader *reader, struct message_field *field, bool *wrong);

/* The value of a WIRE_64 or WIRE_32 field as a floating-point number. */
double message_field_double(const struct message_field *field);

#endif
