#include "check/support/float64_network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINEAR64_WEIGHTS = HEAD64_CLASSES * HEAD64_FEATURES };

static void *network64_allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL)
        abort();
    return memory;
}

static size_t network64_input(const struct network64 *t, uint32_t l)
{
    const struct conv_layer *layer = &t->network->convs[l];
    return (size_t)t->N * layer->channels * layer->side * layer->side;
}

uint32_t network64_pixels(const struct conv_layer *layer)
{
    return layer->side / layer->stride * (layer->side / layer->stride);
}

size_t network64_output(const struct network64 *t, uint32_t l)
{
    return (size_t)t->N * t->network->convs[l].filters * network64_pixels(&t->network->convs[l]);
}

void network64_open(struct network64 *t, const struct network *network, uint32_t N, const float *values,
                    const float *images, const uint8_t *labels)
{
    *t = (struct network64){ .network = network, .N = N, .labels = labels };
    t->values = widened(values, network->value_count);
    t->gradients = network64_allocate(network->value_count, sizeof *t->gradients);
    t->running = network64_allocate(network->value_count, sizeof *t->running);
    t->a = network64_allocate(network->conv_count + 1, sizeof *t->a);
    t->y = network64_allocate(network->conv_count, sizeof *t->y);
    t->projected = network64_allocate(network->conv_count, sizeof *t->projected);
    t->norm = network64_allocate(network->conv_count, sizeof *t->norm);
    t->projection_norm = network64_allocate(network->conv_count, sizeof *t->projection_norm);
    t->passed = network64_allocate(network->conv_count, sizeof *t->passed);
    t->a[0] = widened(images, network64_input(t, 0));
    for (uint32_t l = 0; l < network->conv_count; l++) {
        t->y[l] = network64_allocate(network64_output(t, l), sizeof(double));
        t->a[l + 1] = network64_allocate(network64_output(t, l), sizeof(double));
        t->passed[l] = network64_allocate(network64_output(t, l), 1);
        if (network->convs[l].projection >= 0)
            t->projected[l] = network64_allocate(network64_output(t, l), sizeof(double));
    }
    t->pool = network64_allocate((size_t)N * HEAD64_FEATURES, sizeof(double));
    t->z = network64_allocate((size_t)N * HEAD64_CLASSES, sizeof(double));
    t->u = network64_allocate((size_t)N * HEAD64_CLASSES, sizeof(double));
    t->f = network64_allocate((size_t)N * HEAD64_CLASSES, sizeof(double));
}

void network64_close(struct network64 *t)
{
    for (uint32_t l = 0; l < t->network->conv_count; l++) {
        free(t->y[l]);
        free(t->a[l]);
        free(t->passed[l]);
        free(t->projected[l]);
    }
    free(t->a[t->network->conv_count]);
    void *arrays[] = { t->values,          t->gradients, t->running, t->a, t->y, t->projected, t->norm,
                       t->projection_norm, t->passed,    t->pool,    t->z, t->u, t->f };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

static double *network64_tensor(const struct network64 *t, double *array, int64_t tensor)
{
    return tensor < 0 ? NULL : array + t->network->tensors[tensor].offset;
}

double *network64_value(const struct network64 *t, int64_t tensor)
{
    return network64_tensor(t, t->values, tensor);
}

double *network64_gradient(const struct network64 *t, int64_t tensor)
{
    return network64_tensor(t, t->gradients, tensor);
}

static struct conv64 network64_conv(const struct conv_layer *layer, uint32_t taps)
{
    return (struct conv64){
        .C = layer->channels, .K = layer->filters, .H = layer->side, .stride = layer->stride, .taps = taps
    };
}

bool network64_second(uint32_t l)
{
    return l > 0 && l % 2 == 0;
}

static uint32_t network64_option_a_first(const struct network64 *t, const struct conv64 *d)
{
    return t->network->model.shortcut == SHORTCUT_PAD_BOTH ? (d->K - d->C) / 2 : 0;
}

/* ---- convolutions, whose operands and results may be those of a bfloat16 ----------------------------------------- */

/* To 8 bits, half to even; sizes where bfloat16 would overflow or be subnormal do not occur. */
static double network64_bfloat16(double x)
{
    int exponent;
    const double fraction = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

/* x, or its numbers rounded. The caller gives it back to network64_read. */
static double *network64_rounded(const struct network64 *t, double *x, size_t count)
{
    if (!t->bfloat16)
        return x;
    double *rounded = network64_allocate(count, sizeof *rounded);
    for (size_t i = 0; i < count; i++)
        rounded[i] = network64_bfloat16(x[i]);
    return rounded;
}

static void network64_read(const double *x, double *rounded)
{
    if (rounded != x)
        free(rounded);
}

static void network64_leave(const struct network64 *t, double *y, size_t count)
{
    for (size_t i = 0; i < count && t->bfloat16; i++)
        y[i] = network64_bfloat16(y[i]);
}

static size_t conv64_inputs(const struct conv64 *d, uint32_t N)
{
    return (size_t)N * d->C * d->H * d->H;
}

static size_t conv64_outputs(const struct conv64 *d, uint32_t N)
{
    return (size_t)N * d->K * (d->H / d->stride) * (d->H / d->stride);
}

static size_t conv64_weights(const struct conv64 *d)
{
    return (size_t)d->K * d->C * d->taps * d->taps;
}

static void network64_conv_forward(const struct network64 *t, const struct conv64 *d, double *x, double *w, double *y)
{
    double *inputs = network64_rounded(t, x, conv64_inputs(d, t->N)),
           *weights = network64_rounded(t, w, conv64_weights(d));
    conv64_forward(d, t->N, inputs, weights, y);
    network64_leave(t, y, conv64_outputs(d, t->N));
    network64_read(x, inputs);
    network64_read(w, weights);
}

/* dw is overwritten, dx added to. */
static void network64_conv_backward(const struct network64 *t, const struct conv64 *d, double *x, double *w, double *dy,
                                    double *dw, double *dx)
{
    const size_t count = conv64_inputs(d, t->N);
    double *inputs = network64_rounded(t, x, count), *weights = network64_rounded(t, w, conv64_weights(d)),
           *gradients = network64_rounded(t, dy, conv64_outputs(d, t->N)),
           *out = network64_allocate(count, sizeof *out);
    conv64_backward_weight(d, t->N, inputs, gradients, dw);
    conv64_backward_data_add(d, t->N, gradients, weights, out);
    network64_leave(t, dw, conv64_weights(d));
    network64_leave(t, out, count);
    for (size_t i = 0; i < count; i++)
        dx[i] += out[i];
    free(out);
    network64_read(x, inputs);
    network64_read(w, weights);
    network64_read(dy, gradients);
}

static void network64_run(const struct network64 *t, int64_t tensor, uint32_t k, double batch)
{
    const double old = network64_value(t, tensor)[k];
    network64_tensor(t, t->running, tensor)[k] = old + t->network->model.batch_norm_rate * (batch - old);
}

static double network64_spread(const struct network64 *t, double variance, double M)
{
    return t->network->model.batch_norm_unbiased ? variance * M / (M - 1.0) : variance;
}

/* Of channel k of y, from the batch or from what runs; the running statistics follow the batch. */
static struct norm64 network64_norm(const struct network64 *t, uint32_t K, uint32_t pixels, uint32_t k, const double *y,
                                    int64_t mean, int64_t variance)
{
    const double epsilon = t->network->model.batch_norm_epsilon, M = (double)t->N * pixels;
    if (t->evaluating) {
        const double running = network64_value(t, variance)[k];
        return (struct norm64){ network64_value(t, mean)[k], running, 1.0 / sqrt(running + epsilon) };
    }
    const struct norm64 norm = norm64_statistics(t->N, K, pixels, k, epsilon, y);
    network64_run(t, mean, k, norm.mean);
    network64_run(t, variance, k, network64_spread(t, norm.variance, M));
    return norm;
}

/* Adds what the projection of a block's input gives to the block's sum; layer l is the block's second. */
static void network64_projection_forward_add(struct network64 *t, uint32_t l, double *out)
{
    const struct conv_layer *layer = &t->network->convs[l];
    const struct conv64 d = network64_conv(layer - 1, 1);
    double *z = t->projected[l];
    network64_conv_forward(t, &d, t->a[l - 1], network64_value(t, layer->projection), z);
    if (layer->projection_gamma < 0) {
        for (size_t i = 0; i < network64_output(t, l); i++)
            out[i] += z[i];
        return;
    }
    double *u = network64_allocate(network64_output(t, l), sizeof *u);
    for (uint32_t k = 0; k < d.K; k++) {
        t->projection_norm[l][k] =
            network64_norm(t, d.K, network64_pixels(layer), k, z, layer->projection_mean, layer->projection_variance);
        norm64_forward(t->N, d.K, network64_pixels(layer), k, &t->projection_norm[l][k],
                       network64_value(t, layer->projection_gamma)[k], network64_value(t, layer->projection_beta)[k], z,
                       u);
    }
    for (size_t i = 0; i < network64_output(t, l); i++)
        out[i] += u[i];
    free(u);
}

/* g, the gradient of a block's sum, becomes that of what the projection gives before its batch norm. */
static void network64_projection_norm_backward(struct network64 *t, uint32_t l, double *g)
{
    const struct conv_layer *layer = &t->network->convs[l];
    for (uint32_t k = 0; k < layer->filters && layer->projection_gamma >= 0; k++)
        norm64_backward(t->N, layer->filters, network64_pixels(layer), k, &t->projection_norm[l][k],
                        network64_value(t, layer->projection_gamma)[k], t->projected[l], g, g,
                        &network64_gradient(t, layer->projection_gamma)[k],
                        &network64_gradient(t, layer->projection_beta)[k]);
}

static void network64_layer_forward(struct network64 *t, uint32_t l)
{
    const struct conv_layer *layer = &t->network->convs[l];
    const struct conv64 d = network64_conv(layer, 3);
    const uint32_t pixels = network64_pixels(layer);
    double *out = t->a[l + 1];
    network64_conv_forward(t, &d, t->a[l], network64_value(t, layer->weight), t->y[l]);
    for (uint32_t k = 0; k < d.K; k++) {
        t->norm[l][k] = network64_norm(t, d.K, pixels, k, t->y[l], layer->running_mean, layer->running_variance);
        norm64_forward(t->N, d.K, pixels, k, &t->norm[l][k], network64_value(t, layer->gamma)[k],
                       network64_value(t, layer->beta)[k], t->y[l], out);
    }
    if (network64_second(l)) {
        const struct conv64 first = network64_conv(&t->network->convs[l - 1], 1);
        if (first.stride == 1) {
            for (size_t i = 0; i < network64_output(t, l); i++)
                out[i] += t->a[l - 1][i];
        } else if (layer->projection >= 0) {
            network64_projection_forward_add(t, l, out);
        } else {
            option_a64_forward_add(&first, t->N, network64_option_a_first(t, &first), t->a[l - 1], out);
        }
    }
    for (size_t i = 0; i < network64_output(t, l); i++) {
        t->smallest = fmin(t->smallest, fabs(out[i]));
        t->passed[l][i] = t->masks != NULL ? t->masks[l][i] : out[i] > 0.0;
        out[i] = t->passed[l][i] ? out[i] : 0.0;
    }
}

void network64_forward(struct network64 *t, uint32_t first)
{
    const struct network *network = t->network;
    t->smallest = INFINITY;
    for (uint32_t l = first; l < network->conv_count; l++)
        network64_layer_forward(t, l);
    pool64_forward(t->N, t->a[network->conv_count], t->pool);
    double *pool = network64_rounded(t, t->pool, (size_t)t->N * HEAD64_FEATURES),
           *weight = network64_rounded(t, network64_value(t, network->linear_weight), LINEAR64_WEIGHTS);
    linear64_forward(t->N, pool, weight, network64_value(t, network->linear_bias), t->z);
    network64_leave(t, t->z, (size_t)t->N * HEAD64_CLASSES);
    network64_read(t->pool, pool);
    network64_read(network64_value(t, network->linear_weight), weight);
    memcpy(t->u, t->z, (size_t)t->N * HEAD64_CLASSES * sizeof *t->u);
    for (uint32_t k = 0; k < HEAD64_CLASSES && network->logits_gamma >= 0; k++) {
        t->logits_norm[k] =
            network64_norm(t, HEAD64_CLASSES, 1, k, t->z, network->logits_mean, network->logits_variance);
        norm64_forward(t->N, HEAD64_CLASSES, 1, k, &t->logits_norm[k], network64_value(t, network->logits_gamma)[k],
                       network64_value(t, network->logits_beta)[k], t->z, t->u);
    }
    t->loss = 0.0;
    for (uint32_t n = 0; n < t->N; n++)
        t->loss += softmax64_loss(t->u + n * HEAD64_CLASSES, t->labels[n], t->f + n * HEAD64_CLASSES) / t->N;
}

/* d is the gradient of a[l+1] and becomes that of a[l]; *residual keeps that of a block's sum from its second layer to
 * its first. */
static void network64_layer_backward(struct network64 *t, uint32_t l, double **d, double **residual)
{
    const struct conv_layer *layer = &t->network->convs[l];
    const struct conv64 conv = network64_conv(layer, 3);
    double *g = *d;
    for (size_t i = 0; i < network64_output(t, l); i++)
        g[i] = t->passed[l][i] ? g[i] : 0.0;
    if (network64_second(l)) {
        *residual = network64_allocate(network64_output(t, l), sizeof **residual);
        memcpy(*residual, g, network64_output(t, l) * sizeof *g);
    }
    for (uint32_t k = 0; k < conv.K; k++)
        norm64_backward(t->N, conv.K, network64_pixels(layer), k, &t->norm[l][k], network64_value(t, layer->gamma)[k],
                        t->y[l], g, g, &network64_gradient(t, layer->gamma)[k], &network64_gradient(t, layer->beta)[k]);
    *d = network64_allocate(network64_input(t, l), sizeof **d);
    network64_conv_backward(t, &conv, t->a[l], network64_value(t, layer->weight), g,
                            network64_gradient(t, layer->weight), *d);
    free(g);
    if (l == 0 || network64_second(l))
        return;
    const struct conv64 first = network64_conv(layer, 1);
    const int32_t projection = t->network->convs[l + 1].projection;
    if (first.stride == 1) {
        for (size_t i = 0; i < network64_input(t, l); i++)
            (*d)[i] += (*residual)[i];
    } else if (projection >= 0) {
        network64_projection_norm_backward(t, l + 1, *residual);
        network64_conv_backward(t, &first, t->a[l], network64_value(t, projection), *residual,
                                network64_gradient(t, projection), *d);
    } else {
        option_a64_backward_add(&first, t->N, network64_option_a_first(t, &first), *residual, *d);
    }
    free(*residual);
}

void network64_backward(struct network64 *t)
{
    const struct network *network = t->network;
    double *dz = network64_allocate((size_t)t->N * HEAD64_CLASSES, sizeof *dz);
    double *dpool = network64_allocate((size_t)t->N * HEAD64_FEATURES, sizeof *dpool);
    double *d = network64_allocate(network64_output(t, network->conv_count - 1), sizeof *d), *residual = NULL;
    for (uint32_t n = 0; n < t->N; n++)
        softmax64_backward(t->N, t->labels[n], t->f + n * HEAD64_CLASSES, dz + n * HEAD64_CLASSES);
    for (uint32_t k = 0; k < HEAD64_CLASSES && network->logits_gamma >= 0; k++)
        norm64_backward(t->N, HEAD64_CLASSES, 1, k, &t->logits_norm[k], network64_value(t, network->logits_gamma)[k],
                        t->z, dz, dz, &network64_gradient(t, network->logits_gamma)[k],
                        &network64_gradient(t, network->logits_beta)[k]);
    double *pool = network64_rounded(t, t->pool, (size_t)t->N * HEAD64_FEATURES),
           *weight = network64_rounded(t, network64_value(t, network->linear_weight), LINEAR64_WEIGHTS),
           *gradients = network64_rounded(t, dz, (size_t)t->N * HEAD64_CLASSES);
    linear64_backward(t->N, pool, weight, gradients, network64_gradient(t, network->linear_weight),
                      network64_gradient(t, network->linear_bias), dpool);
    network64_leave(t, network64_gradient(t, network->linear_weight), LINEAR64_WEIGHTS);
    network64_leave(t, dpool, (size_t)t->N * HEAD64_FEATURES);
    network64_read(t->pool, pool);
    network64_read(network64_value(t, network->linear_weight), weight);
    network64_read(dz, gradients);
    pool64_backward(t->N, dpool, d);
    for (uint32_t l = network->conv_count; l-- > 0;)
        network64_layer_backward(t, l, &d, &residual);
    free(d);
    free(dz);
    free(dpool);
}
