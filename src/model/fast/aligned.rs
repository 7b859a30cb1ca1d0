//! Buffers whose first value starts a cache line.

use std::ops::{Deref, DerefMut, Range};

/// Bytes of a cache line, which is also the widest vector.
const LINE_BYTES: usize = 64;
/// Values of a cache line.
const LINE_VALUES: usize = LINE_BYTES / size_of::<f32>();

/// A fixed number of `f32` that start at a cache line.
///
/// A vector that straddles two lines costs two loads, and large allocations usually start 16 bytes behind a line. The tower
/// takes weights from any slice; from this one it reads them fastest.
#[derive(Debug, Default)]
pub struct Aligned {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        // The vector is never resized, so its values stay where they are now.
        let values = vec![0.0; len + LINE_VALUES];
        let start = values.as_ptr().align_offset(LINE_BYTES).min(LINE_VALUES);
        Self { values, start, len }
    }
}

impl Aligned {
    /// The whole vector and the place of the values in it.
    pub(in crate::model) fn into_parts(self) -> (Vec<f32>, Range<usize>) {
        (self.values, self.start..self.start + self.len)
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_a_line_and_has_its_length() {
        for len in [0, 1, 15, 16, 1000, 1 << 20] {
            let buffer = Aligned::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().align_offset(LINE_BYTES), 0);
        }
    }
}
