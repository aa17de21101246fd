// Costs inside blocks of pairs; the specification is hiref-core's cost/tile.rs.
#include "common.cuh"

#define SIDE 32
#define DEPTH 32

// out[b, i, j] = <x_i, y_j>, or |x_i - y_j| if `distance`, for x, y (B, stride, d). Tiles of 32 x 32 by 256 threads, four entries each.
// Grid (stride / 32, stride / 32, blocks).
extern "C" __global__ void block_products(const float* x, const float* y, u32 stride, u32 dimension, u32 distance,
                                          float* out) {
    SHARED_MEMORY(memory);
    float* xs = (float*)memory;             // (SIDE, DEPTH + 1)
    float* ys = xs + SIDE * (DEPTH + 1);    // (SIDE, DEPTH + 1)
    u32 row0 = blockIdx.y * SIDE, column0 = blockIdx.x * SIDE;
    u64 base = (u64)blockIdx.z * stride;
    u32 column = threadIdx.x % SIDE, row = threadIdx.x / SIDE;  // rows row, row + 8, row + 16, row + 24
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (u32 k0 = 0; k0 < dimension; k0 += DEPTH) {
        for (u32 e = threadIdx.x; e < SIDE * DEPTH; e += blockDim.x) {
            u32 r = e / DEPTH, k = e % DEPTH;
            bool deep = k0 + k < dimension;
            xs[r * (DEPTH + 1) + k] = deep && row0 + r < stride ? x[(base + row0 + r) * dimension + k0 + k] : 0.0f;
            ys[r * (DEPTH + 1) + k] = deep && column0 + r < stride ? y[(base + column0 + r) * dimension + k0 + k] : 0.0f;
        }
        __syncthreads();
        for (u32 k = 0; k < DEPTH; k++) {
            float b = ys[column * (DEPTH + 1) + k];
#pragma unroll
            for (u32 q = 0; q < 4; q++) {
                float a = xs[(row + 8 * q) * (DEPTH + 1) + k];
                sum[q] += distance ? (a - b) * (a - b) : a * b;
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (u32 q = 0; q < 4; q++) {
        u32 i = row0 + row + 8 * q, j = column0 + column;
        if (i < stride && j < stride) out[(base + i) * stride + j] = distance ? sqrtf(sum[q]) : sum[q];
    }
}

// What is taken from each column, in f64: c(reference, y_j) up to a constant, the reference being the mean of the block's x; 0 where there is
// no such y.
// A warp for each row of (blocks * stride).
extern "C" __global__ void column_terms(u32 cost, const float* y, u32 num_y, u32 dimension, const double* scales,
                                        const u32* index, const u32* sizes, u32 stride, u32 blocks, const double* means, double* terms) {
    u64 row = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (row >= (u64)blocks * stride) return;
    u32 block = (u32)(row / stride);
    double sum = 0.0;
    u32 from = row % stride < sizes[block] ? index[row] : NONE;
    if (from < num_y) {
        double scale = scales ? scales[from] : 1.0;
        for (u32 k = lane_index(); k < dimension; k += WARP) {
            double v = (double)y[(u64)from * dimension + k] * scale, mean = means[(u64)block * dimension + k];
            sum += cost == SQUARED_EUCLIDEAN || cost == EUCLIDEAN ? (v - mean) * (v - mean) : -v * mean;
        }
    }
    sum = warp_sum(sum);
    if (lane_index() == 0) terms[row] = cost == EUCLIDEAN ? sqrt(sum) : sum;
}

// Turns products into costs less their column terms and less each row's diagonal, in place; extents[r] is the largest absolute
// value of a row, gaps[r] the smallest off the diagonal. A warp for each row of (blocks * stride).
extern "C" __global__ void finish_costs(u32 cost, float* costs, const double* terms, const u32* x_index, u32 num_x,
                                        const u32* sizes, u32 stride, u32 blocks, float* extents, float* gaps) {
    u64 row = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (row >= (u64)blocks * stride) return;
    u32 block = (u32)(row / stride), i = (u32)(row % stride), size = min(sizes[block], stride);
    float extent = 0.0f, gap = INFINITY;
    if (i < size) {
        bool absent = x_index[row] >= num_x;
        float* mine = costs + row * stride;
        const double* term = terms + (u64)block * stride;
        float factor = cost == SQUARED_EUCLIDEAN ? -2.0f : cost == EUCLIDEAN ? 1.0f : -1.0f, own = mine[i];
        // Every lane holds the diagonal before it is overwritten.
        __syncwarp();
        for (u32 j = lane_index(); j < size; j += WARP) {
            double value = absent ? 0.0 : (double)factor * ((double)mine[j] - own);
            if (absent || cost == EUCLIDEAN) value -= term[j] - term[i];
            float entry = j == i ? 0.0f : (float)value;
            mine[j] = entry;
            extent = fmaxf(extent, fabsf(entry));
            if (j != i) gap = fminf(gap, fabsf(entry));
        }
    }
    extent = warp_max(extent);
    gap = warp_min(gap);
    if (lane_index() == 0) {
        extents[row] = extent;
        gaps[row] = gap < INFINITY ? gap : 0.0f;
    }
}

// costs[p] = c(x[rows[p]], y[columns[p]]) in f64; 0 where either point is absent. A warp for each pair.
extern "C" __global__ void pair_costs(u32 cost, const float* x, u32 num_x, const float* y, u32 num_y, u32 dimension,
                                      const u32* rows, const u32* columns, u64 count, double* costs) {
    u64 pair = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (pair >= count) return;
    u32 i = rows[pair], j = columns[pair];
    double value = 0.0;
    if (i < num_x && j < num_y) value = warp_cost(cost, x + (u64)i * dimension, y + (u64)j * dimension, dimension);
    if (lane_index() == 0) costs[pair] = value;
}
