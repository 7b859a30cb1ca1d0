//! Accuracy of finished models on clean and corrupted crops.

use std::{collections::BTreeMap, error::Error};

use candle_core::{Device, Tensor};
use t3b::model::config::ClipConfig;
use t3b::model::normalize::Normalizer;
use t3b::model::prompts::Tokens;
use t3b::model::tower::{TextTower, VisionTower};
use t3b::model::{TextBank, ZeroShot};
use t3b_corrupt::{Scratch, Severity, Suite};

use crate::augment::corrupted;
use crate::data::Crop;

/// Seed of the corruptions that are measured.
const SEED: u64 = 0;

/// Images scored at a time.
const BATCH: usize = 64;

/// The scored kinds and the published suite each takes its strengths from.
pub(crate) const SCORED: [(&str, &str); 4] = [
    ("dermamnist", "gaussian_noise"),
    ("bloodmnist", "contrast_down"),
    ("bloodmnist", "pixelate"),
    ("bloodmnist", "brightness_up"),
];

/// Images of one cell; severity 0 is the clean one.
pub(crate) struct Cell {
    pub(crate) severity: u8,
    pixels: Vec<Tensor>,
    labels: Vec<usize>,
}

/// The clean cell and every scored kind at every severity.
pub(crate) fn cells(crops: &[Crop]) -> Result<Vec<Cell>, Box<dyn Error>> {
    let scratch = &mut Scratch::default();
    let images = crops.iter().map(|crop| crop.pixels.as_bytes().to_vec()).collect();
    let mut cells = vec![Cell::new(0, crops, images)?];
    for (suite, kind) in SCORED {
        let suite = Suite::named(suite).ok_or("no such suite")?;
        let entry = suite.entry(kind).ok_or("no such kind")?;
        for severity in Severity::ALL {
            let damaged = |crop: &Crop| {
                corrupted(&crop.pixels, &crop.id, SEED, kind, entry.at(severity), severity, scratch)
                    .into_bytes()
            };
            cells.push(Cell::new(severity.get(), crops, crops.iter().map(damaged).collect())?);
        }
    }
    Ok(cells)
}

impl Cell {
    fn new(severity: u8, crops: &[Crop], images: Vec<Vec<u8>>) -> Result<Self, Box<dyn Error>> {
        let side = crops.first().ok_or("no crops")?.pixels.width_px() as usize;
        let pixels = images
            .chunks(BATCH)
            .map(|batch| Normalizer::new().batch(&batch.concat(), side, &Device::Cpu))
            .collect::<Result<_, _>>()?;
        Ok(Self { severity, pixels, labels: crops.iter().map(|crop| crop.label).collect() })
    }

    /// Class probabilities of every image.
    pub(crate) fn probabilities(&self, model: &ZeroShot) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        let mut rows = Vec::new();
        for batch in &self.pixels {
            let probabilities = candle_nn::ops::softmax(&model.logits(batch)?, 1)?;
            rows.extend(probabilities.to_vec2::<f32>()?);
        }
        Ok(rows)
    }

    /// Share of images whose likeliest class is their label.
    pub(crate) fn accuracy(&self, probabilities: &[Vec<f32>]) -> f64 {
        let best =
            |row: &Vec<f32>| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
        let hits = probabilities.iter().zip(&self.labels).filter(|(row, label)| best(row) == Some(**label));
        hits.count() as f64 / self.labels.len() as f64
    }
}

/// A finished model with its classes.
pub(crate) fn zero_shot(
    tensors: &BTreeMap<String, Tensor>,
    config: &ClipConfig,
    tokens: &Tokens,
) -> Result<ZeroShot, Box<dyn Error>> {
    let text = TextTower::new(tensors, config, &Device::Cpu)?;
    Ok(ZeroShot {
        vision: VisionTower::new(tensors, config, &Device::Cpu)?,
        bank: TextBank::encode(&text, tokens)?,
        logit_scale: f64::from(tensors["logit_scale"].to_scalar::<f32>()?),
        logit_bias: 0.0,
    })
}

/// `(1 - weight) * generalist + weight * expert`, tensor by tensor.
pub(crate) fn merged(
    generalist: &BTreeMap<String, Tensor>,
    expert: &BTreeMap<String, Tensor>,
    weight: f64,
) -> candle_core::Result<BTreeMap<String, Tensor>> {
    let merge = |(name, base): (&String, &Tensor)| {
        Ok((name.clone(), ((base * (1.0 - weight))? + (&expert[name] * weight)?)?))
    };
    generalist.iter().map(merge).collect()
}

/// Mean Jensen-Shannon divergence of two sets of distributions, in nats.
pub(crate) fn mean_divergence(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let entropy = |p: &mut dyn Iterator<Item = f64>| -p.filter(|p| *p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    let divergence = |(p, q): (&Vec<f32>, &Vec<f32>)| {
        let mid = &mut p.iter().zip(q).map(|(p, q)| f64::from(p + q) / 2.0);
        let (p, q) = (&mut p.iter().copied().map(f64::from), &mut q.iter().copied().map(f64::from));
        (entropy(mid) - entropy(p) / 2.0 - entropy(q) / 2.0).max(0.0)
    };
    a.iter().zip(b).map(divergence).sum::<f64>() / a.len() as f64
}
