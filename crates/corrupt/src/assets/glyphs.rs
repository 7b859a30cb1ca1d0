//! Stroke letters.

use super::{AssetError, stroke_font};

/// The letters `a` to `z` as strokes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glyphs {
    letters: Vec<Glyph>,
    exact: bool,
}

/// One letter in font units: x to the right, y down, the baseline at y = 9.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glyph {
    /// Left edge.
    pub left: i8,
    /// Right edge; the next letter's left edge goes here.
    pub right: i8,
    /// Polylines of at least two points `(x, y)`.
    pub strokes: Vec<Vec<(i8, i8)>>,
}

impl Glyphs {
    /// Reads a Hershey font in James Hurt's format, whose first line is the space.
    ///
    /// The font of the reference is Roman Duplex, `rowmand.jhf`.
    ///
    /// # Errors
    /// When a line of a lower-case letter is missing or malformed.
    pub fn from_jhf(text: &str) -> Result<Self, AssetError> {
        const FIRST: usize = b'a' as usize - b' ' as usize;
        let mut lines = text.lines().skip(FIRST);
        let letters = (FIRST + 1..FIRST + 27).map(|line| {
            let glyph = lines.next().ok_or("missing").and_then(parse_glyph);
            glyph.map_err(|problem| AssetError::BadGlyph { line, problem })
        });
        Ok(Self { letters: letters.collect::<Result<_, _>>()?, exact: true })
    }

    /// A font made here.
    #[must_use]
    pub fn procedural() -> Self {
        Self { letters: stroke_font::letters(), exact: false }
    }

    /// Whether this is the reference's font.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Letter 0 is `a`.
    ///
    /// # Panics
    /// When `index` is 26 or more.
    #[must_use]
    pub fn letter(&self, index: usize) -> &Glyph {
        &self.letters[index]
    }
}

/// Reads one line: 5 columns of number, 3 of pair count, then pairs of letters that are offsets from `R`.
///
/// The first pair is the two edges; a pair that starts with a space lifts the pen.
fn parse_glyph(line: &str) -> Result<Glyph, &'static str> {
    let bytes = line.as_bytes();
    let n_pairs = bytes.get(5..8).ok_or("no pair count")?;
    let n_pairs: usize =
        std::str::from_utf8(n_pairs).ok().and_then(|n| n.trim().parse().ok()).ok_or("bad pair count")?;
    let pairs = bytes[8..].chunks_exact(2);
    if pairs.len() != n_pairs || n_pairs == 0 {
        return Err("pair count does not match the line");
    }
    let offset = |byte: u8| (i16::from(byte) - i16::from(b'R')) as i8;
    let mut pairs = pairs.map(|pair| (pair[0] != b' ').then(|| (offset(pair[0]), offset(pair[1]))));
    let (left, right) = pairs.next().flatten().ok_or("no edges")?;
    let points: Vec<_> = pairs.collect();
    let strokes = points.split(Option::is_none).map(|stroke| stroke.iter().flatten().copied().collect());
    Ok(Glyph { left, right, strokes: strokes.filter(|stroke: &Vec<_>| stroke.len() > 1).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_edges_and_strokes() {
        let glyph = parse_glyph("  123  6MXRFRT RRYSZ").unwrap();
        let strokes = vec![vec![(0, -12), (0, 2)], vec![(0, 7), (1, 8)]];
        assert_eq!(glyph, Glyph { left: -5, right: 6, strokes });
        assert_eq!(parse_glyph("  123  7MXRFRT"), Err("pair count does not match the line"));
    }

    #[test]
    fn a_short_font_names_the_line() {
        assert_eq!(Glyphs::from_jhf("").unwrap_err().to_string(), "font line 66: missing");
    }

    #[test]
    fn procedural_letters_stay_between_their_edges() {
        let glyphs = Glyphs::procedural();
        for glyph in &glyphs.letters {
            let xs = glyph.strokes.iter().flatten().map(|point| point.0);
            assert!(xs.clone().min() > Some(glyph.left) && xs.max() < Some(glyph.right), "{glyph:?}");
        }
        assert_eq!(glyphs.letters.len(), 26);
    }
}
