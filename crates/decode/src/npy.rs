//! NPY: one 8-bit image as numpy stores an array, the rows of MedMNIST's files among them.
//!
//! `(h, w)` and `(h, w, 1)` are grey, `(h, w, 3)` is RGB, of `(h, w, 4)` the last channel is dropped. There is no checksum and
//! no end marker; a cut is found because the header says how long the array is.

use super::Header;
use super::error::{Fault, Reason};
use t3b_image::Rgb8;
use t3b_image::npz::{CUT, NpyHeader, NpzError};

/// Shape and place of the values.
struct ArrayLayout<'a> {
    width_px: u32,
    height_px: u32,
    n_channels: usize,
    values: &'a [u8],
}

pub(super) fn read_header(bytes: &[u8]) -> Result<Header, Fault> {
    let ArrayLayout { width_px, height_px, .. } = layout(bytes)?;
    let n_pixels = u64::from(width_px) * u64::from(height_px);
    Ok(Header { width_px, height_px, peak_bytes: n_pixels.saturating_mul(Rgb8::CHANNELS as u64) })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Rgb8, Fault> {
    let ArrayLayout { width_px, height_px, n_channels, values } = layout(bytes)?;
    let pixels = match n_channels {
        1 => values.iter().flat_map(|&value| [value; 3]).collect(),
        3 => values.to_vec(),
        n => values.chunks_exact(n).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
    };
    Rgb8::new(width_px, height_px, pixels).ok_or_else(|| Fault::corrupt("the array has no pixels"))
}

fn layout(bytes: &[u8]) -> Result<ArrayLayout<'_>, Fault> {
    let mut rest = bytes;
    let header = NpyHeader::read(&mut rest, "").map_err(|error| match error {
        NpzError::BadHeader { problem, .. } if problem != CUT => Fault::corrupt(problem),
        _ => Fault::truncated("the header is cut"),
    })?;
    let other = || {
        let detail =
            format!("an array of {} axes, allowed 8-bit height x width (x 1, 3 or 4)", header.shape.len());
        Fault::new(Reason::UnsupportedColorType, detail)
    };
    let (height, width, n_channels) = match header.shape.as_slice() {
        [height, width] => (*height, *width, 1),
        [height, width, n @ (1 | 3 | 4)] => (*height, *width, *n as usize),
        _ => return Err(other()),
    };
    if header.descr != "|u1" {
        return Err(other());
    }
    let (Ok(width_px), Ok(height_px)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(Fault::new(Reason::DimensionsExceedLimit, "a side is over 32 bits"));
    };
    // Too large to multiply is larger than any limit; the caller compares the sides before anything is allocated.
    let n_values = height.checked_mul(width).and_then(|n| n.checked_mul(n_channels as u64));
    let found = rest.len() as u64;
    match n_values {
        Some(declared) if declared > found => Err(Fault::truncated(format!("{found} of {declared} values"))),
        Some(declared) if declared < found => {
            Err(Fault::corrupt(format!("{} bytes behind the array", found - declared)))
        }
        _ => Ok(ArrayLayout { width_px, height_px, n_channels, values: rest }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(shape: &[u64], values: &[u8]) -> Vec<u8> {
        let header = NpyHeader { descr: "|u1".to_owned(), shape: shape.to_vec() };
        [header.to_bytes().as_slice(), values].concat()
    }

    #[test]
    fn channels_become_rgb() {
        let values: Vec<u8> = (0..24).collect();
        for (shape, first) in [
            (vec![2, 12], [0, 0, 0, 1]),
            (vec![2, 12, 1], [0, 0, 0, 1]),
            (vec![2, 4, 3], [0, 1, 2, 3]),
            (vec![2, 3, 4], [0, 1, 2, 4]),
        ] {
            let image = decode(&file(&shape, &values)).unwrap();
            assert_eq!((image.width_px(), image.height_px()), (shape[1] as u32, 2));
            assert_eq!(image.as_bytes()[..4], first, "{shape:?}");
        }
    }

    #[test]
    fn an_array_that_is_no_whole_image_is_refused_by_reason() {
        let reason = |bytes: &[u8]| decode(bytes).unwrap_err().reason;
        let whole = file(&[4, 5], &[7; 20]);
        for cut in 0..whole.len() {
            assert!(reason(&whole[..cut]) == Reason::Truncated, "{cut}");
        }
        assert_eq!(reason(&file(&[4, 5], &[7; 21])), Reason::Corrupt);
        assert_eq!(reason(&file(&[4, 5, 2], &[7; 40])), Reason::UnsupportedColorType);
        assert_eq!(reason(&file(&[20], &[7; 20])), Reason::UnsupportedColorType);
        assert_eq!(reason(&file(&[1 << 40, 2], &[])), Reason::DimensionsExceedLimit);
        assert_eq!(reason(&file(&[0, 5], &[])), Reason::Corrupt);
    }
}
