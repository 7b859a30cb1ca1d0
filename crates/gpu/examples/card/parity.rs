//! Features on the card against the tower in f64, and what their error does to the coefficient.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use t3b_gpu::tower::Tower;
use t3b_gpu::{Compute, Sizes};

use super::method::{coefficient, log_softmax};
use super::reference::{Reference, tensors};
use super::{Pair, Result, inputs, published};

/// The largest error of a value of a unit feature that is allowed. f32: rounding in another order. The others: their mantissa
/// through a few blocks.
fn tolerance(compute: Compute) -> f64 {
    match compute {
        Compute::F32 => 1e-5,
        Compute::Tf32 | Compute::F16 => 5e-3,
        Compute::Bf16 => 3e-2,
    }
}

/// Prints two tables; whether all errors are allowed.
pub(crate) fn report(stream: &Arc<CudaStream>) -> Result<bool> {
    println!(
        "\n## Parity with f64\n\n| width, head, tokens | compute | largest error | allowed | |\n|---|---|---|---|---|"
    );
    let mut fits = true;
    for sizes in [inputs::odd(), inputs::clip(), inputs::huge()] {
        for compute in Compute::ALL {
            let (error, allowed) = (largest_error(stream, &sizes, compute)?, tolerance(compute));
            // A NaN is not below anything.
            let is_fine = error < allowed;
            fits &= is_fine;
            let (width, head, tokens) = (sizes.width, sizes.head(), sizes.tokens());
            let mark = if is_fine { "" } else { "**too large**" };
            println!(
                "| {width}, {head}, {tokens} | {} | {error:.1e} | {allowed:.0e} | {mark} |",
                compute.name()
            );
        }
    }
    deviations(stream)?;
    Ok(fits)
}

fn largest_error(stream: &Arc<CudaStream>, sizes: &Sizes, compute: Compute) -> Result<f64> {
    const N_IMAGES: usize = 3;
    let tower = Tower::new(Arc::clone(stream), sizes.clone(), compute, &inputs::table())?;
    let tensors = tensors(tower.layout(), 1);
    let tensors =
        tensors.into_iter().map(|(name, values)| (name, inputs::rounded(compute, &values))).collect();
    let reference = Reference { sizes, tensors: &tensors };
    let packed = stream.clone_htod(&tower.layout().pack(|name| &tensors[name]))?;
    let mut weights = stream.alloc_zeros(tower.weight_bytes())?;
    tower.merge(&mut weights, &packed, &packed, 0.0)?;
    let bytes = inputs::pixels(sizes, N_IMAGES);
    let pixels = tower.upload(&bytes)?;
    // A pass with room for more, and one in two parts beside copies of single images, must give the same.
    let features = |images: &[&_]| tower.download(&tower.features(&weights, images, 2 * N_IMAGES)?, N_IMAGES);
    let whole = features(&[&pixels])?;
    let prefix = tower.prefix(&weights, &pixels, 1, N_IMAGES)?;
    let ones = (0..N_IMAGES).map(|n| tower.one_of(&prefix, n)).collect::<std::result::Result<Vec<_>, _>>()?;
    let parts = features(&ones.iter().collect::<Vec<_>>())?;
    let expected = bytes.chunks(sizes.image_bytes()).flat_map(|pixels| reference.features(pixels));
    let errors = whole.iter().zip(&parts).zip(expected).map(|((whole, part), exact)| {
        let (whole, part) = ((f64::from(*whole) - exact).abs(), (f64::from(*part) - exact).abs());
        if whole.is_nan() || part.is_nan() { f64::INFINITY } else { whole.max(part) }
    });
    Ok(errors.fold(0.0, f64::max))
}

/// Of ViT-B/16 on 64 images: how far features, divergence and coefficient are from those in f32 on the same card.
fn deviations(stream: &Arc<CudaStream>) -> Result<()> {
    const N_IMAGES: usize = 64;
    println!("\n## ViT-B/16, 64 images, against f32 on this card\n");
    println!("| compute | feature | JS nats | lambda | predictions that differ |\n|---|---|---|---|---|");
    let mut exact: Option<Vec<Seen>> = None;
    for compute in Compute::ALL {
        let pair = Pair::new(stream, published("B/16"), compute)?;
        let pixels = pair.tower.upload(&inputs::pixels(pair.tower.sizes(), N_IMAGES))?;
        let of = |lambda| -> Result<Vec<f32>> {
            let features = pair.tower.features(&pair.set(lambda)?, &[&pixels], N_IMAGES)?;
            Ok(pair.tower.download(&features, N_IMAGES)?)
        };
        let width = pair.tower.sizes().projection;
        let (pt, ft, merged) = (of(0.0)?, of(1.0)?, of(0.53)?);
        let rows = pt.chunks(width).zip(ft.chunks(width)).zip(merged.chunks(width));
        let seen: Vec<Seen> = rows.map(|((pt, ft), merged)| Seen::new(pt, ft, merged)).collect();
        let exact = exact.get_or_insert_with(|| seen.clone());
        let largest = |of: &dyn Fn(&Seen, &Seen) -> f64| {
            seen.iter().zip(exact.iter()).map(|(a, b)| of(a, b)).fold(0.0, f64::max)
        };
        let feature = largest(&|a, b| {
            a.merged.iter().zip(&b.merged).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
        });
        println!(
            "| {} | {feature:.1e} | {:.1e} | {:.1e} | {} |",
            compute.name(),
            largest(&|a, b| (a.js - b.js).abs()),
            largest(&|a, b| (a.lambda - b.lambda).abs()),
            seen.iter().zip(exact.iter()).filter(|(a, b)| a.class != b.class).count()
        );
    }
    Ok(())
}

/// What is said of one image.
#[derive(Clone)]
struct Seen {
    merged: Vec<f32>,
    js: f64,
    lambda: f64,
    class: usize,
}

impl Seen {
    fn new(pt: &[f32], ft: &[f32], merged: &[f32]) -> Self {
        let (js, lambda) = coefficient(pt, ft);
        let p = log_softmax(merged);
        let class = (0..p.len()).fold(0, |best, n| if p[n] > p[best] { n } else { best });
        Self { merged: merged.to_vec(), js, lambda, class }
    }
}
