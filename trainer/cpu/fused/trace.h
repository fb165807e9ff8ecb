/* Traces a step: the same passes as a step's, and after each what it left, brought into the trace's layout. What the
 * passes form only row by row (a convolution's input, its output's gradient) is formed again, by the same functions. */
#ifndef SELFSAME_FUSED_TRACE_H
#define SELFSAME_FUSED_TRACE_H

#include "trainer/cpu/fused/backward.h"
#include "trainer/cpu/fused/forward.h"

/* One image whose row h of a block of channels begins at `image` + plain_at or padded_at: to (K,P,P). */
static void report_image(struct step_trace *trace, enum trace_tensor what, uint32_t index, const float *image,
                         uint32_t K, uint32_t P, size_t (*row)(uint32_t block, uint32_t h, uint32_t side))
{
    float *to = trace->image;
    for (uint32_t k = 0; k < K; k++) {
        for (uint32_t h = 0; h < P; h++) {
            for (uint32_t w = 0; w < P; w++)
                *to++ = image[row(k / BLOCK, h, P) + w * BLOCK + k % BLOCK];
        }
    }
    step_trace_floats(trace, what, index, trace->image, plain_floats(K, P));
}

/* Images of a norm that lie one behind the other. */
static void report_plain(struct step_trace *trace, enum trace_tensor what, uint32_t index, const float *images,
                         const struct conv *conv, uint32_t N)
{
    for (uint32_t n = 0; n < N; n++)
        report_image(trace, what, index, images + n * plain_floats(conv->K, conv->out_side), conv->K, conv->out_side,
                     plain_at);
}

static void report_sums(const struct backend *f, struct step_trace *trace, enum trace_tensor what, uint32_t index,
                        uint32_t K, uint32_t N)
{
    for (uint32_t n = 0; n < N; n++)
        step_trace_floats(trace, what, index, f->sums + (size_t)n * SUMS_STRIDE, (size_t)2 * K);
}

static void report_input(struct backend *f, const struct backend_batch *batch, struct step_trace *trace)
{
    for (uint32_t n = 0; n < batch->count; n++) {
        float *to = trace->image;
        load_input(&f->workers[0], batch, n);
        for (size_t c = 0; c < 3; c++) {
            for (size_t h = 0; h < 32; h++) {
                for (size_t w = 0; w < 32; w++)
                    *to++ = f->workers[0].input[((h + 1) * 34 + w + 1) * 4 + c];
            }
        }
        step_trace_floats(trace, TRACE_INPUT, 0, trace->image, (size_t)(to - trace->image));
    }
}

static void report_norm(const struct backend *f, struct step_trace *trace, uint32_t index, const struct conv *conv,
                        uint32_t N)
{
    report_plain(trace, TRACE_OUTPUT, index, conv->y, conv, N);
    report_sums(f, trace, TRACE_SUMS, index, conv->K, N);
    step_trace_norm(trace, index, conv->norm, conv->K);
}

/* What the next convolution will read, and the ends of blocks, which the next pass makes again. */
static void report_activation(struct backend *f, struct step_trace *trace, uint32_t l, uint32_t N)
{
    const struct conv *conv = &f->convs[l];
    for (uint32_t n = 0; n < N; n++) {
        const struct row_source source =
            l % 2 == 0 ? join_source(f, NULL, l / 2, n)
                       : norm_source(f, NULL, l, n, f->workers[0].x[stage_of_side(conv->out_side)]);
        int made = 0;
        source_rows(&source, &made, (int)conv->out_side);
        report_image(trace, TRACE_ACTIVATION, l, source.out, conv->K, conv->out_side, padded_at);
    }
}

static void trace_forward(struct backend *f, const struct backend_batch *batch, uint32_t l, struct step_trace *trace,
                          struct backend_outcome *outcome)
{
    const struct conv *conv = &f->convs[l];
    const uint32_t N = batch->count;
    convolve(f, batch, l, outcome);
    if (l == 0)
        report_input(f, batch, trace);
    report_norm(f, trace, l, conv, N);
    if (conv->projection != NULL) {
        project(f, N, l, outcome);
        report_norm(f, trace, step_trace_projection(f->network, l), conv->projection, N);
    }
    report_activation(f, trace, l, N);
}

static void trace_head(struct backend *f, const struct backend_batch *batch, struct step_trace *trace,
                       struct backend_outcome *outcome)
{
    const size_t N = batch->count;
    head_pass(f, batch, outcome);
    step_trace_floats(trace, TRACE_POOL, 0, f->head.pool, N * FEATURES);
    step_trace_floats(trace, TRACE_LOGITS, 0, f->head.z, N * CLASSES);
    if (f->network->logits_gamma >= 0)
        step_trace_norm(trace, step_trace_logits(f->network), f->head.norm, CLASSES);
    step_trace_floats(trace, TRACE_LOSS, 0, &outcome->loss, 1);
    step_trace_floats(trace, TRACE_LOGITS_GRADIENT, 0, f->head.dz, N * CLASSES);
    step_trace_floats(trace, TRACE_POOL_GRADIENT, 0, f->head.dpool, N * FEATURES);
}

/* The gradient of convolution l's output, as its kernels will read it. */
static void report_output_gradient(struct backend *f, struct step_trace *trace, uint32_t l, const float *g, uint32_t N)
{
    const struct conv *conv = &f->convs[l];
    for (uint32_t n = 0; n < N; n++) {
        const struct row_source source = gradient_source(f, l, n, g, f->workers[0].dy[stage_of_side(conv->out_side)]);
        int made = 0;
        source_rows(&source, &made, (int)conv->out_side);
        report_image(trace, TRACE_OUTPUT_GRADIENT, l, source.out, conv->K, conv->out_side, padded_at);
    }
}

static void trace_projection_norm(struct backend *f, struct step_trace *trace, uint32_t l, uint32_t N,
                                  struct backend_outcome *outcome)
{
    const struct conv *projection = f->convs[l].projection;
    const uint32_t index = step_trace_projection(f->network, l);
    const size_t image = plain_floats(projection->K, projection->out_side);
    backward_projection_norm(f, N, l, outcome);
    report_sums(f, trace, TRACE_GRADIENT_SUMS, index, projection->K, N);
    step_trace_floats(trace, TRACE_SLOPE, index, projection->slope, projection->K);
    step_trace_floats(trace, TRACE_CONSTANT, index, projection->constant, projection->K);
    for (uint32_t n = 0; n < N; n++) {
        float *dy = f->workers[0].projection_dy;
        projection_gradient(projection, f->G0 + n * image, n, dy);
        report_image(trace, TRACE_OUTPUT_GRADIENT, index, dy, projection->K, projection->out_side, plain_at);
    }
}

static void trace_backward(struct backend *f, const struct backend_batch *batch, uint32_t l, struct step_trace *trace,
                           struct backend_outcome *outcome)
{
    const struct conv *conv = &f->convs[l];
    const float *g = l % 2 == 1 ? f->G1 : f->G0;
    const uint32_t N = batch->count;
    report_plain(trace, TRACE_ACTIVATION_GRADIENT, l, g, conv, N);
    report_sums(f, trace, TRACE_GRADIENT_SUMS, l, conv->K, N);
    backward_norm(f, N, l, outcome);
    step_trace_floats(trace, TRACE_SLOPE, l, conv->slope, conv->K);
    step_trace_floats(trace, TRACE_CONSTANT, l, conv->constant, conv->K);
    report_output_gradient(f, trace, l, g, N);
    if (conv->projection != NULL)
        trace_projection_norm(f, trace, l, N, outcome);
    backward_convolution(f, batch, l);
}

static void trace_passes(struct backend *f, const struct backend_batch *batch, struct step_trace *trace,
                         struct backend_outcome *outcome)
{
    for (uint32_t l = 0; l < f->network->conv_count; l++)
        trace_forward(f, batch, l, trace, outcome);
    trace_head(f, batch, trace, outcome);
    for (uint32_t l = f->network->conv_count; l-- > 0;)
        trace_backward(f, batch, l, trace, outcome);
    step_trace_gradients(trace, f->gradients);
}

#endif
