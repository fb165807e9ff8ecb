/* Traces a step: the launches of a step without a graph, and after each of them what it left, read back. The host forms
 * what no kernel stores: the activation inside a block, the sums of an image, which lie in parts, and the gradient of a
 * convolution's output. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_environment.h"
#include "trainer/cuda/engine_state.h"
#include "trainer/gpu/launches.h"

/* What a traced step needs on the host. */
struct tracing {
    struct step_trace *trace;
    float *first, *second; /* two tensors of the largest layer */
    struct exact_norm norms[GPU_FEATURES];
    struct exact_norm_gradient gradients[GPU_FEATURES];
};

/* ---- reading back ------------------------------------------------------------------------------------------------ */

static bool is_traced(const struct launches *run)
{
    return run->engine->tracing != NULL && run->status == STATUS_OK;
}

/* After all that was launched. */
static bool read_back(struct launches *run, void *to, const void *from, size_t bytes)
{
    check(run, cudaStreamSynchronize(run->session->stream), "cudaStreamSynchronize");
    check(run, cudaStreamSynchronize(run->engine->side), "cudaStreamSynchronize");
    if (run->status == STATUS_OK)
        check(run, cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return run->status == STATUS_OK;
}

/* Floats of the device, as they are. */
static void report_floats(struct launches *run, enum trace_tensor what, uint32_t index, const float *from, size_t count)
{
    struct tracing *tracing = run->engine->tracing;
    if (read_back(run, tracing->first, from, count * sizeof *from))
        step_trace_floats(tracing->trace, what, index, tracing->first, count);
}

static size_t output_pixels(const struct conv_layer *layer)
{
    const size_t side = layer->side / layer->stride;
    return side * side;
}

/* Of y and y y, or with the norm's means, of g and g (y - mean): (N,2,K). */
static void report_sums(struct launches *run, enum trace_tensor what, uint32_t l, const float *g, const float *y,
                        const struct exact_norm *norms)
{
    struct step_trace *trace = run->engine->tracing->trace;
    const struct conv_layer *layer = &run->session->network->convs[l];
    const size_t pixels = output_pixels(layer);
    float *list = trace->image;
    for (uint32_t n = 0; n < run->images; n++) {
        for (int second = 0; second < 2; second++) {
            for (uint32_t k = 0; k < layer->filters; k++) {
                const size_t at = ((size_t)n * layer->filters + k) * pixels;
                for (size_t i = 0; i < pixels; i++) {
                    const float factor = norms == NULL ? y[at + i] : y[at + i] - norms[k].mean32;
                    list[i] = second ? g[at + i] * factor : g[at + i];
                }
                const float sum = exact_tree32(list, pixels, 1);
                step_trace_floats(trace, what, l, &sum, 1);
            }
        }
    }
}

static bool read_norms(struct launches *run, uint32_t l)
{
    struct tracing *tracing = run->engine->tracing;
    return read_back(run, tracing->norms, norms_of(run->session, l), sizeof tracing->norms);
}

/* ---- after the launches of step.c -------------------------------------------------------------------------------- */

void traced_begin(struct launches *run)
{
    if (!is_traced(run))
        return;
    const struct gpu_buffers *buffers = &run->session->buffers;
    struct tracing *tracing = run->engine->tracing;
    struct gpu_current current;
    struct sample *samples = calloc(run->images, sizeof *samples);
    if (samples == NULL)
        run->status = error_out_of_memory(run->error, "the images of a step");
    if (run->status == STATUS_OK && read_back(run, samples, buffers->samples, run->images * sizeof *samples) &&
        read_back(run, &current, buffers->current, sizeof current))
        step_trace_batch(tracing->trace, samples, run->session->training->labels, current.rate);
    free(samples);
    report_floats(run, TRACE_INPUT, 0, buffers->x, (size_t)run->images * DATASET_IMAGE_BYTES);
}

void traced_convolution(struct launches *run, uint32_t l)
{
    if (!is_traced(run))
        return;
    struct tracing *tracing = run->engine->tracing;
    const struct conv_layer *layer = &run->session->network->convs[l];
    report_floats(run, TRACE_OUTPUT, l, run->engine->layout.y[l], run->images * layer->filters * output_pixels(layer));
    if (!read_norms(run, l))
        return;
    report_sums(run, TRACE_SUMS, l, tracing->first, tracing->first, NULL);
    step_trace_norm(tracing->trace, l, tracing->norms, layer->filters);
}

void traced_activation(struct launches *run, uint32_t l)
{
    if (!is_traced(run))
        return;
    struct tracing *tracing = run->engine->tracing;
    const struct conv_layer *layer = &run->session->network->convs[l];
    const size_t pixels = output_pixels(layer), image = layer->filters * pixels;
    if (l % 2 == 0) {
        report_floats(run, TRACE_ACTIVATION, l, run->engine->layout.outputs[l / 2], run->images * image);
        return;
    }
    if (!read_norms(run, l) ||
        !read_back(run, tracing->first, run->engine->layout.y[l], run->images * image * sizeof(float)))
        return;
    for (size_t i = 0; i < run->images * image; i++) {
        const struct exact_norm *norm = &tracing->norms[i / pixels % layer->filters];
        const float u = fmaf(tracing->first[i], norm->scale, norm->shift);
        tracing->first[i] = u > 0.0f ? u : 0.0f;
    }
    step_trace_floats(tracing->trace, TRACE_ACTIVATION, l, tracing->first, run->images * image);
}

void traced_logits(struct launches *run)
{
    if (!is_traced(run))
        return;
    const struct gpu_buffers *buffers = &run->session->buffers;
    report_floats(run, TRACE_POOL, 0, buffers->pool, (size_t)run->images * GPU_FEATURES);
    report_floats(run, TRACE_LOGITS, 0, buffers->logits, (size_t)run->images * NETWORK_CLASSES);
}

void traced_head(struct launches *run)
{
    if (!is_traced(run))
        return;
    struct tracing *tracing = run->engine->tracing;
    const struct network *network = run->session->network;
    const struct gpu_buffers *buffers = &run->session->buffers;
    const size_t logits = (size_t)run->images * NETWORK_CLASSES;
    if (network->logits_gamma >= 0 && read_norms(run, network->conv_count))
        step_trace_norm(tracing->trace, step_trace_logits(network), tracing->norms, NETWORK_CLASSES);
    report_floats(run, TRACE_LOGITS_GRADIENT, 0, buffers->dz, logits);
    if (!read_back(run, tracing->second, value_of(run->session, network->linear_weight),
                   sizeof(float) * NETWORK_CLASSES * GPU_FEATURES))
        return;
    for (uint32_t n = 0; n < run->images; n++) {
        for (uint32_t c = 0; c < GPU_FEATURES; c++) {
            float d = 0.0f;
            for (uint32_t k = 0; k < NETWORK_CLASSES; k++)
                d = fmaf(tracing->first[n * NETWORK_CLASSES + k], tracing->second[k * GPU_FEATURES + c], d);
            d = d * 0x1p-6f;
            step_trace_floats(tracing->trace, TRACE_POOL_GRADIENT, 0, &d, 1);
        }
    }
}

void traced_gradient(struct launches *run, uint32_t l, const float *g, const struct exact_norm_gradient *gradients)
{
    if (!is_traced(run))
        return;
    struct tracing *tracing = run->engine->tracing;
    const struct conv_layer *layer = &run->session->network->convs[l];
    const size_t pixels = output_pixels(layer), count = run->images * layer->filters * pixels;
    report_floats(run, TRACE_ACTIVATION_GRADIENT, l, g, count);
    if (!read_norms(run, l) || !read_back(run, tracing->gradients, gradients, sizeof tracing->gradients) ||
        !read_back(run, tracing->second, run->engine->layout.y[l], count * sizeof(float)))
        return;
    report_sums(run, TRACE_GRADIENT_SUMS, l, tracing->first, tracing->second, tracing->norms);
    step_trace_norm_gradient(tracing->trace, l, tracing->gradients, layer->filters);
    for (size_t i = 0; i < count; i++) {
        const uint32_t k = (uint32_t)(i / pixels % layer->filters);
        const struct exact_norm_gradient *gradient = &tracing->gradients[k];
        tracing->first[i] = fmaf(tracing->first[i], tracing->norms[k].scale,
                                 fmaf(gradient->slope, tracing->second[i], gradient->constant));
    }
    step_trace_floats(tracing->trace, TRACE_OUTPUT_GRADIENT, l, tracing->first, count);
}

void traced_gradients(struct launches *run)
{
    if (!is_traced(run))
        return;
    struct step_trace *trace = run->engine->tracing->trace;
    if (read_back(run, trace->values, run->session->buffers.gradients,
                  run->session->network->value_count * sizeof(float)))
        step_trace_gradients(trace, trace->values);
}

/* ---- the operation ----------------------------------------------------------------------------------------------- */

static enum status trace_step(struct engine *engine, uint64_t step, struct step_trace *trace,
                              struct step_result *result, struct error *error)
{
    enum status status = gpu_get_state(engine, trace->values, trace->momentum, error);
    if (status != STATUS_OK)
        return status;
    step_trace_state(trace, false, trace->values, trace->momentum);
    status = queue_step(&engine->session.queue, step, result, trace->non_finite, error);
    if (status != STATUS_OK)
        return status;
    step_trace_floats(trace, TRACE_LOSS, 0, &result->loss, 1);
    status = gpu_get_state(engine, trace->values, trace->momentum, error);
    if (status != STATUS_OK)
        return status;
    step_trace_state(trace, true, trace->values, trace->momentum);
    step_trace_finish(trace);
    return STATUS_OK;
}

enum status cuda_trace(struct engine *engine, uint64_t step, struct step_trace *trace, struct step_result *result,
                       struct error *error)
{
    const size_t floats = (size_t)trace->images * 16 * DATASET_PIXELS;
    const size_t room = floats > NETWORK_CLASSES * GPU_FEATURES ? floats : NETWORK_CLASSES * GPU_FEATURES;
    struct tracing tracing = { .trace = trace };
    enum status status = STATUS_OK;
    tracing.first = malloc(room * sizeof(float));
    tracing.second = malloc(room * sizeof(float));
    if (tracing.first == NULL || tracing.second == NULL)
        status = error_out_of_memory(error, "the tensors of a step");
    if (status == STATUS_OK) {
        const struct float_environment saved = float_environment_enter();
        engine->tracing = &tracing;
        status = trace_step(engine, step, trace, result, error);
        engine->tracing = NULL;
        float_environment_leave(saved);
    }
    free(tracing.first);
    free(tracing.second);
    return status;
}
