/* The backward pass. G0 carries the gradient of a block's output down, G1 that between its two convolutions. At stride
 * 1 the new G0 overwrites the old in place, pixel by pixel; at stride 2 it is another shape and goes to G2. */
#ifndef SELFSAME_BACKWARD_H
#define SELFSAME_BACKWARD_H

#include "trainer/cpu/fused/forward.h"
#include "trainer/cpu/fused/images.h"
#include "trainer/cpu/fused/rows.h"
#include "trainer/cpu/fused/state.h"

static void finish_backward(struct backend *f, struct conv *conv, struct norm_tensors at, uint32_t N,
                            struct backend_outcome *outcome)
{
    const struct tensor *tensors = f->network->tensors;
    double sums[SUMS_STRIDE], M = (double)sum_images(f, N, 2 * conv->K, sums) * conv->out_side * conv->out_side;
    for (uint32_t k = 0; k < conv->K; k++) {
        struct exact_norm_gradient gradient = exact_norm_backward(&conv->norm[k], sums[k], sums[conv->K + k], M);
        if (!exact_finite(sums[k]) || !exact_finite(sums[conv->K + k]))
            backend_blame(outcome, NON_FINITE_BACKWARD, tensors[at.weight].name);
        f->gradients[tensors[at.gamma].offset + k] = gradient.dgamma;
        f->gradients[tensors[at.beta].offset + k] = gradient.dbeta;
        conv->slope[k] = gradient.slope;
        conv->constant[k] = gradient.constant;
    }
}

/* The sums of the batch norm behind a projection: its output's gradient is that of the block's sum. */
static void projection_sums_item(const struct pass *pass, struct worker *worker, uint32_t n, uint32_t after)
{
    const struct backend *f = pass->f;
    const struct conv *projection = f->convs[pass->l].projection;
    const size_t at = n * plain_floats(projection->K, projection->out_side);
    (void)worker, (void)after;
    image_sums(f->G0 + at, projection->y + at, projection->mean32, projection->K, projection->out_side,
               f->sums + (size_t)n * SUMS_STRIDE);
}

/* From g, the gradient of the block's sum in image n, to the gradient of the projection's output. */
static void projection_gradient(const struct conv *projection, const float *g, uint32_t n, float *dy)
{
    const size_t pixels = (size_t)projection->out_side * projection->out_side;
    const float *y = projection->y + n * plain_floats(projection->K, projection->out_side);
    for (uint32_t k = 0; k < projection->K; k += BLOCK) {
        vec scale[PARTS], slope[PARTS], constant[PARTS];
        load_parts(projection->scale + k, scale);
        load_parts(projection->slope + k, slope);
        load_parts(projection->constant + k, constant);
        for (size_t p = 0; p < pixels; p++, g += BLOCK, y += BLOCK, dy += BLOCK) {
            UNROLL
            for (int i = 0; i < PARTS; i++) {
                vec rest = vec_fma(slope[i], vec_load(y + i * LANES), constant[i]);
                vec_store(dy + i * LANES, vec_fma(vec_load(g + i * LANES), scale[i], rest));
            }
        }
    }
}

/* One group's chains of the projection's weight gradient, into part [c][K]: its output sides are 16 and 8, where a unit
 * is one group. */
static void projection_weight(const float *const *x, const float *const *g, uint32_t images, uint32_t C, uint32_t P,
                              float *part)
{
    const uint32_t K = 2 * C;
    for (uint32_t k = 0; k < K; k += BLOCK) {
        for (uint32_t c = 0; c < C; c += PIXELS) {
            vec acc[PIXELS * PARTS];
            UNROLL
            for (int i = 0; i < PIXELS * PARTS; i++)
                acc[i] = vec_zero();
            for (uint32_t n = 0; n < images; n++) {
                for (uint32_t p = 0; p < P; p++) {
                    const float *gradient = g[n] + plain_at(k / BLOCK, p, P);
                    const float *pixel = x[n] + padded_at(c / BLOCK, 2 * p, 2 * P) + c % BLOCK;
                    for (uint32_t q = 0; q < P; q++, gradient += BLOCK, pixel += 2 * BLOCK) {
                        vec d[PARTS];
                        load_parts(gradient, d);
                        UNROLL
                        for (int i = 0; i < PIXELS * PARTS; i++)
                            acc[i] = vec_fma(d[i % PARTS], vec_set(pixel[i / PARTS]), acc[i]);
                    }
                }
            }
            UNROLL
            for (int i = 0; i < PIXELS * PARTS; i++)
                vec_store(part + (size_t)(c + i / PARTS) * K + k + i % PARTS * LANES, acc[i]);
        }
    }
}

/* The projection's data gradient of one image, into its even rows and columns: strided [C/16][P][P][16]. */
static void projection_data(const float *g, const float *packed, uint32_t C, uint32_t P, float *strided)
{
    const uint32_t K = 2 * C;
    for (uint32_t c = 0; c < C; c += BLOCK, packed += (size_t)K * BLOCK) {
        for (uint32_t q = 0; q < P * P; q += PIXELS, strided += PIXELS * BLOCK) {
            vec acc[PIXELS * PARTS];
            point_chains(g + (size_t)q * BLOCK, BLOCK, plain_at(1, 0, P), packed, K, acc);
            UNROLL
            for (int i = 0; i < PIXELS * PARTS; i++)
                vec_store(strided + i * LANES, acc[i]);
        }
    }
}

/* Option A: the gradients of the channels that were copied. */
static void option_a_data(const float *g, uint32_t first, uint32_t C, uint32_t P, float *strided)
{
    for (uint32_t c = 0; c < C; c++) {
        uint32_t k = c + first;
        for (uint32_t p = 0; p < P; p++) {
            for (uint32_t q = 0; q < P; q++)
                strided[plain_at(c / BLOCK, p, P) + q * BLOCK + c % BLOCK] =
                    g[plain_at(k / BLOCK, p, P) + q * BLOCK + k % BLOCK];
        }
    }
}

/* The gradients of the shortcuts of `count` images that make up a unit, past a convolution of stride 2: by the block's
 * inputs, which the sinks get, and by the projection's weights. g: that of the block's sum. */
static void strided_shortcuts(struct backend *f, struct worker *worker, uint32_t l, uint32_t unit, uint32_t n,
                              uint32_t count, const float *g, struct gradient_sink *sinks)
{
    const struct conv *conv = &f->convs[l], *second = &f->convs[l + 1];
    const uint32_t C = conv->C, P = conv->out_side;
    const float *x[IMAGES_MAX], *image_g[IMAGES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        float *strided = worker->strided + i * plain_floats(C, P);
        x[i] = sinks[i].activation;
        image_g[i] = g + i * plain_floats(conv->K, P);
        if (second->projection != NULL) {
            float *dy = worker->projection_dy + i * plain_floats(conv->K, P);
            projection_gradient(second->projection, image_g[i], n + i, dy);
            image_g[i] = dy;
        }
        sinks[i].residual = NULL;
        sinks[i].strided = strided;
        if (second->projection_data != NULL)
            projection_data(image_g[i], second->projection_data, C, P, strided);
        else
            option_a_data(image_g[i], f->network->convs[l].option_a_first, C, P, strided);
    }
    if (second->projection_data != NULL)
        projection_weight(x, image_g, count, C, P, f->projection_parts + (size_t)unit * C * conv->K);
}

/* What backward_images reads and writes for these images, spread over the kernels that ask for it. */
static void backward_soon(const struct backend *f, uint32_t l, uint32_t n, uint32_t count,
                          const struct gradient_route *route, struct prefetch_list *soon)
{
    const struct conv *conv = &f->convs[l];
    const size_t plain_in = plain_floats(conv->C, conv->side), plain_out = plain_floats(conv->K, conv->out_side);
    prefetch_add(soon, y_of(f, NULL, l, n), count * plain_out);
    prefetch_add(soon, route->in + n * plain_out, count * plain_out);
    if (l > 0) {
        prefetch_add(soon, y_of(f, NULL, l - 1, n), count * plain_in);
        if (l % 2 == 1)
            prefetch_add(soon, a_of(f, NULL, (l - 1) / 2, n), count * stage_padded(stage_of_side(conv->side)));
        prefetch_add(soon, route->out + n * plain_in, count * plain_in); /* at stride 1 the residual, too */
    }
    prefetch_spread(soon, count * conv->kernels->backward_turns);
}

/* How the gradient of convolution l's output is made in image n; g: the batch's gradients of its norm's output. */
static struct row_source gradient_source(const struct backend *f, uint32_t l, uint32_t n, const float *g, float *out)
{
    const struct conv *conv = &f->convs[l];
    return (struct row_source){ .load = row_gradient,
                                .side = conv->out_side,
                                .channels = conv->K,
                                .y = y_of(f, NULL, l, n),
                                .g = g + n * plain_floats(conv->K, conv->out_side),
                                .scale = conv->scale,
                                .slope = conv->slope,
                                .constant = conv->constant,
                                .out = out };
}

/* Convolution l's weight gradient over the images n .. n+count-1 of a unit, which goes on in `unit`'s partial sums, or
 * begins them if these are its first images; and the data gradient of the same images, while dy is in the cache. */
static void backward_images(struct backend *f, struct worker *worker, const struct backend_batch *batch, uint32_t l,
                            uint32_t unit, bool first, uint32_t n, uint32_t count, const struct gradient_route *route,
                            struct prefetch_list *soon)
{
    const struct conv *conv = &f->convs[l];
    const uint32_t stage = stage_of_side(conv->side), out_stage = stage_of_side(conv->out_side), b = (l - 1) / 2;
    const size_t plain_in = plain_floats(conv->C, conv->side), plain_out = plain_floats(conv->K, conv->out_side);
    struct row_source x_sources[IMAGES_MAX], dy_sources[IMAGES_MAX];
    struct gradient_sink sinks[IMAGES_MAX];
    struct images images = { .count = count,
                             .dy = worker->dy[out_stage],
                             .x_source = x_sources,
                             .dy_source = dy_sources,
                             .sink = sinks,
                             .scratch = worker->points,
                             .soon = soon };
    if (l == 0) {
        load_input(worker, batch, n);
        images.x = worker->input;
    } else {
        images.x = l % 2 == 1 ? a_of(f, NULL, b, n) : worker->x[stage];
    }
    for (uint32_t i = 0; i < count; i++) {
        dy_sources[i] = gradient_source(f, l, n + i, route->in, worker->dy[out_stage] + i * stage_padded(out_stage));
        if (l > 0 && l % 2 == 0)
            x_sources[i] = norm_source(f, NULL, l - 1, n + i, worker->x[stage] + i * stage_padded(stage));
        else
            x_sources[i] = (struct row_source){ .load = NULL };
    }
    conv->kernels->weight(&images, f->parts + (size_t)unit * conv->C * conv->K * conv->kernels->points, first);
    if (l == 0)
        return;
    const struct conv *below = &f->convs[l - 1];
    for (uint32_t i = 0; i < count; i++)
        sinks[i] = (struct gradient_sink){ .scale = below->scale,
                                           .shift = below->shift,
                                           .mean = below->mean32,
                                           .y = y_of(f, NULL, l - 1, n + i),
                                           .out = route->out + (n + i) * plain_in,
                                           .sums = f->sums + (size_t)(n + i) * SUMS_STRIDE };
    if (l % 2 == 0) {
        conv->kernels->data(&images, conv->data);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        sinks[i].activation = a_of(f, NULL, b, n + i);
        sinks[i].residual = route->residual + (n + i) * plain_in;
    }
    if (conv->stride == 2)
        strided_shortcuts(f, worker, l, unit, n, count, route->residual + n * plain_out, sinks);
    conv->kernels->data_residual(&images, conv->data);
}

/* T32 over `width` floats of each unit, those at part + unit * stride; the root lands in out. Where a unit is the sum
 * of two groups it is a node of the tree over the groups, and this is the rest of that tree. */
static void tree_over_units(const float *part, uint32_t units, size_t stride, uint32_t width, float *out)
{
    float level[32][REDUCE_FLOATS] __attribute__((aligned(64)));
    uint32_t leaves = 1, depth = 0;
    while (leaves < units) {
        leaves *= 2;
        depth++;
    }
    for (uint32_t n = 0; n < leaves; n++) {
        vec sum[REDUCE_FLOATS / LANES];
        for (uint32_t i = 0; i < width; i += LANES)
            sum[i / LANES] = n < units ? vec_load(part + n * stride + i) : vec_zero();
        uint32_t at = 0;
        for (; n >> at & 1; at++) {
            for (uint32_t i = 0; i < width; i += LANES)
                sum[i / LANES] = vec_add(vec_load(level[at] + i), sum[i / LANES]);
        }
        for (uint32_t i = 0; i < width; i += LANES)
            vec_store(level[at] + i, sum[i / LANES]);
    }
    memcpy(out, level[depth], width * sizeof *out);
}

/* Sums one run of a layer's weight gradient over the units and puts it where the network keeps the tensor. */
static void reduce_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    struct backend *f = pass->f;
    const struct conv *conv = &f->convs[pass->l];
    const uint32_t count = conv->K * conv->C * 9, inner = conv->C < BLOCK ? conv->C : BLOCK, blocks = conv->C / inner;
    const uint32_t begin = item * REDUCE_FLOATS, width = count - begin < REDUCE_FLOATS ? count - begin : REDUCE_FLOATS;
    float *gradient = f->gradients + f->network->tensors[f->network->convs[pass->l].weight].offset;
    float sum[REDUCE_FLOATS];
    (void)worker, (void)after;
    tree_over_units(f->parts + begin, pass->units, count, width, sum);
    for (uint32_t i = 0; i < width; i += LANES) {
        uint32_t v = (begin + i) / LANES, s = v % 3, c = v / 3 % inner, r = v / 3 / inner % 3;
        uint32_t channel = v / 9 / inner % blocks * inner + c, k = v / 9 / inner / blocks * LANES;
        for (uint32_t lane = 0; lane < LANES; lane++)
            gradient[((size_t)((k + lane) * conv->C + channel) * 3 + r) * 3 + s] = sum[i + lane];
    }
}

/* The same of a run of sums at the points of tiles, whose tree comes before the way back to taps. */
static void reduce_winograd_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    struct backend *f = pass->f;
    const struct conv *conv = &f->convs[pass->l];
    const uint32_t C = conv->C, G = conv->kernels->forward_vectors * LANES, begin = item * POINT_REDUCE_FLOATS;
    float *gradient = f->gradients + f->network->tensors[f->network->convs[pass->l].weight].offset;
    float sums[POINTS][POINT_REDUCE_FLOATS] __attribute__((aligned(64)));
    (void)worker, (void)after;
    for (uint32_t point = 0; point < POINTS; point++)
        tree_over_units(f->parts + (size_t)point * C * C + begin, pass->units, (size_t)POINTS * C * C,
                        POINT_REDUCE_FLOATS, sums[point]);
    for (uint32_t i = 0; i < POINT_REDUCE_FLOATS; i += LANES) {
        const uint32_t at = begin + i, k = at / G / C * G + at % G, c = at / G % C;
        float taps[9][LANES] __attribute__((aligned(64)));
        vec square[POINTS];
        UNROLL
        for (int j = 0; j < INPUT; j++) {
            UNROLL
            for (int r = 0; r < INPUT; r++)
                square[r * INPUT + j] = vec_load(sums[r * INPUT + j] + i);
            taps_transform(square + j, INPUT);
        }
        UNROLL
        for (int r = 0; r < 3; r++) {
            taps_transform(square + r * INPUT, 1);
            UNROLL
            for (int s = 0; s < 3; s++)
                vec_store(taps[r * 3 + s], square[r * INPUT + s]);
        }
        for (uint32_t lane = 0; lane < LANES; lane++)
            for (uint32_t tap = 0; tap < 9; tap++)
                gradient[((size_t)(k + lane) * C + c) * 9 + tap] = taps[tap][lane];
    }
}

static void reduce_projection(struct backend *f, uint32_t l, uint32_t units)
{
    const struct conv *conv = &f->convs[l]; /* the block's first convolution: same channels, filters and units */
    const uint32_t count = conv->K * conv->C;
    float *gradient = f->gradients + f->network->tensors[f->network->convs[l + 1].projection].offset;
    for (uint32_t begin = 0; begin < count; begin += REDUCE_FLOATS) {
        float sum[REDUCE_FLOATS];
        tree_over_units(f->projection_parts + begin, units, count, REDUCE_FLOATS, sum);
        for (uint32_t i = 0; i < REDUCE_FLOATS; i++)
            gradient[(begin + i) % conv->K * conv->C + (begin + i) / conv->K] = sum[i];
    }
}

/* A unit, as many images at a time as the kernels take. */
static void backward_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    const struct kernels *k = pass->f->convs[pass->l].kernels;
    const uint32_t N = pass->batch->count, step = k->backward_images, begin = item * k->unit_images,
                   end = begin + images_left(begin, k->unit_images, N);
    for (uint32_t n = begin; n < end; n += step) {
        const uint32_t next = n + step < end ? n + step : after * k->unit_images;
        struct prefetch_list soon = { .count = 0 };
        if (n + step < end || after != item)
            backward_soon(pass->f, pass->l, next, images_left(next, step, N), &pass->route, &soon);
        backward_images(pass->f, worker, pass->batch, pass->l, item, n == begin, n, images_left(n, step, end),
                        &pass->route, &soon);
    }
}

/* The constants of the norm behind convolution l, from the sums that the pass above left. */
static void backward_norm(struct backend *f, uint32_t N, uint32_t l, struct backend_outcome *outcome)
{
    finish_backward(f, &f->convs[l], norm_tensors_of(f, l, false), N, outcome);
}

/* The same of the projection of the block whose second convolution is l, where a norm follows it. */
static void backward_projection_norm(struct backend *f, uint32_t N, uint32_t l, struct backend_outcome *outcome)
{
    run_pass((struct pass){ .f = f, .l = l, .item = projection_sums_item }, N, false);
    finish_backward(f, f->convs[l].projection, norm_tensors_of(f, l, true), N, outcome);
}

/* From partial sums of units to the gradient of convolution l's weights. */
static void reduce_convolution(struct backend *f, uint32_t l, uint32_t units)
{
    const struct conv *conv = &f->convs[l];
    struct pass pass = { .f = f, .l = l, .units = units, .item = reduce_item };
    uint32_t items = (conv->K * conv->C * 9 + REDUCE_FLOATS - 1) / REDUCE_FLOATS;
    if (conv->kernels->points == POINTS) {
        pass.item = reduce_winograd_item;
        items = conv->K * conv->C / POINT_REDUCE_FLOATS;
    }
    run_pass(pass, items, false);
}

/* With ranks, the trees over units end after the backward pass, with one exchange for all layers. The sums of all ranks
 * are then those of one unit. */
static void exchange_gradients(struct backend *f)
{
    shares_exchange(f->shares, f->team);
    for (uint32_t l = 0; l < f->network->conv_count; l++) {
        shares_take(f->shares, gradient_of(l), f->parts);
        reduce_convolution(f, l, 1);
        if (f->convs[l].projection_data == NULL)
            continue;
        shares_take(f->shares, projection_gradient_of(f, l), f->projection_parts);
        reduce_projection(f, l - 1, 1);
    }
}

/* Convolution l's gradients by its weights and its input. */
static void backward_convolution(struct backend *f, const struct backend_batch *batch, uint32_t l)
{
    const struct conv *conv = &f->convs[l];
    struct pass pass = {
        .f = f, .batch = batch, .l = l, .item = backward_item, .route = { .in = f->G0, .out = f->G1 }
    };
    if (l % 2 == 1)
        pass.route =
            (struct gradient_route){ .in = f->G1, .residual = f->G0, .out = conv->stride == 1 ? f->G0 : f->G2 };
    const uint32_t units = unit_count(conv, batch->count);
    const bool projected = conv->stride == 2 && f->convs[l + 1].projection_data != NULL;
    run_pass(pass, units, l % 2 == 1);
    if (f->shares != NULL) {
        shares_add(f->shares, gradient_of(l), f->parts, f->team);
        if (projected)
            shares_add(f->shares, projection_gradient_of(f, l + 1), f->projection_parts, f->team);
    } else {
        reduce_convolution(f, l, units);
        if (projected)
            reduce_projection(f, l, units);
    }
    if (conv->stride == 2) {
        float *swap = f->G0;
        f->G0 = f->G2;
        f->G2 = swap;
    }
}

static void backward_pass(struct backend *f, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    for (uint32_t l = f->network->conv_count; l-- > 0;) {
        double began = clock_seconds();
        backward_norm(f, batch->count, l, outcome);
        if (f->convs[l].projection != NULL)
            backward_projection_norm(f, batch->count, l, outcome);
        backward_convolution(f, batch, l);
        if (f->profile != NULL)
            profile_add(&f->profile->backward_s[l], began);
    }
    if (f->shares != NULL)
        exchange_gradients(f);
}

#endif
