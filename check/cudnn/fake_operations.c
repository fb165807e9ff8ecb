/* The operations of the stand-in's graphs, in binary64: numbers are rounded where a tensor is stored. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "check/cudnn/fake_graph.h"

enum { VALUES = 16 };

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* A tensor while a plan runs: its numbers in (N,C,H,W) order. */
struct tensor {
    const struct descriptor *descriptor;
    int64_t uid, shape[4], count;
    double *values;
};

struct run {
    const struct descriptor *pack;
    struct tensor tensors[VALUES];
    size_t count;
};

static void *memory_of(const struct run *run, int64_t uid)
{
    const struct attribute *uids = fake_find(run->pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const struct attribute *pointers = fake_find(run->pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    for (int64_t i = 0; i < uids->count; i++) {
        if (((const int64_t *)uids->values)[i] == uid)
            return ((void **)pointers->values)[i];
    }
    abort(); /* the caller forgot a tensor */
}

static float from_bf16(uint16_t half)
{
    return float_of_bits((uint32_t)half << 16);
}

static uint16_t to_bf16(float value)
{
    const uint32_t bits = float_bits(value);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Moves a tensor between its numbers and its memory. */
static void move(const struct run *run, const struct tensor *tensor, bool store)
{
    const cudnnDataType_t type =
        *(const cudnnDataType_t *)fake_find(tensor->descriptor, CUDNN_ATTR_TENSOR_DATA_TYPE)->values;
    const int64_t *strides = fake_find(tensor->descriptor, CUDNN_ATTR_TENSOR_STRIDES)->values;
    void *memory = memory_of(run, tensor->uid);
    if ((uintptr_t)memory % (uintptr_t)fake_integer(tensor->descriptor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) != 0)
        abort(); /* less than the graph promises */
    for (int64_t i = 0; i < tensor->count; i++) {
        int64_t rest = i, place = 0;
        for (int d = 3; d >= 0; d--) {
            place += rest % tensor->shape[d] * strides[d];
            rest /= tensor->shape[d];
        }
        switch (type) {
        case CUDNN_DATA_FLOAT:
            if (store)
                ((float *)memory)[place] = (float)tensor->values[i];
            else
                tensor->values[i] = ((const float *)memory)[place];
            break;
        case CUDNN_DATA_BFLOAT16:
            if (store)
                ((uint16_t *)memory)[place] = to_bf16((float)tensor->values[i]);
            else
                tensor->values[i] = from_bf16(((const uint16_t *)memory)[place]);
            break;
        default:
            if (store)
                ((uint8_t *)memory)[place] = tensor->values[i] != 0.0;
            else
                tensor->values[i] = ((const uint8_t *)memory)[place];
        }
    }
}

static bool is_virtual(const struct tensor *tensor)
{
    const struct attribute *attribute = fake_find(tensor->descriptor, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    return attribute != NULL && *(const bool *)attribute->values;
}

/* The tensor that an operation's attribute names; loaded when first seen, unless it is only written. */
static struct tensor *take(struct run *run, const struct descriptor *operation, cudnnBackendAttributeName_t name,
                           bool load)
{
    const struct descriptor *descriptor = fake_named(operation, name);
    const int64_t uid = fake_integer(descriptor, CUDNN_ATTR_TENSOR_UNIQUE_ID);
    for (size_t i = 0; i < run->count; i++) {
        if (run->tensors[i].uid == uid)
            return &run->tensors[i];
    }
    if (run->count == VALUES)
        abort();
    struct tensor *tensor = &run->tensors[run->count++];
    tensor->descriptor = descriptor;
    tensor->uid = uid;
    memcpy(tensor->shape, fake_find(descriptor, CUDNN_ATTR_TENSOR_DIMENSIONS)->values, sizeof tensor->shape);
    tensor->count = tensor->shape[0] * tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
    tensor->values = calloc((size_t)tensor->count, sizeof *tensor->values);
    if (tensor->values == NULL)
        abort();
    if (load)
        move(run, tensor, false);
    return tensor;
}

static void put(const struct run *run, const struct tensor *tensor)
{
    if (!is_virtual(tensor))
        move(run, tensor, true);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

struct convolution_names {
    cudnnBackendAttributeName_t description, x, w, y, beta;
};

static void convolution(struct run *run, const struct descriptor *operation, const struct convolution_names *names,
                        int written)
{
    const struct descriptor *description = fake_named(operation, names->description);
    const int64_t pad = fake_integer(description, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
                  stride = fake_integer(description, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    const double beta = *(const float *)fake_find(operation, names->beta)->values;
    struct tensor *x = take(run, operation, names->x, written != 0 || beta != 0.0),
                  *w = take(run, operation, names->w, written != 1 || beta != 0.0),
                  *y = take(run, operation, names->y, written != 2 || beta != 0.0);
    struct tensor *results[] = { x, w, y };
    for (int64_t i = 0; i < results[written]->count; i++)
        results[written]->values[i] *= beta;
    const int64_t C = x->shape[1], H = x->shape[2], K = y->shape[1], P = y->shape[2], R = w->shape[2];
    for (int64_t n = 0; n < x->shape[0]; n++)
        for (int64_t k = 0; k < K; k++)
            for (int64_t p = 0; p < P; p++)
                for (int64_t q = 0; q < P; q++)
                    for (int64_t c = 0; c < C; c++)
                        for (int64_t r = 0; r < R; r++)
                            for (int64_t s = 0; s < R; s++) {
                                const int64_t h = p * stride + r - pad, v = q * stride + s - pad;
                                if (h < 0 || h >= H || v < 0 || v >= H)
                                    continue;
                                double *a = &x->values[((n * C + c) * H + h) * H + v],
                                       *b = &w->values[((k * C + c) * R + r) * R + s],
                                       *d = &y->values[((n * K + k) * P + p) * P + q];
                                if (written == 0)
                                    *a += *b * *d;
                                else if (written == 1)
                                    *b += *a * *d;
                                else
                                    *d += *a * *b;
                            }
    put(run, results[written]);
}

static double at(const struct tensor *tensor, const struct tensor *like, int64_t i)
{
    int64_t place = 0, scale = 1;
    for (int d = 3; d >= 0; d--) {
        if (tensor->shape[d] != 1)
            place += i % like->shape[d] * scale;
        scale *= tensor->shape[d];
        i /= like->shape[d];
    }
    return tensor->values[place];
}

static void pointwise(struct run *run, const struct descriptor *operation)
{
    const struct descriptor *kind = fake_named(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const cudnnPointwiseMode_t mode = *(const cudnnPointwiseMode_t *)fake_find(kind, CUDNN_ATTR_POINTWISE_MODE)->values;
    const struct tensor *a = take(run, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, true), *b = a;
    if (fake_find(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC) != NULL)
        b = take(run, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, true);
    struct tensor *y = take(run, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, false);
    for (int64_t i = 0; i < y->count; i++) {
        const double left = at(a, y, i), right = at(b, y, i);
        switch (mode) {
        case CUDNN_POINTWISE_ADD:
            y->values[i] = left + right;
            break;
        case CUDNN_POINTWISE_MUL:
            y->values[i] = left * right;
            break;
        case CUDNN_POINTWISE_RELU_FWD:
            y->values[i] = left > 0.0 ? left : 0.0;
            break;
        case CUDNN_POINTWISE_CMP_GT:
            y->values[i] = left > right;
            break;
        default:
            abort();
        }
    }
    put(run, y);
}

static void norm_forward(struct run *run, const struct descriptor *operation)
{
    struct tensor *x = take(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, true),
                  *gamma = take(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, true),
                  *beta = take(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, true),
                  *epsilon = take(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, true),
                  *mean = take(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, false),
                  *inverse = take(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, false),
                  *y = take(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, false);
    const int64_t C = x->shape[1], pixels = x->shape[2] * x->shape[3];
    for (int64_t c = 0; c < C; c++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t i = 0; i < x->count; i++)
            sum += i / pixels % C == c ? x->values[i] : 0.0;
        mean->values[c] = sum / (double)(x->count / C);
        for (int64_t i = 0; i < x->count; i++)
            squares += i / pixels % C == c ? pow(x->values[i] - mean->values[c], 2.0) : 0.0;
        inverse->values[c] = 1.0 / sqrt(squares / (double)(x->count / C) + epsilon->values[0]);
    }
    for (int64_t i = 0; i < x->count; i++) {
        const int64_t c = i / pixels % C;
        y->values[i] = (x->values[i] - mean->values[c]) * inverse->values[c] * gamma->values[c] + beta->values[c];
    }
    put(run, mean);
    put(run, inverse);
    put(run, y);
}

static void norm_backward(struct run *run, const struct descriptor *operation)
{
    struct tensor *x = take(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, true),
                  *dy = take(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, true),
                  *gamma = take(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, true),
                  *mean = take(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, true),
                  *inverse = take(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, true),
                  *dgamma = take(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, false),
                  *dbeta = take(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, false),
                  *dx = take(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, false);
    const int64_t C = x->shape[1], pixels = x->shape[2] * x->shape[3];
    for (int64_t i = 0; i < x->count; i++) {
        const int64_t c = i / pixels % C;
        dbeta->values[c] += dy->values[i];
        dgamma->values[c] += dy->values[i] * (x->values[i] - mean->values[c]) * inverse->values[c];
    }
    for (int64_t i = 0; i < x->count; i++) {
        const int64_t c = i / pixels % C;
        const double centred = (x->values[i] - mean->values[c]) * inverse->values[c], M = (double)(x->count / C);
        dx->values[i] = gamma->values[c] * inverse->values[c] *
                        (dy->values[i] - dbeta->values[c] / M - centred * dgamma->values[c] / M);
    }
    put(run, dgamma);
    put(run, dbeta);
    put(run, dx);
}

/* Windows without overlap. */
static void average(struct run *run, const struct descriptor *operation, bool forward)
{
    struct tensor *x =
                      take(run, operation,
                           forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC,
                           forward),
                  *y =
                      take(run, operation,
                           forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC,
                           !forward);
    const int64_t H = x->shape[2], P = y->shape[2], side = H / P;
    for (int64_t i = 0; i < x->count; i++) {
        double *small = &y->values[(i / (H * H) * P + i / H % H / side) * P + i % H / side];
        if (forward)
            *small += x->values[i] / (double)(side * side);
        else
            x->values[i] = *small / (double)(side * side);
    }
    put(run, forward ? y : x);
}

void fake_execute(const struct descriptor *plan, const struct descriptor *pack)
{
    static const struct convolution_names forward = { CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA };
    static const struct convolution_names data = { CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA };
    static const struct convolution_names weight = { CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA };
    const struct descriptor *config = fake_named(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    const struct descriptor *graph = fake_named(config, CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
    const struct attribute *operations = fake_find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    struct run run = { .pack = pack };
    for (int64_t i = 0; i < operations->count; i++) {
        const struct descriptor *operation = ((struct descriptor **)operations->values)[i];
        switch (operation->type) {
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
            convolution(&run, operation, &forward, 2);
            break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
            convolution(&run, operation, &data, 0);
            break;
        case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
            convolution(&run, operation, &weight, 1);
            break;
        case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
            pointwise(&run, operation);
            break;
        case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR:
            norm_forward(&run, operation);
            break;
        case CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR:
            norm_backward(&run, operation);
            break;
        case CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR:
            average(&run, operation, true);
            break;
        case CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR:
            average(&run, operation, false);
            break;
        default:
            abort();
        }
    }
    for (size_t i = 0; i < run.count; i++)
        free(run.tensors[i].values);
}
