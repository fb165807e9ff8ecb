/* The fused CPU backend, compiled once for each instruction set (FUSED_VECTOR lanes): its operations, made of the
 * headers below, and the update. It computes ARITHMETIC.md and reads and writes tensors as few times as possible.
 * README.md is a map of this folder. The includes below are in reading order. */
#include "trainer/cpu/fused/vector.h"

#include "trainer/cpu/fused/prefetch.h"

#include "trainer/cpu/fused/images.h"

#include "trainer/cpu/fused/rows.h"

#include "trainer/cpu/fused/sinks.h"

#include "trainer/cpu/fused/direct.h"

#include "trainer/cpu/fused/winograd.h"

#include "trainer/cpu/fused/packing.h"

#include "trainer/cpu/fused/kernels.h"

#include "trainer/cpu/fused/head.h"

#include "trainer/cpu/fused/state.h"

#include "trainer/cpu/fused/forward.h"

#include "trainer/cpu/fused/backward.h"

#include "trainer/cpu/fused/trace.h"

#include "base/clock.h"
#include "trainer/cpu/backend.h"
#include "trainer/exact.h"

/* ---- update ------------------------------------------------------------------------------------------------------ */

/* Updates a run of elements and adds it to the ledger digest while it is in the cache. Returns the largest magnitude's
 * bits. */
static uint32_t update_piece(struct backend *f, const struct piece *piece, float lr, uint64_t digest[2])
{
    const struct training_config *training = &f->recipe.training;
    const float momentum = (float)training->momentum, decay = (float)training->weight_decay;
    float *w = f->values + piece->begin, *v = f->momentum + piece->begin, *g = f->gradients + piece->begin;
    const size_t count = piece->end - piece->begin;
    if (f->network->tensors[piece->tensor].role == TENSOR_PARAMETER) {
        if (training->momentum_form == MOMENTUM_NEON) {
#pragma omp simd
            for (size_t i = 0; i < count; i++)
                exact_update_neon(&w[i], &v[i], g[i], lr, momentum, decay);
        } else {
#pragma omp simd
            for (size_t i = 0; i < count; i++)
                exact_update_pytorch(&w[i], &v[i], g[i], lr, momentum, decay);
        }
    }
    uint64_t first = 0, second = 0;
    uint32_t largest = 0;
    const uint32_t offset = (uint32_t)piece->begin;
#pragma omp simd reduction(+ : first, second) reduction(max : largest)
    for (uint32_t i = 0; i < (uint32_t)count; i++) {
        union {
            float number;
            uint32_t bits;
        } element = { .number = w[i] };
        uint64_t term[2] = { 0, 0 };
        exact_ledger_add(term, offset + i, element.bits);
        first += term[0];
        second += term[1];
        uint32_t magnitude = element.bits & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    digest[0] += first;
    digest[1] += second;
    return largest;
}

static void update_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    enum { INFINITY_BITS = 0x7f800000 };
    (void)after;
    if (update_piece(pass->f, &pass->f->pieces[item], pass->learning_rate, worker->digest) >= INFINITY_BITS &&
        item < worker->culprit)
        worker->culprit = item;
}

static void update_pass(struct backend *f, float learning_rate, struct backend_outcome *outcome)
{
    size_t culprit = f->piece_count;
    for (uint32_t i = 0; i < f->threads; i++) {
        f->workers[i].digest[0] = f->workers[i].digest[1] = 0;
        f->workers[i].culprit = f->piece_count;
    }
    run_pass((struct pass){ .f = f, .learning_rate = learning_rate, .item = update_item }, (uint32_t)f->piece_count,
             false);
    for (uint32_t i = 0; i < f->threads; i++) {
        outcome->digest[0] += f->workers[i].digest[0];
        outcome->digest[1] += f->workers[i].digest[1];
        if (f->workers[i].culprit < culprit)
            culprit = f->workers[i].culprit;
    }
    if (culprit < f->piece_count)
        backend_blame(outcome, NON_FINITE_UPDATE, f->network->tensors[f->pieces[culprit].tensor].name);
    pack_all(f);
}

static void fused_step(struct backend *f, const struct backend_batch *batch, float learning_rate,
                       struct backend_outcome *outcome)
{
    memset(outcome, 0, sizeof *outcome);
    forward_pass(f, batch, outcome);
    double began = clock_seconds();
    head_pass(f, batch, outcome);
    if (f->profile != NULL)
        profile_add(&f->profile->head_s, began);
    backward_pass(f, batch, outcome);
    began = clock_seconds();
    update_pass(f, learning_rate, outcome);
    if (f->profile != NULL)
        profile_add(&f->profile->update_s, began);
}

static void fused_trace(struct backend *f, const struct backend_batch *batch, float learning_rate,
                        struct step_trace *trace, struct backend_outcome *outcome)
{
    memset(outcome, 0, sizeof *outcome);
    trace_passes(f, batch, trace, outcome);
    update_pass(f, learning_rate, outcome);
}

/* ---- evaluation -------------------------------------------------------------------------------------------------- */

static void running_norm(struct backend *f, struct conv *conv, struct norm_tensors at)
{
    const struct tensor *tensors = f->network->tensors;
    for (uint32_t k = 0; k < conv->K; k++) {
        struct exact_norm norm =
            exact_norm_constants((double)f->values[tensors[at.mean].offset + k],
                                 (double)f->values[tensors[at.variance].offset + k], f->recipe.model.batch_norm_epsilon,
                                 f->values[tensors[at.gamma].offset + k], f->values[tensors[at.beta].offset + k]);
        set_norm(conv, k, &norm);
    }
}

static void running_norms(struct backend *f)
{
    for (uint32_t l = 0; l < f->network->conv_count; l++) {
        running_norm(f, &f->convs[l], norm_tensors_of(f, l, false));
        if (f->convs[l].projection != NULL)
            running_norm(f, f->convs[l].projection, norm_tensors_of(f, l, true));
    }
}

/* Convolution l of the images n .. n+count-1 of the thread's item. */
static void evaluate_layer(const struct backend *f, struct worker *worker, const struct backend_batch *batch,
                           uint32_t l, uint32_t n, uint32_t count)
{
    struct prefetch_list soon = { .count = 0 }; /* all of it is in the cache */
    const uint32_t step = f->convs[l].kernels->forward_images;
    for (uint32_t i = 0; i < count; i += step)
        forward_images(f, worker, batch, l, n + i, images_left(i, step, count), worker, &soon);
}

/* All layers of a few images in a thread's own buffers: stage by stage, in it as many images at a time as the stage's
 * kernels take, so that what a layer leaves is in the second-level cache when the next one reads it. */
static void evaluate_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    struct backend *f = pass->f;
    const struct backend_batch *batch = pass->batch;
    const uint32_t first = item * IMAGES_MAX, count = images_left(first, IMAGES_MAX, batch->count);
    struct head_state state = head_state(f);
    (void)after;
    worker->eval_first = first;
    for (uint32_t begin = 0, end; begin < f->network->conv_count; begin = end) {
        const uint32_t side = f->convs[begin].out_side, step = f->convs[begin + 1].kernels->forward_images;
        for (end = begin; end < f->network->conv_count && f->convs[end].out_side == side;)
            end++;
        for (uint32_t n = 0; n < count; n += step)
            for (uint32_t l = begin; l < end; l++)
                evaluate_layer(f, worker, batch, l, n, images_left(n, step, count));
    }
    for (uint32_t n = 0; n < count; n++) {
        float pool[FEATURES], u[CLASSES], exponential[CLASSES], sum;
        pool_image(f, worker, n, pool);
        head_logits(pool, state.weight, state.bias, u);
        for (int k = 0; k < CLASSES && state.gamma != NULL; k++)
            u[k] = fmaf(u[k], f->logits_norm[k].scale, f->logits_norm[k].shift);
        const uint32_t image = backend_image(batch, first + n);
        pass->losses[first + n] =
            head_softmax(u, batch->data->labels[image], exponential, &sum, &pass->predictions[first + n]);
    }
}

static void fused_evaluate(struct backend *f, const struct backend_batch *batch, uint8_t *predictions, float *losses)
{
    struct head_state state = head_state(f);
    running_norms(f);
    for (int k = 0; k < CLASSES && state.gamma != NULL; k++)
        f->logits_norm[k] = exact_norm_constants((double)state.running_mean[k], (double)state.running_variance[k],
                                                 state.epsilon, state.gamma[k], state.beta[k]);
    run_pass(
        (struct pass){ .f = f, .batch = batch, .predictions = predictions, .losses = losses, .item = evaluate_item },
        (batch->count + IMAGES_MAX - 1) / IMAGES_MAX, false);
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static void fused_set_profile(struct backend *f, struct backend_profile *profile)
{
    f->profile = profile;
}

enum { PEAK_CHAINS = 12, PEAK_TURNS = 1 << 14 };

/* Independent chains of FMAs in registers. The result is stored but never read, so that the compiler keeps the loop. */
static void peak_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    vec chain[PEAK_CHAINS], factor = vec_set(0.9999f), term = vec_set(0.1f);
    (void)pass, (void)item, (void)after;
    UNROLL
    for (int i = 0; i < PEAK_CHAINS; i++)
        chain[i] = vec_set((float)i);
    for (int turn = 0; turn < PEAK_TURNS; turn++) {
        UNROLL
        for (int i = 0; i < PEAK_CHAINS; i++)
            chain[i] = vec_fma(chain[i], factor, term);
    }
    UNROLL
    for (int i = 0; i < PEAK_CHAINS; i++)
        vec_store(worker->eval_sums, vec_add(vec_load(worker->eval_sums), chain[i]));
}

static double fused_peak_flops(struct backend *f)
{
    uint32_t items = f->threads * 64;
    run_pass((struct pass){ .f = f, .item = peak_item }, f->threads, false);
    double began = clock_seconds();
    run_pass((struct pass){ .f = f, .item = peak_item }, items, false);
    return 2.0 * LANES * PEAK_CHAINS * (double)PEAK_TURNS * items / (clock_seconds() - began);
}

static uint32_t fused_exercise(float *values, size_t count, uint32_t passes)
{
    const vec rate = vec_set(BACKEND_EXERCISE_RATE);
    for (uint32_t pass = 0; pass < passes; pass++) {
        for (size_t i = 0; i < count; i += LANES) {
            const vec x = vec_load(values + i);
            vec_store(values + i, vec_mul(rate, vec_fnma(x, x, x)));
        }
    }
    return LANES;
}

static enum status fused_pin(struct backend *f, const uint32_t *processors, struct error *error)
{
    return team_pin(f->team, processors, error);
}

static size_t fused_memory_bytes(const struct backend *f)
{
    return f->memory_bytes;
}

/* ---- which build this is ----------------------------------------------------------------------------------------- */

#include "trainer/cpu/fused/isa.h"

const struct backend_operations FUSED_BACKEND = {
    .isa = FUSED_ISA,
    .variant = FUSED_VARIANT,
    .supported = fused_supported,
    .open = fused_open,
    .pin = fused_pin,
    .set_state = fused_set_state,
    .get_state = fused_get_state,
    .step = fused_step,
    .trace = fused_trace,
    .evaluate = fused_evaluate,
    .memory_bytes = fused_memory_bytes,
    .predict_memory = fused_predict_memory,
    .set_profile = fused_set_profile,
    .peak_flops = fused_peak_flops,
    .exercise = fused_exercise,
    .close = fused_close,
};
