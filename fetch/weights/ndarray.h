/* Reads and checks numpy's arrays and scalars in pickles. */
#ifndef SELFSAME_NDARRAY_H
#define SELFSAME_NDARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/weights/number_format.h"
#include "fetch/weights/pickle.h"

enum { NDARRAY_RANK_MAX = 8 };

struct ndarray {
    enum element element; /* of the numbers that number_format.h knows, little-endian */
    uint32_t rank;
    uint64_t shape[NDARRAY_RANK_MAX];
    bool fortran; /* the first index runs fastest; else the last */
    size_t count;
    const uint8_t *data; /* count elements, unaligned, in the file or the pickle's arena */
};

bool ndarray_is(const struct pickle_value *value);
/* STATUS_INPUT "path: byte N: an array ...", also for objects, records, big-endian numbers and a size that does not fit
 * the shape. */
enum status ndarray_read(struct ndarray *array, const char *path, const struct pickle_value *value,
                         struct error *error) MUST_USE;
/* Whether a value is a scalar of numpy's that a double holds, such as numpy.float64(0.5) or numpy.int64(7). */
bool ndarray_scalar(const struct pickle_value *value, double *number);

#endif
