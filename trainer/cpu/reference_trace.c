/* Traces a step of the scalar backend: the same parts as a step's, and after each part what it left. */
#include <string.h>

#include "trainer/cpu/reference_state.h"

/* The sums of every image for a norm of K channels, as the last pass left them. */
static void report_sums(const struct backend *r, struct step_trace *trace, enum trace_tensor what, uint32_t norm,
                        uint32_t K, uint32_t N)
{
    for (uint32_t n = 0; n < N; n++)
        step_trace_floats(trace, what, norm, r->sums + (size_t)n * 2 * FEATURES, (size_t)2 * K);
}

static void trace_forward(struct backend *r, const struct backend_batch *batch, uint32_t l, struct step_trace *trace,
                          struct backend_outcome *outcome)
{
    const struct conv_layer *layer = &r->network->convs[l];
    const uint32_t N = batch->count, K = layer->filters;
    const size_t count = N * output_floats(layer);
    reference_convolve(r, batch, l, outcome);
    if (l == 0)
        step_trace_floats(trace, TRACE_INPUT, 0, r->a[0], N * input_floats(layer));
    step_trace_floats(trace, TRACE_OUTPUT, l, r->y[l], count);
    report_sums(r, trace, TRACE_SUMS, l, K, N);
    step_trace_norm(trace, l, r->norm + (size_t)l * FEATURES, K);
    if (layer->projection_gamma >= 0) {
        const uint32_t norm = step_trace_projection(r->network, l);
        reference_project(r, N, l, outcome);
        step_trace_floats(trace, TRACE_OUTPUT, norm, r->projection_y[projection_of(layer)], count);
        report_sums(r, trace, TRACE_SUMS, norm, K, N);
        step_trace_norm(trace, norm, r->projection_norm[projection_of(layer)], K);
    }
    reference_activate_layer(r, N, l);
    step_trace_floats(trace, TRACE_ACTIVATION, l, r->a[l + 1], count);
}

static void trace_head(struct backend *r, const struct backend_batch *batch, struct step_trace *trace,
                       struct backend_outcome *outcome)
{
    const size_t N = batch->count;
    reference_head(r, batch, outcome);
    step_trace_floats(trace, TRACE_POOL, 0, r->pool, N * FEATURES);
    step_trace_floats(trace, TRACE_LOGITS, 0, r->z, N * CLASSES);
    if (r->network->logits_gamma >= 0)
        step_trace_norm(trace, step_trace_logits(r->network), r->logits_norm, CLASSES);
    step_trace_floats(trace, TRACE_LOSS, 0, &outcome->loss, 1);
    step_trace_floats(trace, TRACE_LOGITS_GRADIENT, 0, r->dz, N * CLASSES);
    for (size_t i = 0; i < N * FEATURES; i++)
        step_trace_floats(trace, TRACE_POOL_GRADIENT, 0, r->d + i * 64, 1);
}

static void trace_backward(struct backend *r, const struct backend_batch *batch, uint32_t l, struct step_trace *trace,
                           struct backend_outcome *outcome)
{
    const struct conv_layer *layer = &r->network->convs[l];
    const uint32_t N = batch->count, K = layer->filters;
    const size_t count = N * output_floats(layer);
    reference_backward_norm(r, N, l, outcome);
    step_trace_floats(trace, TRACE_ACTIVATION_GRADIENT, l, reference_activation_gradient(r, l), count);
    report_sums(r, trace, TRACE_GRADIENT_SUMS, l, K, N);
    step_trace_norm_gradient(trace, l, r->norm_gradient, K);
    step_trace_floats(trace, TRACE_OUTPUT_GRADIENT, l, r->dy, count);
    if (layer->projection_gamma >= 0) {
        const uint32_t norm = step_trace_projection(r->network, l);
        reference_backward_projection_norm(r, N, l, outcome);
        report_sums(r, trace, TRACE_GRADIENT_SUMS, norm, K, N);
        step_trace_norm_gradient(trace, norm, r->projection_gradient, K);
        step_trace_floats(trace, TRACE_OUTPUT_GRADIENT, norm, r->projection_dy, count);
    }
    reference_backward_convolution(r, batch, l);
}

void reference_trace(struct backend *r, const struct backend_batch *batch, float learning_rate,
                     struct step_trace *trace, struct backend_outcome *outcome)
{
    memset(outcome, 0, sizeof *outcome);
    for (uint32_t l = 0; l < r->network->conv_count; l++)
        trace_forward(r, batch, l, trace, outcome);
    trace_head(r, batch, trace, outcome);
    for (uint32_t l = r->network->conv_count; l-- > 0;)
        trace_backward(r, batch, l, trace, outcome);
    step_trace_gradients(trace, r->gradients);
    reference_update(r, learning_rate, outcome);
}
