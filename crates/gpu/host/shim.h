// What the kernels' text needs to be C++ for the host: a block's threads are coroutines of one thread of the system, so that a
// barrier is where a coroutine gives way, by a switch of stacks that costs some nanoseconds on x86-64. Blocks run one after the other. The order in which coroutines are resumed is a
// permutation that follows from a seed: a missing barrier shows as results that differ between seeds.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define T3B_HOST
#define DEVICE static inline
#define KERNEL extern "C" void
#define __shared__ static
#define MINUS_INFINITY (-INFINITY)

struct Three {
    unsigned x, y, z;
};
static Three blockIdx, gridDim, blockDim;

namespace shim {

constexpr unsigned lanes_of_a_warp = 32;

struct Barrier {
    unsigned members = 0, arrived = 0, generation = 0;
};

// What the lanes of a warp show each other.
struct Warp {
    Barrier barrier;
    float number[lanes_of_a_warp];
    const void *address[lanes_of_a_warp];
    unsigned a[lanes_of_a_warp][4], b[lanes_of_a_warp][2];
};

constexpr size_t stack_bytes = 256 * 1024;

#if defined(__x86_64__)
// Saves what a call must keep on the stack it leaves, and takes it from the one it enters.
asm(R"(
    .text
    .local shim_switch
shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
extern "C" void shim_switch(void **left, void *const *entered);

struct Context {
    void *stack_pointer = nullptr;

    void begin(char *stack, void (*entry)()) {
        // An entered function finds its stack eight bytes off a multiple of sixteen, behind an address to return to.
        void **top = (void **)((uintptr_t)(stack + stack_bytes) / 16 * 16);
        *--top = nullptr;
        *--top = (void *)entry;
        for (int kept = 0; kept < 6; kept++) *--top = nullptr;
        stack_pointer = top;
    }
    void leave_for(const Context &other) { shim_switch(&stack_pointer, &other.stack_pointer); }
};
#else
struct Context {
    ucontext_t context;

    void begin(char *stack, void (*entry)()) {
        getcontext(&context);
        context.uc_stack.ss_sp = stack;
        context.uc_stack.ss_size = stack_bytes;
        context.uc_link = nullptr;
        makecontext(&context, entry, 0);
    }
    void leave_for(const Context &other) { swapcontext(&context, &other.context); }
};
#endif

struct Fiber {
    Context context;
    std::unique_ptr<char[]> stack;
    unsigned index;
    bool is_done;
};

static std::vector<Fiber> fibers;
static std::vector<Warp> warps;
static Barrier block_barrier;
static Fiber *current;
static Context scheduler;
static const std::function<void()> *body;
static unsigned progress, seed;

inline Three thread() { return {current->index, 0, 0}; }
inline unsigned lane() { return current->index % lanes_of_a_warp; }
inline Warp &warp() { return warps[current->index / lanes_of_a_warp]; }

inline void wait(Barrier &barrier) {
    const unsigned generation = barrier.generation;
    if (++barrier.arrived == barrier.members) {
        barrier.arrived = 0;
        barrier.generation++;
        progress++;
        return;
    }
    while (barrier.generation == generation) current->context.leave_for(scheduler);
}

inline void run_fiber() {
    (*body)();
    current->is_done = true;
    progress++;
    current->context.leave_for(scheduler);
}

inline void run_block() {
    std::vector<unsigned> order(fibers.size());
    std::iota(order.begin(), order.end(), 0);
    // Seed 0 is the order of the threads.
    if (seed) std::shuffle(order.begin(), order.end(), std::mt19937(seed * 7919 + blockIdx.x));
    for (Fiber &fiber : fibers) {
        fiber.is_done = false;
        fiber.context.begin(fiber.stack.get(), run_fiber);
    }
    for (size_t n_done = 0; n_done < fibers.size();) {
        const unsigned before = progress;
        n_done = 0;
        for (unsigned index : order) {
            current = &fibers[index];
            if (!current->is_done) scheduler.leave_for(current->context);
            n_done += current->is_done;
        }
        if (progress == before && n_done < fibers.size()) {
            fprintf(stderr, "shim: some threads wait at a barrier that others do not reach\n");
            abort();
        }
    }
}

// A launch: `kernel` is the call with its arguments.
inline void launch(Three grid, unsigned block, const std::function<void()> &kernel) {
    if (block % lanes_of_a_warp) abort();
    gridDim = grid;
    blockDim = {block, 1, 1};
    body = &kernel;
    while (fibers.size() > block) fibers.pop_back();
    while (fibers.size() < block) {
        const unsigned index = fibers.size();
        fibers.push_back({{}, std::unique_ptr<char[]>(new char[stack_bytes]), index, false});
    }
    warps.assign(block / lanes_of_a_warp, Warp{});
    for (Warp &warp : warps) warp.barrier.members = lanes_of_a_warp;
    block_barrier = {block, 0, 0};
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = {x, y, z};
                run_block();
            }
}

} // namespace shim

#define threadIdx (shim::thread())

inline void __syncthreads() { shim::wait(shim::block_barrier); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }

inline float shuffle_xor(float x, int mask) {
    shim::Warp &warp = shim::warp();
    warp.number[shim::lane()] = x;
    shim::wait(warp.barrier);
    const float other = warp.number[shim::lane() ^ mask];
    shim::wait(warp.barrier);
    return other;
}

inline uint32_t shim_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

inline float shim_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

#if T3B_TYPE == 2
inline float shim_load16(uint16_t bits) { return shim_float((uint32_t)bits << 16); }
inline uint16_t shim_store16(float x) {
    if (std::isnan(x)) return 0x7fff;
    const uint32_t bits = shim_bits(x);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
#elif T3B_TYPE == 1
inline float shim_load16(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float sign = bits & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * std::ldexp((float)fraction, -24);
    return sign * std::ldexp((float)(fraction + 1024), exponent - 25);
}
// Rounds to the nearest, ties to even: the quotient by the spacing of f16 at x is exact in double precision.
inline uint16_t shim_store16(float x) {
    const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    if (std::isnan(x)) return 0x7fff;
    const double size = std::fabs((double)x);
    if (size >= 65520.0) return sign | 0x7c00;
    int exponent = size > 0 ? std::ilogb(size) : -14;
    if (exponent < -14) exponent = -14;
    const long units = std::lrint(std::ldexp(size, 10 - exponent));
    return sign | (uint16_t)(units + ((long)(exponent + 14) << 10));
}
#endif

#if T3B_TYPE != 0
inline float shim_half_of(unsigned pair, int which) { return shim_load16((uint16_t)(pair >> 16 * which)); }

// mma.m16n8k16 by the fragments of the PTX manual: lane l is in group l / 4 at place l % 4.
inline void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    shim::Warp &warp = shim::warp();
    const unsigned lane = shim::lane(), g = lane / 4, t = lane % 4;
    memcpy(warp.a[lane], a, sizeof a);
    warp.b[lane][0] = b0;
    warp.b[lane][1] = b1;
    shim::wait(warp.barrier);
    for (int n = 0; n < 4; n++) {
        const unsigned row = g + n / 2 * 8, column = t * 2 + n % 2;
        double sum = 0;
        for (unsigned k = 0; k < 16; k++) {
            const unsigned place = k % 8 / 2, upper = k / 8;
            const float left = shim_half_of(warp.a[row % 8 * 4 + place][row / 8 + upper * 2], k % 2);
            const float right = shim_half_of(warp.b[column * 4 + place][upper], k % 2);
            sum += (double)left * right;
        }
        d[n] = (float)(d[n] + sum);
    }
    shim::wait(warp.barrier);
}

template <typename V> void shim_matrices(unsigned (&r)[4], const V *row, bool transposed) {
    shim::Warp &warp = shim::warp();
    const unsigned lane = shim::lane(), g = lane / 4, t = lane % 4;
    if ((uintptr_t)row % 16) {
        fprintf(stderr, "shim: a row of a matrix at an address that is no multiple of 16\n");
        abort();
    }
    warp.address[lane] = row;
    shim::wait(warp.barrier);
    for (unsigned matrix = 0; matrix < 4; matrix++) {
        r[matrix] = 0;
        for (unsigned n = 0; n < 2; n++) {
            const unsigned line = transposed ? t * 2 + n : g, column = transposed ? g : t * 2 + n;
            const V *from = (const V *)warp.address[matrix * 8 + line];
            r[matrix] |= (unsigned)from[column].bits << 16 * n;
        }
    }
    shim::wait(warp.barrier);
}
template <typename V> void matrices(unsigned (&r)[4], const V *row) { shim_matrices(r, row, false); }
template <typename V> void matrices_transposed(unsigned (&r)[4], const V *row) { shim_matrices(r, row, true); }
#endif
