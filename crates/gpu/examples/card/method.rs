//! T3_B from bytes on the host to coefficients and predictions there, and its merge alone.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use t3b_gpu::Compute;

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

/// Prints the merge beside the copy's rate, and the method.
pub(crate) fn report(stream: &Arc<CudaStream>, copy: f64) -> Result<()> {
    println!("\n## T3_B, synthetic bytes on the host, both parents and the merge\n");
    println!("| tower | compute | batch | images/s | merge ms | merge GB/s | of the copy | idle |");
    println!("|---|---|---|---|---|---|---|---|");
    for name in ["B/32", "B/16", "L/14"] {
        for compute in [Compute::Bf16, Compute::F32] {
            let pair = Pair::new(stream, published(name), compute)?;
            for batch in [8, 32, 128] {
                row(name, &pair, batch, copy)?;
            }
        }
    }
    Ok(())
}

fn row(name: &str, pair: &Pair, batch: usize, copy: f64) -> Result<()> {
    let (tower, stream) = (&pair.tower, &pair.stream);
    let bytes = inputs::pixels(tower.sizes(), batch);
    let (pt, ft, mut merged) = (pair.set(0.0)?, pair.set(1.0)?, pair.set(0.5)?);
    let width = tower.sizes().projection;
    let merge = seconds(stream, || Ok(tower.merge(&mut merged, &pair.pt, &pair.ft, 0.53)?))?;
    let pixels = tower.upload(&bytes)?;
    let forward = seconds(stream, || {
        tower.features(&pt, &pixels, batch)?;
        Ok(())
    })?;
    let upload = seconds(stream, || {
        tower.upload(&bytes)?;
        Ok(())
    })?;
    let whole = seconds(stream, || {
        let pixels = tower.upload(&bytes)?;
        let (of_pt, of_ft) = (tower.features(&pt, &pixels, batch)?, tower.features(&ft, &pixels, batch)?);
        let (of_pt, of_ft) = (stream.clone_dtoh(&of_pt)?, stream.clone_dtoh(&of_ft)?);
        let rows = of_pt.chunks(width).zip(of_ft.chunks(width));
        let lambda = rows.map(|(pt, ft)| coefficient(pt, ft).1).sum::<f64>() / batch as f64;
        tower.merge(&mut merged, &pair.pt, &pair.ft, lambda as f32)?;
        let of_merged = stream.clone_dtoh(&tower.features(&merged, &pixels, batch)?)?;
        std::hint::black_box(of_merged.chunks(width).map(log_softmax).count());
        Ok(())
    })?;
    let bytes_merged = (8 * tower.layout().len() + tower.weight_bytes()) as f64;
    println!(
        "| {name} | {} | {batch} | {:.0} | {:.3} | {:.0} | {:.0} % | {:.0} % |",
        tower.compute().name(),
        batch as f64 / whole,
        merge * 1e3,
        bytes_merged / merge / 1e9,
        100.0 * bytes_merged / merge / copy,
        100.0 * (1.0 - (3.0 * forward + merge + upload) / whole).max(0.0)
    );
    Ok(())
}
