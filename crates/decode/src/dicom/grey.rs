//! MONOCHROME values to levels: modality transformation, VOI transformation, 8 bits.
//!
//! Order (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2):
//! 1. The Modality LUT, else `value * slope + intercept`.
//! 2. To 0..=1 by the rule of [`Window`]: a VOI LUT divides its entries by their largest value; windows are LINEAR,
//!    LINEAR_EXACT or SIGMOID; ranges are linear between their ends, and a range of one value gives 0.
//! 3. To 0..=255, rounded to the nearest level.
//! 4. MONOCHROME1 is inverted, so black is always the low end of what a viewer would show.
//!
//! Reference: pydicom 3.0 `apply_modality_lut` and `apply_voi_lut` (LUT before window), scaled to 8 bits; the rule for
//! files without a window is this module's, because pydicom then leaves the values alone.

use super::super::error::Fault;
use super::super::rendering::{PERCENTILES, Window, to_level};
use super::attributes::{self as tags, Attributes, Scope, invalid, missing};
use super::lut::Lut;
use super::module::{Photometric, PixelModule};
use super::samples::Samples;
use t3b_image::Rgb8;

/// Stored value to the unit of the modality.
enum Modality {
    Linear { slope: f64, intercept: f64 },
    Table(Lut),
}

/// Unit of the modality to 0..=1.
enum Voi {
    Table(Lut),
    Linear { center: f64, width: f64 },
    LinearExact { center: f64, width: f64 },
    Sigmoid { center: f64, width: f64 },
    Range { low: f64, high: f64 },
}

/// Renders one frame.
pub(super) fn render(
    module: &PixelModule,
    found: &Attributes<'_>,
    samples: &Samples,
    window: Window,
) -> Result<Vec<u8>, Fault> {
    let modality = Modality::read(found, module)?;
    let voi = choose(module, found, samples, &modality, window)?;
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
            let levels: Vec<u8> = (0..1_u32 << module.bits_stored).map(level).collect();
            out.zip(values).for_each(|(rgb, &value)| *rgb = [levels[usize::from(value)]; 3]);
        }
        Samples::Wide(values) => out.zip(values).for_each(|(rgb, &value)| *rgb = [level(value); 3]),
    }
    Ok(rgb)
}

impl Modality {
    fn read(found: &Attributes<'_>, module: &PixelModule) -> Result<Self, Fault> {
        if let Some(table) = Lut::read(found, Scope::ModalityLut, module.is_signed)? {
            return Ok(Self::Table(table));
        }
        let slope = found.decimal(tags::RESCALE_SLOPE)?.unwrap_or(1.0);
        let intercept = found.decimal(tags::RESCALE_INTERCEPT)?.unwrap_or(0.0);
        if slope == 0.0 {
            return Err(invalid(tags::RESCALE_SLOPE, "0"));
        }
        Ok(Self::Linear { slope, intercept })
    }

    fn apply(&self, value: i64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => value as f64 * slope + intercept,
            Self::Table(table) => table.get(value).into(),
        }
    }
}

impl Voi {
    fn apply(&self, value: f64) -> f64 {
        match *self {
            Self::Table(ref table) => {
                f64::from(table.get(value as i64)) / f64::from((1_u32 << table.bits) - 1)
            }
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
) -> Result<Voi, Fault> {
    match window {
        Window::Fixed { center, width } => Ok(Voi::Linear { center, width: width.max(1.0) }),
        Window::MinMax => percentiles(module, found, samples, modality, (0.0, 1.0)),
        Window::Percentile => percentiles(module, found, samples, modality, PERCENTILES),
        Window::File => {
            if let Some(table) = Lut::read(found, Scope::VoiLut, module.is_signed)? {
                return Ok(Voi::Table(table));
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
    let (window, least) = match found.grouped(tags::VOI_FUNCTION) {
        None | Some(b"LINEAR") => (Voi::Linear { center, width }, 1.0),
        Some(b"LINEAR_EXACT") => (Voi::LinearExact { center, width }, f64::MIN_POSITIVE),
        Some(b"SIGMOID") => (Voi::Sigmoid { center, width }, f64::MIN_POSITIVE),
        Some(_) => return Err(invalid(tags::VOI_FUNCTION, "none of LINEAR, LINEAR_EXACT, SIGMOID")),
    };
    if width < least {
        return Err(invalid(tags::WINDOW_WIDTH, &format!("{width}, at least 1, or over 0 where not LINEAR")));
    }
    Ok(Some(window))
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
            values.iter().for_each(|&value| counts[usize::from(value)] += 1);
            (0..).zip(counts).filter(|&(_, count)| count > 0).collect()
        }
        Samples::Wide(values) => {
            let mut values = values.clone();
            values.sort_unstable();
            values.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)).collect()
        }
    }
}
