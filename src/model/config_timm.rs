//! The sizes of timm's image towers, which open_clip names and timm keeps.
//!
//! Reference: timm 1.0, `vision_transformer.py`, the functions of these names.

use super::config::{Activation, TowerConfig, VisionKind};

/// Epsilon of timm's layer norms.
const NORM_EPS: f64 = 1e-6;

/// A tower of timm's that is carried.
pub(super) struct Timm {
    pub(super) tower: TowerConfig,
    pub(super) kind: VisionKind,
    pub(super) patch_px: usize,
    pub(super) image_px: usize,
}

/// SigLIP towers that timm builds with the tanh approximation; all others have the exact function.
const TANH: [&str; 7] = [
    "base_patch32_siglip_256",
    "large_patch16_siglip_512",
    "so400m_patch16_siglip_256",
    "so400m_patch16_siglip_384",
    "so400m_patch16_siglip_512",
    "giantopt_patch16_siglip_256",
    "giantopt_patch16_siglip_384",
];

/// The tower of that name: `vit_base_patch16_224`, `vit_so400m_patch14_siglip_384`; `None` for others.
pub(super) fn named(name: &str) -> Option<Timm> {
    // A tag behind a dot says where weights came from, and nothing about the architecture.
    let name = name.split('.').next()?.strip_prefix("vit_")?;
    let (size, rest) = name.split_once("_patch")?;
    let (patch, rest) = rest.split_once('_')?;
    let (kind, side) = match rest.strip_prefix("siglip_") {
        Some(side) => (VisionKind::Siglip, side),
        None => (VisionKind::Timm, rest),
    };
    let (width, layers, heads, ratio) = match (size, kind) {
        ("tiny", VisionKind::Timm) => (192, 12, 3, 4.0),
        ("small", VisionKind::Timm) => (384, 12, 6, 4.0),
        ("base", _) => (768, 12, 12, 4.0),
        ("large", _) => (1024, 24, 16, 4.0),
        ("huge", VisionKind::Timm) => (1280, 32, 16, 4.0),
        ("so400m", VisionKind::Siglip) => (1152, 27, 16, 3.7362),
        ("giantopt", VisionKind::Siglip) => (1536, 40, 16, 4.0),
        _ => return None,
    };
    let activation = if TANH.contains(&name) { Activation::GeluTanh } else { Activation::Gelu };
    let mlp_width = (f64::from(width) * ratio) as usize;
    let width = usize::try_from(width).ok()?;
    Some(Timm {
        tower: TowerConfig { width, mlp_width, layers, heads, activation, norm_eps: NORM_EPS },
        kind,
        patch_px: patch.parse().ok().filter(|px| (1..=64).contains(px))?,
        image_px: side.parse().ok().filter(|px| (1..=4096).contains(px))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sizes_and_other_towers_have_none() {
        let biomed = named("vit_base_patch16_224").expect("BiomedCLIP's");
        assert_eq!((biomed.tower.width, biomed.patch_px, biomed.image_px), (768, 16, 224));
        assert_eq!((biomed.kind, biomed.tower.activation), (VisionKind::Timm, Activation::Gelu));
        let so400m = named("vit_so400m_patch14_siglip_384").expect("SigLIP's");
        assert_eq!((so400m.tower.mlp_width, so400m.kind), (4304, VisionKind::Siglip));
        assert_eq!(
            named("vit_base_patch32_siglip_256").map(|t| t.tower.activation),
            Some(Activation::GeluTanh)
        );
        for other in [
            "vit_base_patch16_siglip_gap_224",
            "vit_base_patch32_clip_224",
            "vit_medium_patch16_gap_256",
            "convnext_base",
        ] {
            assert!(named(other).is_none(), "{other}");
        }
    }
}
