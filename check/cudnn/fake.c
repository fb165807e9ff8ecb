/* A stand-in for cuDNN and cuBLAS, for tests without a device: the functions that library.h lists, on host memory. A
 * plan interprets the operations of its graph one after the other in binary64; numbers are rounded where a tensor is
 * stored. It does so at once, or, after fake_defer, when the imitation of CUDA's streams comes to it. The heuristic
 * knows one engine, number 0, for every graph. */
#include <cublas_v2.h>
#include <cudnn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check/cudnn/fake.h"

enum { ATTRIBUTES = 24, VALUES = 16 };

struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t count;
    void *values;
};

struct descriptor {
    cudnnBackendDescriptorType_t type;
    unsigned references;
    size_t count;
    struct attribute attributes[ATTRIBUTES];
    unsigned char described[ATTRIBUTES]; /* 1: the attribute holds descriptors */
};

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

static size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    default:
        return 4;
    }
}

static const struct attribute *find(const struct descriptor *descriptor, cudnnBackendAttributeName_t name)
{
    for (size_t i = 0; i < descriptor->count; i++) {
        if (descriptor->attributes[i].name == name)
            return &descriptor->attributes[i];
    }
    return NULL;
}

/* The descriptor that an attribute names, or NULL. */
static struct descriptor *named(const struct descriptor *descriptor, cudnnBackendAttributeName_t name)
{
    const struct attribute *attribute = find(descriptor, name);
    return attribute == NULL ? NULL : *(struct descriptor **)attribute->values;
}

static int64_t integer(const struct descriptor *descriptor, cudnnBackendAttributeName_t name)
{
    return *(const int64_t *)find(descriptor, name)->values;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    struct descriptor *descriptor = calloc(1, sizeof *descriptor);
    if (descriptor == NULL)
        return CUDNN_STATUS_ALLOC_FAILED;
    descriptor->type = type;
    descriptor->references = 1;
    *out = descriptor;
    return CUDNN_STATUS_SUCCESS;
}

/* What a descriptor was given stays as long as it does. */
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t out)
{
    struct descriptor *descriptor = out;
    if (descriptor == NULL || --descriptor->references > 0)
        return CUDNN_STATUS_SUCCESS;
    for (size_t i = 0; i < descriptor->count; i++) {
        for (int64_t j = 0; descriptor->described[i] && j < descriptor->attributes[i].count; j++)
            cudnnBackendDestroyDescriptor(((struct descriptor **)descriptor->attributes[i].values)[j]);
        free(descriptor->attributes[i].values);
    }
    free(descriptor);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t in, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    struct descriptor *descriptor = in;
    if (descriptor->count == ATTRIBUTES || count < 1 || find(descriptor, name) != NULL)
        return CUDNN_STATUS_BAD_PARAM;
    void *copy = malloc((size_t)count * size_of(type));
    if (copy == NULL)
        return CUDNN_STATUS_ALLOC_FAILED;
    memcpy(copy, values, (size_t)count * size_of(type));
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++)
        ((struct descriptor **)copy)[i]->references++;
    descriptor->described[descriptor->count] = type == CUDNN_TYPE_BACKEND_DESCRIPTOR;
    descriptor->attributes[descriptor->count++] = (struct attribute){ name, count, copy };
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    (void)descriptor;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const in, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, int64_t *written, void *values)
{
    const struct descriptor *descriptor = in;
    (void)type;
    (void)count;
    *written = 0;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: { /* the first of the caller's configurations learns of the graph */
        struct descriptor *graph = named(descriptor, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        *written = 1;
        return cudnnBackendSetAttribute(*(struct descriptor **)values, CUDNN_ATTR_ENGINE_OPERATION_GRAPH,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
    }
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)values = 0;
        *written = 1;
        break;
    default:
        break; /* no notes, no knobs */
    }
    return CUDNN_STATUS_SUCCESS;
}

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
    const struct attribute *uids = find(run->pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const struct attribute *pointers = find(run->pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    for (int64_t i = 0; i < uids->count; i++) {
        if (((const int64_t *)uids->values)[i] == uid)
            return ((void **)pointers->values)[i];
    }
    abort(); /* the caller forgot a tensor */
}

static float from_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Moves a tensor between its numbers and its memory. */
static void move(const struct run *run, const struct tensor *tensor, bool store)
{
    const cudnnDataType_t type =
        *(const cudnnDataType_t *)find(tensor->descriptor, CUDNN_ATTR_TENSOR_DATA_TYPE)->values;
    const int64_t *strides = find(tensor->descriptor, CUDNN_ATTR_TENSOR_STRIDES)->values;
    void *memory = memory_of(run, tensor->uid);
    if ((uintptr_t)memory % (uintptr_t)integer(tensor->descriptor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) != 0)
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
    const struct attribute *attribute = find(tensor->descriptor, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    return attribute != NULL && *(const bool *)attribute->values;
}

/* The tensor that an operation's attribute names; loaded when first seen, unless it is only written. */
static struct tensor *take(struct run *run, const struct descriptor *operation, cudnnBackendAttributeName_t name,
                           bool load)
{
    const struct descriptor *descriptor = named(operation, name);
    const int64_t uid = integer(descriptor, CUDNN_ATTR_TENSOR_UNIQUE_ID);
    for (size_t i = 0; i < run->count; i++) {
        if (run->tensors[i].uid == uid)
            return &run->tensors[i];
    }
    if (run->count == VALUES)
        abort();
    struct tensor *tensor = &run->tensors[run->count++];
    tensor->descriptor = descriptor;
    tensor->uid = uid;
    memcpy(tensor->shape, find(descriptor, CUDNN_ATTR_TENSOR_DIMENSIONS)->values, sizeof tensor->shape);
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
    const struct descriptor *description = named(operation, names->description);
    const int64_t pad = integer(description, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
                  stride = integer(description, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    const double beta = *(const float *)find(operation, names->beta)->values;
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
    const struct descriptor *kind = named(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const cudnnPointwiseMode_t mode = *(const cudnnPointwiseMode_t *)find(kind, CUDNN_ATTR_POINTWISE_MODE)->values;
    const struct tensor *a = take(run, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, true), *b = a;
    if (find(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC) != NULL)
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

static void execute(const struct descriptor *in, const struct descriptor *pack)
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
    const struct descriptor *config = named(in, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    const struct descriptor *graph = named(config, CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
    const struct attribute *operations = find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
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

/* ---- work on a stream -------------------------------------------------------------------------------------------- */

/* Of cuDNN or cuBLAS. What queued work names is held until the handle goes: graphs may run it again and again. */
struct handle {
    cudaStream_t stream;
    struct descriptor **held;
    size_t held_count;
};

static fake_enqueue *enqueue;

void fake_defer(fake_enqueue *how)
{
    enqueue = how;
}

static void hold(struct handle *handle, struct descriptor *descriptor)
{
    struct descriptor **held = realloc(handle->held, (handle->held_count + 1) * sizeof *held);
    if (held == NULL)
        abort();
    descriptor->references++;
    held[handle->held_count++] = descriptor;
    handle->held = held;
}

struct execution {
    struct descriptor *plan, *pack;
};

static void execute_queued(const void *argument)
{
    const struct execution *execution = argument;
    execute(execution->plan, execution->pack);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t in, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
    struct handle *handle = (struct handle *)(void *)in;
    const struct execution execution = { plan, pack };
    if (enqueue == NULL) {
        execute(plan, pack);
        return CUDNN_STATUS_SUCCESS;
    }
    hold(handle, plan);
    hold(handle, pack);
    return enqueue(execute_queued, &execution, sizeof execution, handle->stream) ? CUDNN_STATUS_SUCCESS
                                                                                 : CUDNN_STATUS_EXECUTION_FAILED;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

size_t cudnnGetVersion(void)
{
    return 91900;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_BAD_PARAM ? "CUDNN_STATUS_BAD_PARAM" : "a stand-in's error";
}

void cudnnGetLastErrorString(char *message, size_t size)
{
    if (size > 0)
        message[0] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    *handle = calloc(1, sizeof(struct handle));
    return *handle != NULL ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_ALLOC_FAILED;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t in)
{
    struct handle *handle = (struct handle *)(void *)in;
    for (size_t i = 0; i < handle->held_count; i++)
        cudnnBackendDestroyDescriptor(handle->held[i]);
    free(handle->held);
    free(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    ((struct handle *)(void *)handle)->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    *handle = calloc(1, sizeof(struct handle));
    return *handle != NULL ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value)
{
    *value = type == MAJOR_VERSION ? 13 : 0;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    (void)status;
    return "a stand-in's error";
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    ((struct handle *)(void *)handle)->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    (void)handle;
    (void)workspace;
    (void)bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    (void)handle;
    (void)mode;
    return CUBLAS_STATUS_SUCCESS;
}

struct product {
    cublasOperation_t a_operation, b_operation;
    int m, n, k, a_stride, b_stride, c_stride;
    float alpha, beta;
    const float *a, *b;
    float *c;
};

/* Column-major, as ever: c (m,n) = alpha op(a) op(b) + beta c. */
static void multiply(const void *argument)
{
    const struct product *p = argument;
    for (int j = 0; j < p->n; j++) {
        for (int i = 0; i < p->m; i++) {
            double sum = 0.0;
            for (int l = 0; l < p->k; l++)
                sum += (double)p->a[p->a_operation == CUBLAS_OP_N ? i + l * p->a_stride : l + i * p->a_stride] *
                       (double)p->b[p->b_operation == CUBLAS_OP_N ? l + j * p->b_stride : j + l * p->b_stride];
            float *c = &p->c[i + j * p->c_stride];
            *c = (float)((double)p->alpha * sum + (p->beta == 0.0f ? 0.0 : (double)p->beta * (double)*c));
        }
    }
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                              int k, const float *alpha, const float *A, int lda, const float *B, int ldb,
                              const float *beta, float *C, int ldc)
{
    const struct product product = { transa, transb, m, n, k, lda, ldb, ldc, *alpha, *beta, A, B, C };
    if (enqueue == NULL) {
        multiply(&product);
        return CUBLAS_STATUS_SUCCESS;
    }
    return enqueue(multiply, &product, sizeof product, ((struct handle *)(void *)handle)->stream)
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_EXECUTION_FAILED;
}
