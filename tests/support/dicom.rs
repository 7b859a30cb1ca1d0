//! DICOM files made from a few attributes, good and hostile.

/// How the data set is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Implicit VR, little endian.
    Implicit,
    /// Explicit VR, little endian.
    Explicit,
    /// Explicit VR, big endian.
    BigEndian,
    /// Explicit VR, little endian, with compressed pixels of the UID's last parts.
    Compressed(&'static str),
}

/// One attribute: group, element, VR and value. Numbers of US and SS follow the byte order of the syntax.
#[derive(Debug, Clone)]
pub enum Value {
    /// 16-bit numbers.
    Words(Vec<u16>),
    /// Bytes or text, padded to an even length.
    Bytes(Vec<u8>),
    /// Items of a sequence, of undefined length.
    Items(Vec<Vec<Element>>),
}

/// Group, element, VR, value.
pub type Element = (u16, u16, &'static [u8; 2], Value);

/// Text of any VR.
pub fn text(tag: (u16, u16), vr: &'static [u8; 2], value: &str) -> Element {
    (tag.0, tag.1, vr, Value::Bytes(value.as_bytes().to_vec()))
}

/// Unsigned numbers.
pub fn us(tag: (u16, u16), values: &[u16]) -> Element {
    (tag.0, tag.1, b"US", Value::Words(values.to_vec()))
}

/// The attributes of a grey picture of `bits` stored of 16 allocated bits.
pub fn grey_16(columns: u16, rows: u16, bits: u16, is_signed: bool) -> Vec<Element> {
    vec![
        us((0x28, 2), &[1]),
        text((0x28, 4), b"CS", "MONOCHROME2"),
        us((0x28, 0x10), &[rows]),
        us((0x28, 0x11), &[columns]),
        us((0x28, 0x100), &[16]),
        us((0x28, 0x101), &[bits]),
        us((0x28, 0x102), &[bits - 1]),
        us((0x28, 0x103), &[u16::from(is_signed)]),
    ]
}

/// Puts `new` in the place of the attribute with its tag, or at the end.
pub fn with(mut elements: Vec<Element>, new: Element) -> Vec<Element> {
    elements.retain(|old| (old.0, old.1) != (new.0, new.1));
    elements.push(new);
    elements.sort_by_key(|element| (element.0, element.1));
    elements
}

/// A whole file with 16-bit pixels.
pub fn file(syntax: Syntax, elements: &[Element], pixels: &[u16]) -> Vec<u8> {
    let mut elements = elements.to_vec();
    elements.push((0x7fe0, 0x10, b"OW", Value::Words(pixels.to_vec())));
    part_10(syntax, &data_set(syntax, &elements))
}

/// A whole file with compressed frames of one fragment each.
pub fn compressed_file(uid: &'static str, elements: &[Element], frames: &[Vec<u8>]) -> Vec<u8> {
    let syntax = Syntax::Compressed(uid);
    let mut bytes = data_set(syntax, elements);
    bytes.extend(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff");
    bytes.extend(item(&[]));
    frames.iter().for_each(|frame| bytes.extend(item(frame)));
    bytes.extend(b"\xfe\xff\xdd\xe0\0\0\0\0");
    part_10(syntax, &bytes)
}

fn item(bytes: &[u8]) -> Vec<u8> {
    let bytes = even(bytes.to_vec());
    [&b"\xfe\xff\0\xe0"[..], &(bytes.len() as u32).to_le_bytes(), &bytes].concat()
}

fn even(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

/// Preamble, meta group and a data set that is written already.
pub fn part_10(syntax: Syntax, data_set: &[u8]) -> Vec<u8> {
    let uid = match syntax {
        Syntax::Implicit => "1.2.840.10008.1.2".to_owned(),
        Syntax::Explicit => "1.2.840.10008.1.2.1".to_owned(),
        Syntax::BigEndian => "1.2.840.10008.1.2.2".to_owned(),
        Syntax::Compressed(rest) => format!("1.2.840.10008.1.2.{rest}"),
    };
    let meta = self::data_set(Syntax::Explicit, &[text((2, 0x10), b"UI", &uid)]);
    let length = (meta.len() as u32).to_le_bytes();
    let length = self::data_set(Syntax::Explicit, &[(2, 0, b"UL", Value::Bytes(length.to_vec()))]);
    [&[0; 128][..], b"DICM", &length, &meta, data_set].concat()
}

/// Elements one after the other.
pub fn data_set(syntax: Syntax, elements: &[Element]) -> Vec<u8> {
    let is_big = syntax == Syntax::BigEndian;
    let word = |number: u16| if is_big { number.to_be_bytes() } else { number.to_le_bytes() };
    let long = |number: u32| if is_big { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut out = Vec::new();
    for (group, element, vr, value) in elements {
        let (value, len) = match value {
            Value::Words(words) => (words.iter().flat_map(|&number| word(number)).collect(), None),
            Value::Bytes(bytes) => (even(bytes.clone()), None),
            Value::Items(items) => {
                let mut all = Vec::new();
                for item in items {
                    let inner = data_set(syntax, item);
                    all.extend([word(0xfffe), word(0xe000)].concat());
                    all.extend(long(inner.len() as u32));
                    all.extend(inner);
                }
                all.extend([word(0xfffe), word(0xe0dd), [0; 2], [0; 2]].concat());
                (all, Some(u32::MAX))
            }
        };
        let len = len.unwrap_or(value.len() as u32);
        out.extend([word(*group), word(*element)].concat());
        match (syntax, *vr) {
            (Syntax::Implicit, _) => out.extend(long(len)),
            (_, b"OB" | b"OW" | b"SQ" | b"UN") => {
                out.extend(*vr);
                out.extend([0; 2]);
                out.extend(long(len));
            }
            _ => {
                out.extend(*vr);
                out.extend(word(len as u16));
            }
        }
        out.extend(value);
    }
    out
}

/// A JPEG 2000 picture of 24x20 px, with a comment in its codestream where one is given.
pub fn jpeg_2000_file(comment: Option<&str>) -> Vec<u8> {
    let path = super::repo("tests/golden/dicom/frames/j2k8.j2k");
    let mut frame = std::fs::read(path).expect("a golden frame");
    if let Some(comment) = comment {
        // Before the coding style, where the main header may have any number of them (T.800 A.9.2).
        let at = frame.windows(2).position(|pair| pair == b"\xff\x52").expect("a coding style");
        let segment =
            [b"\xff\x64", &(comment.len() as u16 + 4).to_be_bytes()[..], b"\0\x01", comment.as_bytes()];
        frame.splice(at..at, segment.concat());
    }
    compressed_file("4.90", &with(grey_16(24, 20, 8, false), us((0x28, 0x100), &[8])), &[frame])
}
