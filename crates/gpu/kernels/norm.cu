// Row-wise parts: a warp holds a row of the residual stream in registers. The stream itself is f32 in every type.

#define NORM_PACK (T3B_WIDTH % 4 == 0 ? 4 : 1)
#define PER_LANE ((T3B_WIDTH + WARP * NORM_PACK - 1) / (WARP * NORM_PACK))

struct Row {
    float at[PER_LANE * NORM_PACK];
};

// First column of a lane's pack, or T3B_WIDTH and more where it has none.
DEVICE u32 column(int pack) { return (u32)(pack * WARP + threadIdx.x % WARP) * NORM_PACK; }

DEVICE u32 row_of_warp() { return blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP; }

DEVICE void add(Row &row, const value_t *from) {
#pragma unroll
    for (int pack = 0; pack < PER_LANE; pack++) {
        if (column(pack) >= T3B_WIDTH) continue;
        const Pack<value_t, NORM_PACK> values = read<NORM_PACK>(from + column(pack));
#pragma unroll
        for (int n = 0; n < NORM_PACK; n++) row.at[pack * NORM_PACK + n] += load(values.at[n]);
    }
}

DEVICE void read_row(Row &row, const float *from) {
#pragma unroll
    for (int pack = 0; pack < PER_LANE; pack++) {
        if (column(pack) >= T3B_WIDTH) continue;
        const Pack<float, NORM_PACK> values = read<NORM_PACK>(from + column(pack));
#pragma unroll
        for (int n = 0; n < NORM_PACK; n++) row.at[pack * NORM_PACK + n] = values.at[n];
    }
}

DEVICE void write_row(const Row &row, float *to) {
#pragma unroll
    for (int pack = 0; pack < PER_LANE; pack++) {
        if (column(pack) >= T3B_WIDTH) continue;
        Pack<float, NORM_PACK> values;
#pragma unroll
        for (int n = 0; n < NORM_PACK; n++) values.at[n] = row.at[pack * NORM_PACK + n];
        write<NORM_PACK>(to + column(pack), values);
    }
}

// (x - mean) / sqrt(variance + eps) * gain + bias; the variance is of the centred values, in a second pass over the registers.
DEVICE void normalise(Row &row, const value_t *gain, const value_t *bias, float eps) {
    float sum = 0.0f;
#pragma unroll
    for (int pack = 0; pack < PER_LANE; pack++) {
        if (column(pack) >= T3B_WIDTH) continue;
#pragma unroll
        for (int n = 0; n < NORM_PACK; n++) sum += row.at[pack * NORM_PACK + n];
    }
    const float mean = warp_sum(sum) / T3B_WIDTH;
    float squares = 0.0f;
#pragma unroll
    for (int pack = 0; pack < PER_LANE; pack++) {
        if (column(pack) >= T3B_WIDTH) continue;
#pragma unroll
        for (int n = 0; n < NORM_PACK; n++) {
            const float centred = row.at[pack * NORM_PACK + n] - mean;
            squares += centred * centred;
        }
    }
    const float scale = 1.0f / sqrtf(warp_sum(squares) / T3B_WIDTH + eps);
#pragma unroll
    for (int pack = 0; pack < PER_LANE; pack++) {
        if (column(pack) >= T3B_WIDTH) continue;
        const Pack<value_t, NORM_PACK> gains = read<NORM_PACK>(gain + column(pack));
        const Pack<value_t, NORM_PACK> biases = read<NORM_PACK>(bias + column(pack));
#pragma unroll
        for (int n = 0; n < NORM_PACK; n++) {
            const float centred = row.at[pack * NORM_PACK + n] - mean;
            row.at[pack * NORM_PACK + n] = centred * scale * load(gains.at[n]) + load(biases.at[n]);
        }
    }
}

// Starts the residual stream: residual [rows, width] = patches [rows, width] + positions [tokens, width], and for the first token
// of each image the class embedding (null: there is none), for the others the patches' bias (null: there is none); then a norm
// (null gain: there is none). A warp for each row.
KERNEL start(const value_t *patches, const value_t *positions, const value_t *class_token, const value_t *patch_bias,
             const value_t *gain, const value_t *bias, float *residual, u32 n_rows, u32 tokens, float eps) {
    const u32 index = row_of_warp();
    if (index >= n_rows) return;
    const u32 token = index % tokens;
    Row row = {};
    add(row, patches + (u64)index * T3B_WIDTH);
    add(row, positions + (u64)token * T3B_WIDTH);
    const value_t *beside = class_token && token == 0 ? class_token : patch_bias;
    if (beside) add(row, beside);
    if (gain) normalise(row, gain, bias, eps);
    write_row(row, residual + (u64)index * T3B_WIDTH);
}

// Adds a layer's output [rows, width] and its bias to the residual stream (null output: nothing) and writes its norm to
// out [rows, width] (null gain: no norm is wanted). Row i of the stream is its row i * step. A warp for each row.
KERNEL add_norm(float *residual, u32 step, const value_t *output, const value_t *output_bias, const value_t *gain,
                const value_t *bias, value_t *out, u32 n_rows, float eps) {
    const u32 index = row_of_warp();
    if (index >= n_rows) return;
    float *stream = residual + (u64)index * step * T3B_WIDTH;
    Row row = {};
    read_row(row, stream);
    if (output) {
        Row added = {};
        add(added, output + (u64)index * T3B_WIDTH);
        add(added, output_bias);
#pragma unroll
        for (int n = 0; n < PER_LANE * NORM_PACK; n++) row.at[n] += added.at[n];
        write_row(row, stream);
    }
    if (!gain) return;
    normalise(row, gain, bias, eps);
    value_t *to = out + (u64)index * T3B_WIDTH;
#pragma unroll
    for (int pack = 0; pack < PER_LANE; pack++) {
        if (column(pack) >= T3B_WIDTH) continue;
        Pack<value_t, NORM_PACK> values;
#pragma unroll
        for (int n = 0; n < NORM_PACK; n++) values.at[n] = store(row.at[pack * NORM_PACK + n]);
        write<NORM_PACK>(to + column(pack), values);
    }
}

// Divides rows of features [rows, width] by their length. A row of length zero becomes NaN. A warp for each row.
KERNEL unit_length(float *features, u32 width, u32 n_rows) {
    const u32 index = row_of_warp();
    if (index >= n_rows) return;
    float *row = features + (u64)index * width;
    float squares = 0.0f;
    for (u32 at = threadIdx.x % WARP; at < width; at += WARP) squares += row[at] * row[at];
    const float length = sqrtf(warp_sum(squares));
    for (u32 at = threadIdx.x % WARP; at < width; at += WARP) row[at] /= length;
}
