// The y points of least reduced cost c_ij - g_j for each x point, from tiles of products; the n x m matrix is never stored.
// The specification is hiref-core's pricing/tiles.rs.
#include "common.cuh"

// Updates the `width` least values of each row by one tile of products (rows, columns), `pitch` apart. Lists are sorted by rising value,
// ties by rising column if tiles come by rising column. Euclidean values are lowered by the rounding of the square. A warp for each row.
extern "C" __global__ void scan_tile(u32 cost, const float* products, u32 rows, u32 columns, u32 pitch, const double* x_squares,
                                     const double* x_slack, const double* y_squares, const float* prices, u32 first_column,
                                     u32 width, float* values, u32* indices) {
    u64 row = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (row >= rows) return;
    u32 lane = lane_index();
    // Lane l holds the l-th least.
    float value = lane < width ? values[row * width + lane] : INFINITY;
    u32 index = lane < width ? indices[row * width + lane] : NONE;
    float threshold = __shfl_sync(FULL_MASK, value, width - 1);
    float square = (float)x_squares[row], slack = cost == EUCLIDEAN ? (float)x_slack[row] : 0.0f;
    const float* mine = products + row * pitch;
    for (u32 j0 = 0; j0 < columns; j0 += WARP) {
        u32 j = j0 + lane;
        float reduced = INFINITY;
        if (j < columns) {
            float product = mine[j];
            if (cost == SQUARED_EUCLIDEAN) {
                reduced = square + (float)y_squares[j] - 2.0f * product;
            } else if (cost == EUCLIDEAN) {
                reduced = sqrtf(fmaxf(square + (float)y_squares[j] - 2.0f * product - slack, 0.0f));
            } else if (cost == COSINE) {
                reduced = 1.0f - product;
            } else {
                reduced = -product;
            }
            reduced -= prices[j];
        }
        u32 wanted = __ballot_sync(FULL_MASK, reduced < threshold);
        while (wanted) {
            u32 from = __ffs(wanted) - 1;
            wanted &= wanted - 1;
            float offered = __shfl_sync(FULL_MASK, reduced, from);
            if (!(offered < threshold)) continue;
            // Entries above the offered one move up by a lane.
            u32 kept = __popc(__ballot_sync(FULL_MASK, value <= offered && lane < width));
            float below = __shfl_up_sync(FULL_MASK, value, 1);
            u32 below_index = __shfl_up_sync(FULL_MASK, index, 1);
            if (lane == kept) {
                value = offered;
                index = first_column + j0 + from;
            } else if (lane > kept && lane < width) {
                value = below;
                index = below_index;
            }
            threshold = __shfl_sync(FULL_MASK, value, width - 1);
        }
    }
    if (lane < width) {
        values[row * width + lane] = value;
        indices[row * width + lane] = index;
    }
}

// least[r] = min_j (c(x[rows[r]], y_j) - g_j) in f64 over the y points of this range, and its first column; updates what is there. Rows
// without a point find nothing.
// A thread block for each row.
extern "C" __global__ void exact_least(u32 cost, const float* x, u32 num_x, const float* y, u32 dimension, u32 num_y, u32 first_column,
                                       const double* g, const u32* rows, double* least, u32* column) {
    SHARED_MEMORY(memory);
    double* values = (double*)memory;                    // (warps,)
    u32* columns = (u32*)(values + blockDim.x / WARP);   // (warps,)
    u32 row = rows[blockIdx.x];
    if (row >= num_x) num_y = 0;
    const float* mine = x + (u64)row * dimension;
    double best = INFINITY;
    u32 at = NONE;
    for (u32 j = warp_index(); j < num_y; j += blockDim.x / WARP) {
        double value = warp_cost(cost, mine, y + (u64)j * dimension, dimension) - g[j];
        if (value < best) {
            best = value;
            at = first_column + j;
        }
    }
    if (lane_index() == 0) {
        values[warp_index()] = best;
        columns[warp_index()] = at;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (u32 w = 1; w < blockDim.x / WARP; w++) {
        if (values[w] < best || (values[w] == best && columns[w] < at)) {
            best = values[w];
            at = columns[w];
        }
    }
    if (best < least[blockIdx.x]) {
        least[blockIdx.x] = best;
        column[blockIdx.x] = at;
    }
}

// x = high + low with 10 bits of mantissa in high: `parts` (rows, 3 d) holds [high, high, low], or [high, low, high] if `right`, so that one
// product of depth 3 d on tensor cores in TF32 has all but the last digits of one in f32.
extern "C" __global__ void split_digits(const float* rows, u64 count, u32 dimension, u32 right, float* parts) {
    for (u64 e = (u64)blockIdx.x * blockDim.x + threadIdx.x; e < count * dimension; e += (u64)gridDim.x * blockDim.x) {
        u64 row = e / dimension, k = e % dimension;
        float value = rows[e], high = __uint_as_float(__float_as_uint(value) & 0xffffe000u), low = value - high;
        float* out = parts + row * 3 * dimension + k;
        out[0] = high;
        out[dimension] = right ? low : high;
        out[2 * (u64)dimension] = right ? high : low;
    }
}

// Floats as unsigned integers in the same order.
static __device__ inline u32 ordered(float value) {
    u32 bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// slack[a, b] = min over rows i of part a and columns j of part b of c_ij - g_j - own_i, as ordered integers, updated by one tile of products
// (rows, columns). Parts are ranges of the columns, offsets (parts + 1,), of which `part_count` from `first_part` on reach into the tile.
// A warp for each row and part.
extern "C" __global__ void scan_parts(u32 cost, const float* products, u32 rows, u32 columns, const double* x_squares,
                                      const double* y_squares, const float* prices, const double* own, const u32* row_parts,
                                      const u32* offsets, u32 first_column, u32 first_part, u32 part_count, u32 parts, u32* slack) {
    u64 task = (u64)blockIdx.x * (blockDim.x / WARP) + warp_index();
    if (task >= (u64)rows * part_count) return;
    u32 row = (u32)(task / part_count), part = first_part + (u32)(task % part_count);
    u32 first = offsets[part] > first_column ? offsets[part] - first_column : 0;
    u32 last = offsets[part + 1] > first_column ? min(offsets[part + 1] - first_column, columns) : 0;
    const float* mine = products + (u64)row * columns;
    float square = (float)x_squares[row], least = INFINITY;
    for (u32 j = first + lane_index(); j < last; j += WARP) {
        float reduced = -mine[j];
        if (cost == SQUARED_EUCLIDEAN || cost == EUCLIDEAN) {
            reduced = square + (float)y_squares[j] - 2.0f * mine[j];
            if (cost == EUCLIDEAN) reduced = sqrtf(fmaxf(reduced, 0.0f));
        } else if (cost == COSINE) {
            reduced = 1.0f - mine[j];
        }
        least = fminf(least, reduced - prices[j]);
    }
    least = warp_min(least);
    if (lane_index() == 0 && row_parts[row] < parts) {
        atomicMin(&slack[(u64)row_parts[row] * parts + part], ordered((float)((double)least - own[row])));
    }
}
