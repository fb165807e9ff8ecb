/* The safetensors container: a header of JSON, then the bytes of named tensors, without holes and without a trailer.
 *
 * reading  Every rule of the format is checked before anything is handed out: sizes, overflow, holes, duplicate names,
 *          dtypes. Every dtype is known by its size; only F32 has a reader of values here.
 * writing  Float32 only. Equal contents give equal bytes, metadata included (it is written in the order given).
 * seal     The format has no checksum. A sealed file has one in its metadata, "selfsame_seal": SHA-256 over the whole
 *          file, header and all, with the 64 digits of the seal itself read as zeros. So any truncated or flipped byte
 *          shows. */
#ifndef SELFSAME_SAFETENSORS_H
#define SELFSAME_SAFETENSORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SAFETENSORS_RANK_MAX = 8 };

/* One tensor of a file that was read. data is little-endian, row-major, and may be unaligned. */
struct safetensor {
    const char *name, *dtype;
    uint32_t rank;
    uint64_t shape[SAFETENSORS_RANK_MAX];
    const uint8_t *data;
    size_t bytes;
};

struct safetensors {
    char *file; /* the whole file: what `data` points into */
    size_t bytes;
    json_t *header;             /* what the names point into */
    struct safetensor *tensors; /* in the order of their data */
    size_t count;
    bool sealed; /* has a seal, which is right */
};

/* STATUS_INPUT for a file that is not safetensors, naming the path, the tensor and what is wrong; also for a wrong
 * seal. */
enum status safetensors_read(struct safetensors *safetensors, const char *path, struct error *error) MUST_USE;
/* The same from memory that holds a whole file, of which it takes ownership even on an error; path is for messages. */
enum status safetensors_parse(struct safetensors *safetensors, const char *path, char *file, size_t bytes,
                              struct error *error) MUST_USE;
void safetensors_free(struct safetensors *safetensors);

/* NULL where there is none. */
const struct safetensor *safetensors_find(const struct safetensors *safetensors, const char *name);
const char *safetensors_metadata(const struct safetensors *safetensors, const char *key);

/* One float32 tensor to be written. */
struct safetensors_source {
    const char *name;
    uint32_t rank;
    const uint32_t *shape;
    const float *values;
};

struct safetensors_pair {
    const char *key, *value;
};

/* Writes a file durably (base/file.h). metadata may be NULL with pairs 0; a seal is added to it where `seal`
 * is true. STATUS_INPUT for a tensor called __metadata__, the name of the metadata's own entry. */
enum status safetensors_write(const char *path, const struct safetensors_source *sources, size_t count,
                              const struct safetensors_pair *metadata, size_t pairs, bool seal,
                              struct error *error) MUST_USE;

#endif
