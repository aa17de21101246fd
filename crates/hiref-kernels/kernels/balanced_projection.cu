// A mirror-descent step and its projection onto uniform column sums; the specification is hiref-core's
// ops/balanced_projection/cpu.rs. Logits and factors are (B, r, s); clusters r <= MAX_RANK.
#include "common.cuh"

#define MAX_RANK 32
// Points to a thread block of the passes over points.
#define TILE 256

static __device__ inline u32 pair_count(u32 rank) { return rank * (rank + 1) / 2; }

// largest[b] = max |gain[b]|. A thread block for each block.
extern "C" __global__ void largest_gain(const float* gain, u64 length, float* largest) {
    SHARED_MEMORY(memory);
    float* warps = (float*)memory;
    const float* mine = gain + blockIdx.x * length;
    float most = 0.0f;
    for (u64 i = threadIdx.x; i < length; i += blockDim.x) most = fmaxf(most, fabsf(mine[i]));
    most = warp_max(most);
    if (lane_index() == 0) warps[warp_index()] = most;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (u32 w = 1; w < blockDim.x / WARP; w++) most = fmaxf(most, warps[w]);
        largest[blockIdx.x] = most;
    }
}

// logits = log_q + step * gain / largest. Grid (chunks, blocks).
extern "C" __global__ void add_scaled(const float* log_q, const float* gain, const float* largest, float step, u64 length,
                                      float* logits) {
    float most = largest[blockIdx.y], scale = most > 0.0f ? step / most : 0.0f;
    u64 start = blockIdx.y * length;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < length; i += (u64)gridDim.x * blockDim.x) {
        logits[start + i] = log_q[start + i] + scale * gain[start + i];
    }
}

// Sums of the factor's columns and of products of columns over one chunk of points, under prices: partial[b, c, :] holds the pairs
// (k, l), k <= l, row by row, then the sums. Grid (chunks, blocks); `done` blocks are left out.
extern "C" __global__ void newton_moments(const float* logits, const double* prices, const u32* done, u32 rank, u64 size,
                                          u32 tiles_per_chunk, double* partial) {
    SHARED_MEMORY(memory);
    u32 block = blockIdx.y, pairs = pair_count(rank), entries = pairs + rank;
    double* sums = (double*)memory;                     // (entries,)
    float* weights = (float*)(sums + entries);          // (rank, TILE + 1)
    if (done[block]) return;
    for (u32 e = threadIdx.x; e < entries; e += blockDim.x) sums[e] = 0.0;
    const float* mine = logits + (u64)block * rank * size;
    for (u32 tile = 0; tile < tiles_per_chunk; tile++) {
        u64 point = ((u64)blockIdx.x * tiles_per_chunk + tile) * TILE + threadIdx.x;
        __syncthreads();
        if (threadIdx.x < TILE) {
            float largest = -INFINITY, total = 0.0f;
            for (u32 k = 0; k < rank; k++) {
                float v = point < size ? mine[k * size + point] + (float)prices[block * rank + k] : 0.0f;
                weights[k * (TILE + 1) + threadIdx.x] = v;
                largest = fmaxf(largest, v);
            }
            for (u32 k = 0; k < rank; k++) {
                float e = expf(weights[k * (TILE + 1) + threadIdx.x] - largest);
                weights[k * (TILE + 1) + threadIdx.x] = e;
                total += e;
            }
            // Points past the end count for nothing.
            float scale = point < size ? 1.0f / total : 0.0f;
            for (u32 k = 0; k < rank; k++) weights[k * (TILE + 1) + threadIdx.x] *= scale;
        }
        __syncthreads();
        for (u32 e = threadIdx.x; e < entries; e += blockDim.x) {
            u32 k = e - pairs, l = NONE;
            if (e < pairs) {
                k = 0;
                u32 rest = e;
                while (rest >= rank - k) rest -= rank - k++;
                l = k + rest;
            }
            double sum = 0.0;
            for (u32 p = 0; p < TILE; p++) {
                float w = weights[k * (TILE + 1) + p];
                sum += l == NONE ? w : w * weights[l * (TILE + 1) + p];
            }
            sums[e] += sum;
        }
    }
    __syncthreads();
    for (u32 e = threadIdx.x; e < entries; e += blockDim.x) partial[((u64)block * gridDim.x + blockIdx.x) * entries + e] = sums[e];
}

// Adds the chunks up and moves the prices by one damped Newton step, or by a Sinkhorn step far from the solution; marks blocks whose
// column sums are within tolerance. One thread block of at least `entries` threads' worth of loops for each block.
extern "C" __global__ void newton_update(const double* partial, u32 chunks, u32 rank, u64 size, double tolerance,
                                         double* prices, u32* done) {
    SHARED_MEMORY(memory);
    u32 block = blockIdx.x, pairs = pair_count(rank), entries = pairs + rank;
    double* total = (double*)memory;         // (entries,)
    double* matrix = total + entries;        // (rank, rank)
    double* change = matrix + rank * rank;   // (rank,)
    if (done[block]) return;
    for (u32 e = threadIdx.x; e < entries; e += blockDim.x) {
        double sum = 0.0;
        for (u32 c = 0; c < chunks; c++) sum += partial[((u64)block * chunks + c) * entries + e];
        total[e] = sum;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    const double* sums = total + pairs;
    double target = (double)size / rank, off = 0.0;
    for (u32 k = 0; k < rank; k++) off = fmax(off, fabs(sums[k] / target - 1.0));
    if (off <= tolerance) {
        done[block] = 1;
        return;
    }
    double* price = prices + (u64)block * rank;
    bool solved = off < 0.5;
    if (solved) {
        // Hessian diag(sums) - products, singular along the all-ones direction: the damping fixes that direction.
        for (u32 k = 0, e = 0; k < rank; k++) {
            for (u32 l = k; l < rank; l++, e++) matrix[k * rank + l] = matrix[l * rank + k] = -total[e];
        }
        for (u32 k = 0; k < rank; k++) {
            matrix[k * rank + k] += sums[k] + 1e-6 * target;
            change[k] = target - sums[k];
        }
        for (u32 k = 0; k < rank && solved; k++) {
            double pivot = matrix[k * rank + k];
            solved = pivot > 0.0;
            for (u32 i = k + 1; i < rank && solved; i++) {
                double ratio = matrix[i * rank + k] / pivot;
                for (u32 j = k; j < rank; j++) matrix[i * rank + j] -= ratio * matrix[k * rank + j];
                change[i] -= ratio * change[k];
            }
        }
    }
    if (solved) {
        double largest = 0.0;
        for (u32 back = 0; back < rank; back++) {
            u32 k = rank - 1 - back;
            double tail = 0.0;
            for (u32 j = k + 1; j < rank; j++) tail += matrix[k * rank + j] * change[j];
            change[k] = (change[k] - tail) / matrix[k * rank + k];
            largest = fmax(largest, fabs(change[k]));
        }
        double damping = largest > 2.0 ? 2.0 / largest : 1.0;
        for (u32 k = 0; k < rank; k++) price[k] += damping * change[k];
    } else {
        for (u32 k = 0; k < rank; k++) price[k] -= log(fmax(sums[k] / target, 1e-6));
    }
}

// logits <- log softmax(logits + prices) over the clusters, factor <- its exponential. Grid (points / threads, blocks).
extern "C" __global__ void write_factor(float* logits, const double* prices, u32 rank, u64 size, float* factor) {
    u64 point = (u64)blockIdx.x * blockDim.x + threadIdx.x, start = (u64)blockIdx.y * rank * size + point;
    if (point >= size) return;
    float largest = -INFINITY, sum = 0.0f;
    for (u32 k = 0; k < rank; k++) largest = fmaxf(largest, logits[start + k * size] + (float)prices[blockIdx.y * rank + k]);
    for (u32 k = 0; k < rank; k++) {
        float v = logits[start + k * size] + (float)prices[blockIdx.y * rank + k] - largest, e = expf(v);
        logits[start + k * size] = v;
        factor[start + k * size] = e;
        sum += e;
    }
    float log_sum = logf(sum);
    for (u32 k = 0; k < rank; k++) {
        logits[start + k * size] -= log_sum;
        factor[start + k * size] /= sum;
    }
}
