/* A stand-in for cuDNN and cuBLAS, for tests without a device: the functions that library.h lists, on host memory. A
 * plan is run at once, or, after fake_defer, when the imitation of CUDA's streams comes to it. fake_descriptors.c has
 * the descriptors, and fake_operations.c what a plan computes. */
#include <cublas_v2.h>
#include <cudnn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "check/cudnn/fake.h"
#include "check/cudnn/fake_graph.h"

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
    fake_execute(execution->plan, execution->pack);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t in, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
    struct handle *handle = (struct handle *)(void *)in;
    const struct execution execution = { plan, pack };
    if (enqueue == NULL) {
        fake_execute(plan, pack);
        return CUDNN_STATUS_SUCCESS;
    }
    hold(handle, plan);
    hold(handle, pack);
    return enqueue(execute_queued, &execution, sizeof execution, handle->stream) ? CUDNN_STATUS_SUCCESS
                                                                                 : CUDNN_STATUS_EXECUTION_FAILED;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

/* FAKE_CUDNN_VERSION: another version, such as 90100. */
size_t cudnnGetVersion(void)
{
    const char *version = getenv("FAKE_CUDNN_VERSION");
    return version != NULL ? strtoul(version, NULL, 10) : 91900;
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
