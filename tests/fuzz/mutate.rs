//! Damage to good files, decided by a seed alone.

/// SplitMix64: small, and the same everywhere.
pub struct Dice(pub u64);

/// Lengths, counts and sizes at the edges of what they are stored in.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, u64::MAX];

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }

    /// One of the seeds after up to eight flips, edges, cuts, copies, gaps and pieces of other seeds.
    pub fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.roll(seeds.len())].clone();
        for _ in 0..=self.roll(8) {
            self.mutate_once(&mut bytes, seeds);
            bytes.truncate(1 << 20);
        }
        bytes
    }

    fn mutate_once(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.roll(bytes.len());
        let len = self.roll(64).min(bytes.len() - at);
        match self.roll(9) {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.roll(8)),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.roll(256) as u8),
            3 | 4 => self.write_edge(&mut bytes[at..]),
            5 => bytes.truncate(at),
            6 => {
                let part = bytes[at..at + len].repeat(1 + self.roll(4));
                let to = self.roll(bytes.len());
                bytes.splice(to..to, part);
            }
            7 => drop(bytes.drain(at..at + len)),
            _ => {
                let other = &seeds[self.roll(seeds.len())];
                let from = self.roll(other.len());
                let part = &other[from..(from + self.roll(256)).min(other.len())];
                let end = if self.roll(2) == 0 { at } else { (at + part.len()).min(bytes.len()) };
                bytes.splice(at..end, part.iter().copied());
            }
        }
    }

    fn write_edge(&mut self, place: &mut [u8]) {
        let edge = EDGES[self.roll(EDGES.len())].wrapping_add(self.roll(3) as u64).wrapping_sub(1);
        let width = [1, 2, 4, 8][self.roll(4)];
        let bytes =
            if self.roll(2) == 0 { edge.to_le_bytes() } else { (edge << (64 - 8 * width)).to_be_bytes() };
        place.iter_mut().zip(&bytes[..width]).for_each(|(byte, new)| *byte = *new);
    }
}
