/* libFuzzer: any bytes as a safetensors file. make fuzz runs it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/weights/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct safetensors safetensors;
    struct error error;
    char *copy = malloc(bytes + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, data, bytes);
    if (safetensors_parse(&safetensors, "fuzz", copy, bytes, &error) == STATUS_OK) { /* which owns the copy */
        for (size_t i = 0; i < safetensors.count; i++) {
            volatile uint8_t last =
                safetensors.tensors[i].bytes > 0 ? safetensors.tensors[i].data[safetensors.tensors[i].bytes - 1] : 0;
            (void)last;
        }
        safetensors_free(&safetensors);
    }
    return 0;
}
