/* The whole network over the operations of reference.h: the passes of a step. Layer l is convolution l with its batch
 * norm, the second of a block with the block's shortcut and sum as well; a[l] is its input, y[l] the convolution's
 * output and a[l+1] its own. Passes hand out images, groups of images, or filters to a team of threads. */
#include "base/clock.h"
#include "trainer/cpu/reference_state.h"

/* ---- shortcuts --------------------------------------------------------------------------------------------------- */

static bool is_second(uint32_t l)
{
    return l > 0 && l % 2 == 0;
}

static bool changes_shape(const struct backend *r, uint32_t l)
{
    return r->network->convs[l].stride == 2;
}

/* What is added to the output of layer l, the second of a block with this input: in z, or the input itself. */
static const float *shortcut_forward(const struct backend *r, uint32_t l, const float *input, float *z)
{
    const struct conv_layer *first = &r->network->convs[l - 1];
    const struct conv2d d = shape_of(first);
    if (!changes_shape(r, l - 1))
        return input;
    const struct conv_layer *layer = &r->network->convs[l];
    if (layer->projection >= 0)
        projection_forward(&d, input, value(r, layer->projection), z);
    else
        option_a_forward(&d, first->option_a_first, input, z);
    if (layer->projection_gamma >= 0)
        batch_norm_forward(layer->filters, (uint32_t)(output_floats(layer) / layer->filters),
                           r->projection_norm[projection_of(layer)], z, z);
    return z;
}

/* Adds the shortcut's gradient, g being that of the block's sum, to the one that came through layer l, the first of the
 * block. */
static void shortcut_backward(const struct backend *r, uint32_t l, const float *g, float *dx)
{
    const struct conv2d d = shape_of(&r->network->convs[l]);
    if (!changes_shape(r, l)) {
        for (size_t i = 0; i < input_floats(&r->network->convs[l]); i++)
            dx[i] = dx[i] + g[i];
    } else if (r->network->convs[l + 1].projection >= 0) {
        projection_backward_data(&d, g, value(r, r->network->convs[l + 1].projection), dx);
    } else {
        option_a_backward(&d, r->network->convs[l].option_a_first, g, dx);
    }
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

void reference_load_image(const struct backend_batch *batch, uint32_t n, float *x)
{
    const uint8_t *image = batch->data->images + (size_t)backend_image(batch, n) * DATASET_IMAGE_BYTES;
    if (batch->samples != NULL)
        input_load(batch->input, image, &batch->samples[n], x, DATASET_PIXELS, DATASET_SIDE, 1);
    else
        input_load_plain(batch->input, image, x, DATASET_PIXELS, DATASET_SIDE, 1);
}

void reference_activate(const struct backend *r, struct worker *worker, uint32_t l, const float *y, const float *block,
                        float *out)
{
    const struct conv_layer *layer = &r->network->convs[l];
    const size_t count = output_floats(layer);
    batch_norm_forward(layer->filters, (uint32_t)(count / layer->filters), r->norm + (size_t)l * FEATURES, y, out);
    if (is_second(l)) {
        const float *z = shortcut_forward(r, l, block, worker->shortcut);
        for (size_t i = 0; i < count; i++)
            out[i] = out[i] + z[i];
    }
    relu_forward(count, out);
}

void reference_make_filters(struct backend *r, uint32_t l, bool mirrored)
{
    const struct conv_layer *layer = &r->network->convs[l];
    const struct conv2d d = shape_of(layer);
    if (is_winograd(r, layer))
        winograd_filters(&d, value(r, layer->weight), mirrored, r->filters[l]);
}

static void convolve_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l];
    const struct conv2d d = shape_of(layer);
    float *x = r->a[pass->l] + n * input_floats(layer), *y = r->y[pass->l] + n * output_floats(layer);
    if (pass->l == 0)
        reference_load_image(pass->batch, n, x);
    if (is_winograd(r, layer))
        winograd_forward(&d, x, r->filters[pass->l], y, worker->scratch);
    else
        conv2d_forward(&d, x, value(r, layer->weight), y, worker->scratch);
    batch_norm_sums(d.K, (uint32_t)(output_floats(layer) / d.K), y, r->sums + (size_t)n * 2 * FEATURES,
                    worker->scratch);
}

static void activate_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const uint32_t l = pass->l;
    const size_t out = output_floats(&r->network->convs[l]);
    const float *block = is_second(l) ? r->a[l - 1] + n * input_floats(&r->network->convs[l - 1]) : NULL;
    reference_activate(r, worker, l, r->y[l] + n * out, block, r->a[l + 1] + n * out);
}

/* T64 over the sums of the batch's images, for each of `width` columns. N: images of this process. */
static void images_trees(struct backend *r, uint32_t N, uint32_t width, double *trees)
{
    if (r->shares != NULL) {
        shares_sum_images(r->shares, r->sums, (size_t)2 * FEATURES, width, trees);
        return;
    }
    for (uint32_t i = 0; i < width; i++) {
        for (uint32_t n = 0; n < N; n++)
            r->column[n] = (double)r->sums[(size_t)n * 2 * FEATURES + i];
        trees[i] = exact_tree64(r->column, N, 1);
    }
}

/* Images of the batch that this process has N of. */
static uint32_t all_images(const struct backend *r, uint32_t N)
{
    return r->shares != NULL ? shares_images(r->shares) : N;
}

/* The running mean and variance of one channel or class take a share of the batch's. */
static void update_running(const struct model_config *model, double mean, double variance, double M,
                           float *running_mean, float *running_variance)
{
    double spread = model->batch_norm_unbiased ? exact_unbiased(variance, M) : variance;
    *running_mean = exact_running(*running_mean, mean, model->batch_norm_rate);
    *running_variance = exact_running(*running_variance, spread, model->batch_norm_rate);
}

/* A batch norm and its tensors. */
struct norm_tensors {
    int64_t gamma, beta, mean, variance;
    int64_t weight; /* of the convolution before it, whose name is used for the norm */
};

static struct norm_tensors norm_of(const struct conv_layer *layer)
{
    return (struct norm_tensors){ layer->gamma, layer->beta, layer->running_mean, layer->running_variance,
                                  layer->weight };
}

static struct norm_tensors projection_norm_of(const struct conv_layer *layer)
{
    return (struct norm_tensors){ layer->projection_gamma, layer->projection_beta, layer->projection_mean,
                                  layer->projection_variance, layer->projection };
}

static void finish_norm(struct backend *r, const struct conv_layer *layer, struct norm_tensors tensors,
                        struct exact_norm *norms, uint32_t N, struct backend_outcome *outcome)
{
    const struct model_config *model = &r->recipe.model;
    const uint32_t K = layer->filters;
    const double M = (double)all_images(r, N) * (double)(output_floats(layer) / K);
    double sums[2 * FEATURES];
    images_trees(r, N, 2 * K, sums);
    for (uint32_t k = 0; k < K; k++) {
        norms[k] = exact_norm_from_sums(sums[k], sums[K + k], M, model->batch_norm_epsilon, value(r, tensors.gamma)[k],
                                        value(r, tensors.beta)[k]);
        if (!exact_norm_finite(&norms[k]))
            backend_blame(outcome, NON_FINITE_FORWARD, r->network->tensors[tensors.weight].name);
        update_running(model, norms[k].mean, norms[k].variance, M, value(r, tensors.mean) + k,
                       value(r, tensors.variance) + k);
    }
}

/* What the projection of block input a[l-1] gives, and its sums. */
static void project_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l];
    const struct conv2d d = shape_of(layer - 1);
    float *y = r->projection_y[projection_of(layer)] + n * output_floats(layer);
    projection_forward(&d, r->a[pass->l - 1] + n * input_floats(layer - 1), value(r, layer->projection), y);
    batch_norm_sums(d.K, (uint32_t)(output_floats(layer) / d.K), y, r->sums + (size_t)n * 2 * FEATURES,
                    worker->scratch);
}

void reference_convolve(struct backend *r, const struct backend_batch *batch, uint32_t l,
                        struct backend_outcome *outcome)
{
    const struct conv_layer *layer = &r->network->convs[l];
    reference_make_filters(r, l, false);
    reference_run((struct pass){ .r = r, .batch = batch, .l = l, .item = convolve_item }, batch->count);
    finish_norm(r, layer, norm_of(layer), r->norm + (size_t)l * FEATURES, batch->count, outcome);
}

void reference_project(struct backend *r, uint32_t N, uint32_t l, struct backend_outcome *outcome)
{
    const struct conv_layer *layer = &r->network->convs[l];
    reference_run((struct pass){ .r = r, .l = l, .item = project_item }, N);
    finish_norm(r, layer, projection_norm_of(layer), r->projection_norm[projection_of(layer)], N, outcome);
}

void reference_activate_layer(struct backend *r, uint32_t N, uint32_t l)
{
    reference_run((struct pass){ .r = r, .l = l, .item = activate_item }, N);
}

void reference_forward(struct backend *r, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    for (uint32_t l = 0; l < r->network->conv_count; l++) {
        double began = clock_seconds();
        reference_convolve(r, batch, l, outcome);
        if (r->network->convs[l].projection_gamma >= 0)
            reference_project(r, batch->count, l, outcome);
        reference_activate_layer(r, batch->count, l);
        if (r->profile != NULL)
            r->profile->forward_s[l] += clock_seconds() - began;
    }
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

/* The head is computed for the batches of all ranks, from features that they exchange: it is a thousandth of a step's
 * work. `first`: of this process's images among them. */
static uint32_t first_of(const struct backend_batch *batch)
{
    return batch->whole != NULL ? batch->first : 0;
}

/* From the last block's output to the loss. */
static void head_forward(struct backend *r, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    const struct network *network = r->network;
    const uint32_t first = first_of(batch);
    for (uint32_t n = 0; n < batch->count; n++)
        pool_forward(r->a[network->conv_count] + (size_t)n * FEATURES * 64, r->pool + (first + n) * FEATURES,
                     r->workers[0].scratch);
    if (r->shares != NULL)
        shares_gather(r->shares, r->pool, FEATURES);
    batch = backend_whole(batch);
    const uint32_t N = batch->count;
    for (uint32_t n = 0; n < N; n++) {
        linear_forward(r->pool + n * FEATURES, value(r, network->linear_weight), value(r, network->linear_bias),
                       r->z + n * CLASSES);
    }
    for (uint32_t k = 0; k < CLASSES && network->logits_gamma >= 0; k++) {
        double mean, variance;
        logits_norm_statistics(N, k, r->z, &mean, &variance, r->column);
        r->logits_norm[k] = exact_norm_constants(mean, variance, r->recipe.model.batch_norm_epsilon,
                                                 value(r, network->logits_gamma)[k], value(r, network->logits_beta)[k]);
        if (!exact_norm_finite(&r->logits_norm[k]))
            backend_blame(outcome, NON_FINITE_LOGITS, "");
        update_running(&r->recipe.model, mean, variance, (double)N, value(r, network->logits_mean) + k,
                       value(r, network->logits_variance) + k);
    }
    for (uint32_t n = 0; n < N; n++) {
        float normed[CLASSES];
        const float *u = r->z + n * CLASSES;
        uint8_t label = batch->data->labels[backend_image(batch, n)], prediction;
        if (network->logits_gamma >= 0) {
            logits_norm_forward(r->logits_norm, u, normed);
            u = normed;
        }
        r->column[n] = (double)softmax_loss(u, label, r->dz + n * CLASSES, &prediction);
        outcome->errors += prediction != label;
    }
    outcome->loss = (float)(exact_tree64(r->column, N, 1) / (double)N);
    if (!exact_finite((double)outcome->loss))
        backend_blame(outcome, NON_FINITE_LOSS, "");
}

/* From the probabilities to the gradient of the last block's output, in d. */
static void head_backward(struct backend *r, const struct backend_batch *share)
{
    const struct network *network = r->network;
    const struct backend_batch *batch = backend_whole(share);
    const uint32_t N = batch->count, first = first_of(share);
    for (uint32_t n = 0; n < N; n++)
        softmax_backward(N, batch->data->labels[backend_image(batch, n)], r->dz + n * CLASSES, r->dz + n * CLASSES);
    for (uint32_t k = 0; k < CLASSES && network->logits_gamma >= 0; k++) {
        struct exact_norm_gradient of_norm = logits_norm_backward(N, k, &r->logits_norm[k], r->z, r->dz, r->column);
        gradient(r, network->logits_gamma)[k] = of_norm.dgamma;
        gradient(r, network->logits_beta)[k] = of_norm.dbeta;
    }
    linear_backward(N, r->pool, value(r, network->linear_weight), r->dz, gradient(r, network->linear_weight),
                    gradient(r, network->linear_bias), r->dpool, r->column);
    for (uint32_t n = 0; n < share->count; n++)
        pool_backward(r->dpool + (first + n) * FEATURES, r->d + (size_t)n * FEATURES * 64);
}

void reference_head(struct backend *r, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    head_forward(r, batch, outcome);
    head_backward(r, batch);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

float *reference_activation_gradient(const struct backend *r, uint32_t l)
{
    return is_second(l) ? r->residual : r->d;
}

static void relu_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const uint32_t l = pass->l, K = r->network->convs[l].filters;
    const size_t count = output_floats(&r->network->convs[l]), at = n * count;
    float *g = reference_activation_gradient(r, l) + at;
    relu_backward(count, r->a[l + 1] + at, r->d + at, g);
    batch_norm_backward_sums(K, (uint32_t)(count / K), r->norm + (size_t)l * FEATURES, g, r->y[l] + at,
                             r->sums + (size_t)n * 2 * FEATURES, worker->scratch);
}

static void finish_norm_backward(struct backend *r, const struct conv_layer *layer, struct norm_tensors tensors,
                                 const struct exact_norm *norms, struct exact_norm_gradient *gradients, uint32_t N,
                                 struct backend_outcome *outcome)
{
    const uint32_t K = layer->filters;
    const double M = (double)all_images(r, N) * (double)(output_floats(layer) / K);
    double sums[2 * FEATURES];
    images_trees(r, N, 2 * K, sums);
    for (uint32_t k = 0; k < K; k++) {
        const double G1 = sums[k], G2 = sums[K + k];
        if (!exact_finite(G1) || !exact_finite(G2))
            backend_blame(outcome, NON_FINITE_BACKWARD, r->network->tensors[tensors.weight].name);
        gradients[k] = exact_norm_backward(&norms[k], G1, G2, M);
        gradient(r, tensors.gamma)[k] = gradients[k].dgamma;
        gradient(r, tensors.beta)[k] = gradients[k].dbeta;
    }
}

/* The sums of a projection's batch norm: its output's gradient is that of the block's sum. */
static void projection_sums_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l];
    const uint32_t K = layer->filters, p = projection_of(layer);
    const size_t count = output_floats(layer), at = n * count;
    batch_norm_backward_sums(K, (uint32_t)(count / K), r->projection_norm[p], r->residual + at, r->projection_y[p] + at,
                             r->sums + (size_t)n * 2 * FEATURES, worker->scratch);
}

static void projection_norm_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l];
    const uint32_t K = layer->filters, p = projection_of(layer);
    const size_t count = output_floats(layer), at = n * count;
    (void)worker;
    batch_norm_backward(K, (uint32_t)(count / K), r->projection_norm[p], r->projection_gradient, r->residual + at,
                        r->projection_y[p] + at, r->projection_dy + at);
}

void reference_backward_projection_norm(struct backend *r, uint32_t N, uint32_t l, struct backend_outcome *outcome)
{
    const struct conv_layer *layer = &r->network->convs[l];
    reference_run((struct pass){ .r = r, .l = l, .item = projection_sums_item }, N);
    finish_norm_backward(r, layer, projection_norm_of(layer), r->projection_norm[projection_of(layer)],
                         r->projection_gradient, N, outcome);
    reference_run((struct pass){ .r = r, .l = l, .item = projection_norm_item }, N);
}

/* The gradient of the shortcut's output in the block with second convolution l, before its batch norm if any. */
static const float *shortcut_gradient(const struct backend *r, uint32_t l)
{
    return r->network->convs[l].projection_gamma >= 0 ? r->projection_dy : r->residual;
}

static void norm_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const uint32_t l = pass->l, K = r->network->convs[l].filters;
    const size_t count = output_floats(&r->network->convs[l]), at = n * count;
    (void)worker;
    batch_norm_backward(K, (uint32_t)(count / K), r->norm + (size_t)l * FEATURES, r->norm_gradient,
                        reference_activation_gradient(r, l) + at, r->y[l] + at, r->dy + at);
}

/* Through the convolution to the layer's input; at a block's first layer the shortcut's gradient joins. */
static void data_item(const struct pass *pass, struct worker *worker, uint32_t n)
{
    struct backend *r = pass->r;
    const uint32_t l = pass->l;
    const struct conv_layer *layer = &r->network->convs[l];
    const struct conv2d d = shape_of(layer);
    float *dx = r->d + n * input_floats(layer);
    const float *dy = r->dy + n * output_floats(layer);
    if (is_winograd(r, layer))
        winograd_backward_data(&d, dy, r->filters[l], dx, worker->scratch);
    else
        conv2d_backward_data(&d, dy, value(r, layer->weight), dx, worker->scratch);
    if (!is_second(l))
        shortcut_backward(r, l, (l > 0 ? shortcut_gradient(r, l + 1) : r->residual) + n * output_floats(layer), dx);
}

/* The output rows of a group: begin .. end-1. */
struct group_rows {
    uint32_t begin, end;
};

static struct group_rows rows_of(const struct conv2d *d, uint32_t N, uint32_t group)
{
    const uint32_t P = d->H / d->stride, rows = exact_group_rows(P), begin = group * rows, left = N * P - begin;
    return (struct group_rows){ .begin = begin, .end = begin + (left < rows ? left : rows) };
}

static void group_item(const struct pass *pass, struct worker *worker, uint32_t item)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l];
    const struct conv2d d = shape_of(layer);
    const struct group_rows rows = rows_of(&d, pass->batch->count, item);
    conv2d_backward_weight(&d, rows.begin, rows.end, r->a[pass->l], r->dy, r->parts + (size_t)item * d.K * d.C * 9,
                           worker->scratch);
}

static void tree_item(const struct pass *pass, struct worker *worker, uint32_t k)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l];
    const size_t taps = (size_t)layer->channels * 9;
    (void)worker;
    group_tree(r->parts, pass->groups, layer->filters * taps, k * taps, (k + 1) * taps, gradient(r, layer->weight));
}

/* The same by tiles, whose groups are whole images. */
static void winograd_group_item(const struct pass *pass, struct worker *worker, uint32_t item)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l];
    const struct conv2d d = shape_of(layer);
    const uint32_t images = exact_winograd_group_images(d.H), begin = item * images, left = pass->batch->count - begin;
    winograd_backward_weight(&d, begin, begin + (left < images ? left : images), r->a[pass->l], r->dy,
                             r->parts + (size_t)item * d.K * d.C * EXACT_WINOGRAD_POINTS, worker->scratch);
}

static void winograd_tree_item(const struct pass *pass, struct worker *worker, uint32_t k)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l];
    const struct conv2d d = shape_of(layer);
    const size_t count = (size_t)d.C * EXACT_WINOGRAD_POINTS;
    float *sums = worker->scratch;
    group_tree(r->parts + k * count, pass->groups, d.K * count, 0, count, sums);
    winograd_taps(&d, sums, gradient(r, layer->weight) + (size_t)k * d.C * 9);
}

static void projection_item(const struct pass *pass, struct worker *worker, uint32_t item)
{
    struct backend *r = pass->r;
    const uint32_t l = pass->l - 1;
    const struct conv2d d = shape_of(&r->network->convs[l]);
    const struct group_rows rows = rows_of(&d, pass->batch->count, item);
    (void)worker;
    projection_backward_weight(&d, rows.begin, rows.end, r->a[l], shortcut_gradient(r, pass->l),
                               r->parts + (size_t)item * d.K * d.C);
}

static void projection_tree_item(const struct pass *pass, struct worker *worker, uint32_t k)
{
    struct backend *r = pass->r;
    const struct conv_layer *layer = &r->network->convs[pass->l - 1];
    const uint32_t C = layer->channels;
    (void)worker;
    group_tree(r->parts, pass->groups, (size_t)layer->filters * C, (size_t)k * C, (size_t)(k + 1) * C,
               gradient(r, r->network->convs[pass->l].projection));
}

void reference_backward_norm(struct backend *r, uint32_t N, uint32_t l, struct backend_outcome *outcome)
{
    const struct conv_layer *layer = &r->network->convs[l];
    reference_run((struct pass){ .r = r, .l = l, .item = relu_item }, N);
    finish_norm_backward(r, layer, norm_of(layer), r->norm + (size_t)l * FEATURES, r->norm_gradient, N, outcome);
    reference_run((struct pass){ .r = r, .l = l, .item = norm_item }, N);
}

/* From the groups' partial sums to the gradient of layer l's weights, and of its projection's. */
static void sum_weights(struct backend *r, uint32_t l, uint32_t groups)
{
    const struct conv_layer *layer = &r->network->convs[l];
    reference_run(
        (struct pass){
            .r = r, .l = l, .groups = groups, .item = is_winograd(r, layer) ? winograd_tree_item : tree_item },
        layer->filters);
}

static void sum_projection(struct backend *r, uint32_t l, uint32_t groups)
{
    reference_run((struct pass){ .r = r, .l = l, .groups = groups, .item = projection_tree_item },
                  r->network->convs[l].filters);
}

void reference_backward_convolution(struct backend *r, const struct backend_batch *batch, uint32_t l)
{
    const struct conv_layer *layer = &r->network->convs[l];
    uint32_t groups = groups_of(r, layer, batch->count);
    reference_run(
        (struct pass){
            .r = r, .batch = batch, .l = l, .item = is_winograd(r, layer) ? winograd_group_item : group_item },
        groups);
    if (r->shares != NULL)
        shares_add(r->shares, gradient_of(l), r->parts, r->team);
    else
        sum_weights(r, l, groups);
    if (layer->projection >= 0) {
        groups = groups_of(r, layer - 1, batch->count);
        reference_run((struct pass){ .r = r, .batch = batch, .l = l, .item = projection_item }, groups);
        if (r->shares != NULL)
            shares_add(r->shares, projection_gradient_of(r, layer), r->parts, r->team);
        else
            sum_projection(r, l, groups);
    }
    reference_make_filters(r, l, true);
    if (l > 0)
        reference_run((struct pass){ .r = r, .l = l, .item = data_item }, batch->count);
}

/* What all ranks' sums make of the weight gradients: a tree over one group. */
static void exchange_gradients(struct backend *r)
{
    shares_exchange(r->shares, r->team);
    for (uint32_t l = 0; l < r->network->conv_count; l++) {
        const struct conv_layer *layer = &r->network->convs[l];
        shares_take(r->shares, gradient_of(l), r->parts);
        sum_weights(r, l, 1);
        if (layer->projection < 0)
            continue;
        shares_take(r->shares, projection_gradient_of(r, layer), r->parts);
        sum_projection(r, l, 1);
    }
}

void reference_backward(struct backend *r, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    for (uint32_t l = r->network->conv_count; l-- > 0;) {
        double began = clock_seconds();
        reference_backward_norm(r, batch->count, l, outcome);
        if (r->network->convs[l].projection_gamma >= 0)
            reference_backward_projection_norm(r, batch->count, l, outcome);
        reference_backward_convolution(r, batch, l);
        if (r->profile != NULL)
            r->profile->backward_s[l] += clock_seconds() - began;
    }
    if (r->shares != NULL)
        exchange_gradients(r);
}
