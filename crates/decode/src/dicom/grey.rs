//! MONOCHROME values to levels: modality transformation, VOI transformation, 8 bits.
//!
//! Order (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2):
//! 1. The Modality LUT, else `value * slope + intercept`.
//! 2. To 0..=1 by the rule of [`Window`]: a VOI LUT divides its entries by their largest value; windows are LINEAR,
//!    LINEAR_EXACT or SIGMOID; ranges are linear between their ends, and a range of one value gives 0.
//!    A window of width 0 or less is none, one below 1 is taken as LINEAR_EXACT, as viewers do.
//! 3. To 0..=255, rounded to the nearest level.
//! 4. MONOCHROME1 is inverted, so black is always the low end of what a viewer would show.
//!
//! Reference: pydicom 3.0 `apply_modality_lut` and `apply_voi_lut` (LUT before window), scaled to 8 bits; the rule for
//! files without a window is this module's, because pydicom then leaves the values alone.

use super::super::error::Fault;
use super::super::facts::Facts;
use super::super::levels;
use super::super::rendering::{PERCENTILES, Window, to_level};
use super::attributes::{self as tags, Attributes, Scope, invalid, missing};
use super::lut::Lut;
use super::module::{Photometric, PixelModule};
use super::samples::{PADDED, Samples};
use t3b_image::Rgb8;

/// Stored value to the unit of the modality.
enum Modality {
    Linear { slope: f64, intercept: f64 },
    Table(Lut),
}

/// Unit of the modality to 0..=1.
enum Voi {
    /// A table and the entry that is white.
    Table(Lut, f64),
    Linear {
        center: f64,
        width: f64,
    },
    LinearExact {
        center: f64,
        width: f64,
    },
    Sigmoid {
        center: f64,
        width: f64,
    },
    Range {
        low: f64,
        high: f64,
    },
}

/// Renders one frame.
pub(super) fn render(
    module: &PixelModule,
    found: &Attributes<'_>,
    samples: &Samples,
    window: Window,
    facts: &mut Facts,
) -> Result<Vec<u8>, Fault> {
    let modality = Modality::read(found, module)?;
    if let Samples::Float(values) = samples {
        return floats(module, found, values, &modality, window, facts);
    }
    let voi = choose(module, found, samples, &modality, window, facts)?;
    voi.describe(facts);
    let is_inverted = module.photometric == Photometric::Monochrome1;
    let level = |stored: u32| {
        let level = to_level(voi.apply(modality.apply(module.signed(stored))));
        if is_inverted { 255 - level } else { level }
    };
    let mut rgb = vec![0; module.n_pixels() * Rgb8::CHANNELS];
    let out = rgb.as_chunks_mut::<3>().0.iter_mut();
    match samples {
        Samples::Narrow(values) => {
            // At most 65,536 patterns exist, so each is computed once.
            let mut levels: Vec<u8> = (0..1_u32 << module.bits_stored).map(level).collect();
            if module.padding_word.is_some() {
                // Viewers show such pixels black.
                levels.resize(1 << 16, 0);
            }
            out.zip(values).for_each(|(rgb, &value)| *rgb = [levels[usize::from(value)]; 3]);
        }
        Samples::Wide(values) => out.zip(values).for_each(|(rgb, &value)| *rgb = [level(value); 3]),
        Samples::Float(_) => return Err(Fault::corrupt("floating-point values")),
    }
    Ok(rgb)
}

/// Float and Double Float Pixel Data: the file's window, else the rule of every other format's values.
fn floats(
    module: &PixelModule,
    found: &Attributes<'_>,
    values: &[f64],
    modality: &Modality,
    window: Window,
    facts: &mut Facts,
) -> Result<Vec<u8>, Fault> {
    let Modality::Linear { slope, intercept } = *modality else {
        return Err(invalid(tags::LUT_DATA, "a table for floating-point pixels"));
    };
    let values: Vec<f64> = values.iter().map(|&value| value * slope + intercept).collect();
    let file = if window == Window::File { read_window(found)? } else { None };
    let mut levels: Vec<u8> = match file {
        Some(voi) => {
            voi.describe(facts);
            values.iter().map(|&value| to_level(voi.apply(value))).collect()
        }
        None => levels::render(&values, None, window, facts),
    };
    if module.photometric == Photometric::Monochrome1 {
        levels.iter_mut().for_each(|level| *level = 255 - *level);
    }
    Ok(levels.into_iter().flat_map(|level| [level; 3]).collect())
}

impl Modality {
    fn read(found: &Attributes<'_>, module: &PixelModule) -> Result<Self, Fault> {
        let sign = if module.is_signed { 1_i64 << (module.bits_stored - 1) } else { 0 };
        let inputs = (-sign as f64, ((1_u64 << module.bits_stored.min(32)) - 1) as f64 - sign as f64);
        if let Some(table) = Lut::read(found, Scope::ModalityLut, inputs)? {
            return Ok(Self::Table(table));
        }
        let slope = found.decimal(tags::RESCALE_SLOPE)?.unwrap_or(1.0);
        let intercept = found.decimal(tags::RESCALE_INTERCEPT)?.unwrap_or(0.0);
        if slope == 0.0 {
            return Err(invalid(tags::RESCALE_SLOPE, "0"));
        }
        Ok(Self::Linear { slope, intercept })
    }

    /// The smallest and the largest value that can come out.
    fn outputs(&self, module: &PixelModule) -> (f64, f64) {
        match self {
            Self::Linear { .. } => {
                let sign = 1_i64 << (module.bits_stored - 1);
                let (low, high) = if module.is_signed { (-sign, sign - 1) } else { (0, 2 * sign - 1) };
                let ends = [self.apply(low), self.apply(high)];
                (ends[0].min(ends[1]), ends[0].max(ends[1]))
            }
            Self::Table(table) => table.range(),
        }
    }

    fn apply(&self, value: i64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => value as f64 * slope + intercept,
            Self::Table(table) => table.get(value).into(),
        }
    }
}

impl Voi {
    fn describe(&self, facts: &mut Facts) {
        let (rule, numbers) = match *self {
            Self::Table(ref table, white) => ("VOI LUT", format!("{} bits, white {white}", table.bits)),
            Self::Linear { center, width } => ("window LINEAR", format!("{center} {width}")),
            Self::LinearExact { center, width } => ("window LINEAR_EXACT", format!("{center} {width}")),
            Self::Sigmoid { center, width } => ("window SIGMOID", format!("{center} {width}")),
            Self::Range { low, high } => ("range", format!("{low} {high}")),
        };
        facts.note("rule", rule);
        facts.note("window", numbers);
    }

    fn apply(&self, value: f64) -> f64 {
        match *self {
            Self::Table(ref table, white) => f64::from(table.get_below(value)) / white,
            Self::Linear { center, width } => {
                let (center, width) = (center - 0.5, width - 1.0);
                if value <= center - width / 2.0 {
                    0.0
                } else if value > center + width / 2.0 {
                    1.0
                } else {
                    (value - center) / width + 0.5
                }
            }
            Self::LinearExact { center, width } => (value - center) / width + 0.5,
            Self::Sigmoid { center, width } => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
            Self::Range { low, high } if high > low => (value - low) / (high - low),
            Self::Range { .. } => 0.0,
        }
    }
}

fn choose(
    module: &PixelModule,
    found: &Attributes<'_>,
    samples: &Samples,
    modality: &Modality,
    window: Window,
    facts: &mut Facts,
) -> Result<Voi, Fault> {
    match window {
        Window::Fixed { center, width } if width < 1.0 => Ok(Voi::LinearExact { center, width }),
        Window::Fixed { center, width } => Ok(Voi::Linear { center, width }),
        Window::MinMax => percentiles(module, found, samples, modality, (0.0, 1.0)),
        Window::Percentile => percentiles(module, found, samples, modality, PERCENTILES),
        Window::File => {
            // A table that cannot be read is none: the picture has a window or a range all the same.
            match Lut::read(found, Scope::VoiLut, modality.outputs(module)) {
                Ok(Some(table)) => {
                    let white = table.white().into();
                    return Ok(Voi::Table(table, white));
                }
                Ok(None) => {}
                Err(_) => facts.note("voi_lut", "unreadable, left out"),
            }
            match (read_window(found)?, modality) {
                (Some(window), _) => Ok(window),
                (None, Modality::Linear { .. }) if module.bits_stored <= 8 => {
                    Ok(stored_range(module, modality))
                }
                (None, _) => percentiles(module, found, samples, modality, (0.0, 1.0)),
            }
        }
    }
}

/// The file's first window.
fn read_window(found: &Attributes<'_>) -> Result<Option<Voi>, Fault> {
    let (center, width) = match (found.decimal(tags::WINDOW_CENTER)?, found.decimal(tags::WINDOW_WIDTH)?) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(missing(tags::WINDOW_WIDTH)),
        (None, Some(_)) => return Err(missing(tags::WINDOW_CENTER)),
        (Some(center), Some(width)) => (center, width),
    };
    // Scanners write 0 and 0 for "none".
    if width <= 0.0 {
        return Ok(None);
    }
    let function = found.grouped(tags::VOI_FUNCTION).unwrap_or(b"LINEAR").to_ascii_uppercase();
    match function.as_slice() {
        // The formula divides by the width less one: below one it is meant as it stands.
        b"LINEAR" if width < 1.0 => Ok(Some(Voi::LinearExact { center, width })),
        b"LINEAR" => Ok(Some(Voi::Linear { center, width })),
        b"LINEAR_EXACT" => Ok(Some(Voi::LinearExact { center, width })),
        b"SIGMOID" => Ok(Some(Voi::Sigmoid { center, width })),
        _ => Err(invalid(tags::VOI_FUNCTION, "none of LINEAR, LINEAR_EXACT, SIGMOID")),
    }
}

/// Up to 8 bits are display values already: secondary captures, ultrasound, masks.
fn stored_range(module: &PixelModule, modality: &Modality) -> Voi {
    let sign = if module.is_signed { 1 << (module.bits_stored - 1) } else { 0 };
    let ends = [-sign, (1 << module.bits_stored) - 1 - sign].map(|value| modality.apply(value));
    Voi::Range { low: ends[0].min(ends[1]), high: ends[0].max(ends[1]) }
}

/// The range between two quantiles of the frame's values (nearest rank), padding left out.
fn percentiles(
    module: &PixelModule,
    found: &Attributes<'_>,
    samples: &Samples,
    modality: &Modality,
    (low, high): (f64, f64),
) -> Result<Voi, Fault> {
    let padding = padding(module, found);
    let is_padding = |value: i64| padding.is_some_and(|(first, last)| (first..=last).contains(&value));
    let mut counts: Vec<(f64, u64)> = histogram(module, samples)
        .into_iter()
        .map(|(stored, count)| (module.signed(stored), count))
        .filter(|&(value, _)| !is_padding(value))
        .map(|(value, count)| (modality.apply(value), count))
        .collect();
    counts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n: u64 = counts.iter().map(|&(_, count)| count).sum();
    let at = |quantile: f64| {
        let rank = ((quantile * n as f64).ceil() as u64).max(1);
        let mut n_below = 0;
        let reached = counts.iter().find(|&&(_, count)| {
            n_below += count;
            n_below >= rank
        });
        reached.map_or(0.0, |&(value, _)| value)
    };
    Ok(Voi::Range { low: at(low), high: at(high) })
}

/// Pixel Padding Value, or the range up to its limit, as values.
fn padding(module: &PixelModule, found: &Attributes<'_>) -> Option<(i64, i64)> {
    let read =
        |tag| found.u16(tag).map(|word| if module.is_signed { i64::from(word as i16) } else { word.into() });
    let value = read(tags::PADDING)?;
    let limit = read(tags::PADDING_LIMIT).unwrap_or(value);
    Some((value.min(limit), value.max(limit)))
}

/// Distinct stored patterns and how often they occur.
fn histogram(module: &PixelModule, samples: &Samples) -> Vec<(u32, u64)> {
    match samples {
        Samples::Narrow(values) => {
            let mut counts = vec![0; 1 << module.bits_stored];
            let has_padding = module.padding_word.is_some();
            let values = values.iter().filter(|value| !has_padding || **value != PADDED);
            values.for_each(|&value| counts[usize::from(value)] += 1);
            (0..).zip(counts).filter(|&(_, count)| count > 0).collect()
        }
        Samples::Wide(values) => {
            let mut values = values.clone();
            values.sort_unstable();
            values.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)).collect()
        }
        // Rendered by `floats`.
        Samples::Float(_) => Vec::new(),
    }
}
