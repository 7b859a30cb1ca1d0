//! PackBits run-length coding, as TIFF and DICOM use it.

use super::error::Fault;

/// PackBits of a known length; what is left over may only be padding.
pub(super) fn unpack(packed: &[u8], len: usize) -> Result<Vec<u8>, Fault> {
    let cut = || Fault::truncated("the run-length data end before the last pixel");
    // Two bytes make at most 128: a hostile size is noticed before it is allocated.
    if len > packed.len().saturating_mul(64) {
        return Err(cut());
    }
    let mut plain = Vec::with_capacity(len);
    let mut rest = packed;
    while plain.len() < len {
        let (&control, after) = rest.split_first().ok_or_else(cut)?;
        match control {
            0..=127 => {
                let n = usize::from(control) + 1;
                plain.extend_from_slice(after.get(..n).ok_or_else(cut)?);
                rest = &after[n..];
            }
            128 => rest = after,
            129..=255 => {
                let (&byte, after) = after.split_first().ok_or_else(cut)?;
                plain.resize(plain.len() + 257 - usize::from(control), byte);
                rest = after;
            }
        }
    }
    if plain.len() > len {
        return Err(Fault::corrupt("the run-length data go beyond the last pixel"));
    }
    Ok(plain)
}
