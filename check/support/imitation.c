#include "check/support/imitation.h"

cudaStream_t new_stream(void)
{
    cudaStream_t stream;
    assert_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

void *device_memory(size_t bytes)
{
    void *memory;
    assert_cuda(cudaMalloc(&memory, bytes));
    return memory;
}

void *device_zeros(size_t bytes)
{
    void *memory = device_memory(bytes);
    assert_cuda(cudaMemset(memory, 0, bytes));
    return memory;
}

void *device_copy(const void *from, size_t bytes)
{
    void *memory = device_memory(bytes);
    assert_cuda(cudaMemcpy(memory, from, bytes, cudaMemcpyHostToDevice));
    return memory;
}

uint32_t device_number(const uint32_t *at)
{
    uint32_t number;
    assert_cuda(cudaMemcpy(&number, at, sizeof number, cudaMemcpyDeviceToHost));
    return number;
}

int imitation_reset(void **state)
{
    (void)state;
    cuda_host_fail(NULL);
    cuda_host_reset();
    return 0;
}
