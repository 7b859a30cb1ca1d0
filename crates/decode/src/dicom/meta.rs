//! The part before the data set: preamble and file meta group.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::super::error::{Fault, Reason};
use super::element::{Head, Tag, UNDEFINED};
use super::syntax::{Codec, Encoding, TransferSyntax, UNNAMED};

const PREAMBLE_LEN: usize = 132;
const GROUP_LENGTH: Tag = Tag(0x0002, 0x0000);
const TRANSFER_SYNTAX: Tag = Tag(0x0002, 0x0010);
/// Longest data set that a deflated one may become: the largest 16-bit picture of the default limits and its attributes.
const MAX_INFLATED_LEN: u64 = 144 << 20;

/// A data set with what is needed to read it.
#[derive(Debug)]
pub(super) struct DataSet<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) syntax: &'static TransferSyntax,
    /// How the elements are written, which the first of them may know better than the syntax.
    pub(super) encoding: Encoding,
}

/// Reads the file meta group and inflates the data set where it is deflated.
pub(super) fn open(bytes: &[u8]) -> Result<DataSet<'_>, Fault> {
    let (syntax, rest) = syntax(bytes)?;
    let bytes: Cow<'_, [u8]> = if syntax.is_deflated { inflate(rest)?.into() } else { rest.into() };
    let encoding = Encoding::of_elements(&bytes, 0, syntax.encoding);
    Ok(DataSet { bytes, syntax, encoding })
}

/// Reads the file meta group: the transfer syntax, and the bytes behind the group.
///
/// The group is read to its last element and not by its length, which many writers get wrong; a length beyond the end
/// of the object is refused all the same. Preamble, group and transfer syntax may each be missing, as in what old
/// archives and research scripts write: then the data set and the frame say how they are written.
pub(super) fn syntax(bytes: &[u8]) -> Result<(&'static TransferSyntax, &[u8]), Fault> {
    let mut at = if bytes.get(128..PREAMBLE_LEN) == Some(b"DICM") { PREAMBLE_LEN } else { 0 };
    let mut uid = None;
    while bytes.get(at..at + 2) == Some(&[2, 0]) {
        let head = Head::read(bytes, at, Encoding::EXPLICIT).map_err(|_| invalid("an unreadable element"))?;
        if head.len == UNDEFINED {
            return Err(invalid("an element of undefined length"));
        }
        at = head.end(bytes)?;
        let value = &bytes[head.value_at..at];
        match head.tag {
            GROUP_LENGTH => check_group_length(value, bytes.len() - at)?,
            TRANSFER_SYNTAX => uid = Some(value),
            _ => {}
        }
    }
    let Some(uid) = uid.map(unpadded).filter(|uid| !uid.is_empty()) else {
        return Ok((&UNNAMED, &bytes[at..]));
    };
    let syntax = TransferSyntax::find(uid).ok_or_else(|| unsupported(&unlisted(uid)))?;
    if syntax.codec == Codec::Unsupported {
        return Err(unsupported(syntax.uid));
    }
    Ok((syntax, &bytes[at..]))
}

/// A UID without the zeros and blanks around it, however many.
fn unpadded(mut uid: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | 0] = uid {
        uid = rest;
    }
    uid.trim_ascii_start()
}

/// Names a syntax of the standard's root; a private one may say who wrote the file and is not printed.
fn unlisted(uid: &[u8]) -> String {
    let is_standard = uid.starts_with(b"1.2.840.10008.1.2")
        && uid.len() <= 64
        && uid.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    if is_standard {
        String::from_utf8_lossy(uid).into_owned()
    } else {
        "a private one, or none that is a UID".to_owned()
    }
}

fn check_group_length(value: &[u8], n_left: usize) -> Result<(), Fault> {
    match *value {
        [a, b, c, d] if u32::from_le_bytes([a, b, c, d]) as usize <= n_left => Ok(()),
        [a, b, c, d] => {
            let len = u32::from_le_bytes([a, b, c, d]);
            Err(invalid(&format!("group length {len}, the object has {n_left} bytes left")))
        }
        _ => Err(invalid("a group length that is not 4 bytes")),
    }
}

fn invalid(found: &str) -> Fault {
    Fault::new(Reason::DicomMetaInvalid, format!("file meta group: found {found}"))
}

fn unsupported(found: &str) -> Fault {
    Fault::new(Reason::DicomUnsupportedTransferSyntax, format!("found {found}"))
}

/// The longest that [`inflate`] can make of these bytes; deflate makes at most 1032 bytes of one.
pub(super) fn most_inflated_len(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).saturating_mul(1032).min(MAX_INFLATED_LEN)
}

/// Inflates into a buffer that grows with the data, never with a declared size.
///
/// The stream is a raw one; some writers put a zlib header before it and its checksum behind.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let is_zlib = matches!(*bytes, [method, flags, ..]
        if method & 15 == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]) % 31 == 0);
    let mut inflated = Vec::new();
    let mut read = |stream: &mut dyn Read| {
        inflated.clear();
        stream.take(MAX_INFLATED_LEN + 1).read_to_end(&mut inflated)
    };
    let raw = read(&mut DeflateDecoder::new(bytes));
    let read = if raw.is_err() && is_zlib { read(&mut ZlibDecoder::new(bytes)) } else { raw };
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Fault::truncated("the deflated data set ends early"),
        _ => Fault::corrupt("the deflated data set is invalid"),
    })?;
    if inflated.len() as u64 > MAX_INFLATED_LEN {
        let detail = format!("over {MAX_INFLATED_LEN} bytes from {}", bytes.len());
        return Err(Fault::new(Reason::DicomInflateExceedsLimit, detail));
    }
    Ok(inflated)
}
