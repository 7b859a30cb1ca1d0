//! Bits of a JPEG-LS scan: after a byte of 0xff comes one of 7 bits.

use super::super::error::Fault;

/// Reads bits, most significant first, up to the next marker.
///
/// Reading past it gives zeros and is noticed by [`BitReader::is_overread`], so that callers ask once a line.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    /// Unread bits, from the top.
    word: u64,
    n_bits: u32,
    /// Zero bits that were made up.
    n_invented: u32,
    after_ff: bool,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { rest: data, word: 0, n_bits: 0, n_invented: 0, after_ff: false }
    }

    /// Makes at least 32 bits available.
    #[inline]
    fn refill(&mut self) {
        while self.n_bits <= 56 {
            let (byte, width) = match *self.rest {
                [byte, ..] if self.after_ff && byte & 0x80 == 0 => (byte, 7),
                [0xff, next, ..] if !self.after_ff && next & 0x80 != 0 => (0, 0),
                [byte, ..] if !self.after_ff => (byte, 8),
                _ => (0, 0),
            };
            if width == 0 {
                self.n_invented = self.n_invented.saturating_add(8);
                self.n_bits += 8;
                continue;
            }
            self.rest = &self.rest[1..];
            self.after_ff = byte == 0xff;
            self.word |= u64::from(byte) << (64 - width - self.n_bits);
            self.n_bits += width;
        }
    }

    /// Takes `n` bits, 0 to 24.
    #[inline]
    pub(super) fn take(&mut self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        self.refill();
        let bits = (self.word >> (64 - n)) as u32;
        self.word <<= n;
        self.n_bits -= n;
        bits
    }

    /// Takes zeros and the one after them; `None` for over `most` zeros.
    #[inline]
    pub(super) fn zeros(&mut self, most: u32) -> Option<u32> {
        let mut n_zeros = 0;
        loop {
            self.refill();
            let n = self.word.leading_zeros().min(self.n_bits);
            n_zeros += n;
            if n_zeros > most {
                return None;
            }
            if n < self.n_bits {
                // Two shifts: by 64 is not one.
                self.word = self.word << n << 1;
                self.n_bits -= n + 1;
                return Some(n_zeros);
            }
            self.word = 0;
            self.n_bits = 0;
        }
    }

    /// Whether bits were taken that are not there.
    pub(super) fn is_overread(&self) -> bool {
        self.n_invented > self.n_bits
    }

    /// Ends the scan: only the padding of the last byte may be left. Gives the bytes from the next marker on.
    pub(super) fn finish(mut self) -> Result<&'a [u8], Fault> {
        self.refill();
        if self.is_overread() {
            return Err(Fault::truncated("the scan data end before the last value"));
        }
        // A last byte of 0xff is followed by a byte that holds nothing.
        let n_left = self.n_bits - self.n_invented;
        let is_marker = matches!(self.rest, [0xff, next, ..] if next & 0x80 != 0);
        if n_left > 15 || !is_marker {
            return Err(Fault::corrupt("bytes are left over after the last value of a scan"));
        }
        Ok(self.rest)
    }
}
