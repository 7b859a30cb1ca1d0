//! Hostile and odd PNG, JPEG and other files, made from a few numbers.
//!
//! The compressed bombs are real: their data inflate to the full declared size.

/// PNG colour types.
pub const GREY: u8 = 0;
/// Red, green, blue.
pub const RGB: u8 = 2;

/// A PNG of zeros (black), whose data inflate to every declared byte.
pub fn black_png(width: u32, height: u32, depth: u8, color: u8) -> Vec<u8> {
    let n_channels: u64 = if color == RGB { 3 } else { 1 };
    let row_len = 1 + (u64::from(width) * u64::from(depth) * n_channels).div_ceil(8);
    png(width, height, depth, color, &[], &zlib_run(0, row_len * u64::from(height)))
}

/// A PNG that declares a size and holds no pixel.
pub fn header_only_png(width: u32, height: u32) -> Vec<u8> {
    png(width, height, 8, RGB, &[], &zlib_run(0, 0))
}

/// An 8x8 black PNG with a text chunk that inflates to `text_len` letters.
pub fn text_bomb_png(text_len: u64) -> Vec<u8> {
    let text = [&b"Comment\0\0"[..], &zlib_run(b'A', text_len)].concat();
    png(8, 8, 8, RGB, &[chunk(b"zTXt", &text)], &zlib_run(0, 8 * 25))
}

/// A black PNG that declares an animation of `n_frames`.
pub fn animated_png(n_frames: u32) -> Vec<u8> {
    let control = [n_frames.to_be_bytes(), [0; 4]].concat();
    png(16, 16, 8, GREY, &[chunk(b"acTL", &control)], &zlib_run(0, 16 * 17))
}

/// A PNG from its parts; `extra` are whole chunks before the data.
pub fn png(width: u32, height: u32, depth: u8, color: u8, extra: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([depth, color, 0, 0, 0]);
    let parts = [chunk(b"IHDR", &header), extra.concat(), chunk(b"IDAT", data), chunk(b"IEND", b"")];
    [b"\x89PNG\r\n\x1a\n".to_vec(), parts.concat()].concat()
}

/// One PNG chunk with its length and checksum.
pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|i| {
        (0..8).fold(i as u32, |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    });
    !bytes.iter().fold(!0, |crc, &byte| table[(crc as u8 ^ byte) as usize] ^ (crc >> 8))
}

/// A zlib stream of `n` equal bytes below 144, at 13 bits for every 258 of them.
pub fn zlib_run(byte: u8, n: u64) -> Vec<u8> {
    let (mut out, mut held, mut n_held) = (vec![0x78, 0x01], 0_u32, 0);
    let mut put = |value: u32, n_bits: u32| {
        held |= value << n_held;
        n_held += n_bits;
        while n_held >= 8 {
            out.push(held as u8);
            held >>= 8;
            n_held -= 8;
        }
    };
    // Huffman codes go out most significant bit first, all else the other way round.
    let code = |code: u32, n_bits: u32| (code.reverse_bits() >> (32 - n_bits), n_bits);
    let literal = code(0x30 + u32::from(byte), 8);
    let longest_match = code(0xc0 + 285 - 280, 8);
    put(0b011, 3);
    let n_matches = n.saturating_sub(1) / 258;
    for _ in 0..n.min(1) {
        put(literal.0, literal.1);
    }
    for _ in 0..n_matches {
        put(longest_match.0, longest_match.1);
        put(0, 5);
    }
    for _ in 0..n.saturating_sub(1) % 258 {
        put(literal.0, literal.1);
    }
    put(0, 7);
    put(0, 7);
    out.extend(adler32_of_run(byte, n).to_be_bytes());
    out
}

fn adler32_of_run(byte: u8, n: u64) -> u32 {
    let (byte, n) = (u128::from(byte), u128::from(n));
    let low = (1 + n * byte) % 65_521;
    let high = (n + byte * n * (n + 1) / 2) % 65_521;
    (high << 16 | low) as u32
}

/// A 196-byte JPEG with one tiny scan; `sof` is the frame marker: 0xc0 baseline, 0xc2 progressive.
pub fn tiny_jpeg(width: u16, height: u16, sof: u8, n_components: u8) -> Vec<u8> {
    let frame = (1..=n_components).flat_map(|id| [id, 0x11, 0]);
    let scan = (1..=n_components).flat_map(|id| [id, 0]);
    let sides = [height.to_be_bytes(), width.to_be_bytes()].concat();
    [
        b"\xff\xd8".to_vec(),
        segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(sof, &[vec![8], sides, vec![n_components], frame.collect()].concat()),
        segment(0xc4, &[&[0, 1][..], &[0; 15], &[0]].concat()),
        segment(0xda, &[vec![n_components], scan.collect(), vec![0, 0x3f, 0]].concat()),
        vec![0; 50],
        b"\xff\xd9".to_vec(),
    ]
    .concat()
}

/// A JPEG segment with its marker and length.
pub fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

/// A grey progressive JPEG of `n_scans` scans, each of a few bytes and a pass over the whole image.
pub fn many_scans_jpeg(n_scans: usize) -> Vec<u8> {
    let scan = [segment(0xda, &[1, 1, 0, 0, 0, 0]), vec![0x2a]].concat();
    [
        b"\xff\xd8".to_vec(),
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(0xc2, &[8, 16, 0, 16, 0, 1, 1, 0x11, 0]),
        segment(0xc4, &[&[0, 1][..], &[0; 15], &[0]].concat()),
        scan.repeat(n_scans),
        b"\xff\xd9".to_vec(),
    ]
    .concat()
}

/// A GIF of `n_frames` pixels.
pub fn gif(n_frames: usize) -> Vec<u8> {
    let frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0";
    [&b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff"[..], &frame.repeat(n_frames), b"\x3b"].concat()
}

/// A little-endian TIFF of one page: entries of (tag, type, count, value), then `tail`.
pub fn tiff(entries: &[(u16, u16, u32, u32)], next: u32, tail: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for &(tag, kind, count, value) in entries {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend(next.to_le_bytes());
    bytes.extend(tail);
    bytes
}

/// Entries of a grey page of one strip, which begins right after them.
pub fn grey_tiff(width: u32, height: u32, compression: u32, len: u32) -> Vec<(u16, u16, u32, u32)> {
    let after = 8 + 2 + 12 * 8 + 4;
    vec![
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, after),
        (278, 4, 1, height),
        (279, 4, 1, len),
    ]
}
