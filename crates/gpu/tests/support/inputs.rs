//! Weights, images and towers to compute with.

use t3b_gpu::{Activation, Compute, Sizes};

/// Values between -1 and 1 that follow from a seed: the upper bits of a linear congruential generator.
pub(crate) fn values(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

pub(crate) fn pixels(sizes: &Sizes, n_images: usize) -> Vec<u8> {
    values(5, n_images * sizes.image_bytes()).into_iter().map(|x| (x * 127.0 + 128.0) as u8).collect()
}

/// Normalised values of every byte, another line for each channel.
pub(crate) fn table() -> Vec<f32> {
    let value = |channel: usize, byte: usize| (byte as f32 / 255.0 - 0.45 - 0.02 * channel as f32) / 0.27;
    (0..3).flat_map(|channel| (0..256).map(move |byte| value(channel, byte))).collect()
}

/// Weights that the compute type holds exactly, so that what differs is arithmetic alone.
pub(crate) fn rounded(compute: Compute, values: &[f32]) -> Vec<f32> {
    let keep =
        |bits: u32| move |x: &f32| f32::from_bits((x.to_bits() + (1 << (bits - 1))) & !((1 << bits) - 1));
    match compute {
        Compute::F32 | Compute::Tf32 => values.to_vec(),
        // Ten bits of mantissa; none is so small that f16 would need its own smallest numbers for more than rounding.
        Compute::F16 => values.iter().map(keep(13)).collect(),
        Compute::Bf16 => values.iter().map(keep(16)).collect(),
    }
}

/// A tower of odd sizes: pixels behind the last whole patch, a head of no whole step of the matrix units.
pub(crate) fn odd() -> Sizes {
    Sizes {
        image_px: 30,
        patch_px: 7,
        patch_bias: true,
        pre_norm: false,
        width: 36,
        heads: 3,
        mlp_width: 44,
        layers: 3,
        activation: Activation::Gelu,
        norm_eps: 1e-6,
        projection: 21,
    }
}

/// A tower with heads of 64, and one token more than a tile of keys.
pub(crate) fn clip() -> Sizes {
    Sizes {
        image_px: 32,
        patch_px: 4,
        patch_bias: false,
        pre_norm: true,
        width: 128,
        heads: 2,
        mlp_width: 200,
        layers: 2,
        activation: Activation::QuickGelu,
        norm_eps: 1e-5,
        projection: 33,
    }
}

/// A tower with heads of 80 and several tiles of queries.
pub(crate) fn huge() -> Sizes {
    Sizes {
        image_px: 36,
        patch_px: 3,
        patch_bias: true,
        pre_norm: true,
        width: 80,
        heads: 1,
        mlp_width: 96,
        layers: 2,
        activation: Activation::GeluTanh,
        norm_eps: 1e-5,
        projection: 16,
    }
}
