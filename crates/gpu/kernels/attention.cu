// Self-attention without a stored score matrix: a block holds some queries of a head, walks over the keys in tiles and keeps the
// maximum and the sum of its softmax on the way (Milakov & Gimelshein 2018, Dao et al. 2022).
//
// qkv [rows, 3 * width] without bias; bias [3 * width], or null; out [images * n_queries, width]. Of every image the first
// `n_queries` tokens are queries. Blocks: x tiles of queries, y heads, z images.

#define KEYS 64

#if T3B_TYPE == 0

// f32: a thread for each query, keys and values of a tile in shared memory.
#define QUERIES 64
#define F32_KEYS 32
#define GROUP 8

KERNEL attention(const float *qkv, const float *bias, float *out, u32 tokens, u32 n_queries, float scale) {
    __shared__ float keys[F32_KEYS][T3B_HEAD], values[F32_KEYS][T3B_HEAD];
    const u32 head = blockIdx.y * T3B_HEAD, query = blockIdx.x * QUERIES + threadIdx.x;
    const float *image = qkv + (u64)blockIdx.z * tokens * 3 * T3B_WIDTH + head;
    float q[T3B_HEAD], mixed[T3B_HEAD];
#pragma unroll
    for (int d = 0; d < T3B_HEAD; d++) {
        q[d] = query < n_queries ? image[(u64)query * 3 * T3B_WIDTH + d] + (bias ? bias[head + d] : 0.0f) : 0.0f;
        q[d] *= scale;
        mixed[d] = 0.0f;
    }
    float maximum = MINUS_INFINITY, sum = 0.0f;
    for (u32 first = 0; first < tokens; first += F32_KEYS) {
        __syncthreads();
        for (u32 at = threadIdx.x; at < F32_KEYS * T3B_HEAD; at += QUERIES) {
            const u32 key = at / T3B_HEAD, d = at % T3B_HEAD;
            const bool is_there = first + key < tokens;
            const float *row = image + (u64)(first + key) * 3 * T3B_WIDTH + d;
            keys[key][d] = is_there ? row[T3B_WIDTH] + (bias ? bias[T3B_WIDTH + head + d] : 0.0f) : 0.0f;
            values[key][d] = is_there ? row[2 * T3B_WIDTH] + (bias ? bias[2 * T3B_WIDTH + head + d] : 0.0f) : 0.0f;
        }
        __syncthreads();
        for (u32 group = 0; group < F32_KEYS && first + group < tokens; group += GROUP) {
            float score[GROUP], highest = maximum;
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                score[k] = 0.0f;
#pragma unroll
                for (int d = 0; d < T3B_HEAD; d++) score[k] += q[d] * keys[group + k][d];
                if (first + group + k >= tokens) score[k] = MINUS_INFINITY;
                highest = fmaxf(highest, score[k]);
            }
            const float shrink = expf(maximum - highest);
            maximum = highest;
            sum *= shrink;
#pragma unroll
            for (int d = 0; d < T3B_HEAD; d++) mixed[d] *= shrink;
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                const float p = expf(score[k] - maximum);
                sum += p;
#pragma unroll
                for (int d = 0; d < T3B_HEAD; d++) mixed[d] += p * values[group + k][d];
            }
        }
    }
    if (query >= n_queries) return;
    float *row = out + ((u64)blockIdx.z * n_queries + query) * T3B_WIDTH + head;
#pragma unroll
    for (int d = 0; d < T3B_HEAD; d++) row[d] = mixed[d] / sum;
}

#else

// f16 and bf16: a warp for 16 queries on the matrix units (mma m16n8k16), f32 accumulators. In the names of PTX's fragments a lane
// is in group g = lane / 4 at place t = lane % 4; it holds of a 16 x 8 result rows g and g + 8, columns 2 t and 2 t + 1.
#define WARPS 4
#define QUERIES (16 * WARPS)
// The head in whole steps of the matrix units; what is behind the head's width is zeros.
#define DEPTH ((T3B_HEAD + 15) / 16 * 16)
#define STEPS (DEPTH / 16)
// Eight more, so that the rows of a fragment lie in different banks.
#define STRIDE (DEPTH + 8)
#define COPY (T3B_HEAD % 8 == 0 ? 8 : T3B_HEAD % 2 == 0 ? 2 : 1)

#ifndef T3B_HOST
// d += a b.
DEVICE void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if T3B_TYPE == 1
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
#endif
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 x 8 matrices; lane l gives the address of row l % 8 of matrix l / 8. Gets of each the two values at row g from column 2 t.
DEVICE void matrices(u32 (&r)[4], const value_t *row) {
    const u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

// The same of the transposed matrices: the two values at column g from row 2 t.
DEVICE void matrices_transposed(u32 (&r)[4], const value_t *row) {
    const u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
#endif

DEVICE u32 pair(float low, float high) { return (u32)store(low).bits | (u32)store(high).bits << 16; }

DEVICE value_t biased(value_t x, const value_t *bias, u32 at) { return bias ? store(load(x) + load(bias[at])) : x; }

// Some rows of keys or values to shared memory, their bias added; zeros where there is no such token or dimension.
DEVICE void copy_tile(value_t (*tile)[STRIDE], const value_t *from, const value_t *bias, u32 n_rows) {
    const u32 per_row = DEPTH / COPY;
    for (u32 at = threadIdx.x; at < KEYS * per_row; at += WARPS * WARP) {
        const u32 row = at / per_row, d = at % per_row * COPY;
        Pack<value_t, COPY> values = {};
        if (row < n_rows && d < T3B_HEAD) {
            values = read<COPY>(from + (u64)row * 3 * T3B_WIDTH + d);
#pragma unroll
            for (int n = 0; n < COPY; n++) values.at[n] = biased(values.at[n], bias, d + n);
        }
        write<COPY>(&tile[row][d], values);
    }
}

// The queries of a warp as the left operand: rows g and g + 8, columns 2 t, 2 t + 1 and eight further.
DEVICE void read_queries(u32 (&q)[STEPS][4], const value_t *image, const value_t *bias, u32 first, u32 n_queries) {
    const u32 g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
#pragma unroll
        for (int part = 0; part < 4; part++) {
            const u32 query = first + g + part % 2 * 8, d = step * 16 + t * 2 + part / 2 * 8;
            u32 two = 0;
#pragma unroll
            for (u32 n = 0; n < 2; n++) {
                if (query < n_queries && d + n < T3B_HEAD) {
                    const value_t x = image[(u64)query * 3 * T3B_WIDTH + d + n];
                    two |= (u32)biased(x, bias, d + n).bits << 16 * n;
                }
            }
            q[step][part] = two;
        }
    }
}

KERNEL attention(const value_t *qkv, const value_t *bias, value_t *out, u32 tokens, u32 n_queries, float scale) {
    alignas(16) __shared__ value_t keys[KEYS][STRIDE], values[KEYS][STRIDE];
    const u32 lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const u32 head = blockIdx.y * T3B_HEAD, query = blockIdx.x * QUERIES + threadIdx.x / WARP * 16;
    const value_t *image = qkv + (u64)blockIdx.z * tokens * 3 * T3B_WIDTH + head;
    const value_t *key_bias = bias ? bias + T3B_WIDTH + head : bias;
    const value_t *value_bias = bias ? bias + 2 * T3B_WIDTH + head : bias;
    // exp(x) = exp2(x log2 e), and the factor goes into the scale.
    scale *= 1.44269504f;
    u32 q[STEPS][4];
    read_queries(q, image, bias ? bias + head : bias, query, n_queries);
    float mixed[2 * STEPS][4] = {};
    float maximum[2] = {MINUS_INFINITY, MINUS_INFINITY}, sum[2] = {0.0f, 0.0f};
    for (u32 first = 0; first < tokens; first += KEYS) {
        const u32 n_keys = tokens - first < KEYS ? tokens - first : KEYS;
        const value_t *rows = image + (u64)first * 3 * T3B_WIDTH;
        __syncthreads();
        copy_tile(keys, rows + T3B_WIDTH, key_bias, n_keys);
        copy_tile(values, rows + 2 * T3B_WIDTH, value_bias, n_keys);
        __syncthreads();
        // Warps without a query only help to copy.
        if (query >= n_queries) continue;
        float score[KEYS / 8][4];
        float highest[2] = {maximum[0], maximum[1]};
#pragma unroll
        for (int two = 0; two < KEYS / 16; two++) {
            float(&low)[4] = score[2 * two];
            float(&high)[4] = score[2 * two + 1];
#pragma unroll
            for (int n = 0; n < 4; n++) low[n] = high[n] = 0.0f;
            if ((u32)two * 16 < n_keys) {
#pragma unroll
                for (int step = 0; step < STEPS; step++) {
                    // Keys 0..8 by depths 0..8 and 8..16, then keys 8..16 by the same.
                    u32 k[4];
                    matrices(k, &keys[two * 16 + lane / 16 * 8 + lane % 8][step * 16 + lane / 8 % 2 * 8]);
                    multiply(low, q[step], k[0], k[1]);
                    multiply(high, q[step], k[2], k[3]);
                }
            }
#pragma unroll
            for (int n = 0; n < 4; n++) {
                const u32 key = two * 16 + t * 2 + n % 2;
                low[n] = key < n_keys ? low[n] * scale : MINUS_INFINITY;
                high[n] = key + 8 < n_keys ? high[n] * scale : MINUS_INFINITY;
                highest[n / 2] = fmaxf(highest[n / 2], fmaxf(low[n], high[n]));
            }
        }
        float shrink[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            highest[half] = fmaxf(highest[half], shuffle_xor(highest[half], 1));
            highest[half] = fmaxf(highest[half], shuffle_xor(highest[half], 2));
            shrink[half] = exp2f(maximum[half] - highest[half]);
            maximum[half] = highest[half];
            sum[half] *= shrink[half];
        }
#pragma unroll
        for (int tile = 0; tile < 2 * STEPS; tile++) {
#pragma unroll
            for (int n = 0; n < 4; n++) mixed[tile][n] *= shrink[n / 2];
        }
#pragma unroll
        for (int two = 0; two < KEYS / 16; two++) {
            if ((u32)two * 16 >= n_keys) continue;
            float(&low)[4] = score[2 * two];
            float(&high)[4] = score[2 * two + 1];
#pragma unroll
            for (int n = 0; n < 4; n++) {
                low[n] = exp2f(low[n] - maximum[n / 2]);
                high[n] = exp2f(high[n] - maximum[n / 2]);
                sum[n / 2] += low[n] + high[n];
            }
            // The lane's results of two products are its part of the left operand of the next.
            const u32 p[4] = {pair(low[0], low[1]), pair(low[2], low[3]), pair(high[0], high[1]), pair(high[2], high[3])};
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
                // Keys 0..8 and 8..16 by dimensions 0..8, then the same keys by dimensions 8..16.
                u32 v[4];
                matrices_transposed(v, &values[two * 16 + lane % 16][step * 16 + lane / 16 * 8]);
                multiply(mixed[2 * step], p, v[0], v[1]);
                multiply(mixed[2 * step + 1], p, v[2], v[3]);
            }
        }
    }
    if (query >= n_queries) return;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        // Every lane of a group of four has summed its own columns.
        sum[half] += shuffle_xor(sum[half], 1);
        sum[half] += shuffle_xor(sum[half], 2);
        const u32 at = query + g + half * 8;
        if (at >= n_queries) continue;
        value_t *row = out + ((u64)blockIdx.z * n_queries + at) * T3B_WIDTH + head;
#pragma unroll
        for (int tile = 0; tile < 2 * STEPS; tile++) {
#pragma unroll
            for (int n = 0; n < 2; n++) {
                const u32 d = tile * 8 + t * 2 + n;
                if (d < T3B_HEAD) row[d] = store(mixed[tile][half * 2 + n] / sum[half]);
            }
        }
    }
}

#endif
