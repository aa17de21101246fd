// Enough of CUDA's device language to compile the kernels with a host compiler.
//
// One thread block runs at a time. Its threads are fibres of one operating-system thread, which change hands at barriers and warp
// operations only; the order in which they run is chosen by the launch, so that a result that depends on it (a missing barrier) shows.
// A barrier or warp operation that not all of its threads reach is reported as an error. Shared memory is filled with NaN beforehand.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline

struct uint3 {
    unsigned x, y, z;
};
typedef uint3 dim3;

namespace emulation {
extern thread_local uint3 thread_index, block_index;
extern thread_local dim3 block_size, grid_size;
unsigned char* shared_memory();
void block_barrier();
// Publishes a value of this lane and waits for all 32; returns the values of all lanes.
const uint64_t* exchange(uint64_t value);

template <typename T>
uint64_t to_bits(T value) {
    static_assert(sizeof(T) <= 8, "at most 64 bits a lane");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    return bits;
}
template <typename T>
T of_bits(uint64_t bits) {
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}
inline unsigned lane() { return thread_index.x % 32; }
}  // namespace emulation

#define threadIdx emulation::thread_index
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

inline void __syncthreads() { emulation::block_barrier(); }
inline void __syncwarp() { emulation::exchange(0); }

template <typename T>
T __shfl_sync(unsigned, T value, int from) {
    return emulation::of_bits<T>(emulation::exchange(emulation::to_bits(value))[from % 32]);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulation::of_bits<T>(emulation::exchange(emulation::to_bits(value))[emulation::lane() ^ mask]);
}
template <typename T>
T __shfl_up_sync(unsigned, T value, unsigned delta) {
    unsigned lane = emulation::lane();
    return emulation::of_bits<T>(emulation::exchange(emulation::to_bits(value))[lane < delta ? lane : lane - delta]);
}
inline unsigned __ballot_sync(unsigned, bool predicate) {
    const uint64_t* all = emulation::exchange(predicate);
    unsigned mask = 0;
    for (unsigned l = 0; l < 32; l++) mask |= (unsigned)(all[l] != 0) << l;
    return mask;
}
inline unsigned __popc(unsigned value) { return (unsigned)__builtin_popcount(value); }
inline unsigned __ffs(unsigned value) { return (unsigned)__builtin_ffs((int)value); }

template <typename T>
T atomicAdd(T* address, T value) {
    T before = *address;
    *address += value;
    return before;
}
template <typename T>
T atomicMax(T* address, T value) {
    T before = *address;
    if (value > before) *address = value;
    return before;
}
template <typename T>
T atomicMin(T* address, T value) {
    T before = *address;
    if (value < before) *address = value;
    return before;
}
inline unsigned __float_as_uint(float value) { return (unsigned)emulation::to_bits(value); }
inline float __uint_as_float(unsigned bits) { return emulation::of_bits<float>(bits); }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
