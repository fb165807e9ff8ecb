/* Named float32 tensors and what a file says about itself: what the readers of weight formats fill. */
#ifndef SELFSAME_TENSORS_H
#define SELFSAME_TENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fetch/weights/number_format.h"
#include "fetch/weights/pickle.h"

enum { TENSORS_RANK_MAX = 8, TENSORS_COUNT_MAX = 200000, TENSORS_NAME_MAX = 256, TENSORS_CLAIMS_MAX = 32 };
#define TENSORS_VALUES_MAX ((uint64_t)1 << 28) /* of all tensors together, 1 GiB; ResNet-1202 has 19.4 million */

struct named_tensor {
    char *name;
    enum element element; /* as the file holds it */
    uint32_t rank, shape[TENSORS_RANK_MAX];
    size_t count;
    float *values; /* row-major; NULL where the element is not real, such as num_batches_tracked */
};

/* Something that the file says, such as its training error; value as text. */
struct tensor_claim {
    char *name, *value;
};

struct tensors {
    struct named_tensor *list;
    size_t count, capacity;
    uint64_t value_count, value_limit;
    struct tensor_claim claims[TENSORS_CLAIMS_MAX];
    size_t claim_count;
};

/* Empty, for a file of that many bytes: where tensors share their numbers, all of them together may still not have more
 * than two for each byte, nor more than TENSORS_VALUES_MAX. */
void tensors_open(struct tensors *tensors, size_t file_bytes);
/* Adds a tensor, its values not yet filled in. name need not be terminated.
 * errors   STATUS_INPUT naming path and tensor: no printable name of at most TENSORS_NAME_MAX bytes, a dimension over
 *          2^32 - 1, more than the limits above. *added is valid until the next one. */
enum status tensors_add(struct tensors *tensors, const char *path, const char *name, size_t name_bytes,
                        enum element element, uint32_t rank, const uint64_t *shape, struct named_tensor **added,
                        struct error *error) MUST_USE;
/* Fills a real tensor from its little-endian, row-major elements. STATUS_INPUT for a float64 that no float32 equals. */
enum status tensors_fill(struct named_tensor *tensor, const char *path, const uint8_t *data,
                         struct error *error) MUST_USE;
/* "PATH: tensor "NAME" holds float64 numbers that ...": for readers that convert themselves. */
enum status tensors_not_exact(const struct named_tensor *tensor, const char *path, size_t place, struct error *error);
/* Takes "module." (torch's DataParallel) off all names if all have it, sorts by name, bytewise. STATUS_INPUT for a name
 * that is there twice. */
enum status tensors_sort(struct tensors *tensors, const char *path, struct error *error) MUST_USE;
void tensors_free(struct tensors *tensors);

/* By binary search, after tensors_sort; NULL if there is none. */
const struct named_tensor *tensors_find(const struct tensors *tensors, const char *name);

/* Notes a claim; what does not fit (too many, not printable, too long) is passed over: claims are for people. */
void tensors_claim(struct tensors *tensors, const char *name, size_t name_bytes, const char *value, size_t value_bytes);
/* Notes every text, number and boolean among a dict's items. */
void tensors_claim_items(struct tensors *tensors, const struct pickle_value *dict);

#endif
