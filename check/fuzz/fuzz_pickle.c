/* libFuzzer: any bytes as a pickle, and what comes out as an array. make fuzz runs it. */
#include <stddef.h>
#include <stdint.h>

#include "fetch/weights/ndarray.h"
#include "fetch/weights/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct pickle pickle;
    struct ndarray array;
    struct error error;
    size_t end;
    if (pickle_read(&pickle, "fuzz", data, bytes, 0, &end, &error) == STATUS_OK) {
        if (ndarray_read(&array, "fuzz", pickle.root, &error) == STATUS_OK && array.count > 0) {
            volatile uint8_t last = array.data[array.count * element_bytes(array.element) - 1]; /* must be there */
            (void)last;
        }
        pickle_free(&pickle);
    }
    return 0;
}
