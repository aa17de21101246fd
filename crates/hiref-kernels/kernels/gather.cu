// Rows picked by index, blocks of rows centred, rows scaled and shifted.
#include "common.cuh"

// out[r] = points[index[r]], zero where the index is not below num_points. A warp for each row.
extern "C" __global__ void gather_rows(const float* points, u32 num_points, u32 dimension, const u32* index, u32 count,
                                       float* out) {
    u64 row = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (row >= count) return;
    u32 from = index[row];
    const float* source = points + (u64)from * dimension;
    for (u32 k = lane_index(); k < dimension; k += WARP) out[row * dimension + k] = from < num_points ? source[k] : 0.0f;
}

// 1 / |row|, in f64. A warp for each row.
extern "C" __global__ void inverse_norms(const float* points, u32 num_points, u32 dimension, double* out) {
    u64 row = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (row >= num_points) return;
    double square = 0.0;
    for (u32 k = lane_index(); k < dimension; k += WARP) {
        double v = points[row * dimension + k];
        square += v * v;
    }
    square = warp_sum(square);
    if (lane_index() == 0) out[row] = 1.0 / sqrt(square);
}

// out = scale * row - centre, and the squared norms of what was written; scales may be null (1). A warp for each row.
extern "C" __global__ void prepare_rows(const float* points, u32 count, u32 dimension, const double* scales,
                                        const double* centre, float* out, double* squares) {
    u64 row = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (row >= count) return;
    double scale = scales ? scales[row] : 1.0, square = 0.0;
    for (u32 k = lane_index(); k < dimension; k += WARP) {
        float v = (float)((double)points[row * dimension + k] * scale - centre[k]);
        out[row * dimension + k] = v;
        square += (double)v * v;
    }
    square = warp_sum(square);
    if (lane_index() == 0) squares[row] = square;
}

// Sums over the rows of each chunk of each block: partial[b, c, :], `chunk` rows a chunk; rows past num_points add nothing.
// Grid (columns / 32, chunks, blocks), 32 x 8 threads as 256: thread (column, slice).
extern "C" __global__ void partial_sums(const float* points, u32 num_points, u32 dimension, const double* scales,
                                        const u32* index, const u32* sizes, u32 stride, u32 chunk, double* partial) {
    SHARED_MEMORY(memory);
    double* slices = (double*)memory;  // (8, 32)
    u32 block = blockIdx.z, column = blockIdx.x * WARP + lane_index(), slice = warp_index();
    u32 first = blockIdx.y * chunk, last = min(first + chunk, min(sizes[block], stride));
    double sum = 0.0;
    if (column < dimension) {
        for (u32 r = first + slice; r < last; r += 8) {
            u32 from = index[(u64)block * stride + r];
            if (from < num_points) {
                sum += (double)points[(u64)from * dimension + column] * (scales ? scales[from] : 1.0);
            }
        }
    }
    slices[threadIdx.x] = sum;
    __syncthreads();
    if (slice == 0 && column < dimension) {
        for (u32 s = 1; s < 8; s++) sum += slices[s * WARP + lane_index()];
        partial[((u64)block * gridDim.y + blockIdx.y) * dimension + column] = sum;
    }
}

// means[b, :] = (sum over chunks of partial[b, c, :]) / rows of the block; absent rows count as zero rows if `absent_count`.
// Grid (columns / threads, blocks).
extern "C" __global__ void reduce_means(const double* partial, u32 chunks, u32 dimension, u32 num_points, const u32* index,
                                        const u32* sizes, u32 stride, u32 absent_count, double* means) {
    SHARED_MEMORY(memory);
    u32* present = (u32*)memory;
    u32 block = blockIdx.y, size = min(sizes[block], stride);
    if (threadIdx.x == 0) *present = absent_count ? size : 0;
    __syncthreads();
    if (!absent_count) {
        u32 mine = 0;
        for (u32 r = threadIdx.x; r < size; r += blockDim.x) mine += index[(u64)block * stride + r] < num_points;
        atomicAdd(present, mine);
    }
    __syncthreads();
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= dimension) return;
    double sum = 0.0;
    for (u32 c = 0; c < chunks; c++) sum += partial[((u64)block * chunks + c) * dimension + column];
    means[(u64)block * dimension + column] = *present ? sum / *present : 0.0;
}

// out[b, r, :] = scale * points[index[b, r]] - means[b, :]. Absent rows are zero vectors, shifted too if `absent_count`; rows past
// the size of their block are zero. A warp for each row of (blocks * stride).
extern "C" __global__ void gather_centred(const float* points, u32 num_points, u32 dimension, const double* scales,
                                          const u32* index, const u32* sizes, u32 stride, u32 blocks, const double* means,
                                          u32 absent_count, float* out) {
    u64 row = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (row >= (u64)blocks * stride) return;
    u32 block = (u32)(row / stride), from = NONE;
    bool inside = row % stride < sizes[block];
    if (inside) from = index[row];
    bool present = inside && from < num_points;
    double scale = present && scales ? scales[from] : 1.0;
    for (u32 k = lane_index(); k < dimension; k += WARP) {
        double mean = means[(u64)block * dimension + k], value = 0.0;
        if (present) {
            value = (double)points[(u64)from * dimension + k] * scale - mean;
        } else if (inside && absent_count) {
            value = -mean;
        }
        out[row * dimension + k] = (float)value;
    }
}
