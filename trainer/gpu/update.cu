/* The update of parameters, with all that is done once the new values are known: the check for what is not finite, the
 * ledger digest, and the packed copies that the convolutions read. ARITHMETIC.md sections 7 and 13. */
#include "trainer/gpu/kernel.cuh"

enum { UPDATE_THREADS = 256, UPDATE_WARPS = UPDATE_THREADS / WARP, TURNS = GPU_PIECE / UPDATE_THREADS };

/* Where element e of a 3x3 convolution's weights goes: kernels.h, struct gpu_piece. */
DEVICE void pack(float *packed, const struct gpu_piece &piece, uint32_t e, float w)
{
    const uint32_t s = e % 3, r = e / 3 % 3, c = e / 9 % piece.C, k = e / 9 / piece.C;
    const uint32_t block = piece.C < EXACT_CHANNEL_BLOCK ? piece.C : (uint32_t)EXACT_CHANNEL_BLOCK;
    packed[piece.forward + (((c / block * 3 + r) * block + c % block) * 3 + s) * piece.K + k] = w;
    if (piece.C == block && block < EXACT_CHANNEL_BLOCK)
        return; /* the first layer has no backward data */
    const uint32_t filter_block = k / EXACT_CHANNEL_BLOCK, filter = k % EXACT_CHANNEL_BLOCK;
    packed[piece.backward + (((filter_block * 3 + 2 - r) * EXACT_CHANNEL_BLOCK + filter) * 3 + 2 - s) * piece.C + c] =
        w;
}

/* The block's digest is added to the step's; sums modulo 2^64, so any order will do. */
DEVICE void add_digest(const struct gpu_report &to, const uint64_t digest[2])
{
    __shared__ unsigned long long partial[2][UPDATE_WARPS];
    const uint32_t warp = threadIdx.x / WARP;
#pragma unroll
    for (int word = 0; word < 2; word++) {
        const unsigned long long sum = lane_tree((unsigned long long)digest[word], WARP);
        if (threadIdx.x % WARP == 0)
            partial[word][warp] = sum;
    }
    __syncthreads();
    if (threadIdx.x < 2) {
        unsigned long long sum = 0;
        for (int i = 0; i < UPDATE_WARPS; i++)
            sum += partial[threadIdx.x][i];
        atomicAdd(&to.results[to.current->slot].digest[threadIdx.x], sum);
    }
}

/* A block per piece. */
static __global__ void __launch_bounds__(UPDATE_THREADS) update(const struct gpu_update_arguments arguments)
{
    const struct gpu_piece piece = arguments.pieces[blockIdx.x];
    const bool updates = arguments.update && !piece.running;
    const float rate = arguments.update ? arguments.report.current->rate : 0.0f;
    uint64_t digest[2] = { 0, 0 };
    bool finite = true;
#pragma unroll
    for (int turn = 0; turn < TURNS; turn++) {
        const uint32_t i = turn * UPDATE_THREADS + threadIdx.x, at = piece.at + i;
        if (i >= piece.count)
            break;
        float w = arguments.values[at];
        if (updates) {
            float v = arguments.momentum[at];
            const float g = arguments.gradients[at];
            if (arguments.form == MOMENTUM_NEON)
                exact_update_neon(&w, &v, g, rate, arguments.momentum_factor, arguments.decay);
            else
                exact_update_pytorch(&w, &v, g, rate, arguments.momentum_factor, arguments.decay);
            arguments.values[at] = w;
            arguments.momentum[at] = v;
        }
        const uint32_t bits = __float_as_uint(w);
        finite = finite && (bits & 0x7f800000u) != 0x7f800000u;
        exact_ledger_add(digest, at, bits);
        if (piece.K != 0)
            pack(arguments.packed, piece, piece.within + i, w);
    }
    if (!arguments.update)
        return;
    if (!finite)
        report(arguments.report, arguments.report.culprit + piece.tensor);
    add_digest(arguments.report, digest);
}

cudaError_t gpu_update(const struct gpu_update_arguments *arguments, cudaStream_t stream)
{
    return launch(update, dim3(arguments->piece_count), dim3(UPDATE_THREADS), 0, stream, *arguments);
}
