// Kernels with planted faults, by which the tests see that the emulator finds them.
#include "common.cuh"

// Reads a neighbour's value without a barrier: depends on the order of threads.
extern "C" __global__ void faulty_missing_barrier(u32* out) {
    SHARED_MEMORY(memory);
    u32* values = (u32*)memory;
    values[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = values[(threadIdx.x + 1) % blockDim.x];
}

// A barrier that half of the threads never reach.
extern "C" __global__ void faulty_divergent_barrier(u32* out) {
    if (threadIdx.x < blockDim.x / 2) __syncthreads();
    out[threadIdx.x] = 1;
}

// One value too many.
extern "C" __global__ void faulty_out_of_bounds(u32* out) {
    out[threadIdx.x] = 1;
    if (threadIdx.x == 0) out[blockDim.x] = 1;
}
