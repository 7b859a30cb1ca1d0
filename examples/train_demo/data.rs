//! The crops: real ones where the data set lies beside the project, drawn ones always.

use std::{error::Error, fs, path::Path};

use t3b::demo::{CellClass, draw_crop};
use t3b_decode::{Limits, decode};
use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

/// A labelled image at the model's size.
pub(crate) struct Crop {
    pub(crate) id: String,
    pub(crate) pixels: Rgb8,
    pub(crate) label: usize,
}

/// Everything that is trained on or measured.
pub(crate) struct Data {
    pub(crate) real_train: Vec<Crop>,
    pub(crate) real_test: Vec<Crop>,
    pub(crate) drawn_train: Vec<Crop>,
    pub(crate) drawn_test: Vec<Crop>,
}

/// Seeds and number of the drawn crops; the test seed is that of the documented archive.
pub(crate) struct Drawn {
    pub(crate) train_seed: u64,
    pub(crate) n_train: usize,
    pub(crate) test_seed: u64,
    pub(crate) n_test: usize,
}

impl Data {
    /// Reads the real crops under `folder`, if it is there, and draws the others.
    pub(crate) fn load(folder: &Path, drawn: &Drawn, side_px: u32) -> Result<Self, Box<dyn Error>> {
        let resizer = &mut Resizer::default();
        let mut data = Self {
            real_train: Vec::new(),
            real_test: Vec::new(),
            drawn_train: drawn_crops(drawn.train_seed, drawn.n_train, side_px, resizer),
            drawn_test: drawn_crops(drawn.test_seed, drawn.n_test, side_px, resizer),
        };
        let manifest = folder.join("manifest.csv");
        if !manifest.exists() {
            println!("{} is not there: trained and measured on drawn crops only", folder.display());
            return Ok(data);
        }
        for line in fs::read_to_string(manifest)?.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [uri, label_idx, _, split, ..] = fields[..] else {
                return Err(format!("a manifest line of {} fields", fields.len()).into());
            };
            let image = decode(&fs::read(folder.join(uri))?, &Limits::default())?;
            let pixels = resizer.short_side_then_center_crop(&image, side_px);
            let crop = Crop { id: uri.to_owned(), pixels, label: label_idx.parse()? };
            if split == "train" { data.real_train.push(crop) } else { data.real_test.push(crop) }
        }
        Ok(data)
    }
}

fn drawn_crops(seed: u64, n: usize, side_px: u32, resizer: &mut Resizer) -> Vec<Crop> {
    let draw = |index: usize| {
        let class = CellClass::ALL[index % CellClass::ALL.len()];
        let drawn = draw_crop(class, seed, index as u64);
        let pixels = resizer.short_side_then_center_crop(&drawn, side_px);
        Crop { id: format!("drawn-{seed}-{index}"), pixels, label: class.label_idx() }
    };
    (0..n).map(draw).collect()
}
