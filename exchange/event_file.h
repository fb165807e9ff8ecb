/* TensorBoard's event files: records that hold one Event message each.
 *
 * record   length (u64), checksum of these 8 bytes (u32), data, checksum of the data (u32), all little-endian
 * checksum CRC-32C, rotated right by 15 bits, plus 0xA282EAD8 */
#ifndef SELFSAME_EVENT_FILE_H
#define SELFSAME_EVENT_FILE_H

#include <stdint.h>

#include "base/error.h"
#include "exchange/protobuf.h"

/* The numbers of the fields that are used here. */
enum {
    EVENT_WALL_TIME = 1, /* double: seconds since 1970 */
    EVENT_STEP = 2,
    EVENT_FILE_VERSION = 3, /* "brain.Event:2", in the first event */
    EVENT_SUMMARY = 5,
    SUMMARY_VALUE = 1,
    VALUE_TAG = 1,
    VALUE_SIMPLE = 2, /* float */
    VALUE_TENSOR = 8,
    VALUE_METADATA = 9
};

/* Appends a record that holds the data. */
void event_file_append(struct message *file, const void *data, size_t bytes);

/* Takes the record at *offset out of a file, and moves *offset behind it. False at the end of the file: also where the
 * last record is torn, as in a file that is being written; then *offset stays before it. STATUS_INPUT names the file
 * and the byte of a damaged record. */
enum status event_file_next(const char *path, const void *file, size_t bytes, size_t *offset, bool *found,
                            struct message_reader *record, struct error *error) MUST_USE;

#endif
