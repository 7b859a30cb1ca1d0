//! Random weights of any architecture, the same in every language, so that no large file need be kept for tests.
//!
//! Value `i` of a tensor is the `i`-th output of splitmix64 seeded with `seed ^ fnv1a64(name)`; its upper 24 bits `k` give
//! `u = (2 k - 2^24) / 2^24` in [-1, 1), exact in f32, and the value is `centre + reach * u`, each operation rounded to f32.
//! `centre` and `reach` depend on the [`TensorRole`] of the tensor and keep activations near unit size at any depth.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use safetensors::{SafeTensorError, tensor::TensorView};

use super::{
    config::ClipConfig,
    error::ModelError,
    layout::{self, Part, TensorRole, TensorSpec},
};

/// Seeds of the two halves. Two checkpoints with equal `text` have equal text towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    /// Image tower and its projection.
    pub vision: u64,
    /// Text tower, its projection and the temperature.
    pub text: u64,
}

/// Values of one tensor, row-major.
#[must_use]
pub fn values(spec: &TensorSpec, seeds: Seeds) -> Vec<f32> {
    let (centre, reach) = range(spec);
    let seed = if spec.part == Part::Vision { seeds.vision } else { seeds.text };
    let mut state = seed ^ fnv1a64(spec.name.as_bytes());
    (0..spec.elements()).map(|_| centre + reach * symmetric(next(&mut state))).collect()
}

/// All tensors of `config` on the CPU, by name, as a checkpoint would hold them.
///
/// # Errors
/// `N002` when candle refuses a tensor.
pub fn tensors(config: &ClipConfig, seeds: Seeds) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let tensor = |spec: TensorSpec| {
        let tensor = Tensor::from_vec(values(&spec, seeds), spec.shape.as_slice(), &Device::Cpu)?;
        Ok((spec.name, tensor))
    };
    layout::tensors(config).into_iter().map(tensor).collect()
}

/// The same tensors as the content of a `model.safetensors`, f32.
///
/// # Errors
/// When a header longer than the format allows would be needed.
pub fn safetensors(config: &ClipConfig, seeds: Seeds) -> Result<Vec<u8>, SafeTensorError> {
    let specs = layout::tensors(config);
    let bytes: Vec<Vec<u8>> = specs
        .iter()
        .map(|spec| values(spec, seeds).into_iter().flat_map(f32::to_le_bytes).collect())
        .collect();
    let views = specs.iter().zip(&bytes).map(|(spec, bytes)| {
        let view = TensorView::new(safetensors::Dtype::F32, spec.shape.clone(), bytes)?;
        Ok((spec.name.as_str(), view))
    });
    safetensors::serialize(views.collect::<Result<Vec<_>, SafeTensorError>>()?, None)
}

/// Centre and half-width of the uniform distribution of a tensor.
fn range(spec: &TensorSpec) -> (f32, f32) {
    match spec.kind {
        // A variance of one over the inputs keeps the scale of what goes through.
        TensorRole::Matrix => {
            let inputs: usize = spec.shape[1..].iter().product();
            (0.0, (3.0 / inputs as f64).sqrt() as f32)
        }
        TensorRole::Bias => (0.0, 0.1),
        TensorRole::Gain => (1.0, 0.25),
        // Small, as in trained models: the epsilon of the first layer norm then counts.
        TensorRole::Embedding => (0.0, 0.05),
        TensorRole::LogScale => (std::f64::consts::LN_10 as f32 * 2.0, 0.0),
    }
}

fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// One step of splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn symmetric(bits: u64) -> f32 {
    const HALF: i64 = 1 << 23;
    (((bits >> 40) as i64 - HALF) as f32) / HALF as f32
}
