/* libFuzzer: any bytes as a file of weights: torch's formats, neon's and safetensors are told apart by their content.
 * make fuzz runs it. */
#include <stddef.h>
#include <stdint.h>

#include "fetch/weights/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct weights weights;
    struct model_config model;
    struct error error;
    char hex[DIGEST_HEX_BYTES];
    if (weights_parse(&weights, "fuzz", data, bytes, NULL, &error) == STATUS_OK) {
        weights_content_digest(&weights, hex);
        (void)!weights_model(&weights, &model, &error);
        weights_close(&weights);
    }
    return 0;
}
