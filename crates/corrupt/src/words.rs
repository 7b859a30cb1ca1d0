//! Pixels as 32-bit words, red in the lowest byte: four bytes fit instructions that three do not.

/// Puts each pixel of interleaved `rgb` in the low bytes of a word; the top byte is 0.
#[inline(always)]
pub(super) fn widen(rgb: &[u8], words: &mut [u32]) {
    let (fours, rest) = words.as_chunks_mut::<4>();
    let (twelves, rgb_rest) = rgb.split_at(fours.len() * 12);
    for (four, twelve) in fours.iter_mut().zip(twelves.as_chunks::<12>().0) {
        let [a, b, c] = [0, 4, 8].map(|i| u32::from_le_bytes(std::array::from_fn(|k| twelve[i + k])));
        *four = [a & 0xff_ffff, (a >> 24) | ((b & 0xffff) << 8), (b >> 16) | ((c & 0xff) << 16), c >> 8];
    }
    for (word, &[r, g, b]) in rest.iter_mut().zip(rgb_rest.as_chunks::<3>().0) {
        *word = u32::from_le_bytes([r, g, b, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::widen;

    #[test]
    fn every_pixel_has_its_word() {
        let rgb: Vec<u8> = (1..=33).collect();
        let mut words = [0; 11];
        widen(&rgb, &mut words);
        assert!(words.iter().zip(rgb.chunks(3)).all(|(word, rgb)| word.to_le_bytes()[..3] == *rgb));
        assert!(words.iter().all(|word| *word < 1 << 24));
    }
}
