// The value type of activations and compute weights, and what every kernel uses. Compiled for one tower at a time:
//   T3B_TYPE      0 f32, 1 f16, 2 bf16
//   T3B_WIDTH     residual width
//   T3B_HEAD      width of an attention head
//   T3B_ACT       0 x * sigmoid(1.702 x), 1 x * Phi(x), 2 the same with the tanh approximation
// No header is included, so that the run-time compiler needs none on the machine that scores.
// With T3B_HOST the same text is C++ for the host: host/shim.h has blocks, threads, barriers and the warp's instructions.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef T3B_HOST
#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__ void
#define MINUS_INFINITY __int_as_float(0xff800000)
#endif

#define WARP 32

#if T3B_TYPE == 0
typedef float value_t;
DEVICE float load(value_t x) { return x; }
DEVICE value_t store(float x) { return x; }
#else
// Sixteen bits of a floating-point number.
struct value_t {
    u16 bits;
};
#ifdef T3B_HOST
DEVICE float load(value_t x) { return shim_load16(x.bits); }
DEVICE value_t store(float x) { return value_t{shim_store16(x)}; }
#elif T3B_TYPE == 1
DEVICE float load(value_t x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}
DEVICE value_t store(float x) {
    value_t y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
#else
DEVICE float load(value_t x) { return __uint_as_float((u32)x.bits << 16); }
DEVICE value_t store(float x) {
    value_t y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
#endif
#endif

// N neighbouring values, read and written at once; the address is a multiple of its size.
template <typename V, int N> struct alignas(sizeof(V) * N) Pack {
    V at[N];
};

template <int N, typename V> DEVICE Pack<V, N> read(const V *from) { return *(const Pack<V, N> *)from; }
template <int N, typename V> DEVICE void write(V *to, Pack<V, N> values) { *(Pack<V, N> *)to = values; }

#ifndef T3B_HOST
DEVICE float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
#endif

DEVICE float warp_sum(float x) {
    for (int mask = WARP / 2; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
    return x;
}
