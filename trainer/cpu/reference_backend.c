/* The scalar backend: memory, steps, evaluations and measuring around the passes of reference.c. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "trainer/cpu/reference_state.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void lay_out(struct backend *r, struct arena *arena)
{
    const struct network *network = r->network;
    const size_t batch = r->batch, whole = r->whole; /* the head is computed for all ranks' images */
    r->a = arena_take(arena, (network->conv_count + 1) * sizeof *r->a);
    r->y = arena_take(arena, network->conv_count * sizeof *r->y);
    r->filters = arena_take(arena, network->conv_count * sizeof *r->filters);
    r->workers = arena_take(arena, r->threads * sizeof *r->workers);
    r->norm = arena_take(arena, (size_t)network->conv_count * FEATURES * sizeof *r->norm);
    r->digests = arena_take(arena, network->tensor_count * sizeof *r->digests);
    r->finite = arena_take(arena, network->tensor_count * sizeof *r->finite);
    r->column = arena_take(arena, whole * sizeof *r->column);
    r->values = arena_floats(arena, network->value_count);
    r->momentum = arena_floats(arena, network->value_count);
    r->gradients = arena_floats(arena, network->value_count);
    r->d = arena_floats(arena, batch * IMAGE_FLOATS_MAX);
    r->residual = arena_floats(arena, batch * IMAGE_FLOATS_MAX);
    r->dy = arena_floats(arena, batch * IMAGE_FLOATS_MAX);
    r->sums = arena_floats(arena, batch * 2 * FEATURES);
    r->pool = arena_floats(arena, whole * FEATURES);
    r->dpool = arena_floats(arena, whole * FEATURES);
    r->z = arena_floats(arena, whole * CLASSES);
    r->dz = arena_floats(arena, whole * CLASSES);
    size_t parts = 0;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        float *input = arena_floats(arena, batch * input_floats(layer)),
              *output = arena_floats(arena, batch * output_floats(layer));
        if (arena->memory != NULL) {
            r->a[l] = input;
            r->y[l] = output;
        }
        if (is_winograd(r, layer)) {
            float *filters = arena_floats(arena, (size_t)layer->filters * layer->channels * EXACT_WINOGRAD_POINTS);
            if (arena->memory != NULL)
                r->filters[l] = filters;
        }
        if (layer->projection_gamma >= 0) {
            float *projected = arena_floats(arena, batch * output_floats(layer));
            r->projection_y[projection_of(layer)] = projected;
            if (projection_of(layer) == 0) /* the larger */
                r->projection_dy = arena_floats(arena, batch * output_floats(layer));
        }
        size_t needed = groups_of(r, layer, r->batch) * layer->filters * layer->channels * points_of(r, layer);
        parts = needed > parts ? needed : parts;
    }
    float *last = arena_floats(arena, batch * output_floats(&network->convs[network->conv_count - 1]));
    if (arena->memory != NULL)
        r->a[network->conv_count] = last;
    r->parts = arena_floats(arena, parts);
    for (uint32_t thread = 0; thread < r->threads; thread++) {
        struct worker worker = { .scratch = arena_floats(arena, REFERENCE_SCRATCH_FLOATS),
                                 .shortcut = arena_floats(arena, IMAGE_FLOATS_MAX),
                                 .eval_y = arena_floats(arena, IMAGE_FLOATS_MAX) };
        for (int i = 0; i < 3; i++)
            worker.eval_a[i] = arena_floats(arena, IMAGE_FLOATS_MAX);
        if (arena->memory != NULL)
            r->workers[thread] = worker;
    }
}

static void declare_gradient(struct backend *r, const struct conv_layer *layer, size_t floats)
{
    const uint32_t side = layer->side / layer->stride,
                   rows = is_winograd(r, layer) ? side * exact_winograd_group_images(side) : exact_group_rows(side);
    shares_declare(r->shares, rows > side ? rows / side : 1, rows > side ? 1 : side / rows, floats);
}

/* Numbered as gradient_of and projection_gradient_of say. */
static void declare_gradients(struct backend *r)
{
    const struct network *network = r->network;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        declare_gradient(r, layer, (size_t)layer->filters * layer->channels * points_of(r, layer));
    }
    for (uint32_t l = 1; l < network->conv_count; l++) {
        const struct conv_layer *first = &network->convs[l - 1];
        if (network->convs[l].projection >= 0)
            declare_gradient(r, first, (size_t)first->filters * first->channels);
    }
}

static void reference_close(struct backend *r)
{
    if (r == NULL)
        return;
    team_close(r->team);
    backend_free(r->memory, r->memory_bytes);
    free(r);
}

static enum status reference_open(struct backend **out, const struct recipe *recipe, const struct network *network,
                                  uint32_t threads, bool inference, struct shares *shares, struct error *error)
{
    *out = NULL;
    enum status status = backend_check_arithmetic("the scalar backend", error);
    if (status != STATUS_OK)
        return status;
    struct backend *r = calloc(1, sizeof *r);
    if (r == NULL)
        return error_out_of_memory(error, "the scalar backend");
    r->recipe = *recipe;
    r->network = network;
    r->threads = threads;
    r->shares = shares;
    r->whole = inference ? 0 : recipe->training.batch_size;
    r->batch = shares != NULL ? shares_most(shares) : r->whole;
    if (shares != NULL)
        declare_gradients(r);
    struct arena arena = backend_arena();
    lay_out(r, &arena);
    status = backend_allocate(&arena, recipe, error);
    if (status == STATUS_OK) {
        r->memory = arena.memory;
        lay_out(r, &arena);
        r->memory_bytes = arena.bytes;
        status = team_open(&r->team, threads, error);
    }
    if (status == STATUS_OK)
        *out = r;
    else
        reference_close(r);
    return status;
}

static size_t reference_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t threads,
                                       bool inference)
{
    struct backend r = {
        .recipe = *recipe, .network = network, .threads = threads, .batch = inference ? 0 : recipe->training.batch_size
    };
    r.whole = r.batch;
    struct arena arena = backend_arena();
    lay_out(&r, &arena);
    return arena.bytes;
}

static void reference_set_state(struct backend *r, const float *values, const float *momentum)
{
    memcpy(r->values, values, r->network->value_count * sizeof *values);
    memcpy(r->momentum, momentum, r->network->value_count * sizeof *momentum);
}

static void reference_get_state(const struct backend *r, float *values, float *momentum)
{
    memcpy(values, r->values, r->network->value_count * sizeof *values);
    memcpy(momentum, r->momentum, r->network->value_count * sizeof *momentum);
}

/* ---- work for the team ------------------------------------------------------------------------------------------- */

static void pass_work(void *context, uint32_t thread)
{
    const struct pass *pass = context;
    uint32_t victim = thread, item, after;
    while (team_take(pass->r->team, thread, &victim, &item, &after))
        pass->item(pass, &pass->r->workers[thread], item);
}

void reference_run(struct pass pass, uint32_t items)
{
    team_share(pass.r->team, items, false);
    team_run(pass.r->team, pass_work, &pass);
}

/* ---- update ------------------------------------------------------------------------------------------------------ */

static void update_item(const struct pass *pass, struct worker *worker, uint32_t item)
{
    struct backend *r = pass->r;
    const struct tensor *tensor = &r->network->tensors[item];
    const struct training_config *training = &r->recipe.training;
    const float momentum = (float)training->momentum, decay = (float)training->weight_decay, rate = pass->learning_rate;
    float *w = r->values + tensor->offset, *v = r->momentum + tensor->offset, *g = r->gradients + tensor->offset;
    (void)worker;
    for (size_t i = 0; i < tensor->count && tensor->role == TENSOR_PARAMETER; i++) {
        if (training->momentum_form == MOMENTUM_NEON)
            exact_update_neon(&w[i], &v[i], g[i], rate, momentum, decay);
        else
            exact_update_pytorch(&w[i], &v[i], g[i], rate, momentum, decay);
    }
    r->finite[item] = true;
    for (size_t i = 0; i < tensor->count; i++)
        r->finite[item] = r->finite[item] && exact_finite((double)w[i]);
    memset(r->digests[item], 0, sizeof r->digests[item]);
    ledger_digest(tensor->count, w, tensor->offset, r->digests[item]);
}

void reference_update(struct backend *r, float learning_rate, struct backend_outcome *outcome)
{
    reference_run((struct pass){ .r = r, .learning_rate = learning_rate, .item = update_item },
                  r->network->tensor_count);
    for (uint32_t i = 0; i < r->network->tensor_count; i++) {
        outcome->digest[0] += r->digests[i][0];
        outcome->digest[1] += r->digests[i][1];
        if (!r->finite[i])
            backend_blame(outcome, NON_FINITE_UPDATE, r->network->tensors[i].name);
    }
}

static void reference_step(struct backend *r, const struct backend_batch *batch, float learning_rate,
                           struct backend_outcome *outcome)
{
    memset(outcome, 0, sizeof *outcome);
    reference_forward(r, batch, outcome);
    double began = clock_seconds();
    reference_head(r, batch, outcome);
    double headed = clock_seconds();
    reference_backward(r, batch, outcome);
    double passed = clock_seconds();
    reference_update(r, learning_rate, outcome);
    if (r->profile != NULL) {
        r->profile->head_s += headed - began;
        r->profile->update_s += clock_seconds() - passed;
    }
}

/* ---- evaluation -------------------------------------------------------------------------------------------------- */

/* The constants of `count` norms from their running statistics. */
static void running_norms(const struct backend *r, uint32_t count, int64_t gamma, int64_t beta, int64_t mean,
                          int64_t variance, struct exact_norm *norm)
{
    for (uint32_t k = 0; k < count; k++)
        norm[k] = exact_norm_constants((double)value(r, mean)[k], (double)value(r, variance)[k],
                                       r->recipe.model.batch_norm_epsilon, value(r, gamma)[k], value(r, beta)[k]);
}

static void evaluate_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const struct network *network = r->network;
    float **a = worker->eval_a, pool[FEATURES], u[CLASSES], probabilities[CLASSES];
    reference_load_image(pass->batch, n, a[0]);
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv2d d = shape_of(&network->convs[l]);
        if (is_winograd(r, &network->convs[l]))
            winograd_forward(&d, a[l % 3], r->filters[l], worker->eval_y, worker->scratch);
        else
            conv2d_forward(&d, a[l % 3], value(r, network->convs[l].weight), worker->eval_y, worker->scratch);
        reference_activate(r, worker, l, worker->eval_y, a[(l + 2) % 3], a[(l + 1) % 3]);
    }
    pool_forward(a[network->conv_count % 3], pool, worker->scratch);
    linear_forward(pool, value(r, network->linear_weight), value(r, network->linear_bias), u);
    if (network->logits_gamma >= 0)
        logits_norm_forward(r->logits_norm, u, u);
    pass->losses[n] =
        softmax_loss(u, pass->batch->data->labels[backend_image(pass->batch, n)], probabilities, &pass->predictions[n]);
}

static void reference_evaluate(struct backend *r, const struct backend_batch *batch, uint8_t *predictions,
                               float *losses)
{
    const struct network *network = r->network;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        reference_make_filters(r, l, false);
        running_norms(r, layer->filters, layer->gamma, layer->beta, layer->running_mean, layer->running_variance,
                      r->norm + (size_t)l * FEATURES);
        if (layer->projection_gamma >= 0)
            running_norms(r, layer->filters, layer->projection_gamma, layer->projection_beta, layer->projection_mean,
                          layer->projection_variance, r->projection_norm[projection_of(layer)]);
    }
    if (network->logits_gamma >= 0)
        running_norms(r, CLASSES, network->logits_gamma, network->logits_beta, network->logits_mean,
                      network->logits_variance, r->logits_norm);
    reference_run(
        (struct pass){ .r = r, .batch = batch, .predictions = predictions, .losses = losses, .item = evaluate_item },
        batch->count);
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static void reference_set_profile(struct backend *r, struct backend_profile *profile)
{
    r->profile = profile;
}

enum { PEAK_CHAINS = 64, PEAK_TURNS = 1 << 10 };

/* Independent chains. The sum is stored but never read, so that the compiler keeps them. */
static void peak_item(const struct pass *pass, struct worker *worker, uint32_t item)
{
    float chain[PEAK_CHAINS];
    (void)pass, (void)item;
    for (int i = 0; i < PEAK_CHAINS; i++)
        chain[i] = (float)i;
    for (int turn = 0; turn < PEAK_TURNS; turn++)
        for (int i = 0; i < PEAK_CHAINS; i++)
            chain[i] = fmaf(chain[i], 0.9999f, 0.1f);
    memcpy(worker->scratch, chain, sizeof chain);
}

static double reference_peak_flops(struct backend *r)
{
    const double seconds = 0.03;
    uint32_t items = r->threads;
    reference_run((struct pass){ .r = r, .item = peak_item }, items);
    for (;; items *= 2) {
        double began = clock_seconds();
        reference_run((struct pass){ .r = r, .item = peak_item }, items);
        double took = clock_seconds() - began;
        if (took > seconds / 2)
            return 2.0 * PEAK_CHAINS * PEAK_TURNS * items / took;
    }
}

static uint32_t reference_exercise(float *values, size_t count, uint32_t passes)
{
    for (uint32_t pass = 0; pass < passes; pass++)
        for (size_t i = 0; i < count; i++)
            values[i] = backend_exercise(values[i]);
    return 1;
}

static enum status reference_pin(struct backend *r, const uint32_t *processors, struct error *error)
{
    return team_pin(r->team, processors, error);
}

static size_t reference_memory_bytes(const struct backend *r)
{
    return r->memory_bytes;
}

static bool reference_supported(void)
{
#ifdef REFERENCE_FMA
    return __builtin_cpu_supports("avx") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

#ifdef REFERENCE_FMA
const struct backend_operations backend_reference_fma = {
    .variant = "scalar reference with FMA instructions",
#else
const struct backend_operations backend_reference_plain = {
    .variant = "scalar reference",
#endif
    .isa = "scalar",
    .supported = reference_supported,
    .open = reference_open,
    .pin = reference_pin,
    .set_state = reference_set_state,
    .get_state = reference_get_state,
    .step = reference_step,
    .trace = reference_trace,
    .evaluate = reference_evaluate,
    .memory_bytes = reference_memory_bytes,
    .predict_memory = reference_predict_memory,
    .set_profile = reference_set_profile,
    .peak_flops = reference_peak_flops,
    .exercise = reference_exercise,
    .close = reference_close,
};
