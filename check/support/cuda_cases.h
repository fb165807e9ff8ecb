/* What the tests of kernels share: numbers, and the reports and sums of a launch.
 *
 * memory   The caller frees arrays. What is on the device is freed by cuda_release.
 * errors   A test fails at once. */
#ifndef SELFSAME_CUDA_CASES_H
#define SELFSAME_CUDA_CASES_H

#include <stdbool.h>

#include "check/support/cuda_memory.h"
#include "trainer/cpu/reference.h"
#include "trainer/cuda/kernels.h"

/* calloc(). */
void *cuda_array(size_t count, size_t size);

/* Zeros and subnormals among normal deviates; in every other case also a few large ones, which swallow what came before
 * them in a chain. */
float *cuda_numbers(uint64_t seed, size_t count, float mean);

/* Constants as a batch norm's forward leaves them; scales of both signs. */
void cuda_draw_norm(uint64_t seed, uint32_t count, struct exact_norm *norm);

struct conv2d cuda_reference_shape(struct cuda_shape shape);

/* T64 over the images of column i of sums (N,2K). */
double cuda_images_tree(uint32_t count, uint32_t K, const float *sums, uint32_t i);

/* Of the second of two steps: neither has a culprit yet. */
struct gpu_report cuda_make_report(struct cuda_memory *memory, uint32_t culprit);
/* What the step at hand has; the other one was left alone. */
struct gpu_step_result cuda_result_of(const struct gpu_report *report);
/* That it has the report's culprit where something is not finite, and that nothing else was written. */
void cuda_expect_report(const struct gpu_report *report, bool finite);

struct gpu_sums cuda_make_sums(struct cuda_memory *memory, uint32_t count, uint32_t K);
void cuda_expect_none_arrived(const struct gpu_sums *sums);

#endif
