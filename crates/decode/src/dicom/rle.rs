//! RLE: byte planes in PackBits (PS3.5 annex G).

use super::super::error::{Fault, Reason};
use super::super::packbits;
use super::module::PixelModule;
use super::samples::{Samples, narrow, place};

/// Number of segments and fifteen offsets.
const HEADER_LEN: usize = 64;

/// Decodes one frame. Order of segments: samples, and for each its bytes from the most significant.
pub(super) fn decode(module: &PixelModule, bytes: &[u8]) -> Result<Samples, Fault> {
    let header =
        bytes.get(..HEADER_LEN).ok_or_else(|| Fault::truncated("an RLE frame without its header"))?;
    let mut words = header.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word) as usize);
    let n_segments = words.next().unwrap_or_default();
    let n_bytes = (module.bits_allocated / 8) as usize;
    let n_samples = module.n_samples as usize;
    if n_bytes == 0 || n_segments != n_samples * n_bytes {
        let detail = format!("{n_segments} RLE segments, the attributes say {}", n_samples * n_bytes);
        return Err(Fault::new(Reason::DicomPixelLengthMismatch, detail));
    }
    let starts: Vec<usize> = words.take(n_segments).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let mut planes = Vec::with_capacity(n_segments);
    for (&start, end) in starts.iter().zip(ends) {
        let segment = bytes.get(start.max(HEADER_LEN)..end);
        let segment = segment.ok_or_else(|| Fault::corrupt("an RLE segment lies outside its frame"))?;
        planes.push(packbits::unpack(segment, module.n_pixels())?);
    }
    let value = |pixel: usize, sample: usize| {
        let bytes = &planes[sample * n_bytes..(sample + 1) * n_bytes];
        bytes.iter().fold(0, |value, plane| value << 8 | u32::from(plane[pixel]))
    };
    let places = (0..module.n_pixels()).flat_map(|pixel| (0..n_samples).map(move |sample| (pixel, sample)));
    let words = places.map(|(pixel, sample)| value(pixel, sample));
    if n_bytes > 2 {
        place(module, words.collect())
    } else {
        narrow(module, words.map(|word| word as u16).collect())
    }
}
