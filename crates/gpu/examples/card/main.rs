//! Parity and speed on the card of this machine, as one table in Markdown: `tests/gpu/run.sh` runs it, beside PyTorch.
//!
//! Parity is against the tower in f64 and plain loops that the tests of the kernels use. Speed is images a second of the tower,
//! of merges, and of the whole method from bytes on the host to coefficients and predictions there.

#[path = "../../tests/support/inputs.rs"]
mod inputs;
#[path = "../../tests/support/reference.rs"]
mod reference;

mod ceilings;
mod method;
mod parity;

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use t3b_gpu::tower::Tower;
use t3b_gpu::{Activation, Compute, Sizes};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A published tower by its name.
fn published(name: &str) -> Sizes {
    let (patch_px, width, heads, layers) = match name {
        "B/32" => (32, 768, 12, 12),
        "B/16" => (16, 768, 12, 12),
        _ => (14, 1024, 16, 24),
    };
    Sizes {
        image_px: 224,
        patch_px,
        patch_bias: false,
        pre_norm: true,
        width,
        heads,
        mlp_width: 4 * width,
        layers,
        activation: Activation::QuickGelu,
        norm_eps: 1e-5,
        projection: if width == 768 { 512 } else { 768 },
    }
}

/// A tower with two sets of f32 weights on the card.
struct Pair {
    tower: Tower,
    stream: Arc<CudaStream>,
    pt: CudaSlice<f32>,
    ft: CudaSlice<f32>,
}

impl Pair {
    fn new(stream: &Arc<CudaStream>, sizes: Sizes, compute: Compute) -> Result<Self> {
        let tower = Tower::new(Arc::clone(stream), sizes, compute, &inputs::table())?;
        let tensors = reference::tensors(tower.layout(), 1);
        let packed = tower.layout().pack(|name| &tensors[name]);
        let moved = inputs::values(9, packed.len());
        let expert: Vec<f32> = packed.iter().zip(moved).map(|(w, u)| w + 0.02 * u * w.abs()).collect();
        let (pt, ft) = (stream.clone_htod(&packed)?, stream.clone_htod(&expert)?);
        Ok(Self { tower, stream: Arc::clone(stream), pt, ft })
    }

    /// A set of weights in the compute type: the merge at `lambda`.
    fn set(&self, lambda: f32) -> Result<CudaSlice<u8>> {
        let mut set = self.stream.alloc_zeros(self.tower.weight_bytes())?;
        self.tower.merge(&mut set, &self.pt, &self.ft, lambda)?;
        Ok(set)
    }
}

/// Median seconds of one call over five rounds, each of as many calls as make up a fifth of a second, warm.
fn seconds(stream: &CudaStream, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut round = |n_calls: usize| {
        stream.synchronize()?;
        let started = Instant::now();
        (0..n_calls).try_for_each(|_| call())?;
        stream.synchronize()?;
        Ok::<_, Box<dyn Error>>(started.elapsed().as_secs_f64() / n_calls as f64)
    };
    round(2)?;
    let n_calls = ((0.2 / round(2)?) as usize).clamp(1, 2000);
    let mut rounds = (0..5).map(|_| round(n_calls)).collect::<Result<Vec<f64>>>()?;
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[2])
}

fn towers(stream: &Arc<CudaStream>, matmul: f64) -> Result<()> {
    println!(
        "\n## Image tower\n\n| tower | compute | batch | ms | images/s | TFLOP/s | of the matrix product |"
    );
    println!("|---|---|---|---|---|---|---|");
    for name in ["B/32", "B/16", "L/14"] {
        for compute in [Compute::Bf16, Compute::F16, Compute::Tf32, Compute::F32] {
            let pair = Pair::new(stream, published(name), compute)?;
            let (weights, sizes) = (pair.set(0.5)?, pair.tower.sizes());
            for batch in [1, 8, 32, 256] {
                let pixels = pair.tower.upload(&inputs::pixels(sizes, batch))?;
                let took = seconds(stream, || {
                    pair.tower.features(&weights, &[&pixels], batch)?;
                    Ok(())
                })?;
                let rate = sizes.flop() * batch as f64 / took / 1e12;
                println!(
                    "| {name} | {} | {batch} | {:.3} | {:.0} | {rate:.0} | {:.0} % |",
                    compute.name(),
                    took * 1e3,
                    batch as f64 / took,
                    100.0 * rate / matmul
                );
            }
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let context = CudaContext::new(0)?;
    let (major, minor) = context.compute_capability()?;
    println!("# {}, compute capability {major}.{minor}", context.name()?);
    let stream = context.new_stream()?;
    let fits = parity::report(&stream)?;
    let (matmul, copy) = ceilings::report(&stream)?;
    method::report(&stream, copy)?;
    towers(&stream, matmul)?;
    if fits { Ok(()) } else { Err("parity is not within its tolerances, see above".into()) }
}
