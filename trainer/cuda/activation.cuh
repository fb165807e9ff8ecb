/* An activation as its reader forms it: from the convolution's output below, its batch norm's constants and the
 * shortcut; ARITHMETIC.md sections 4 and 5. */
#ifndef SELFSAME_CUDA_ACTIVATION_CUH
#define SELFSAME_CUDA_ACTIVATION_CUH

#include "trainer/cuda/kernels.h"
#include "trainer/gpu/kernel.cuh"

/* What the pixels of one image's channel have in common. */
struct activation_plane {
    const float *y, *z; /* z: NULL where no shortcut is added */
    float scale, shift;
};

DEVICE float activation_of(float y, float scale, float shift, float z)
{
    return exact_relu(fmaf(y, scale, shift) + z);
}

/* Channel c of image n; the activation is (N,C,side,side). Reads the constants. */
DEVICE struct activation_plane activation_plane(const struct cuda_activation &input, uint32_t C, uint32_t side,
                                                uint32_t n, uint32_t c)
{
    const struct cuda_shortcut_source &shortcut = input.shortcut;
    const size_t at = ((size_t)n * C + c) * side * side;
    struct activation_plane plane = { input.y + at, NULL, 1.0f, 0.0f };
    if (input.norm == NULL)
        return plane;
    plane.scale = __ldg(&input.norm[c].scale);
    plane.shift = __ldg(&input.norm[c].shift);
    if (shortcut.kind == CUDA_SHORTCUT_SAME)
        plane.z = shortcut.array + at;
    if (shortcut.kind == CUDA_SHORTCUT_SUBSAMPLED && c - shortcut.first < shortcut.channels)
        plane.z = shortcut.array + ((size_t)n * shortcut.channels + c - shortcut.first) * 4 * side * side;
    return plane;
}

/* Row h, columns w .. w+3 of a plane; w is a multiple of 4. Reads 16 bytes of y and of a shortcut of the same shape, 32
 * of a subsampled one. Where no shortcut is added, the ReLU makes that the same as adding +0. */
DEVICE float4 activation_load4(const struct cuda_activation &input, const struct activation_plane &plane, uint32_t side,
                               uint32_t h, uint32_t w)
{
    float4 v = *(const float4 *)(plane.y + h * side + w);
    if (input.norm == NULL)
        return v;
    float4 z = { 0.0f, 0.0f, 0.0f, 0.0f };
    if (plane.z != NULL) {
        if (input.shortcut.kind == CUDA_SHORTCUT_SAME) {
            z = *(const float4 *)(plane.z + h * side + w);
        } else {
            const float4 *pair = (const float4 *)(plane.z + 4 * h * side + 2 * w);
            z = { pair[0].x, pair[0].z, pair[1].x, pair[1].z };
        }
    }
    v.x = activation_of(v.x, plane.scale, plane.shift, z.x);
    v.y = activation_of(v.y, plane.scale, plane.shift, z.y);
    v.z = activation_of(v.z, plane.scale, plane.shift, z.z);
    v.w = activation_of(v.w, plane.scale, plane.shift, z.w);
    return v;
}

#endif
