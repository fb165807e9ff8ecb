/* The kernels of defer.h: the stand-in's work as kernels of one thread. */
#include <cuda_runtime.h>
#include <string.h>

#include "check/cudnn/defer.h"

struct deferred {
    void (*work)(const void *argument);
    alignas(16) unsigned char argument[FAKE_ARGUMENT_BYTES];
};

static __global__ void call(const struct deferred deferred)
{
    deferred.work(deferred.argument);
}

extern "C" bool defer_to_stream(void (*work)(const void *argument), const void *argument, size_t bytes,
                                struct CUstream_st *stream)
{
    struct deferred deferred = { work, {} };
    if (bytes > sizeof deferred.argument)
        return false;
    memcpy(deferred.argument, argument, bytes);
    void *list[] = { (void *)&deferred };
    return cudaLaunchKernel(call, dim3(1), dim3(1), list, 0, stream) == cudaSuccess;
}
