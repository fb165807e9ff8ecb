/* The forward pass, layer by layer over the batch, and the head between the two passes. */
#ifndef SELFSAME_FORWARD_H
#define SELFSAME_FORWARD_H

#include "trainer/cpu/fused/images.h"
#include "trainer/cpu/fused/rows.h"
#include "trainer/cpu/fused/state.h"

/* Image n of y[l] and of a[b]: of the batch, or with `eval` of a thread's item of an evaluation. */
static float *y_of(const struct backend *f, const struct worker *eval, uint32_t l, uint32_t n)
{
    const struct conv *conv = &f->convs[l];
    return (eval != NULL ? eval->eval_y[l % 2] : conv->y) + n * plain_floats(conv->K, conv->out_side);
}

static float *a_of(const struct backend *f, const struct worker *eval, uint32_t b, uint32_t n)
{
    uint32_t stage = stage_of_activation(f, b);
    return (eval != NULL ? eval->eval_a[stage][b % 2] : f->a[b]) + n * stage_padded(stage);
}

/* How activation a[b] is made: the first layer's norm and ReLU, or block b-1's join. */
static struct row_source join_source(const struct backend *f, const struct worker *eval, uint32_t b, uint32_t n)
{
    const uint32_t l = 2 * b;
    const struct conv *conv = &f->convs[l];
    struct row_source source = { .load = row_norm,
                                 .side = conv->out_side,
                                 .channels = conv->K,
                                 .y = y_of(f, eval, l, n),
                                 .scale = conv->scale,
                                 .shift = conv->shift,
                                 .out = a_of(f, eval, b, n) };
    if (b == 0)
        return source;
    source.shortcut = a_of(f, eval, b - 1, n);
    if (f->convs[l - 1].stride == 1) {
        source.load = row_join_identity;
    } else if (conv->projection_forward != NULL) {
        source.load = conv->projection != NULL ? row_join_projection_norm : row_join_projection;
        source.projection = conv->projection_forward;
        if (conv->projection != NULL) {
            source.projection_scale = conv->projection->scale;
            source.projection_shift = conv->projection->shift;
        }
    } else {
        source.load = row_join_option_a;
        source.option_a_first = f->network->convs[l - 1].option_a_first;
    }
    return source;
}

static struct row_source norm_source(const struct backend *f, const struct worker *eval, uint32_t l, uint32_t n,
                                     float *out)
{
    const struct conv *conv = &f->convs[l];
    return (struct row_source){ .load = row_norm,
                                .side = conv->out_side,
                                .channels = conv->K,
                                .y = y_of(f, eval, l, n),
                                .scale = conv->scale,
                                .shift = conv->shift,
                                .out = out };
}

static void load_input(struct worker *worker, const struct backend_batch *batch, uint32_t n)
{
    enum { ROW = 34 * 4, PIXEL = 4, CHANNEL = 1 };
    float *inner = worker->input + ROW + PIXEL;
    if (batch->samples != NULL)
        input_load(batch->input, batch->data->images + (size_t)batch->samples[n].image * DATASET_IMAGE_BYTES,
                   &batch->samples[n], inner, CHANNEL, ROW, PIXEL);
    else
        input_load_plain(batch->input, batch->data->images + (size_t)(batch->first + n) * DATASET_IMAGE_BYTES, inner,
                         CHANNEL, ROW, PIXEL);
}

/* What forward_images reads and writes for these images. */
static void forward_soon(const struct backend *f, uint32_t l, uint32_t n, uint32_t count, struct prefetch_list *soon)
{
    const struct conv *conv = &f->convs[l];
    if (l > 0)
        prefetch_add(soon, y_of(f, NULL, l - 1, n), count * plain_floats(conv->C, conv->side));
    if (l % 2 == 1) {
        uint32_t b = (l - 1) / 2;
        if (b > 0)
            prefetch_add(soon, a_of(f, NULL, b - 1, n), count * stage_padded(stage_of_activation(f, b - 1)));
        prefetch_add(soon, a_of(f, NULL, b, n), count * stage_padded(stage_of_activation(f, b)));
    }
    prefetch_add(soon, y_of(f, NULL, l, n), count * plain_floats(conv->K, conv->out_side));
    prefetch_spread(soon, count * conv->kernels->forward_turns);
}

/* Convolution l of the images n .. n+count-1, at most the kernel's: of the batch, or with `eval` of the thread's
 * item of an evaluation. */
static void forward_images(const struct backend *f, struct worker *worker, const struct backend_batch *batch,
                           uint32_t l, uint32_t n, uint32_t count, struct worker *eval, struct prefetch_list *soon)
{
    const struct conv *conv = &f->convs[l];
    struct row_source sources[IMAGES_MAX];
    struct images images = { .count = count,
                             .x_source = sources,
                             .y = y_of(f, eval, l, n),
                             .sums = eval != NULL ? eval->eval_sums : f->sums + (size_t)n * SUMS_STRIDE,
                             .scratch = worker->points,
                             .soon = soon };
    for (uint32_t i = 0; i < count; i++) {
        if (l == 0) {
            load_input(worker, batch, eval != NULL ? eval->eval_first + n : n);
            sources[i] = (struct row_source){ .load = NULL, .out = worker->input };
        } else if (l % 2 == 1) {
            sources[i] = join_source(f, eval, (l - 1) / 2, n + i);
        } else {
            const uint32_t stage = stage_of_side(conv->side);
            sources[i] = norm_source(f, eval, l - 1, n + i, worker->x[stage] + i * stage_padded(stage));
        }
    }
    images.x = sources[0].out;
    conv->kernels->forward(&images, conv->forward);
}

/* Makes the last block's output of image n and pools it. */
static void pool_image(const struct backend *f, struct worker *eval, uint32_t n, float *pool)
{
    struct row_source source = join_source(f, eval, f->network->block_count, n);
    float pixels[64][BLOCK] __attribute__((aligned(64)));
    int made = 0;
    source_rows(&source, &made, 8);
    for (uint32_t block = 0; block < FEATURES / BLOCK; block++) {
        for (uint32_t lane = 0; lane < BLOCK; lane += LANES) {
            for (uint32_t h = 0; h < 8; h++) {
                for (uint32_t w = 0; w < 8; w++)
                    vec_store(pixels[h * 8 + w] + lane,
                              vec_load(source.out + padded_at(block, h, 8) + w * BLOCK + lane));
            }
        }
        tree_rows(&pixels[0][0], 64, BLOCK);
        for (uint32_t i = 0; i < BLOCK; i++)
            pool[block * BLOCK + i] = pixels[0][i] * 0x1p-6f;
    }
}

/* How many of `step` images from n on there are before the end. */
static uint32_t images_left(uint32_t n, uint32_t step, uint32_t end)
{
    return end - n < step ? end - n : step;
}

static void set_norm(struct conv *conv, uint32_t k, const struct exact_norm *norm)
{
    conv->norm[k] = *norm;
    conv->scale[k] = norm->scale;
    conv->shift[k] = norm->shift;
    conv->mean32[k] = norm->mean32;
}

/* A batch norm's tensors, and the convolution before it, whose name is used for the norm. */
struct norm_tensors {
    uint32_t gamma, beta, mean, variance, weight;
};

/* Of the batch norm behind convolution l, or behind the projection of the block whose second convolution it is. */
static struct norm_tensors norm_tensors_of(const struct backend *f, uint32_t l, bool projection)
{
    const struct conv_layer *layer = &f->network->convs[l];
    if (projection)
        return (struct norm_tensors){ (uint32_t)layer->projection_gamma, (uint32_t)layer->projection_beta,
                                      (uint32_t)layer->projection_mean, (uint32_t)layer->projection_variance,
                                      (uint32_t)layer->projection };
    return (struct norm_tensors){ layer->gamma, layer->beta, layer->running_mean, layer->running_variance,
                                  layer->weight };
}

/* T64 over the images' sums, for each of `width` columns. Returns the images of the batch, of which this process has
 * N. */
static uint32_t sum_images(struct backend *f, uint32_t N, uint32_t width, double *sums)
{
    if (f->shares != NULL) {
        shares_sum_images(f->shares, f->sums, SUMS_STRIDE, width, sums);
        return shares_images(f->shares);
    }
    tree_over_images(f->sums, N, SUMS_STRIDE, width, sums);
    return N;
}

/* The batch norm behind a convolution, from the images' sums; running statistics follow. */
static void finish_forward(struct backend *f, struct conv *conv, struct norm_tensors at, uint32_t N,
                           struct backend_outcome *outcome)
{
    const struct model_config *model = &f->recipe.model;
    const struct tensor *tensors = f->network->tensors;
    double sums[SUMS_STRIDE], M = (double)sum_images(f, N, 2 * conv->K, sums) * conv->out_side * conv->out_side;
    float *running_mean = f->values + tensors[at.mean].offset;
    float *running_variance = f->values + tensors[at.variance].offset;
    for (uint32_t k = 0; k < conv->K; k++) {
        struct exact_norm norm =
            exact_norm_from_sums(sums[k], sums[conv->K + k], M, model->batch_norm_epsilon,
                                 f->values[tensors[at.gamma].offset + k], f->values[tensors[at.beta].offset + k]);
        if (!exact_norm_finite(&norm))
            backend_blame(outcome, NON_FINITE_FORWARD, tensors[at.weight].name);
        set_norm(conv, k, &norm);
        double variance = model->batch_norm_unbiased ? exact_unbiased(norm.variance, M) : norm.variance;
        running_mean[k] = exact_running(running_mean[k], norm.mean, model->batch_norm_rate);
        running_variance[k] = exact_running(running_variance[k], variance, model->batch_norm_rate);
    }
}

/* The trees of g and g * (y - mean) over an image's pixels, plain images of K channels with side P; mean NULL: of g and
 * g * y. */
static void image_sums(const float *g, const float *y, const float *mean, uint32_t K, uint32_t P, float *out)
{
    const int root = __builtin_ctz(P);
    float rows[16][SUMS_STRIDE] __attribute__((aligned(64)));
    memset(rows, 0, sizeof rows);
    for (uint32_t k = 0; k < K; k += LANES) {
        const vec center = mean != NULL ? vec_load(mean + k) : vec_zero();
        for (uint32_t h = 0; h < P; h++) {
            vec first[TREE_LEVELS + 1], second[TREE_LEVELS + 1];
            for (uint32_t w = 0; w < P; w++) {
                const size_t at = plain_at(k / BLOCK, h, P) + w * BLOCK + k % BLOCK;
                const vec value = vec_load(g + at);
                vec_tree_add(first, w, value);
                vec_tree_add(second, w, vec_mul(value, vec_sub(vec_load(y + at), center)));
            }
            vec_store(rows[h] + k, first[root]);
            vec_store(rows[h] + K + k, second[root]);
        }
    }
    tree_rows(&rows[0][0], (int)P, SUMS_STRIDE);
    copy_sums(out, rows[0], SUMS_STRIDE);
}

/* What the projection gives for one image of the block whose second convolution is l, where a batch norm follows, and
 * the sums for it. */
static void project_item(const struct pass *pass, struct worker *worker, uint32_t n, uint32_t after)
{
    const struct backend *f = pass->f;
    const struct conv *conv = &f->convs[pass->l];
    const uint32_t K = conv->K, C = K / 2, P = conv->out_side;
    const float *x = a_of(f, NULL, pass->l / 2 - 1, n);
    float *y = conv->projection->y + n * plain_floats(K, P);
    (void)worker, (void)after;
    for (uint32_t block = 0; block < K / BLOCK; block++) {
        for (uint32_t h = 0; h < P; h++) {
            for (uint32_t q = 0; q < P; q += PIXELS) {
                vec z[PIXELS * PARTS];
                point_chains(x + padded_at(0, 2 * h, 2 * P) + 2 * q * BLOCK, 2 * BLOCK,
                             padded_at(1, 0, 2 * P) - padded_at(0, 0, 2 * P),
                             conv->projection_forward + (size_t)block * BLOCK * C, C, z);
                UNROLL
                for (int i = 0; i < PIXELS * PARTS; i++)
                    vec_store(y + plain_at(block, h, P) + q * BLOCK + (size_t)i * LANES, z[i]);
            }
        }
    }
    image_sums(y, y, NULL, K, P, f->sums + (size_t)n * SUMS_STRIDE);
}

static void forward_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    const uint32_t l = pass->l, step = pass->f->convs[l].kernels->forward_images, N = pass->batch->count;
    struct prefetch_list soon = { .count = 0 };
    if (after != item)
        forward_soon(pass->f, l, after * step, images_left(after * step, step, N), &soon);
    forward_images(pass->f, worker, pass->batch, l, item * step, images_left(item * step, step, N), NULL, &soon);
}

/* Convolution l with its norm's constants. Directions alternate, so that what a pass leaves in the caches is what the
 * next one begins with. */
static void convolve(struct backend *f, const struct backend_batch *batch, uint32_t l, struct backend_outcome *outcome)
{
    const uint32_t step = f->convs[l].kernels->forward_images;
    run_pass((struct pass){ .f = f, .batch = batch, .l = l, .item = forward_item }, (batch->count + step - 1) / step,
             l % 2 == 1);
    finish_forward(f, &f->convs[l], norm_tensors_of(f, l, false), batch->count, outcome);
}

/* Where a norm follows the projection of the block whose second convolution is l. */
static void project(struct backend *f, uint32_t N, uint32_t l, struct backend_outcome *outcome)
{
    run_pass((struct pass){ .f = f, .l = l, .item = project_item }, N, false);
    finish_forward(f, f->convs[l].projection, norm_tensors_of(f, l, true), N, outcome);
}

static void forward_pass(struct backend *f, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    for (uint32_t l = 0; l < f->network->conv_count; l++) {
        double began = clock_seconds();
        convolve(f, batch, l, outcome);
        if (f->convs[l].projection != NULL)
            project(f, batch->count, l, outcome);
        if (f->profile != NULL)
            profile_add(&f->profile->forward_s[l], began);
    }
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static float *tensor_at(float *array, const struct network *network, int32_t tensor)
{
    return tensor < 0 ? NULL : array + network->tensors[tensor].offset;
}

static struct head_state head_state(struct backend *f)
{
    const struct network *network = f->network;
    const struct model_config *model = &f->recipe.model;
    return (struct head_state){
        .weight = tensor_at(f->values, network, network->linear_weight),
        .bias = tensor_at(f->values, network, network->linear_bias),
        .gamma = tensor_at(f->values, network, network->logits_gamma),
        .beta = tensor_at(f->values, network, network->logits_beta),
        .running_mean = tensor_at(f->values, network, network->logits_mean),
        .running_variance = tensor_at(f->values, network, network->logits_variance),
        .dweight = tensor_at(f->gradients, network, network->linear_weight),
        .dbias = tensor_at(f->gradients, network, network->linear_bias),
        .dgamma = tensor_at(f->gradients, network, network->logits_gamma),
        .dbeta = tensor_at(f->gradients, network, network->logits_beta),
        .epsilon = model->batch_norm_epsilon,
        .rate = model->batch_norm_rate,
        .unbiased = model->batch_norm_unbiased,
    };
}

/* The last block's gradient of image n: the pooled one, d, masked, and its sums. */
static void unpool_image(const struct backend *f, uint32_t n, const float *d)
{
    const struct conv *conv = &f->convs[f->network->conv_count - 1];
    const float *a = a_of(f, NULL, f->network->block_count, n), *y = y_of(f, NULL, f->network->conv_count - 1, n);
    float *g = f->G0 + n * plain_floats(FEATURES, 8);
    float sums[8][SUMS_STRIDE] __attribute__((aligned(64)));
    for (uint32_t c = 0; c < FEATURES; c += LANES) {
        vec gradient = vec_load(d + c), mean = vec_load(conv->mean32 + c);
        for (uint32_t h = 0; h < 8; h++) {
            vec first[TREE_LEVELS + 1], second[TREE_LEVELS + 1];
            UNROLL
            for (uint32_t w = 0; w < 8; w++) {
                size_t at = plain_at(c / BLOCK, h, 8) + w * BLOCK + c % BLOCK;
                vec mask = vec_load(a + padded_at(c / BLOCK, h, 8) + w * BLOCK + c % BLOCK);
                vec masked = vec_where_positive(mask, gradient);
                vec_tree_add(first, w, masked);
                vec_tree_add(second, w, vec_mul(masked, vec_sub(vec_load(y + at), mean)));
                vec_store(g + at, masked);
            }
            vec_store(sums[h] + c, first[3]);
            vec_store(sums[h] + FEATURES + c, second[3]);
        }
    }
    tree_rows(&sums[0][0], 8, SUMS_STRIDE);
    copy_sums(f->sums + (size_t)n * SUMS_STRIDE, sums[0], SUMS_STRIDE);
}

/* Where the images of this process begin in the batch of all ranks, for which the head is computed. */
static uint32_t first_of(const struct backend_batch *batch)
{
    return batch->whole != NULL ? batch->first : 0;
}

static void logits_item(const struct pass *pass, struct worker *worker, uint32_t n, uint32_t after)
{
    struct backend *f = pass->f;
    struct head_state state = head_state(f);
    const size_t at = first_of(pass->batch) + n;
    (void)worker, (void)after;
    pool_image(f, NULL, n, f->head.pool + at * FEATURES);
    head_logits(f->head.pool + at * FEATURES, state.weight, state.bias, f->head.z + at * CLASSES);
}

/* Every rank computes the head for the images of all, from their pooled features: it is a thousandth of a step's
 * work. */
static void gather_logits(struct backend *f, uint32_t N)
{
    struct head_state state = head_state(f);
    shares_gather(f->shares, f->head.pool, FEATURES);
    for (size_t n = 0; n < N; n++)
        head_logits(f->head.pool + n * FEATURES, state.weight, state.bias, f->head.z + n * CLASSES);
}

static void unpool_item(const struct pass *pass, struct worker *worker, uint32_t n, uint32_t after)
{
    struct backend *f = pass->f;
    (void)worker, (void)after;
    unpool_image(f, n, f->head.dpool + (size_t)(first_of(pass->batch) + n) * FEATURES);
}

static void head_pass(struct backend *f, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    struct head_state state = head_state(f);
    const struct backend_batch *whole = backend_whole(batch);
    const uint32_t N = whole->count;
    run_pass((struct pass){ .f = f, .batch = batch, .item = logits_item }, batch->count, false);
    if (f->shares != NULL)
        gather_logits(f, N);
    for (uint32_t n = 0; n < N; n++)
        f->images[n] = backend_image(whole, n);
    bool norm_finite;
    outcome->loss = head_train(&f->head, &state, batch->data->labels, f->images, N, &outcome->errors, &norm_finite);
    if (!norm_finite)
        backend_blame(outcome, NON_FINITE_LOGITS, "");
    if (!exact_finite((double)outcome->loss))
        backend_blame(outcome, NON_FINITE_LOSS, "");
    run_pass((struct pass){ .f = f, .batch = batch, .item = unpool_item }, batch->count, true);
}

#endif
