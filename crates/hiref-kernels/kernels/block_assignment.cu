// Assignment inside blocks by auction with epsilon scaling: a thread block for each block of pairs.
#include "common.cuh"

// Floats as unsigned integers in the same order, for values that are not negative.
static __device__ inline u64 bid_key(float increment, u32 row) { return ((u64)__float_as_uint(increment) << 32) | (u32)~row; }

// The least c_j - g_j of a row, its first column, and the second least; by one warp, the same in every lane.
static __device__ inline void two_least(const float* row, const float* g, u32 size, float& least, u32& column, float& next) {
    least = next = INFINITY;
    column = NONE;
    for (u32 j = lane_index(); j < size; j += WARP) {
        float value = row[j] - g[j];
        if (value < least) {
            next = least;
            least = value;
            column = j;
        } else if (value < next) {
            next = value;
        }
    }
    for (int offset = WARP / 2; offset > 0; offset /= 2) {
        float other = __shfl_xor_sync(FULL_MASK, least, offset), other_next = __shfl_xor_sync(FULL_MASK, next, offset);
        u32 other_column = __shfl_xor_sync(FULL_MASK, column, offset);
        bool better = other < least || (other == least && other_column < column);
        next = better ? fminf(least, other_next) : fminf(next, other);
        least = better ? other : least;
        column = better ? other_column : column;
    }
    // Numbers that do not compare leave no least one; any column will do, and the rounds run out.
    if (column == NONE) column = 0;
}

// min sum c[i, sigma(i)] for each block of costs (B, stride, stride), from prices g (B, stride), which are replaced by those found, and
// from the pairing of row i with column i. Rows bid all at once, so that the outcome does not depend on timing: bids are settled by their
// size, then by row. Ends within size * epsilon[b] of the optimum; c_ij - f_i - g_j >= -epsilon. rounds[b] is what it took, NONE where the
// limit was reached first (column_of_row is then of no use).
extern "C" __global__ void auction(const float* costs, const u32* sizes, u32 stride, const float* first_epsilon,
                                   const float* epsilon, float reduction, u32 round_limit, float* g, u32* column_of_row,
                                   u32* rounds) {
    SHARED_MEMORY(memory);
    u64* bids = (u64*)memory;                  // (stride,): best bid for each column this round
    float* price = (float*)(bids + stride);    // (stride,)
    u32* owner = (u32*)(price + stride);       // (stride,): row of each column
    u32* column = owner + stride;              // (stride,): column of each row
    u32* target = column + stride;             // (stride,): where each listed row bids
    u32* list = target + stride;               // (2, stride): rows without a column, this round's and the next's
    u32* count = list + 2 * stride;            // (2,)
    u32 size = min(sizes[blockIdx.x], stride), warps = blockDim.x / WARP;
    const float* cost = costs + (u64)blockIdx.x * stride * stride;
    u64 base = (u64)blockIdx.x * stride;
    for (u32 j = threadIdx.x; j < size; j += blockDim.x) {
        price[j] = g[base + j];
        owner[j] = column[j] = j;
        bids[j] = 0;
    }
    if (threadIdx.x == 0) count[0] = count[1] = 0;
    float goal = epsilon[blockIdx.x], step = fmaxf(first_epsilon[blockIdx.x], goal);
    u32 round = 0, now = 0;
    bool within = true;
    for (;;) {
        __syncthreads();
        // Rows whose column is no longer nearly the best let go of it.
        for (u32 i = warp_index(); i < size; i += warps) {
            float least, next;
            u32 best;
            two_least(cost + (u64)i * stride, price, size, least, best, next);
            u32 own = column[i];
            if (lane_index() == 0 && !(cost[(u64)i * stride + own] - price[own] <= least + step)) {
                owner[own] = NONE;
                list[now * stride + atomicAdd(&count[now], 1u)] = i;
            }
        }
        __syncthreads();
        for (;;) {
            u32 waiting = count[now];
            // Everyone has read the count before anyone changes it.
            __syncthreads();
            if (waiting == 0) break;
            within = ++round <= round_limit;
            if (!within) break;
            for (u32 k = warp_index(); k < waiting; k += warps) {
                u32 i = list[now * stride + k], best;
                float least, next;
                two_least(cost + (u64)i * stride, price, size, least, best, next);
                if (lane_index() == 0) {
                    float lead = next < INFINITY ? next - least : 0.0f;
                    target[k] = best;
                    atomicMax(&bids[best], bid_key(lead + step, i));
                }
            }
            if (threadIdx.x == 0) count[1 - now] = 0;
            __syncthreads();
            for (u32 k = threadIdx.x; k < waiting; k += blockDim.x) {
                u32 i = list[now * stride + k], j = target[k], left = i;
                u64 bid = bids[j];
                if ((u32)bid == ~i) {
                    left = owner[j];
                    owner[j] = i;
                    column[i] = j;
                    price[j] -= __uint_as_float((u32)(bid >> 32));
                }
                if (left != NONE) list[(1 - now) * stride + atomicAdd(&count[1 - now], 1u)] = left;
            }
            __syncthreads();
            for (u32 k = threadIdx.x; k < waiting; k += blockDim.x) bids[target[k]] = 0;
            now = 1 - now;
            __syncthreads();
        }
        if (!within || step <= goal) break;
        step = fmaxf(step * reduction, goal);
    }
    for (u32 j = threadIdx.x; j < size; j += blockDim.x) {
        g[base + j] = price[j];
        column_of_row[base + j] = column[j];
    }
    if (threadIdx.x == 0) rounds[blockIdx.x] = within ? round : NONE;
}

// For each stand-in row of each block, the present row that comes closest to taking its column: shadows (B, stride), NONE for the others.
// Grid (stride / threads, blocks).
extern "C" __global__ void find_shadows(const float* costs, const u32* sizes, u32 stride, const float* g,
                                        const u32* column_of_row, const u32* x_index, u32 num_x, u32* shadows) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x, size = min(sizes[blockIdx.y], stride);
    u64 base = (u64)blockIdx.y * stride;
    if (i >= size) return;
    u32 best = NONE;
    u32 column = column_of_row[base + i];
    if (x_index[base + i] >= num_x && column < size) {
        float least = INFINITY;
        for (u32 r = 0; r < size; r++) {
            u32 own = column_of_row[base + r];
            if (x_index[base + r] >= num_x || own >= size) continue;
            const float* row = costs + (base + r) * stride;
            float slack = row[column] - row[own] + g[base + own];
            if (slack < least) {
                least = slack;
                best = x_index[base + r];
            }
        }
    }
    shadows[base + i] = best;
}
