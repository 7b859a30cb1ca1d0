//! Counts the pictures of formats that can hold several.
//!
//! GIF and WebP are not decoded, but an animation is refused under its own reason: the fix is another export, not
//! another format.

use super::Format;
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

/// Pictures in a GIF or WebP, or `None` for other formats and for a structure that cannot be followed to its end.
pub(super) fn count(bytes: &[u8], format: Format) -> Option<u32> {
    match format {
        Format::Gif => count_gif(bytes),
        Format::Webp => count_webp(bytes),
        _ => None,
    }
}

fn count_gif(bytes: &[u8]) -> Option<u32> {
    let mut at = 13 + color_table_len(*bytes.get(10)?);
    let mut n_frames = 0;
    loop {
        match *bytes.get(at)? {
            0x2c => {
                n_frames += 1;
                at = skip_sub_blocks(bytes, at + 11 + color_table_len(*bytes.get(at + 9)?))?;
            }
            0x21 => at = skip_sub_blocks(bytes, at + 2)?,
            0x3b => return Some(n_frames),
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

fn count_webp(bytes: &[u8]) -> Option<u32> {
    let (mut at, mut n_pictures, mut n_animated) = (12, 0, 0);
    while let Some(head) = bytes.get(at..at + 8) {
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        match &head[..4] {
            b"ANMF" => n_animated += 1,
            b"VP8 " | b"VP8L" => n_pictures += 1,
            _ => {}
        }
        at = at.checked_add(8 + len + (len & 1))?;
    }
    Some(n_pictures.max(n_animated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gif_frames_are_counted_past_extensions_and_tables() {
        let frame = b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\x80......\x02\x02\x4c\x01\0";
        let head = b"GIF89a\x01\0\x01\0\x80\0\0......";
        let gif = |n| [&head[..], &frame.repeat(n), b"\x3b"].concat();
        assert_eq!(count(&gif(1), Format::Gif), Some(1));
        assert_eq!(count(&gif(12), Format::Gif), Some(12));
        assert_eq!(count(&gif(12)[..40], Format::Gif), None);
    }

    #[test]
    fn webp_frames_are_counted() {
        let webp = |n| [&b"RIFF\0\0\0\0WEBP"[..], &b"ANMF\x03\0\0\0abc\0".repeat(n)].concat();
        assert_eq!(count(&webp(3), Format::Webp), Some(3));
        assert_eq!(count(b"RIFF\0\0\0\0WEBPVP8 \x01\0\0\0a\0", Format::Webp), Some(1));
    }
}
