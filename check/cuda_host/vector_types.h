/* The vector types of CUDA that our kernels use, with the sizes and alignments that nvcc gives them. C11 and C++. */
#ifndef CUDA_HOST_VECTOR_TYPES_H
#define CUDA_HOST_VECTOR_TYPES_H

#define CUDA_HOST_VECTOR_2(name, type, alignment) \
    typedef struct name {                         \
        type x, y;                                \
    } __attribute__((aligned(alignment))) name;
#define CUDA_HOST_VECTOR_3(name, type) \
    typedef struct name {              \
        type x, y, z;                  \
    } name;
#define CUDA_HOST_VECTOR_4(name, type, alignment) \
    typedef struct name {                         \
        type x, y, z, w;                          \
    } __attribute__((aligned(alignment))) name;

CUDA_HOST_VECTOR_2(uchar2, unsigned char, 2)
CUDA_HOST_VECTOR_4(uchar4, unsigned char, 4)
CUDA_HOST_VECTOR_2(ushort2, unsigned short, 4)
CUDA_HOST_VECTOR_4(ushort4, unsigned short, 8)
CUDA_HOST_VECTOR_2(int2, int, 8)
CUDA_HOST_VECTOR_3(int3, int)
CUDA_HOST_VECTOR_4(int4, int, 16)
CUDA_HOST_VECTOR_2(uint2, unsigned, 8)
CUDA_HOST_VECTOR_3(uint3, unsigned)
CUDA_HOST_VECTOR_4(uint4, unsigned, 16)
CUDA_HOST_VECTOR_2(float2, float, 8)
CUDA_HOST_VECTOR_3(float3, float)
CUDA_HOST_VECTOR_4(float4, float, 16)
CUDA_HOST_VECTOR_2(double2, double, 16)
CUDA_HOST_VECTOR_2(longlong2, long long, 16)
CUDA_HOST_VECTOR_2(ulonglong2, unsigned long long, 16)

typedef struct dim3 {
    unsigned x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
#endif
} dim3;

#endif
