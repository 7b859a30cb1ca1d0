//! Draws one labelled crop: what lies on the slide for each class.

use super::rng::{Draws, value_noise};
use super::shape::{Blob, turned};
use super::slide::Slide;
use t3b_image::Rgb8;

/// What a crop shows; the order is the label order of the BCCD manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CellClass {
    /// A round pink disc, usually pale in the middle.
    RedBloodCell,
    /// A pale body with a violet nucleus: lobed, bent or round.
    WhiteBloodCell,
    /// A small granular violet fragment.
    Platelet,
    /// Plasma between cells; an edge of a cell may reach in.
    PlasmaBackground,
}

impl CellClass {
    /// All classes in label order.
    pub const ALL: [Self; 4] =
        [Self::RedBloodCell, Self::WhiteBloodCell, Self::Platelet, Self::PlasmaBackground];

    /// Position in the label order.
    #[must_use]
    pub fn label_idx(self) -> usize {
        self as usize
    }

    /// The class name that manifests and prompts use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RedBloodCell => "red blood cell",
            Self::WhiteBloodCell => "white blood cell",
            Self::Platelet => "platelet",
            Self::PlasmaBackground => "plasma background",
        }
    }

    /// Shortest and longest side of such a crop, in pixels.
    fn sides_px(self) -> (u64, u64) {
        match self {
            Self::RedBloodCell => (88, 132),
            Self::WhiteBloodCell => (112, 150),
            Self::Platelet | Self::PlasmaBackground => (60, 76),
        }
    }
}

/// Draws crop number `index` of the archive with this `seed`.
///
/// Units: each side has 60 to 150 pixels. The same arguments give the same bytes on every machine.
#[must_use]
pub fn draw_crop(class: CellClass, seed: u64, index: u64) -> Rgb8 {
    let draws = &mut Draws::new(seed, index);
    let (short, long) = class.sides_px();
    let width = short + draws.below(long - short + 1);
    // Cells are cut out with their bounding box, so a crop is seldom exactly square.
    let height = (width * (96 + draws.below(9)) / 100).clamp(60, 150);
    let scene = Scene { width: width as f32, height: height as f32, focus: draws.range(1.5, 5.0) };
    let mut slide = Slide::new(width as usize, height as usize);
    match class {
        CellClass::RedBloodCell => scene.red_blood_cell(&mut slide, draws),
        CellClass::WhiteBloodCell => scene.white_blood_cell(&mut slide, draws),
        CellClass::Platelet => scene.platelet(&mut slide, draws),
        CellClass::PlasmaBackground => scene.plasma(&mut slide, draws),
    }
    scene.debris(&mut slide, draws);
    slide.photograph(draws)
}

/// The frame of one crop; sizes in pixels.
struct Scene {
    width: f32,
    height: f32,
    /// Width of a cell's edge: small in focus.
    focus: f32,
}

impl Scene {
    fn short_side(&self) -> f32 {
        self.width.min(self.height)
    }

    /// The middle of the crop, moved by up to `slack` of the short side.
    fn near_centre(&self, draws: &mut Draws, slack: f32) -> (f32, f32) {
        let reach = slack * self.short_side();
        (self.width / 2.0 + draws.range(-reach, reach), self.height / 2.0 + draws.range(-reach, reach))
    }

    fn red_blood_cell(&self, slide: &mut Slide, draws: &mut Draws) {
        let (x, y) = self.near_centre(draws, 0.05);
        let radius = self.short_side() * draws.range(0.34, 0.46);
        let cell = Blob::new(x, y, radius, 0.16, 0.09, draws);
        for _ in 0..draws.below(4) {
            self.passing_red_cell(slide, radius, 0.53, draws);
        }
        self.stain_red_cell(slide, draws, &cell);
    }

    fn white_blood_cell(&self, slide: &mut Slide, draws: &mut Draws) {
        let (x, y) = self.near_centre(draws, 0.04);
        let body = Blob::new(x, y, self.short_side() * draws.range(0.33, 0.45), 0.1, 0.08, draws);
        for _ in 0..3 + draws.below(4) {
            self.passing_red_cell(slide, self.short_side() * 0.26, 0.49, draws);
        }
        self.stain_cytoplasm(slide, draws, &body);
        self.stain_nucleus(slide, draws, &body);
    }

    fn platelet(&self, slide: &mut Slide, draws: &mut Draws) {
        if draws.chance(0.65) {
            self.passing_red_cell(slide, self.short_side() * draws.range(0.7, 1.0), 0.40, draws);
        }
        let (x, y) = self.near_centre(draws, 0.06);
        let body = Blob::new(x, y, self.short_side() * draws.range(0.13, 0.27), 0.3, 0.28, draws);
        let (depth, pink) = (draws.range(0.28, 0.8), draws.range(0.0, 0.35));
        let (grain, soft) = (draws.bits(), self.focus + draws.range(2.0, 6.0));
        slide.add(|x, y| {
            let cover = body.cover(x, y, soft);
            let granules = 1.0 + 0.45 * value_noise(grain, x / 4.5, y / 4.5);
            // The hyalomere: a paler, pinker hem around the granules.
            let hem = body.scaled(1.25).cover(x, y, soft);
            (pink * hem, depth * cover * granules + 0.07 * hem)
        });
    }

    fn plasma(&self, slide: &mut Slide, draws: &mut Draws) {
        let pink = draws.range(0.0, 0.18);
        slide.add(|_, _| (pink, 0.0));
        for _ in 0..draws.below(3) {
            self.passing_red_cell(slide, self.short_side() * draws.range(0.7, 1.1), 0.3, draws);
        }
    }

    /// A red cell whose middle lies outside, so that only its edge reaches in: the nearest point of its
    /// outline is about `clear` short sides away from the middle of the crop.
    fn passing_red_cell(&self, slide: &mut Slide, radius: f32, clear: f32, draws: &mut Draws) {
        let (dx, dy) = draws.direction();
        let away = radius + self.short_side() * (clear + draws.range(-0.06, 0.12));
        let (x, y) = (self.width / 2.0 + dx * away, self.height / 2.0 + dy * away);
        let cell = Blob::new(x, y, radius, 0.18, 0.08, draws);
        self.stain_red_cell(slide, draws, &cell);
    }

    fn stain_red_cell(&self, slide: &mut Slide, draws: &mut Draws, cell: &Blob) {
        let depth = draws.range(0.75, 1.2);
        let pallor = if draws.chance(0.72) { draws.range(0.35, 0.95) } else { draws.range(0.0, 0.2) };
        let hollow = Blob::new(cell.x, cell.y, cell.radius * draws.range(0.35, 0.55), 0.2, 0.1, draws);
        let (texture, halo) = (draws.bits(), draws.range(0.0, 0.16));
        let shallow = cell.radius * 0.45;
        slide.change(|x, y, eosin, azure| {
            let edge = cell.distance(x, y);
            let rim = 0.9 + 0.14 * (-(edge + 0.2 * cell.radius) / cell.radius).clamp(-0.2, 0.2);
            let pale = 1.0 - pallor * hollow.cover(x, y, shallow);
            let dose = depth * rim * pale * (1.0 + 0.05 * value_noise(texture, x / 9.0, y / 9.0));
            // A cell bends light: a thin bright fringe lies just outside its edge.
            let fringe = halo * (1.0 - ((edge - self.focus) / self.focus).abs()).max(0.0);
            (eosin + dose * cell.cover(x, y, self.focus) - fringe, azure)
        });
    }

    fn stain_cytoplasm(&self, slide: &mut Slide, draws: &mut Draws, body: &Blob) {
        let pale = (draws.range(0.15, 0.4), draws.range(0.05, 0.16));
        // One white cell in six is an eosinophil: coarse pink granules.
        let granules = if draws.chance(0.17) { draws.range(0.7, 1.2) } else { draws.range(0.03, 0.12) };
        let grain = draws.bits();
        slide.change(|x, y, eosin, azure| {
            let cover = body.cover(x, y, self.focus);
            let grit = granules * (0.6 + value_noise(grain, x / 3.2, y / 3.2)).max(0.0);
            // The body hides what lies under it instead of adding to it.
            let under = 1.0 - 0.9 * cover;
            (eosin * under + cover * (pale.0 + grit), azure * under + cover * pale.1)
        });
    }

    fn stain_nucleus(&self, slide: &mut Slide, draws: &mut Draws, body: &Blob) {
        let lobes = nucleus_lobes(draws, body);
        let (depth, chromatin) = (draws.range(0.72, 1.25), draws.bits());
        let soft = self.focus + 1.0;
        slide.add(|x, y| {
            let inside = body.scaled(0.97).cover(x, y, self.focus);
            let cover = lobes.iter().map(|lobe| lobe.cover(x, y, soft)).fold(0.0, f32::max);
            let clumps = 1.0 + 0.22 * value_noise(chromatin, x / 6.0, y / 6.0);
            (0.3 * cover * inside, depth * cover * inside * clumps)
        });
    }

    /// Specks of stain and dust, on about a third of the crops.
    fn debris(&self, slide: &mut Slide, draws: &mut Draws) {
        if !draws.chance(0.33) {
            return;
        }
        let (x, y) = (draws.range(0.0, self.width), draws.range(0.0, self.height));
        let radius = draws.range(0.8, 2.0);
        let speck = Blob::new(x, y, radius, 0.3, 0.2, draws);
        let dose = (draws.range(0.2, 0.8), draws.range(0.0, 0.4));
        slide.add(|x, y| {
            let cover = speck.cover(x, y, 2.0);
            (dose.0 * cover, dose.1 * cover)
        });
    }
}

/// The lobes of a nucleus: one big round one (lymphocyte), two that merge into a bean (monocyte), or a
/// chain of three to five (granulocyte).
fn nucleus_lobes(draws: &mut Draws, body: &Blob) -> Vec<Blob> {
    let kind = draws.unit();
    let (count, lobe, orbit) = if kind < 0.25 {
        (1, draws.range(0.62, 0.92), 0.08)
    } else if kind < 0.45 {
        (2, draws.range(0.42, 0.54), draws.range(0.26, 0.36))
    } else {
        (3 + draws.below(3), draws.range(0.27, 0.36), draws.range(0.38, 0.52))
    };
    let mut towards = draws.direction();
    (0..count)
        .map(|_| {
            let reach = body.radius * orbit * draws.range(0.85, 1.1);
            let (x, y) = (body.x + towards.0 * reach, body.y + towards.1 * reach);
            towards = turned(towards, draws.range(0.9, 1.7));
            let radius = body.radius * lobe * draws.range(0.85, 1.15);
            Blob::new(x, y, radius, 0.25, 0.16, draws)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_is_a_function_of_class_seed_and_index() {
        for class in CellClass::ALL {
            let crop = draw_crop(class, 11, 3);
            assert!((60..=150).contains(&crop.width_px()) && (60..=150).contains(&crop.height_px()));
            assert_eq!(crop, draw_crop(class, 11, 3));
            assert_ne!(crop, draw_crop(class, 11, 4));
            assert_ne!(crop, draw_crop(class, 12, 3));
        }
    }

    #[test]
    fn nuclei_are_bluer_than_red_cells() {
        let blueness = |class| {
            let excess = |crop: &Rgb8| -> i64 {
                crop.as_bytes().chunks_exact(3).map(|p| i64::from(p[2]) - i64::from(p[0])).sum()
            };
            (0..20).map(|index| excess(&draw_crop(class, 1, index))).sum::<i64>()
        };
        assert!(blueness(CellClass::WhiteBloodCell) > blueness(CellClass::RedBloodCell));
    }
}
