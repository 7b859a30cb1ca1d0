//! Random words burnt into the image.

use super::assets::Glyphs;
use super::line::{self, SHIFT};
use super::streams::Streams;
use t3b_image::Rgb8;

/// Font units from the middle of a capital to the baseline.
const BASELINE: i64 = 9;

/// Distance of a word's start from the border, in pixels.
const MARGIN_PX: i64 = 10;

/// Width the placement allows per letter, whatever the scale.
const LETTER_WIDTH_PX: i64 = 8;

/// Upper ends of the random choices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) max_words: u8,
    pub(super) max_letters: u8,
    /// In hundredths of a pixel per font unit; the lower end is 14.
    pub(super) max_scale_percent: u8,
}

/// Draws one to `max_words` words of three to `max_letters` lower-case letters.
///
/// Order of draws, per word: length, size, letters, column, row, three channels of colour.
///
/// On an image too small for the margins a word starts as near to them as it can, and what passes the border
/// is cut off (the reference raises).
///
/// Reference: `Characters`; OpenCV 4 `putText`, `FONT_HERSHEY_DUPLEX`, `LINE_AA`.
pub(super) fn characters(words: Words, glyphs: &Glyphs, streams: &mut Streams, out: &mut Rgb8) {
    let Words { max_words, max_letters, max_scale_percent } = words;
    let (width, height) = (i64::from(out.width_px()), i64::from(out.height_px()));
    for _ in 0..streams.randint(1, i64::from(max_words)) {
        let n_letters = streams.randint(3, i64::from(max_letters));
        let scale = streams.randint(14, i64::from(max_scale_percent)) as f64 / 100.0;
        let mut word = [0u8; u8::MAX as usize];
        let word = &mut word[..n_letters as usize];
        word.iter_mut().for_each(|letter| *letter = streams.randint(0, 25) as u8);
        let x = start(width - LETTER_WIDTH_PX * n_letters, streams);
        let y = start(height - MARGIN_PX, streams);
        let colour = [(); 3].map(|()| streams.randint(0, 255) as u8);
        put_text(out, word, (x, y), scale, colour, glyphs);
    }
}

fn start(last: i64, streams: &mut Streams) -> i64 {
    let last = last.max(0);
    streams.randint(MARGIN_PX.min(last), last)
}

fn put_text(out: &mut Rgb8, word: &[u8], (x, y): (i64, i64), scale: f64, colour: [u8; 3], glyphs: &Glyphs) {
    let unit = (scale * f64::from(1 << SHIFT)).round_ties_even() as i64;
    let mut pen_x = x << SHIFT;
    let pen_y = (y << SHIFT) - BASELINE * unit;
    for &letter in word {
        let glyph = glyphs.letter(usize::from(letter));
        pen_x -= i64::from(glyph.left) * unit;
        for stroke in &glyph.strokes {
            let at = |&(x, y): &(i8, i8)| (i64::from(x) * unit + pen_x, i64::from(y) * unit + pen_y);
            for pair in stroke.windows(2) {
                line::draw(out, at(&pair[0]), at(&pair[1]), colour);
            }
        }
        pen_x += i64::from(glyph.right) * unit;
    }
}
