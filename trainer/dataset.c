#include "trainer/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum status dataset_allocate(struct dataset *dataset, uint32_t count, struct error *error)
{
    memset(dataset, 0, sizeof *dataset);
    dataset->images = calloc(count ? count : 1, DATASET_IMAGE_BYTES);
    dataset->labels = calloc(count ? count : 1, 1);
    if (dataset->images == NULL || dataset->labels == NULL) {
        dataset_free(dataset);
        return error_out_of_memory(error, "a data set of %u images (%.0f MiB)", count,
                                   (double)count * DATASET_RECORD_BYTES / 0x1p20);
    }
    dataset->count = count;
    return STATUS_OK;
}

void dataset_free(struct dataset *dataset)
{
    free(dataset->images);
    free(dataset->labels);
    memset(dataset, 0, sizeof *dataset);
}

void dataset_digest(struct dataset *dataset)
{
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    sha256_start(&sha256);
    for (size_t i = 0; i < dataset->count; i++) {
        sha256_add(&sha256, dataset->labels + i, 1);
        sha256_add(&sha256, dataset->images + i * DATASET_IMAGE_BYTES, DATASET_IMAGE_BYTES);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, dataset->sha256);
}
