//! T3_B from bytes on the host to coefficients and predictions there, and its merge alone.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream};
use t3b_gpu::Compute;
use t3b_gpu::tower::{Images, Tower};

use super::{Pair, Result, inputs, published, seconds};

const N_CLASSES: usize = 8;

/// Log-probabilities of a unit feature among classes whose vectors follow from a seed, at CLIP's temperature.
pub(crate) fn log_softmax(feature: &[f32]) -> Vec<f64> {
    let bank = inputs::values(77, N_CLASSES * feature.len());
    let logits: Vec<f64> = bank
        .chunks(feature.len())
        .map(|class| {
            let dot: f64 = class.iter().zip(feature).map(|(c, x)| f64::from(c * x)).sum();
            100.0 * dot / class.iter().map(|c| f64::from(c * c)).sum::<f64>().sqrt()
        })
        .collect();
    let highest = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - highest).exp()).sum();
    logits.iter().map(|z| z - highest - sum.ln()).collect()
}

/// The divergence of both parents on one image, and its coefficient (paper: gamma 0.5, from 0 to 1).
pub(crate) fn coefficient(pt: &[f32], ft: &[f32]) -> (f64, f64) {
    let (pt, ft) = (log_softmax(pt), log_softmax(ft));
    let js: f64 = pt
        .iter()
        .zip(&ft)
        .map(|(a, b)| {
            let mean = ((a.exp() + b.exp()) / 2.0).ln();
            0.5 * a.exp() * (a - mean) + 0.5 * b.exp() * (b - mean)
        })
        .sum();
    let js = js.max(0.0);
    (js, 1.0 / (1.0 + (-0.5 * js).exp()))
}

/// Images that both parents see at once where they see several batches.
const AT_ONCE: usize = 256;

/// How batches go through.
#[derive(Clone, Copy)]
enum Form {
    /// Each by itself.
    Alone,
    /// The parents see several at once; each is merged for and inferred behind the other.
    Together,
    /// The same with two sets of weights: the next merge is made on a stream of its own while a batch is inferred.
    TwoSets,
}

impl Form {
    const ALL: [(&'static str, Self); 3] = [
        ("each batch alone", Self::Alone),
        ("parents together", Self::Together),
        ("two sets", Self::TwoSets),
    ];
}

/// Prints the merge beside the copy's rate, and the method.
pub(crate) fn report(stream: &Arc<CudaStream>, copy: f64) -> Result<()> {
    println!("\n## T3_B, synthetic bytes on the host, both parents and the merge\n");
    println!("| tower | compute | batch | form | images/s | merge ms | merge GB/s | of the copy | idle |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for name in ["B/32", "B/16", "L/14"] {
        for compute in [Compute::Bf16, Compute::F32] {
            let pair = Pair::new(stream, published(name), compute)?;
            for batch in [8, 32, 128] {
                rows(name, &pair, batch, copy)?;
            }
        }
    }
    Ok(())
}

fn rows(name: &str, pair: &Pair, batch: usize, copy: f64) -> Result<()> {
    let (tower, stream) = (&pair.tower, &pair.stream);
    let bytes = inputs::pixels(tower.sizes(), AT_ONCE);
    let (pt, ft, mut merged) = (pair.set(0.0)?, pair.set(1.0)?, [pair.set(0.5)?, pair.set(0.5)?]);
    let merger =
        Tower::new(stream.context().new_stream()?, tower.sizes().clone(), tower.compute(), &inputs::table())?;
    let merge = seconds(stream, || Ok(tower.merge(&mut merged[0], &pair.pt, &pair.ft, 0.53)?))?;
    let pass = |images: &[&Images], room| {
        seconds(stream, || {
            tower.features(&pt, images, room)?;
            Ok(())
        })
    };
    let of_batch = tower.upload(&bytes[..batch * tower.sizes().image_bytes()])?;
    let of_all = tower.upload(&bytes)?;
    let (one, all) = (pass(&[&of_batch], batch)?, pass(&[&of_all], AT_ONCE)?);
    let upload = seconds(stream, || {
        tower.upload(&bytes)?;
        Ok(())
    })?;
    let n_batches = (AT_ONCE / batch) as f64;
    let bytes_merged = (8 * tower.layout().len() + tower.weight_bytes()) as f64;
    for (form_name, form) in Form::ALL {
        let whole = seconds(stream, || score(pair, &merger, [&pt, &ft], &mut merged, &bytes, batch, form))?;
        let parents = if matches!(form, Form::Alone) { n_batches * one } else { all };
        // What is made on another stream is no time of this one.
        let merges = if matches!(form, Form::TwoSets) { 0.0 } else { n_batches * merge };
        let busy = 2.0 * parents + n_batches * one + merges + upload;
        println!(
            "| {name} | {} | {batch} | {form_name} | {:.0} | {:.3} | {:.0} | {:.0} % | {:.0} % |",
            tower.compute().name(),
            AT_ONCE as f64 / whole,
            merge * 1e3,
            bytes_merged / merge / 1e9,
            100.0 * bytes_merged / merge / copy,
            100.0 * (1.0 - busy / whole).max(0.0)
        );
    }
    Ok(())
}

/// All images, in batches, from bytes to the merged models' log-probabilities.
fn score(
    pair: &Pair,
    merger: &Tower,
    parents: [&CudaSlice<u8>; 2],
    merged: &mut [CudaSlice<u8>; 2],
    bytes: &[u8],
    batch: usize,
    form: Form,
) -> Result<()> {
    let tower = &pair.tower;
    let images = bytes
        .chunks(batch * tower.sizes().image_bytes())
        .map(|bytes| tower.upload(bytes))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let width = tower.sizes().projection;
    let at_once = if matches!(form, Form::Alone) { batch } else { AT_ONCE };
    let mut heard: [Vec<f32>; 2] = [Vec::new(), Vec::new()];
    let all: Vec<&Images> = images.iter().collect();
    for group in all.chunks(at_once / batch) {
        let of = |set| tower.features(set, group, at_once);
        let (pt, ft) = (of(parents[0])?, of(parents[1])?);
        heard[0].extend(tower.download(&pt, at_once)?);
        heard[1].extend(tower.download(&ft, at_once)?);
    }
    let by_batch = heard[0].chunks(batch * width).zip(heard[1].chunks(batch * width));
    let lambda: Vec<f32> = by_batch
        .map(|(pt, ft)| {
            let rows = pt.chunks(width).zip(ft.chunks(width));
            (rows.map(|(pt, ft)| coefficient(pt, ft).1).sum::<f64>() / batch as f64) as f32
        })
        .collect();
    let mut inferred = Vec::new();
    for (n, (images, lambda)) in images.iter().zip(lambda).enumerate() {
        let (by, set) = match form {
            Form::TwoSets => (merger, &mut merged[n % 2]),
            _ => (tower, &mut merged[0]),
        };
        by.merge(set, &pair.pt, &pair.ft, lambda)?;
        inferred.push(tower.features(set, &[images], batch)?);
    }
    for features in &inferred {
        let rows = tower.download(features, batch)?;
        std::hint::black_box(rows.chunks(width).map(log_softmax).count());
    }
    Ok(())
}
