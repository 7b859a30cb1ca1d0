//! Transposes square tiles of bytes.

/// Side of a tile: the rows that the horizontal pass handles together.
pub(super) const LANES: usize = 32;

/// Bytes of a tile, row after row.
pub(super) const TILE_LEN: usize = LANES * LANES;

/// Swaps rows and columns of `tile`; `spare` is overwritten.
///
/// A perfect shuffle of 2^10 bytes rotates their 10-bit index by one bit; five of them swap its row half and its column
/// half. A shuffle is an interleave of two long runs, which compilers turn into vector instructions; a plain transpose
/// they do not.
#[inline(always)]
pub(super) fn transpose(tile: &mut [u8; TILE_LEN], spare: &mut [u8; TILE_LEN]) {
    const { assert!(LANES == 1 << 5) };
    shuffle(tile, spare);
    shuffle(spare, tile);
    shuffle(tile, spare);
    shuffle(spare, tile);
    shuffle(tile, spare);
    *tile = *spare;
}

#[inline(always)]
fn shuffle(from: &[u8; TILE_LEN], to: &mut [u8; TILE_LEN]) {
    let (low, high) = from.split_at(TILE_LEN / 2);
    for ((pair, &low), &high) in to.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
        *pair = [low, high];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let value = |y: usize, x: usize| (7 * y + 11 * x) as u8;
        let mut tile = std::array::from_fn(|i| value(i / LANES, i % LANES));
        transpose(&mut tile, &mut [0; TILE_LEN]);
        assert_eq!(tile, std::array::from_fn(|i| value(i % LANES, i / LANES)));
    }
}
