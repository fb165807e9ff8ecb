/* The kernels of check/unit/test_cuda_host.cu: each right, or wrong in one way that the imitation of CUDA must show. */
#ifndef SELFSAME_TEST_CUDA_HOST_H
#define SELFSAME_TEST_CUDA_HOST_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out[block] = the sum of those of in[0..count) that fall to the block; *total, by the last block, the sum of out. */
struct reduce_arguments {
    const uint32_t *in;
    uint32_t count, blocks, threads;
    uint32_t *out, *arrived, *total;
};
cudaError_t test_reduce(const struct reduce_arguments *arguments, cudaStream_t stream);

/* One block of `threads`, `bytes` of dynamic shared memory: out[i] = in[threads - 1 - i] through it. */
struct reverse_arguments {
    const float *in;
    float *out;
    uint32_t threads, bytes;
    uint32_t write_at; /* 0, or a byte of dynamic shared memory that is overwritten */
};
cudaError_t test_reverse(const struct reverse_arguments *arguments, cudaStream_t stream);
cudaError_t test_reverse_permit(int bytes);

/* Shuffles of each kind within `width` lanes by `operand`: out[kind][lane], 32 lanes. */
struct shuffles_arguments {
    uint32_t *out;
    uint32_t operand, width;
};
cudaError_t test_shuffles(const struct shuffles_arguments *arguments, cudaStream_t stream);

/* Bit operations and atomics, on one thread: out[TEST_SCALARS]. */
enum { TEST_SCALARS = 32 };
struct scalars_arguments {
    uint32_t *out;
};
cudaError_t test_scalars(const struct scalars_arguments *arguments, cudaStream_t stream);

/* One thread of each of `blocks` blocks: *at = *at * factor + addend + block. The order of blocks shows. */
struct affine_arguments {
    uint32_t *at;
    uint32_t blocks, factor, addend;
};
cudaError_t test_affine(const struct affine_arguments *arguments, cudaStream_t stream);

/* Mistakes, in a block of 64 threads. */
enum mistake {
    MISTAKE_NONE,
    MISTAKE_RACE,         /* neighbours read before the barrier */
    MISTAKE_BARRIERS,     /* half the block at one barrier, half at another */
    MISTAKE_LANE_MISSING, /* one lane of the mask waits elsewhere */
    MISTAKE_LANE_OUTSIDE, /* reads a lane outside the mask */
    MISTAKE_MASK,         /* the caller is not in its mask */
    MISTAKE_OVERRUN,      /* writes behind the array */
    MISTAKE_UNWRITTEN     /* reads shared memory that nobody wrote */
};
struct mistake_arguments {
    uint32_t mistake;
    uint32_t *out; /* [64] */
};
cudaError_t test_mistake(const struct mistake_arguments *arguments, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
