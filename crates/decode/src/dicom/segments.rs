//! Segmented palettes: a table written as runs and straight lines (PS3.3 C.7.9.2).

use super::super::error::{Fault, Reason};

/// Expands segments to exactly `n_entries`. Indirect segments, which repeat earlier ones, are refused.
pub(super) fn expand(words: &[u16], n_entries: usize) -> Result<Vec<u16>, Fault> {
    let bad =
        || Fault::new(Reason::DicomInvalidAttribute, "the segments of a palette do not make its entries");
    let mut entries: Vec<u16> = Vec::with_capacity(n_entries);
    let mut rest = words;
    // A last word of padding is no segment.
    while let [kind, len, after @ ..] = rest {
        let n = usize::from(*len);
        if n > n_entries - entries.len() {
            return Err(bad());
        }
        match kind {
            0 => {
                entries.extend(after.get(..n).ok_or_else(bad)?);
                rest = &after[n..];
            }
            1 => {
                let (&end, after) = after.split_first().ok_or_else(bad)?;
                let start = f64::from(*entries.last().ok_or_else(bad)?);
                let step = (f64::from(end) - start) / n as f64;
                entries.extend((1..=n).map(|i| (start + step * i as f64).round() as u16));
                rest = after;
            }
            _ => return Err(Fault::new(Reason::UnsupportedColorType, "a palette with indirect segments")),
        }
    }
    if entries.len() == n_entries { Ok(entries) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn runs_and_lines_make_a_table() {
        let words = [0, 2, 5, 10, 1, 4, 30, 0, 1, 7, 0];
        assert_eq!(expand(&words, 7).unwrap(), [5, 10, 15, 20, 25, 30, 7]);
        for (words, n) in
            [(&words[..], 8), (&words[..], 6), (&[1, 3, 9], 3), (&[2, 1, 0, 0], 4), (&[0, 9, 1], 9)]
        {
            assert!(expand(words, n).is_err(), "{words:?} {n}");
        }
    }
}
