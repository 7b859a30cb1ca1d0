//! Counts the pictures of formats that can hold several.
//!
//! An animated WebP is refused under its own reason. Of a GIF the first picture is taken, which must be whole: the decoder
//! does not ask for that.

use super::error::{Fault, Reason};

/// The fault of an object with several pictures.
pub(super) fn fault(n_frames: u32) -> Fault {
    Fault::new(Reason::MultiFrame, format!("found {n_frames} frames, want 1"))
}

/// Which of `n_frames` pictures is meant: the one asked for, or the only one.
pub(super) fn choose(n_frames: u32, asked: Option<u32>) -> Result<u32, Fault> {
    match asked {
        None if n_frames > 1 => Err(fault(n_frames)),
        None => Ok(0),
        Some(frame) if frame < n_frames => Ok(frame),
        Some(frame) => {
            let detail = format!("frame {frame}, allowed 0..={}", n_frames.saturating_sub(1));
            Err(Fault::new(Reason::FrameOutOfRange, detail))
        }
    }
}

/// Where the first picture of a GIF ends; `None` where the structure cannot be followed so far.
pub(super) fn end_of_first_gif(bytes: &[u8]) -> Option<usize> {
    let mut at = 13 + color_table_len(*bytes.get(10)?);
    loop {
        match *bytes.get(at)? {
            0x2c => return skip_sub_blocks(bytes, at + 11 + color_table_len(*bytes.get(at + 9)?)),
            0x21 => at = skip_sub_blocks(bytes, at + 2)?,
            _ => return None,
        }
    }
}

fn color_table_len(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn skip_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1 + len;
        if len == 0 {
            return Some(at);
        }
    }
}

/// Pictures in a WebP; `None` where its chunks or the size that it declares go beyond its end.
pub(super) fn count_webp(bytes: &[u8]) -> Option<u32> {
    let (mut at, mut n_pictures, mut n_animated) = (12, 0, 0);
    let declared = bytes.get(4..8)?.first_chunk().map(|&four| u32::from_le_bytes(four))? as usize;
    if declared.checked_add(8)? > bytes.len() + 1 {
        return None;
    }
    while let Some(head) = bytes.get(at..at + 8) {
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        match &head[..4] {
            b"ANMF" => n_animated += 1,
            b"VP8 " | b"VP8L" => n_pictures += 1,
            _ => {}
        }
        at = at.checked_add(8 + len + (len & 1))?;
        if at > bytes.len() + 1 {
            return None;
        }
    }
    Some(n_pictures.max(n_animated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_picture_of_a_gif_ends_behind_extensions_and_tables() {
        let frame = b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\x80......\x02\x02\x4c\x01\0";
        let head = b"GIF89a\x01\0\x01\0\x80\0\0......";
        let gif = |n| [&head[..], &frame.repeat(n), b"\x3b"].concat();
        let end = head.len() + frame.len();
        assert_eq!(end_of_first_gif(&gif(1)), Some(end));
        assert_eq!(end_of_first_gif(&gif(12)), Some(end));
        assert_eq!(end_of_first_gif(&gif(12)[..end - 1]), None);
    }

    #[test]
    fn webp_frames_are_counted() {
        let webp = |n| [&b"RIFF\0\0\0\0WEBP"[..], &b"ANMF\x03\0\0\0abc\0".repeat(n)].concat();
        assert_eq!(count_webp(&webp(3)), Some(3));
        assert_eq!(count_webp(b"RIFF\0\0\0\0WEBPVP8 \x01\0\0\0a\0"), Some(1));
        assert_eq!(count_webp(b"RIFF\0\0\0\0WEBPVP8 \x09\0\0\0a\0"), None, "cut");
        assert_eq!(count_webp(b"RIFF\xff\0\0\0WEBPVP8 \x01\0\0\0a\0"), None, "cut");
    }
}
