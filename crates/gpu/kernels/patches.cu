// Bytes to the rows of the patch embedding's matrix product.

// pixels [images, side, side, 3]; table [3, 256] the normalised value of every byte of a channel; out [rows, stride], a row for
// each token: `first` rows of zeros (the class token's), then a patch's values in the order channel, line, column, then zeros.
// One block for each row.
KERNEL patches(const u8 *pixels, const float *table, value_t *out, u32 stride, u32 tokens, u32 first, u32 side, u32 patch) {
    const u32 image = blockIdx.x / tokens, token = blockIdx.x % tokens;
    const u32 area = patch * patch, per_line = side / patch;
    for (u32 column = threadIdx.x; column < stride; column += blockDim.x) {
        float value = 0.0f;
        if (token >= first && column < 3 * area) {
            const u32 channel = column / area, inside = column % area;
            const u32 y = (token - first) / per_line * patch + inside / patch;
            const u32 x = (token - first) % per_line * patch + inside % patch;
            const u64 pixel = ((u64)image * side + y) * side + x;
            value = table[channel * 256 + pixels[pixel * 3 + channel]];
        }
        out[(u64)blockIdx.x * stride + column] = store(value);
    }
}
