//! The part before the data set: preamble and file meta group.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::DeflateDecoder;

use super::super::error::{Fault, Reason};
use super::element::{Head, Tag, UNDEFINED};
use super::syntax::{Codec, Encoding, TransferSyntax};

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
}

/// Reads the file meta group and inflates the data set where it is deflated.
pub(super) fn open(bytes: &[u8]) -> Result<DataSet<'_>, Fault> {
    let (syntax, rest) = syntax(bytes)?;
    let bytes = if syntax.is_deflated { inflate(rest)?.into() } else { rest.into() };
    Ok(DataSet { bytes, syntax })
}

/// Reads the file meta group: the transfer syntax, and the bytes behind the group.
///
/// The group is read to its last element and not by its length, which many writers get wrong; a length beyond the end
/// of the object is refused all the same.
pub(super) fn syntax(bytes: &[u8]) -> Result<(&'static TransferSyntax, &[u8]), Fault> {
    if bytes.get(128..PREAMBLE_LEN) != Some(b"DICM") {
        return Err(Fault::new(Reason::NotDicom, "a data set without preamble and file meta group"));
    }
    let mut at = PREAMBLE_LEN;
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
    let uid = uid.ok_or_else(|| invalid("no transfer syntax"))?.trim_ascii_end();
    let syntax = TransferSyntax::find(uid.strip_suffix(b"\0").unwrap_or(uid))
        .ok_or_else(|| unsupported("one that is not in the table"))?;
    if syntax.codec == Codec::Unsupported {
        return Err(unsupported(syntax.uid));
    }
    Ok((syntax, &bytes[at..]))
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
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut inflated = Vec::new();
    let mut decoder = DeflateDecoder::new(bytes).take(MAX_INFLATED_LEN + 1);
    decoder.read_to_end(&mut inflated).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Fault::truncated("the deflated data set ends early"),
        _ => Fault::corrupt("the deflated data set is invalid"),
    })?;
    if inflated.len() as u64 > MAX_INFLATED_LEN {
        let detail = format!("over {MAX_INFLATED_LEN} bytes from {}", bytes.len());
        return Err(Fault::new(Reason::DicomInflateExceedsLimit, detail));
    }
    Ok(inflated)
}
