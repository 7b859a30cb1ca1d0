//! Buffers whose first value starts a cache line.

use std::ops::{Deref, DerefMut, Range};

/// Bytes of a cache line, which is also the widest vector.
const LINE_BYTES: usize = 64;

/// A fixed number of values that start at a cache line.
///
/// A vector that straddles two lines costs two loads, and large allocations usually start 16 bytes behind a line. The tower
/// takes weights from any slice; from this one it reads them fastest.
#[derive(Debug, Default)]
pub struct Aligned<T = f32> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Values of a cache line.
    const LINE: usize = LINE_BYTES / size_of::<T>();

    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        // The vector is never resized, so its values stay where they are now.
        let values = vec![T::default(); len + Self::LINE];
        let start = values.as_ptr().align_offset(LINE_BYTES).min(Self::LINE);
        Self { values, start, len }
    }
}

/// A clone starts a line of its own.
impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut clone = Self::zeros(self.len);
        clone.copy_from_slice(self);
        clone
    }
}

impl<T> Aligned<T> {
    /// The whole vector and the place of the values in it.
    pub(in crate::model) fn into_parts(self) -> (Vec<T>, Range<usize>) {
        (self.values, self.start..self.start + self.len)
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_a_line_and_has_its_length() {
        for len in [0, 1, 15, 16, 1000, 1 << 20] {
            let (floats, bytes) = (Aligned::<f32>::zeros(len), Aligned::<i8>::zeros(len));
            assert_eq!((floats.len(), bytes.len()), (len, len));
            assert_eq!(floats.as_ptr().align_offset(LINE_BYTES), 0);
            assert_eq!(bytes.as_ptr().align_offset(LINE_BYTES), 0);
            assert_eq!(bytes.clone().as_ptr().align_offset(LINE_BYTES), 0);
        }
    }
}
