// What all kernels share: types, the cost kinds, reductions in a fixed order. Compiles as CUDA and, with HIREF_EMULATION, as host code.
#pragma once

#ifdef HIREF_EMULATION
#include "emulation.h"
// Bytes of shared memory, poisoned before each thread block.
#define SHARED_MEMORY(name) unsigned char* name = emulation::shared_memory()
#else
#define SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]
#endif

typedef unsigned int u32;
typedef unsigned long long u64;

#define FULL_MASK 0xffffffffu
#define NONE 0xffffffffu
#define WARP 32

// As `CostKind` in hiref-core.
enum Cost : u32 { SQUARED_EUCLIDEAN = 0, EUCLIDEAN = 1, COSINE = 2, NEGATIVE_INNER_PRODUCT = 3 };

// The sum over a warp, the same in every lane and every run.
template <typename T>
static __device__ inline T warp_sum(T value) {
    for (int offset = WARP / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(FULL_MASK, value, offset);
    return value;
}

template <typename T>
static __device__ inline T warp_max(T value) {
    for (int offset = WARP / 2; offset > 0; offset /= 2) {
        T other = __shfl_xor_sync(FULL_MASK, value, offset);
        value = other > value ? other : value;
    }
    return value;
}

template <typename T>
static __device__ inline T warp_min(T value) {
    for (int offset = WARP / 2; offset > 0; offset /= 2) {
        T other = __shfl_xor_sync(FULL_MASK, value, offset);
        value = other < value ? other : value;
    }
    return value;
}

static __device__ inline u32 lane_index() { return threadIdx.x % WARP; }
static __device__ inline u32 warp_index() { return threadIdx.x / WARP; }

// The cost between two rows in f64, by one warp; the result in every lane. Never differs from the definition on the host by more than
// the order of its sums.
static __device__ inline double warp_cost(u32 cost, const float* x, const float* y, u32 dimension) {
    double a = 0.0, xx = 0.0, yy = 0.0;
    for (u32 k = lane_index(); k < dimension; k += WARP) {
        double p = x[k], q = y[k];
        if (cost == SQUARED_EUCLIDEAN || cost == EUCLIDEAN) {
            a += (p - q) * (p - q);
        } else {
            a += p * q;
            xx += p * p;
            yy += q * q;
        }
    }
    a = warp_sum(a);
    if (cost == SQUARED_EUCLIDEAN) return a;
    if (cost == EUCLIDEAN) return sqrt(a);
    if (cost == NEGATIVE_INNER_PRODUCT) return -a;
    return 1.0 - a / sqrt(warp_sum(xx) * warp_sum(yy));
}
