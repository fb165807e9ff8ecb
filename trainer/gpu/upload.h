/* Copies data sets and tables to the device before the first step.
 *
 * memory   Device memory is the caller's, from cudaMalloc; what gpu_upload_data allocated, the caller frees even after
 *          an error.
 * order    Copies go through the default stream. Other streams may read what they brought after gpu_upload_finish.
 * errors   STATUS_ENVIRONMENT, naming the call that failed or the memory that is missing; STATUS_INPUT from the
 *          input. */
#ifndef SELFSAME_GPU_UPLOAD_H
#define SELFSAME_GPU_UPLOAD_H

#include "trainer/gpu/kernels.h"
#include "trainer/dataset.h"
#include "trainer/network.h"

enum status gpu_upload(void *to, const void *from, size_t bytes, struct error *error) MUST_USE;
enum status gpu_upload_finish(struct error *error) MUST_USE;
/* What gpu_upload_data takes; 0 for NULL. */
size_t gpu_data_bytes(const struct dataset *data);
/* Nothing for a data set that is NULL or empty. */
enum status gpu_upload_data(const struct dataset *data, uint8_t **images, uint8_t **labels,
                            struct error *error) MUST_USE;
/* The tables of gpu_load: value [3][256], pixel_mean [3072] or NULL. `training` gives the means. */
enum status gpu_upload_input(const struct input_config *config, const struct dataset *training, float *value,
                             float *pixel_mean, struct error *error) MUST_USE;
/* places [conv_count + 1]: each layer's norm, and that of the logits. */
enum status gpu_upload_norms(const struct network *network, struct gpu_norm_place *places,
                             struct error *error) MUST_USE;

#endif
