//! Deflate streams of a known length, without trust in it.

use flate2::{Decompress, FlushDecompress, Status};

use super::error::Fault;

/// Deflate makes at most 1032 bytes of one.
const MAX_RATIO: usize = 1100;

/// Inflates a zlib stream to its end, checksum included; it must make exactly `len` bytes.
pub(super) fn zlib(data: &[u8], len: usize) -> Result<Vec<u8>, Fault> {
    inflate(data, len, true, len)
}

/// Inflates a stream without a header to its end; it must make `least` to `most` bytes.
pub(super) fn raw(data: &[u8], least: usize, most: usize) -> Result<Vec<u8>, Fault> {
    inflate(data, most, false, least)
}

fn inflate(data: &[u8], len: usize, has_header: bool, least: usize) -> Result<Vec<u8>, Fault> {
    let short = || Fault::truncated("the deflated data end before the last pixel");
    // A hostile size is noticed before it is allocated.
    if len > data.len().saturating_mul(MAX_RATIO) {
        return Err(short());
    }
    let mut plain = vec![0; len + 1];
    let mut decoder = Decompress::new(has_header);
    let status = decoder.decompress(data, &mut plain, FlushDecompress::Finish);
    let n_out = decoder.total_out() as usize;
    match status {
        Ok(Status::StreamEnd) if (least..=len).contains(&n_out) => {
            plain.truncate(n_out);
            Ok(plain)
        }
        Ok(_) if n_out <= len => Err(short()),
        _ => Err(Fault::corrupt("the deflated data are invalid, or more than the pixels")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::error::Reason;

    #[test]
    fn a_stream_must_make_what_was_declared_and_end() {
        let plain: Vec<u8> = (0..200).map(|n| n as u8 % 7).collect();
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&plain).unwrap();
        let stream = encoder.finish().unwrap();
        assert_eq!(raw(&stream, 200, 201).unwrap(), plain);
        assert_eq!(raw(&stream, 201, 201).unwrap_err().reason, Reason::Truncated);
        assert_eq!(raw(&stream, 198, 198).unwrap_err().reason, Reason::Corrupt);
        for cut in 0..stream.len() - 1 {
            assert_eq!(raw(&stream[..cut], 200, 200).unwrap_err().reason, Reason::Truncated, "{cut}");
        }
    }
}
