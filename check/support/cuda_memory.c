#include "check/support/cuda_memory.h"

void cuda_expect(cudaError_t error)
{
    if (error != cudaSuccess)
        fail_msg("%s: %s", cudaGetErrorName(error), cudaGetErrorString(error));
}

cudaStream_t cuda_stream(struct cuda_memory *memory)
{
    if (memory->stream == NULL)
        cuda_expect(cudaStreamCreateWithFlags(&memory->stream, cudaStreamNonBlocking));
    return memory->stream;
}

void *cuda_blank(struct cuda_memory *memory, size_t bytes)
{
    void *piece = NULL;
    assert_true(memory->count < CUDA_MEMORY_PIECES);
    cuda_expect(cudaMalloc(&piece, bytes));
    memory->pieces[memory->count++] = piece;
    cuda_expect(cudaMemset(piece, 0xff, bytes));
    cuda_expect(cudaDeviceSynchronize());
    return piece;
}

void *cuda_copy(struct cuda_memory *memory, const void *from, size_t bytes)
{
    void *piece = cuda_blank(memory, bytes);
    cuda_expect(cudaMemcpy(piece, from, bytes, cudaMemcpyHostToDevice));
    return piece;
}

void *cuda_zeros(struct cuda_memory *memory, size_t bytes)
{
    void *piece = cuda_blank(memory, bytes);
    cuda_expect(cudaMemset(piece, 0, bytes));
    cuda_expect(cudaDeviceSynchronize());
    return piece;
}

void cuda_fetch(void *to, const void *piece, size_t bytes)
{
    cuda_expect(cudaDeviceSynchronize());
    cuda_expect(cudaMemcpy(to, piece, bytes, cudaMemcpyDeviceToHost));
}

void cuda_release(struct cuda_memory *memory)
{
    cuda_expect(cudaDeviceSynchronize());
    while (memory->count > 0)
        cuda_expect(cudaFree(memory->pieces[--memory->count]));
    if (memory->stream != NULL)
        cuda_expect(cudaStreamDestroy(memory->stream));
    memory->stream = NULL;
}

void cuda_expect_equal(const void *expected, const void *piece, size_t bytes)
{
    void *found = malloc(bytes);
    assert_non_null(found);
    cuda_fetch(found, piece, bytes);
    assert_memory_equal(found, expected, bytes);
    free(found);
}

void cuda_order(uint32_t order)
{
#ifdef CUDA_HOST
    cuda_host_seed(order < 2 ? order : 1000 + order);
#else
    (void)order;
#endif
}

float *cuda_normals(uint64_t seed, size_t count, float mean)
{
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++) {
        uint32_t words[4];
        random_block(seed, RANDOM_WEIGHTS, 0, (uint32_t)i, words);
        values[i] = mean + (float)random_normal(words[0]);
    }
    return values;
}

void cuda_sprinkle(size_t count, float *values)
{
    static const float special[] = { -0.0f, 0.0f, 0x1p-149f, -0x1.8p-127f, -0.0f, 0x1.fffffcp-127f };
    for (size_t i = 3, next = 0; i < count; i += 5, next++)
        values[i] = special[next % (sizeof special / sizeof *special)];
}
