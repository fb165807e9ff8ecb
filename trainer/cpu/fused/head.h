/* The head of the fused backend, ARITHMETIC.md section 6: from pooled features to the loss and back to their gradients.
 * It is a thousandth of a step's work, so the loops are plain. It shares the trees over the batch with the batch
 * norms. */
#ifndef SELFSAME_HEAD_H
#define SELFSAME_HEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "trainer/cpu/fused/images.h"
#include "trainer/exact.h"

enum { TREE_CHUNK = 16 };

/* T64 over `count` rows of `width` floats that are `stride` apart, for each column: a binary counter of partial sums,
 * so that each row is read once. Leaves that fill up to a power of two are +0 and are added. */
static void tree_over_images(const float *rows, uint32_t count, size_t stride, uint32_t width, double *out)
{
    uint32_t leaves = 1, depth = 0;
    while (leaves < count) {
        leaves *= 2;
        depth++;
    }
    for (uint32_t first = 0; first < width; first += TREE_CHUNK) {
        uint32_t columns = width - first < TREE_CHUNK ? width - first : TREE_CHUNK;
        double level[32][TREE_CHUNK];
        for (uint32_t n = 0; n < leaves; n++) {
            double sum[TREE_CHUNK] = { 0.0 };
            if (n < count) {
                for (uint32_t i = 0; i < columns; i++)
                    sum[i] = (double)rows[n * stride + first + i];
            }
            uint32_t at = 0;
            for (; n >> at & 1; at++) {
                for (uint32_t i = 0; i < TREE_CHUNK; i++)
                    sum[i] = level[at][i] + sum[i];
            }
            memcpy(level[at], sum, sizeof sum);
        }
        for (uint32_t i = 0; i < columns; i++)
            out[first + i] = level[depth][i];
    }
}

struct head {
    float *pool;                     /* [batch][64], batch: the largest */
    float *z;                        /* [batch][10] logits before their norm */
    float *dz;                       /* [batch][10] */
    float *dpool;                    /* [batch][64], already times 1/64: the gradient of each pixel */
    float *product;                  /* [batch][64] */
    double *column;                  /* [batch] */
    struct exact_norm norm[CLASSES]; /* the batch norm over the logits, of the batch */
};

/* z of one image; bias may be NULL. */
static void head_logits(const float *pool, const float *weight, const float *bias, float *z)
{
    for (int k = 0; k < CLASSES; k++) {
        float acc = 0.0f;
        for (int c = 0; c < FEATURES; c++)
            acc = fmaf(pool[c], weight[k * FEATURES + c], acc);
        z[k] = bias == NULL ? acc : acc + bias[k];
    }
}

/* Softmax of one image's u: its loss and prediction; exponentials and their sum are left for the gradient. */
static float head_softmax(const float *u, uint32_t label, float *exponential, float *sum, uint8_t *prediction)
{
    int best = 0;
    for (int k = 1; k < CLASSES; k++) {
        if (u[k] > u[best])
            best = k;
    }
    float total = 0.0f;
    for (int k = 0; k < CLASSES; k++) {
        exponential[k] = exact_expf(u[k] - u[best]);
        total = k == 0 ? exponential[0] : total + exponential[k];
    }
    *sum = total;
    *prediction = (uint8_t)best;
    return exact_logf(total) - (u[label] - u[best]);
}

/* The parts of the state that the head reads and writes; logits' norm and bias are NULL where the variant has none. */
struct head_state {
    const float *weight, *bias, *gamma, *beta;
    float *running_mean, *running_variance;
    float *dweight, *dbias, *dgamma, *dbeta;
    double epsilon, rate;
    bool unbiased;
};

/* Loss and all gradients of the head for the batch of pooled features; z has been filled. Returns the loss. */
static float head_train(struct head *head, const struct head_state *state, const uint8_t *labels,
                        const uint32_t *images, uint32_t N, uint32_t *errors, bool *norm_finite)
{
    struct exact_norm *norm = head->norm;
    float *dz = head->dz;
    *norm_finite = true;
    *errors = 0;
    for (int k = 0; k < CLASSES && state->gamma != NULL; k++) {
        for (uint32_t n = 0; n < N; n++)
            head->column[n] = (double)head->z[n * CLASSES + k];
        double mean = exact_tree64(head->column, N, 1) / (double)N;
        for (uint32_t n = 0; n < N; n++) {
            double e = (double)head->z[n * CLASSES + k] - mean;
            head->column[n] = e * e;
        }
        double variance = exact_tree64(head->column, N, 1) / (double)N;
        norm[k] = exact_norm_constants(mean, variance, state->epsilon, state->gamma[k], state->beta[k]);
        *norm_finite = *norm_finite && exact_norm_finite(&norm[k]);
        double spread = state->unbiased ? exact_unbiased(variance, (double)N) : variance;
        state->running_mean[k] = exact_running(state->running_mean[k], mean, state->rate);
        state->running_variance[k] = exact_running(state->running_variance[k], spread, state->rate);
    }
    for (uint32_t n = 0; n < N; n++) {
        float u[CLASSES], exponential[CLASSES], sum;
        uint8_t prediction;
        uint32_t label = labels[images[n]];
        for (int k = 0; k < CLASSES; k++) {
            float z = head->z[n * CLASSES + k];
            u[k] = state->gamma == NULL ? z : fmaf(z, norm[k].scale, norm[k].shift);
        }
        head->column[n] = (double)head_softmax(u, label, exponential, &sum, &prediction);
        *errors += prediction != label;
        for (uint32_t k = 0; k < CLASSES; k++) {
            float f = exponential[k] / sum;
            dz[n * CLASSES + k] = (k == label ? f - 1.0f : f) / (float)N;
        }
    }
    float loss = (float)(exact_tree64(head->column, N, 1) / (double)N);
    for (int k = 0; k < CLASSES && state->gamma != NULL; k++) {
        for (uint32_t n = 0; n < N; n++)
            head->column[n] = (double)dz[n * CLASSES + k];
        double G1 = exact_tree64(head->column, N, 1);
        for (uint32_t n = 0; n < N; n++)
            head->column[n] = (double)dz[n * CLASSES + k] * ((double)head->z[n * CLASSES + k] - norm[k].mean);
        double G2 = exact_tree64(head->column, N, 1);
        struct exact_norm_gradient gradient = exact_norm_backward(&norm[k], G1, G2, (double)N);
        state->dgamma[k] = gradient.dgamma;
        state->dbeta[k] = gradient.dbeta;
        for (uint32_t n = 0; n < N; n++) {
            float *d = &dz[n * CLASSES + k];
            *d = fmaf(*d, norm[k].scale, fmaf(gradient.slope, head->z[n * CLASSES + k], gradient.constant));
        }
    }
    for (int k = 0; k < CLASSES; k++) {
        double sums[FEATURES];
        for (uint32_t n = 0; n < N; n++) {
            for (int c = 0; c < FEATURES; c++)
                head->product[n * FEATURES + c] = dz[n * CLASSES + k] * head->pool[n * FEATURES + c];
        }
        tree_over_images(head->product, N, FEATURES, FEATURES, sums);
        for (int c = 0; c < FEATURES; c++)
            state->dweight[k * FEATURES + c] = (float)sums[c];
    }
    if (state->bias != NULL) {
        double sums[CLASSES];
        tree_over_images(dz, N, CLASSES, CLASSES, sums);
        for (int k = 0; k < CLASSES; k++)
            state->dbias[k] = (float)sums[k];
    }
    for (uint32_t n = 0; n < N; n++) {
        for (int c = 0; c < FEATURES; c++) {
            float acc = 0.0f;
            for (int k = 0; k < CLASSES; k++)
                acc = fmaf(dz[n * CLASSES + k], state->weight[k * FEATURES + c], acc);
            head->dpool[n * FEATURES + c] = acc * 0x1p-6f;
        }
    }
    return loss;
}

#endif
