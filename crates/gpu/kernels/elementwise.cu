// What touches every value once.

DEVICE float activation(float x) {
#if T3B_ACT == 0
    return x / (1.0f + expf(-1.702f * x));
#elif T3B_ACT == 1
    return 0.5f * x * (1.0f + erff(x * 0.70710678f));
#else
    return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
#endif
}

template <int N> DEVICE void activate_at(value_t *x, const value_t *bias) {
    Pack<value_t, N> values = read<N>(x);
    const Pack<value_t, N> biases = read<N>(bias);
#pragma unroll
    for (int n = 0; n < N; n++) values.at[n] = store(activation(load(values.at[n]) + load(biases.at[n])));
    write<N>(x, values);
}

// x [rows, width] = activation(x + bias [width]), in place. Blocks in x are rows, in y pieces of a row of 8 values a thread.
KERNEL activate(value_t *x, const value_t *bias, u32 width) {
    x += (u64)blockIdx.x * width;
    const u32 from = (blockIdx.y * blockDim.x + threadIdx.x) * 8;
    if (width % 8 == 0) {
        if (from < width) activate_at<8>(x + from, bias + from);
    } else {
        for (u32 at = from; at < from + 8 && at < width; at++) activate_at<1>(x + at, bias + at);
    }
}

// out = pt + lambda * (ft - pt), every operation rounded to f32 as on the CPU, then to the value type. 0 and 1 give the parents,
// which pt + (ft - pt) need not. `n` is a multiple of 4.
KERNEL merge(value_t *out, const float *pt, const float *ft, float lambda, u64 n) {
    const u64 threads = (u64)gridDim.x * blockDim.x;
    for (u64 at = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4; at < n; at += threads * 4) {
        const Pack<float, 4> a = read<4>(pt + at), b = read<4>(ft + at);
        Pack<value_t, 4> merged;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            float value = __fadd_rn(a.at[k], __fmul_rn(lambda, __fadd_rn(b.at[k], -a.at[k])));
            if (lambda == 0.0f) value = a.at[k];
            if (lambda == 1.0f) value = b.at[k];
            merged.at[k] = store(value);
        }
        write<4>(out + at, merged);
    }
}
