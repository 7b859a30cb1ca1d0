//! The stained slide and the camera over it.
//!
//! A smear is coloured by two dyes. Each pixel holds the density of both; the camera sees the light that
//! is left after them (Beer-Lambert: `light * exp(-density . absorbance)`), so overlapping cells darken as
//! they do under a microscope.

use super::rng::{Draws, value_noise};
use t3b_image::Rgb8;

/// Absorbance of eosin (pink: haemoglobin, granules) for red, green and blue at density 1.
const EOSIN: [f32; 3] = [0.055, 0.23, 0.165];
/// Absorbance of azure (violet: nuclei, platelets) for red, green and blue at density 1.
const AZURE: [f32; 3] = [0.70, 1.02, 0.16];
/// Camera levels of clear plasma under the average lamp.
const CLEAR: [f32; 3] = [203.0, 202.0, 192.0];

/// Densities of the two dyes over one crop.
pub(super) struct Slide {
    width: usize,
    height: usize,
    eosin: Vec<f32>,
    azure: Vec<f32>,
}

impl Slide {
    /// An unstained slide.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let plane = vec![0.0; width * height];
        Self { width, height, eosin: plane.clone(), azure: plane }
    }

    /// Adds to both dyes: `dose` answers `(eosin, azure)` for the centre of a pixel.
    pub(super) fn add(&mut self, mut dose: impl FnMut(f32, f32) -> (f32, f32)) {
        self.change(|x, y, eosin, azure| {
            let (e, a) = dose(x, y);
            (eosin + e, azure + a)
        });
    }

    /// Replaces both dyes of every pixel by what `update` makes of its place and its present dyes.
    pub(super) fn change(&mut self, mut update: impl FnMut(f32, f32, f32, f32) -> (f32, f32)) {
        for row in 0..self.height {
            for column in 0..self.width {
                let at = row * self.width + column;
                let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
                (self.eosin[at], self.azure[at]) = update(x, y, self.eosin[at], self.azure[at]);
            }
        }
    }

    /// Photographs the slide: lamp, dyes, sensor noise, 8 bits.
    pub(super) fn photograph(&self, draws: &mut Draws) -> Rgb8 {
        let lamp = Lamp::new(draws);
        let batch = (draws.range(0.8, 1.25), draws.range(0.85, 1.15));
        let noise = draws.range(0.8, 3.0);
        let mut data = Vec::with_capacity(self.width * self.height * Rgb8::CHANNELS);
        for row in 0..self.height {
            for column in 0..self.width {
                let at = row * self.width + column;
                let (u, v) = (column as f32 / self.width as f32, row as f32 / self.height as f32);
                let shared = draws.normal();
                for channel in 0..Rgb8::CHANNELS {
                    let absorbed =
                        EOSIN[channel] * self.eosin[at] * batch.0 + AZURE[channel] * self.azure[at] * batch.1;
                    let light = lamp.at(channel, u, v) * exp_neg(absorbed);
                    let grain = noise * (0.7 * shared + 0.5 * draws.normal());
                    data.push((light + grain + 0.5).clamp(0.0, 255.0) as u8);
                }
            }
        }
        Rgb8::new(self.width as u32, self.height as u32, data).expect("one triple was pushed per pixel")
    }
}

/// The light that falls through an empty slide.
struct Lamp {
    level: [f32; 3],
    slope: (f32, f32),
    mottle: u64,
}

impl Lamp {
    fn new(draws: &mut Draws) -> Self {
        let gain = draws.range(0.88, 1.1);
        let level = CLEAR.map(|clear| clear * gain * draws.range(0.975, 1.025));
        let (dx, dy) = draws.direction();
        let tilt = draws.range(0.0, 0.08);
        Self { level, slope: (dx * tilt, dy * tilt), mottle: draws.bits() }
    }

    /// Camera level at a place; `u` and `v` run from 0 to 1 over the crop.
    fn at(&self, channel: usize, u: f32, v: f32) -> f32 {
        let uneven = 0.012 * value_noise(self.mottle, u * 3.0, v * 3.0);
        self.level[channel] * (1.0 + self.slope.0 * (u - 0.5) + self.slope.1 * (v - 0.5) + uneven)
    }
}

/// `exp(-x)` for small densities, from products alone: the same bits on every machine.
fn exp_neg(x: f32) -> f32 {
    let t = f64::from(x) / 256.0;
    let mut power = 1.0 - t * (1.0 - t * (0.5 - t / 6.0));
    for _ in 0..8 {
        power *= power;
    }
    power as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_neg_is_the_exponential() {
        for i in 0..60 {
            let x = i as f32 * 0.1;
            assert!((exp_neg(x) - (-x).exp()).abs() < 1e-5, "at {x}");
        }
    }

    #[test]
    fn dye_only_takes_light_away() {
        let clear = Slide::new(8, 8);
        let mut stained = Slide::new(8, 8);
        stained.add(|_, _| (1.0, 1.0));
        let sum = |slide: &Slide| -> u64 {
            let image = slide.photograph(&mut Draws::new(5, 5));
            image.as_bytes().iter().map(|level| u64::from(*level)).sum()
        };
        assert!(sum(&stained) < sum(&clear));
    }
}
