//! The header of one `.npy` array: what is stored, and in which shape.

use std::io::{self, Read};

use super::NpzError;

/// Longest header that is read; numpy's own need about a hundred bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Most axes an array may have; images with channels have four.
const MAX_AXES: usize = 8;

/// Longest single row: an RGB image of 64 Mi pixels.
const MAX_ROW_BYTES: u64 = 192 << 20;

/// What [`NpyHeader::read`] says of a header that is cut.
pub const CUT: &str = "it ends too early";

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Element type and shape of an array, C order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpyHeader {
    /// numpy's name of the element type, such as `|u1` or `<i8`.
    pub descr: String,
    /// Length of every axis; the first counts rows.
    pub shape: Vec<u64>,
}

impl NpyHeader {
    /// Number of rows: the length of the first axis.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or_default()
    }

    /// Bytes of one row.
    ///
    /// # Errors
    /// Why such an array is not handled: its axes, its element type, or a row above 192 MiB.
    pub fn row_bytes(&self) -> Result<usize, &'static str> {
        if self.shape.is_empty() || self.shape.len() > MAX_AXES {
            return Err("the shape has no axis or more than 8");
        }
        let item = item_bytes(&self.descr).ok_or("the element type has no size of its own")?;
        let row = self.shape[1..].iter().try_fold(item, |bytes, &n| bytes.checked_mul(n));
        let row = row.filter(|&bytes| bytes <= MAX_ROW_BYTES).ok_or("a row is larger than 192 MiB")?;
        // The whole size must at least be a number, although it is never allocated.
        row.checked_mul(self.n_rows()).ok_or("the size of the array overflows")?;
        usize::try_from(row).map_err(|_| "a row does not fit the memory")
    }

    /// Reads a header; afterwards `from` stands at the first row. `member` names the array in errors.
    ///
    /// # Errors
    /// When it is cut, longer than 64 KiB, or not one of numpy's in C order.
    pub fn read(from: &mut impl Read, member: &str) -> Result<Self, NpzError> {
        let bad = |problem| NpzError::BadHeader { member: member.to_owned(), problem };
        let mut short = |bytes: &mut [u8]| match from.read_exact(bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(bad(CUT)),
            other => other.map_err(NpzError::Io),
        };
        let mut start = [0; 8];
        short(&mut start)?;
        if !start.starts_with(MAGIC) {
            return Err(bad("it does not start as an npy array does"));
        }
        let n_bytes = match start[6] {
            1 => {
                let mut length = [0; 2];
                short(&mut length)?;
                usize::from(u16::from_le_bytes(length))
            }
            2 | 3 => {
                let mut length = [0; 4];
                short(&mut length)?;
                u32::from_le_bytes(length) as usize
            }
            _ => return Err(bad("its version is not 1, 2 or 3")),
        };
        if n_bytes > MAX_HEADER_BYTES {
            return Err(bad("it is longer than 64 KiB"));
        }
        let mut text = vec![0; n_bytes];
        short(&mut text)?;
        let text = str::from_utf8(&text).map_err(|_| bad("it is not text"))?;
        parse(text).map_err(bad)
    }

    /// The header as numpy writes it: version 1, padded so that the rows start at a multiple of 64.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let axes: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        let comma = if axes.len() == 1 { "," } else { "" };
        let mut text = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
            self.descr,
            axes.join(", ")
        );
        let n_start = MAGIC.len() + 2 + 2;
        while !(n_start + text.len() + 1).is_multiple_of(64) {
            text.push(' ');
        }
        text.push('\n');
        // Eight axes of twenty digits stay far below 65,536.
        let length = text.len() as u16;
        [MAGIC.as_slice(), &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
    }
}

/// Bytes of one element: booleans, numbers of either byte order, and texts of one length.
fn item_bytes(descr: &str) -> Option<u64> {
    let (kind, size) = descr.strip_prefix(['|', '<', '>', '='])?.split_at_checked(1)?;
    let size: u64 = size.parse().ok()?;
    match (kind, size) {
        ("b", 1) | ("u" | "i", 1 | 2 | 4 | 8) | ("f", 2 | 4 | 8) | ("c", 8 | 16) => Some(size),
        ("S", 1..=65_536) => Some(size),
        // Four bytes a letter.
        ("U", 1..=65_536) => Some(size * 4),
        _ => None,
    }
}

/// Reads the three entries of numpy's dictionary; their order is free.
fn parse(text: &str) -> Result<NpyHeader, &'static str> {
    let value = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start_matches([' ', ':']));
    let quoted = |text: &str| text.strip_prefix('\'')?.split_once('\'').map(|(word, _)| word.to_owned());
    let descr = value("'descr'").and_then(quoted).ok_or("the element type is missing")?;
    let order = value("'fortran_order'").ok_or("the order is missing")?;
    if !order.starts_with("False") {
        return Err("the array is in Fortran order");
    }
    let axes = value("'shape'").and_then(|text| text.strip_prefix('(')?.split_once(')'));
    let (axes, _) = axes.ok_or("the shape is missing")?;
    let numbers = axes.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let shape =
        numbers.map(str::parse).collect::<Result<_, _>>().map_err(|_| "the shape is not whole numbers")?;
    Ok(NpyHeader { descr, shape })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for shape in [vec![7], vec![2, 224, 224], vec![10, 28, 28, 3]] {
            let header = NpyHeader { descr: "|u1".to_owned(), shape };
            let bytes = header.to_bytes();
            assert_eq!(bytes.len() % 64, 0);
            assert_eq!(NpyHeader::read(&mut bytes.as_slice(), "a").unwrap(), header);
        }
    }

    #[test]
    fn what_cannot_be_handled_is_refused_before_anything_is_allocated() {
        let row = |descr: &str, shape: &[u64]| {
            NpyHeader { descr: descr.to_owned(), shape: shape.to_vec() }.row_bytes()
        };
        assert_eq!(row("<i8", &[3, 2]), Ok(16));
        assert!(row("|O", &[3]).is_err());
        assert!(row("|u1", &[]).is_err());
        assert!(row("|u1", &[1, u64::MAX, 2]).is_err());
        assert!(row("|u1", &[u64::MAX, 2]).is_err());
        assert!(parse("{'descr': '|u1', 'fortran_order': True, 'shape': (2,), }").is_err());
        assert!(parse("{'descr': '|u1', 'fortran_order': False, 'shape': (-2,), }").is_err());
    }
}
