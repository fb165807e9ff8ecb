#include "exchange/event_file.h"

#include <string.h>

#include "base/bytes.h"

enum { HEAD_BYTES = 12, TAIL_BYTES = 4 };

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* else no input with another byte would get any further */
static const bool checked = false;
#else
static const bool checked = true;
#endif

static uint32_t masked_crc(const uint8_t *data, size_t bytes)
{
    /* Of four bits each: an event file may have a million records. */
    static const uint32_t steps[16] = { 0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
                                        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
                                        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75 };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ steps[crc & 15];
        crc = crc >> 4 ^ steps[crc & 15];
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

enum status event_file_next(const char *path, const void *file, size_t bytes, size_t *offset, bool *found,
                            struct message_reader *record, struct error *error)
{
    const uint8_t *data = (const uint8_t *)file + *offset;
    const size_t left = bytes - *offset;
    *found = false;
    if (left < HEAD_BYTES)
        return STATUS_OK;
    if (checked && (uint32_t)bytes_get(data + 8, 4) != masked_crc(data, 8))
        return error_set(error, STATUS_INPUT,
                         "%s: byte %zu: the length of a record does not have its checksum; this is no event file, or "
                         "it is damaged",
                         path, *offset);
    const uint64_t length = bytes_get_u64(data);
    if (length > left - HEAD_BYTES || left - HEAD_BYTES - length < TAIL_BYTES)
        return STATUS_OK;
    if (checked && (uint32_t)bytes_get(data + HEAD_BYTES + length, 4) != masked_crc(data + HEAD_BYTES, (size_t)length))
        return error_set(error, STATUS_INPUT, "%s: byte %zu: the record does not have its checksum; it is damaged",
                         path, *offset);
    *record = (struct message_reader){ .data = data + HEAD_BYTES, .bytes = (size_t)length };
    *offset += HEAD_BYTES + (size_t)length + TAIL_BYTES;
    *found = true;
    return STATUS_OK;
}
