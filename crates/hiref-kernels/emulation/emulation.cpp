// Runs launches of the kernels on the host; see emulation.h.
#include "emulation.h"

#include <setjmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <tuple>
#include <utility>
#include <vector>

#include "balanced_projection.cu"
#include "block_assignment.cu"
#include "block_costs.cu"
#include "faulty.cu"
#include "gather.cu"
#include "least_reduced_costs.cu"

namespace emulation {
thread_local uint3 thread_index, block_index;
thread_local dim3 block_size, grid_size;

namespace {
const unsigned MAX_THREADS = 1024;
const size_t STACK = 128 << 10;

struct Warp {
    uint64_t slots[2][32];
    unsigned arrived, generation;
};

enum class Waits { Nothing, Block, Warp };

struct Fibre {
    jmp_buf state;
    uint3 index;
    Waits waits;
    unsigned generation;
    bool started, done;
};

using Call = void (*)(void**);

struct Block {
    ucontext_t scheduler_context, entry;
    jmp_buf scheduler;
    char* stacks = nullptr;
    Fibre fibres[MAX_THREADS];
    Warp warps[MAX_THREADS / 32];
    unsigned threads, current, arrived, generation;
    std::vector<unsigned char> shared;
    Call call;
    void** arguments;
};

Block& block() {
    static thread_local Block* block = new Block();
    return *block;
}

void yield(Waits waits, unsigned generation) {
    Block& b = block();
    Fibre& f = b.fibres[b.current];
    f.waits = waits;
    f.generation = generation;
    if (!_setjmp(f.state)) _longjmp(b.scheduler, 1);
}

bool ready(const Block& b, unsigned thread) {
    const Fibre& f = b.fibres[thread];
    switch (f.waits) {
        case Waits::Block: return b.generation != f.generation;
        case Waits::Warp: return b.warps[thread / 32].generation != f.generation;
        default: return true;
    }
}

void fibre_main() {
    Block& b = block();
    b.call(b.arguments);
    b.fibres[b.current].done = true;
    _longjmp(b.scheduler, 1);
}

// Runs one thread until it waits or ends.
void resume(unsigned thread) {
    Block& b = block();
    Fibre& f = b.fibres[thread];
    b.current = thread;
    thread_index = f.index;
    f.waits = Waits::Nothing;
    if (_setjmp(b.scheduler)) return;
    if (f.started) _longjmp(f.state, 1);
    f.started = true;
    getcontext(&b.entry);
    b.entry.uc_stack.ss_sp = b.stacks + thread * STACK;
    b.entry.uc_stack.ss_size = STACK;
    b.entry.uc_link = nullptr;
    makecontext(&b.entry, fibre_main, 0);
    setcontext(&b.entry);
}

// All threads of one block; false if some wait for others that never come.
bool run_block(unsigned schedule) {
    Block& b = block();
    b.arrived = b.generation = 0;
    for (Warp& warp : b.warps) warp.arrived = warp.generation = 0;
    for (unsigned t = 0; t < b.threads; t++) {
        Fibre& f = b.fibres[t];
        f.started = f.done = false;
        f.waits = Waits::Nothing;
        f.index = {t % block_size.x, t / block_size.x % block_size.y, t / (block_size.x * block_size.y)};
    }
    unsigned left = b.threads;
    while (left > 0) {
        bool moved = false;
        for (unsigned k = 0; k < b.threads; k++) {
            // 0: rising, 1: falling, others: a stride through all threads (odd, and their number is a multiple of 32).
            unsigned t = schedule == 0 ? k : schedule == 1 ? b.threads - 1 - k : (k * (2 * schedule + 1)) % b.threads;
            if (b.fibres[t].done || !ready(b, t)) continue;
            resume(t);
            moved = true;
            if (b.fibres[t].done) left--;
        }
        if (!moved) return false;
    }
    return true;
}

template <typename... A, size_t... I>
void unpack(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*(A*)arguments[I]...);
}
template <typename K, K* kernel>
struct Trampoline;
template <typename... A, void (*kernel)(A...)>
struct Trampoline<void(A...), kernel> {
    static void call(void** arguments) { unpack(kernel, arguments, std::index_sequence_for<A...>()); }
};

struct Entry {
    const char* name;
    Call call;
};
#define KERNEL(name) {#name, Trampoline<decltype(name), &name>::call}
const Entry KERNELS[] = {
    KERNEL(gather_rows),    KERNEL(inverse_norms),  KERNEL(prepare_rows),   KERNEL(partial_sums), KERNEL(reduce_means),
    KERNEL(gather_centred), KERNEL(largest_gain),   KERNEL(add_scaled),     KERNEL(newton_moments), KERNEL(newton_update),
    KERNEL(write_factor),   KERNEL(block_products), KERNEL(column_terms),   KERNEL(finish_costs), KERNEL(pair_costs),
    KERNEL(auction),        KERNEL(find_shadows),   KERNEL(scan_tile),      KERNEL(exact_least),  KERNEL(split_digits),
    KERNEL(scan_parts),     KERNEL(faulty_missing_barrier), KERNEL(faulty_divergent_barrier), KERNEL(faulty_out_of_bounds),
};
}  // namespace

unsigned char* shared_memory() { return block().shared.data(); }

void block_barrier() {
    Block& b = block();
    unsigned generation = b.generation;
    if (++b.arrived == b.threads) {
        b.arrived = 0;
        b.generation++;
    } else {
        yield(Waits::Block, generation);
    }
}

const uint64_t* exchange(uint64_t value) {
    Block& b = block();
    Warp& warp = b.warps[b.current / 32];
    unsigned generation = warp.generation;
    uint64_t* slots = warp.slots[generation % 2];
    slots[b.current % 32] = value;
    if (++warp.arrived == 32) {
        warp.arrived = 0;
        warp.generation++;
    } else {
        yield(Waits::Warp, generation);
    }
    return slots;
}
}  // namespace emulation

// Runs one launch; 0 if it went well, 1: no such kernel, 2: not all threads of a block reached a barrier, 3: a bad launch.
extern "C" int hiref_emulate(const char* name, const unsigned* grid, const unsigned* block_size, size_t shared_bytes,
                             void** arguments, unsigned schedule) {
    using namespace emulation;
    Block& b = block();
    b.call = nullptr;
    for (const Entry& entry : KERNELS) {
        if (!strcmp(entry.name, name)) b.call = entry.call;
    }
    if (!b.call) return 1;
    emulation::block_size = {block_size[0], block_size[1], block_size[2]};
    grid_size = {grid[0], grid[1], grid[2]};
    b.threads = block_size[0] * block_size[1] * block_size[2];
    if (b.threads == 0 || b.threads > MAX_THREADS || b.threads % 32 || (uint64_t)grid[0] * grid[1] * grid[2] == 0 ||
        grid[1] > 65535 || grid[2] > 65535 || shared_bytes > 227 * 1024) {
        return 3;
    }
    if (!b.stacks) {
        b.stacks = (char*)mmap(nullptr, MAX_THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b.stacks == MAP_FAILED) return 3;
    }
    b.arguments = arguments;
    for (unsigned z = 0; z < grid[2]; z++) {
        for (unsigned y = 0; y < grid[1]; y++) {
            for (unsigned x = 0; x < grid[0]; x++) {
                block_index = {x, y, z};
                b.shared.assign(shared_bytes + 16, 0xff);
                if (!run_block(schedule)) return 2;
            }
        }
    }
    return 0;
}
