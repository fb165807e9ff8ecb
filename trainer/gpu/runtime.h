/* The CUDA runtime, and the one way in which its calls are checked. */
#ifndef SELFSAME_GPU_RUNTIME_H
#define SELFSAME_GPU_RUNTIME_H

#include <cuda_runtime_api.h>

#include "trainer/device.h"

/* The status of a call that has returned `code`; `call` is its name. */
static inline enum status cuda_status(struct error *error, cudaError_t code, const char *call)
{
    return code == cudaSuccess ? STATUS_OK : cuda_error(error, (int)code, call);
}

/* Calls a function of the runtime, or one that launches a kernel, and returns from the caller if it fails. */
#define TRY(error, function, ...)                                                          \
    do {                                                                                   \
        const enum status tried_ = cuda_status((error), function(__VA_ARGS__), #function); \
        if (tried_ != STATUS_OK)                                                           \
            return tried_;                                                                 \
    } while (0)

#endif
