//! Small changes that keep a crop's class, so that the model sees no crop twice the same.

use t3b_corrupt::{self, Corruption, Entry, Scratch, Severity, Streams, Suite};
use t3b_image::Rgb8;

use crate::data::Crop;
use crate::dice::Dice;

/// Furthest that a crop is moved, in pixels.
const MAX_SHIFT_PX: usize = 2;

/// What the generalist's crops are damaged with.
pub(crate) struct Damage {
    /// Probability that a crop is damaged.
    pub(crate) probability: f64,
    /// The kinds, each equally often, each at a random severity.
    pub(crate) kinds: Vec<Entry>,
}

impl Damage {
    /// Kinds of a published suite by name.
    ///
    /// # Panics
    /// When the suite has no kind of that name.
    pub(crate) fn new(probability: f64, kinds: &[(&str, &str)]) -> Self {
        let entry = |(suite, kind): &(&str, &str)| {
            let suite = Suite::named(suite).expect("a suite of the registry");
            suite.entry(kind).unwrap_or_else(|| panic!("{} has no {kind}", suite.name())).clone()
        };
        Self { probability, kinds: kinds.iter().map(entry).collect() }
    }

    /// Leaves every crop as it is.
    pub(crate) fn none() -> Self {
        Self { probability: 0.0, kinds: Vec::new() }
    }

    /// Damages a crop or leaves it.
    pub(crate) fn roll(&self, image: Rgb8, id: &str, dice: &mut Dice, scratch: &mut Scratch) -> Rgb8 {
        if self.kinds.is_empty() || dice.unit() >= self.probability {
            return image;
        }
        let entry = &self.kinds[dice.below(self.kinds.len())];
        let severity = Severity::ALL[dice.below(Severity::ALL.len())];
        corrupted(&image, id, dice.bits(), entry.name, entry.at(severity), severity, scratch)
    }
}

/// A corrupted copy, drawn from the stream of (seed, id, kind, severity).
pub(crate) fn corrupted(
    image: &Rgb8,
    id: &str,
    seed: u64,
    name: &str,
    kind: &Corruption,
    severity: Severity,
    scratch: &mut Scratch,
) -> Rgb8 {
    let mut out = image.clone();
    let mut streams = Streams::counter(seed, id, name, severity);
    t3b_corrupt::apply(kind, false, image, &mut streams, scratch, &mut out);
    out
}

/// One of the eight turns and flips, and a move by up to two pixels with the edge repeated.
pub(crate) fn moved(crop: &Crop, dice: &mut Dice) -> Rgb8 {
    let side = crop.pixels.width_px() as usize;
    let (turn, dx, dy) = (dice.below(8), dice.below(2 * MAX_SHIFT_PX + 1), dice.below(2 * MAX_SHIFT_PX + 1));
    let shifted = |at: usize, by: usize| (at + by).saturating_sub(MAX_SHIFT_PX).min(side - 1);
    let mut out = crop.pixels.clone();
    for (at, pixel) in out.as_bytes_mut().chunks_exact_mut(Rgb8::CHANNELS).enumerate() {
        let (mut x, mut y) = (shifted(at % side, dx), shifted(at / side, dy));
        if turn & 1 == 1 {
            x = side - 1 - x;
        }
        if turn & 2 == 2 {
            y = side - 1 - y;
        }
        if turn & 4 == 4 {
            (x, y) = (y, x);
        }
        let from = (y * side + x) * Rgb8::CHANNELS;
        pixel.copy_from_slice(&crop.pixels.as_bytes()[from..from + Rgb8::CHANNELS]);
    }
    out
}
