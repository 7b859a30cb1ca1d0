//! Arrays of labels: whole numbers, floats that are whole, booleans, strings, and rows with a single one.

use super::Label;
use super::arrays::{fault, open_labels};
use crate::messages::Reason;
use crate::source::ranged::{ArchiveFault, Ranged};

/// Longest row of labels that can be one class: more classes than any data set has.
const MAX_CLASSES: u64 = 4096;

/// What an array of labels says of each image.
#[derive(Debug, PartialEq)]
pub(in crate::source) enum Labels {
    /// There is no array of that name.
    None,
    /// One entry per image.
    Rows(Vec<Option<Label>>),
    /// Labels that are no class each, such as several ones in a row; what they are.
    Other(&'static str),
}

/// The labels of the array `name`, of shape `(n)` or `(n, 1)`, or `(n, k)` with a single one in every row.
///
/// # Errors
/// `archive_unsupported` for objects, `archive_corrupt` where there are more or fewer than `n_rows`, other `archive_*` reasons, and
/// store failures.
pub(in crate::source) fn labels(file: &Ranged, name: &str, n_rows: u64) -> Result<Labels, ArchiveFault> {
    super::guarded(file, || {
        let Some(mut rows) = open_labels(file, name)? else { return Ok(Labels::None) };
        let header = rows.header().clone();
        let n_values = match header.shape.as_slice() {
            [_] | [_, 1] => 1,
            &[_, n @ 2..=MAX_CLASSES] => n,
            _ => return Ok(Labels::Other("labels of several axes")),
        };
        if header.n_rows() != n_rows {
            let detail = format!("{} labels for {n_rows} images", header.n_rows());
            return Err(ArchiveFault::bytes(Reason::ArchiveCorrupt, detail));
        }
        let (mut labels, mut row, mut is_one_hot) = (Vec::new(), Vec::new(), true);
        // To the end, where the checksum is compared.
        while rows.next_into(&mut row).map_err(fault)? {
            let item = row.len() / usize::try_from(n_values).unwrap_or(usize::MAX).max(1);
            let mut values = row.chunks_exact(item.max(1)).map(|value| label_of(&header.descr, value));
            if n_values == 1 {
                labels.push(values.next().flatten());
                continue;
            }
            let place = one_hot(values);
            is_one_hot &= place.is_some();
            labels.push(place.map(Label::Index));
        }
        Ok(if is_one_hot {
            Labels::Rows(labels)
        } else {
            Labels::Other("labels with several ones in a row, or none")
        })
    })
}

/// Where the single one among zeros stands.
fn one_hot(values: impl Iterator<Item = Option<Label>>) -> Option<i64> {
    let mut place = None;
    for (n, value) in (0..).zip(values) {
        match value? {
            Label::Index(0) => {}
            Label::Index(1) if place.is_none() => place = Some(n),
            _ => return None,
        }
    }
    place
}

/// One element of an array as a label; nothing for an empty string and for what is not a number.
fn label_of(descr: &str, bytes: &[u8]) -> Option<Label> {
    let (order, rest) = descr.split_at_checked(1)?;
    let mut bytes = bytes.to_vec();
    let kind = rest.as_bytes().first()?;
    if order == ">" {
        let width = if *kind == b'U' { 4 } else { bytes.len().max(1) };
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    match kind {
        b'b' => Some(Label::Index(i64::from(*bytes.first()? != 0))),
        b'u' | b'i' => {
            let is_negative = *kind == b'i' && bytes.last().is_some_and(|&byte| byte >= 0x80);
            let mut wide = [if is_negative { 0xff } else { 0 }; 8];
            wide.get_mut(..bytes.len())?.copy_from_slice(&bytes);
            Some(Label::Index(i64::from_le_bytes(wide)))
        }
        b'f' => whole(match *bytes.as_slice() {
            [a, b] => f64::from(half::f16::from_le_bytes([a, b]).to_f32()),
            [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
            _ => f64::from_le_bytes(bytes.try_into().ok()?),
        }),
        b'S' => {
            let text = String::from_utf8_lossy(&bytes);
            name(text.trim_end_matches('\0'))
        }
        b'U' => {
            let letters =
                bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            let text: String = letters.filter_map(char::from_u32).collect();
            name(text.trim_end_matches('\0'))
        }
        _ => Some(Label::Unread),
    }
}

/// A float that is a whole number; nothing where it is not a number, as tables write a missing one.
pub(super) fn whole(value: f64) -> Option<Label> {
    if value.is_nan() {
        return None;
    }
    let is_whole = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
    Some(if is_whole { Label::Index(value as i64) } else { Label::Unread })
}

fn name(text: &str) -> Option<Label> {
    let text = text.trim();
    (!text.is_empty()).then(|| Label::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_however_numpy_stores_them() {
        let index = |n| Some(Label::Index(n));
        assert_eq!(label_of("<i8", &(-1_i64).to_le_bytes()), index(-1));
        assert_eq!(label_of(">i8", &7_i64.to_be_bytes()), index(7));
        assert_eq!(label_of("|b1", &[1]), index(1));
        assert_eq!(label_of("<f8", &2_f64.to_le_bytes()), index(2));
        assert_eq!(label_of(">f4", &2_f32.to_be_bytes()), index(2));
        assert_eq!(label_of("<f8", &f64::NAN.to_le_bytes()), None);
        assert_eq!(label_of("<f8", &0.5_f64.to_le_bytes()), Some(Label::Unread));
        let text: Vec<u8> = "cat\0\0".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        assert_eq!(label_of(">U5", &text), Some(Label::Name("cat".to_owned())));
        assert_eq!(label_of("|S4", b"cat\0"), Some(Label::Name("cat".to_owned())));
        assert_eq!(label_of("|S4", b"\0\0\0\0"), None);
    }

    #[test]
    fn a_single_one_among_zeros_is_a_class_and_nothing_else_is() {
        let of = |values: &[i64]| one_hot(values.iter().map(|&n| Some(Label::Index(n))));
        assert_eq!(of(&[0, 0, 1]), Some(2));
        for values in [&[0, 0, 0][..], &[1, 0, 1], &[0, 2, 0]] {
            assert_eq!(of(values), None);
        }
    }
}
