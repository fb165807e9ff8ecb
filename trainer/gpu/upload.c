#include "trainer/gpu/upload.h"

#include <stdlib.h>

#include "trainer/gpu/runtime.h"
#include "trainer/input.h"

enum status gpu_upload(void *to, const void *from, size_t bytes, struct error *error)
{
    if (bytes > 0)
        TRY(error, cudaMemcpy, to, from, bytes, cudaMemcpyHostToDevice);
    return STATUS_OK;
}

/* Not the device: another thread's engine may be capturing a stream, which waiting for the device would break. */
enum status gpu_upload_finish(struct error *error)
{
    TRY(error, cudaStreamSynchronize, NULL);
    return STATUS_OK;
}

size_t gpu_data_bytes(const struct dataset *data)
{
    return data == NULL ? 0 : (size_t)data->count * (DATASET_IMAGE_BYTES + 1);
}

enum status gpu_upload_data(const struct dataset *data, uint8_t **images, uint8_t **labels, struct error *error)
{
    if (data == NULL || data->count == 0)
        return STATUS_OK;
    const size_t bytes = (size_t)data->count * DATASET_IMAGE_BYTES;
    TRY(error, cudaMalloc, (void **)images, bytes);
    TRY(error, cudaMalloc, (void **)labels, data->count);
    enum status status = gpu_upload(*images, data->images, bytes, error);
    return status == STATUS_OK ? gpu_upload(*labels, data->labels, data->count, error) : status;
}

enum status gpu_upload_input(const struct input_config *config, const struct dataset *training, float *value,
                             float *pixel_mean, struct error *error)
{
    struct input *input;
    enum status status = input_open(&input, config, training, error);
    if (status != STATUS_OK)
        return status;
    if (input_values(input) != NULL)
        status = gpu_upload(value, input_values(input), (size_t)3 * 256 * sizeof(float), error);
    if (status == STATUS_OK && input_pixel_mean(input) != NULL)
        status = gpu_upload(pixel_mean, input_pixel_mean(input), DATASET_IMAGE_BYTES * sizeof(float), error);
    input_close(input);
    return status;
}

enum status gpu_upload_norms(const struct network *network, struct gpu_norm_place *places, struct error *error)
{
    const struct tensor *t = network->tensors;
    const size_t count = (size_t)network->conv_count + 1;
    struct gpu_norm_place *made = calloc(count, sizeof *made);
    if (made == NULL)
        return error_out_of_memory(error, "the table of %zu batch norms", count);
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        made[l] = (struct gpu_norm_place){ (uint32_t)t[layer->gamma].offset, (uint32_t)t[layer->beta].offset,
                                           (uint32_t)t[layer->running_mean].offset,
                                           (uint32_t)t[layer->running_variance].offset, layer->filters };
    }
    if (network->logits_gamma >= 0)
        made[network->conv_count] =
            (struct gpu_norm_place){ (uint32_t)t[network->logits_gamma].offset,
                                     (uint32_t)t[network->logits_beta].offset, (uint32_t)t[network->logits_mean].offset,
                                     (uint32_t)t[network->logits_variance].offset, GPU_CLASSES };
    enum status status = gpu_upload(places, made, count * sizeof *made, error);
    free(made);
    return status;
}
