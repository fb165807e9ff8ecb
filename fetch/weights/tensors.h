/* Named float32 tensors and what a file says about itself: what the readers of weight formats fill. */
#ifndef SELFSAME_TENSORS_H
#define SELFSAME_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fetch/weights/number_format.h"
#include "fetch/weights/pickle.h"

enum {
    TENSORS_RANK_MAX = 8,
    TENSORS_COUNT_MAX = 200000,
    TENSORS_NAME_MAX = 256,
    TENSORS_CLAIMS_MAX = 32,
    TENSORS_NOTES_MAX = 8
};
#define TENSORS_VALUES_MAX ((uint64_t)1 << 28) /* of all tensors together, 1 GiB; ResNet-1202 has 19.4 million */

struct named_tensor {
    char *name;           /* ours, once names.h has recognised a network; else the file's */
    char *file_name;      /* NULL: the same */
    char *obstacle;       /* why it was not read; NULL: it was */
    bool beside;          /* not part of the recognised network, and left out of digests and written files */
    enum element element; /* as the file holds it */
    uint32_t rank, shape[TENSORS_RANK_MAX];
    size_t count;
    float *values; /* row-major; NULL where the element is not real, such as num_batches_tracked, or it was not read */
    struct rounding rounding;
};

/* Something that the file says, such as its training error; value as text. */
struct tensor_claim {
    char *name, *value;
};

struct tensors {
    struct named_tensor *list;
    size_t count, capacity;
    bool ordered; /* as the program that wrote them defined them, until tensors_sort */
    uint64_t value_count, value_limit;
    struct tensor_claim claims[TENSORS_CLAIMS_MAX];
    size_t claim_count;
    char *notes[TENSORS_NOTES_MAX]; /* what the readers did that the user should know, a clause for each */
    size_t note_count;
};

/* Empty, for a file of that many bytes: where tensors share or repeat their numbers, all of them together may still not
 * have more than two for each byte, nor more than TENSORS_VALUES_MAX. */
void tensors_open(struct tensors *tensors, size_t file_bytes);
/* As many bytes more: what was unpacked. */
void tensors_allow(struct tensors *tensors, size_t bytes);
/* Adds a tensor, its values not yet filled in. name need not be terminated; in the tensor's own, what a terminal would
 * obey is escaped.
 * errors   STATUS_INPUT naming path and tensor: a dimension over 2^32 - 1, more than the limits above. *added is valid
 *          until the next one. */
enum status tensors_add(struct tensors *tensors, const char *path, const char *name, size_t name_bytes,
                        enum element element, uint32_t rank, const uint64_t *shape, struct named_tensor **added,
                        struct error *error) MUST_USE;
/* Fills a real tensor from its little-endian, row-major elements. */
void tensors_fill(struct named_tensor *tensor, const uint8_t *data);
/* The same from elements that lie strides[d] elements apart in dimension d, from the first on. */
void tensors_fill_strided(struct named_tensor *tensor, const uint8_t *first, const uint64_t *strides);
/* Adds one that cannot be read, with the reason. */
enum status tensors_add_unread(struct tensors *tensors, const char *path, const char *name, size_t name_bytes,
                               const char *obstacle, struct error *error) MUST_USE;
/* STATUS_INPUT for a name that is there twice. */
enum status tensors_check_names(const struct tensors *tensors, const char *path, struct error *error) MUST_USE;
/* Sorts by name, bytewise. Of equal names, the network's comes first. */
void tensors_sort(struct tensors *tensors);
void tensors_free(struct tensors *tensors);
/* What one tensor holds. */
void tensors_free_one(struct named_tensor *tensor);

/* By binary search, after tensors_sort, among the network's own tensors; NULL if there is none. */
const struct named_tensor *tensors_find(const struct tensors *tensors, const char *name);

/* "16x3x3x3"; "scalar" for a tensor of no dimensions. */
enum { TENSORS_SHAPE_BYTES = 128 };
void tensors_shape_text(char text[TENSORS_SHAPE_BYTES], uint32_t rank, const uint32_t *shape);

/* Adds to the notes; without memory or room, nothing. */
void tensors_note(struct tensors *tensors, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Notes a claim. One that does not fit (too many, not printable, too long) is left out, because claims are only
 * information. */
void tensors_claim(struct tensors *tensors, const char *name, size_t name_bytes, const char *value, size_t value_bytes);
/* The same of a number, in the fewest digits that read back to it. */
void tensors_claim_real(struct tensors *tensors, const char *name, size_t name_bytes, double value);
/* Notes every text, number and boolean among a dict's items. */
void tensors_claim_items(struct tensors *tensors, const struct pickle_value *dict);

#endif
