/* Lets the stand-in of cuDNN and cuBLAS work on the streams of the imitation of CUDA (check/cuda_host). */
#ifndef CUDNN_DEFER_H
#define CUDNN_DEFER_H

#include "check/cudnn/fake.h"

#ifdef __cplusplus
extern "C"
#endif
    bool
    defer_to_stream(void (*work)(const void *argument), const void *argument, size_t bytes, struct CUstream_st *stream);

#endif
