/* libFuzzer: any bytes as a manifest. One that is taken must resolve to a text that reads back to itself. make fuzz
 * runs it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct manifest manifest, again;
    struct error error;
    if (manifest_read_text((const char *)data, bytes, "fuzz", &manifest, &error) != STATUS_OK)
        return 0;
    if (manifest_read_text(manifest.resolved, strlen(manifest.resolved), "fuzz", &again, &error) != STATUS_OK ||
        strcmp(manifest.resolved, again.resolved) != 0 || strcmp(manifest.experiment, again.experiment) != 0)
        abort();
    manifest_free(&again);
    manifest_free(&manifest);
    return 0;
}
