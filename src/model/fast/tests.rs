//! Laws of the whole tower on small architectures with awkward sizes.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{VarBuilder, linear_no_bias};
use candle_transformers::models::clip::{div_l2_norm, text_model, vision_model};
use pulp::Arch;

use super::lanes::tests::archs;
use super::{Aligned, FastVision, Weights};
use crate::model::config::{Activation, ClipConfig, LAYER_NORM_EPS, TextKind, TowerConfig, VisionKind};
use crate::model::layout::{self, Part};
use crate::model::random::{self, Seeds};
use crate::model::tower::VisionTower;

/// Largest difference to the reference, relative to the largest feature.
const TOLERANCE: f32 = 5e-5;

pub(super) type Tensors = BTreeMap<String, Vec<f32>>;

/// Heads of 20 channels, 17 tokens, no width a multiple of anything that matters.
pub(super) fn small() -> ClipConfig {
    let tower = |activation| TowerConfig {
        width: 60,
        mlp_width: 270,
        layers: 3,
        heads: 3,
        activation,
        norm_eps: LAYER_NORM_EPS,
    };
    ClipConfig {
        vision_kind: VisionKind::Clip,
        text_kind: TextKind::Clip,
        logit_bias: false,
        vision: tower(Activation::QuickGelu),
        text: tower(Activation::QuickGelu),
        image_px: 32,
        patch_px: 8,
        context_tokens: 5,
        vocab_size: 9,
        projection: 23,
    }
}

pub(super) fn tensors(config: &ClipConfig, seed: u64) -> Tensors {
    let specs = layout::tensors(config).into_iter().filter(|spec| spec.part == Part::Vision);
    let seeds = Seeds { vision: seed, text: seed };
    specs.map(|spec| (spec.name.clone(), random::values(&spec, seeds))).collect()
}

pub(super) fn packed(tower: &FastVision, tensors: &Tensors) -> Aligned {
    tower.packing().pack(|name| &tensors[name])
}

pub(super) fn pixels(config: &ClipConfig, n_images: usize) -> Vec<f32> {
    let n = n_images * 3 * config.image_px * config.image_px;
    (0..n).map(|i| ((i as f64 * 0.618_034).fract() as f32 - 0.5) * 4.0).collect()
}

pub(super) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// What `f` returns on a pool of `n_threads`.
pub(super) fn on_threads<T: Send>(n_threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a pool").install(f)
}

/// Candle's tower on the same tensors.
fn reference(config: &ClipConfig, tensors: &Tensors, pixels: &[f32]) -> Vec<f32> {
    let specs = layout::tensors(config).into_iter().filter(|spec| spec.part == Part::Vision);
    let handles: HashMap<_, _> = specs
        .map(|spec| {
            let values = tensors[&spec.name].as_slice();
            (spec.name, Tensor::from_slice(values, spec.shape, &Device::Cpu).expect("a tensor"))
        })
        .collect();
    let weights = VarBuilder::from_tensors(handles, DType::F32, &Device::Cpu);
    let candle = vision_model::ClipVisionConfig {
        embed_dim: config.vision.width,
        activation: text_model::Activation::QuickGelu,
        intermediate_size: config.vision.mlp_width,
        num_hidden_layers: config.vision.layers,
        num_attention_heads: config.vision.heads,
        projection_dim: config.projection,
        num_channels: 3,
        image_size: config.image_px,
        patch_size: config.patch_px,
    };
    let features = || -> candle_core::Result<Vec<f32>> {
        let tower = vision_model::ClipVisionTransformer::new(weights.pp("vision_model"), &candle)?;
        let projection =
            linear_no_bias(config.vision.width, config.projection, weights.pp("visual_projection"))?;
        let pixels = Tensor::from_slice(pixels, ((), 3, config.image_px, config.image_px), &Device::Cpu)?;
        div_l2_norm(&projection.forward(&tower.forward(&pixels)?)?)?.flatten_all()?.to_vec1()
    };
    features().expect("features")
}

fn assert_close(ours: &[f32], reference: &[f32]) {
    assert_eq!(ours.len(), reference.len());
    let largest = reference.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    for (a, b) in ours.iter().zip(reference) {
        assert!((a - b).abs() <= TOLERANCE * largest, "{a} is not {b}");
    }
}

#[test]
fn features_are_those_of_the_reference_at_every_batch_size() {
    let config = small();
    let (tower, tensors) = (FastVision::new(&config), tensors(&config, 1));
    let weights = packed(&tower, &tensors);
    let pixels = pixels(&config, 64);
    let expected = reference(&config, &tensors, &pixels);
    for n_images in 1..=64 {
        let ours = tower.features(Weights::One(&weights), &pixels[..n_images * tower.packing().pixels()]);
        assert_close(&ours, &expected[..n_images * config.projection]);
    }
}

#[test]
fn a_tower_of_round_sizes_has_the_reference_features() {
    let vision = TowerConfig::quick_gelu(128, 2, 2);
    let config = ClipConfig { vision, projection: 64, patch_px: 16, image_px: 224, ..small() };
    let (tower, tensors) = (FastVision::new(&config), tensors(&config, 2));
    let pixels = pixels(&config, 3);
    let ours = tower.features(Weights::One(&packed(&tower, &tensors)), &pixels);
    assert_close(&ours, &reference(&config, &tensors, &pixels));
}

/// The towers of other families against candle's operations, with a merge of every sample and a side that leaves pixels out.
#[test]
fn other_families_have_the_features_of_plain_operations() {
    for (kind, image_px) in [(VisionKind::Timm, 32), (VisionKind::Siglip, 32), (VisionKind::Siglip, 37)] {
        let mut config = ClipConfig { vision_kind: kind, image_px, ..small() };
        config.vision.activation = Activation::GeluTanh;
        config.vision.norm_eps = 1e-6;
        if kind == VisionKind::Siglip {
            config.projection = config.vision.width;
        }
        let tower = FastVision::new(&config);
        let (pt, ft) = (tensors(&config, 8), tensors(&config, 9));
        let pixels = pixels(&config, 5);
        let plain = |tensors: &Tensors| {
            let specs = layout::tensors(&config).into_iter().filter(|spec| spec.part == Part::Vision);
            let handles: BTreeMap<String, Tensor> = specs
                .map(|spec| {
                    let tensor = Tensor::from_slice(&tensors[&spec.name], spec.shape, &Device::Cpu);
                    (spec.name, tensor.expect("a tensor"))
                })
                .collect();
            let tower = VisionTower::new(&handles, &config, &Device::Cpu).expect("a tower");
            let pixels =
                Tensor::from_slice(&pixels, (5, 3, image_px, image_px), &Device::Cpu).expect("pixels");
            let features = tower.features(&pixels).expect("features");
            features.flatten_all().and_then(|f| f.to_vec1::<f32>()).expect("values")
        };
        let (packed_pt, packed_ft) = (packed(&tower, &pt), packed(&tower, &ft));
        assert_close(&tower.features(Weights::One(&packed_pt), &pixels), &plain(&pt));
        let lambda = [0.0, 0.5, 0.5, 1.0, 0.25];
        let ours = tower.features(Weights::Lerp { pt: &packed_pt, ft: &packed_ft, lambda: &lambda }, &pixels);
        let at = |lambda: f32| -> Tensors {
            let values =
                |name: &String| pt[name].iter().zip(&ft[name]).map(|(a, b)| a + lambda * (b - a)).collect();
            pt.keys().map(|name| (name.clone(), values(name))).collect()
        };
        let width = config.projection;
        for (row, lambda) in lambda.into_iter().enumerate() {
            let expected = plain(&at(lambda as f32));
            assert_close(&ours[row * width..(row + 1) * width], &expected[row * width..(row + 1) * width]);
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_batch_and_on_every_number_of_threads() {
    let config = small();
    let tower = FastVision::new(&config);
    let weights = packed(&tower, &tensors(&config, 1));
    let pixels = pixels(&config, 64);
    let per_image = tower.packing().pixels();
    let alone: Vec<f32> =
        pixels.chunks(per_image).flat_map(|image| tower.features(Weights::One(&weights), image)).collect();
    for n_images in [1, 2, 7, 33, 64] {
        for n_threads in 1..=3 {
            let first = 64 - n_images;
            let rows = on_threads(n_threads, || {
                tower.features(Weights::One(&weights), &pixels[first * per_image..])
            });
            assert_eq!(bits(&rows), bits(&alone[first * config.projection..]));
        }
    }
}

/// Where a batch has fewer images than the pool has threads, several share an image. A row of the wide tower is five panels.
#[test]
fn an_image_shared_by_threads_has_the_bits_of_one_thread() {
    let kinds = [VisionKind::Clip, VisionKind::Timm, VisionKind::Siglip];
    for (kind, width) in kinds.into_iter().flat_map(|kind| [(kind, 60), (kind, 156)]) {
        let mut config = ClipConfig { vision_kind: kind, image_px: 72, ..small() };
        config.vision.width = width;
        if kind == VisionKind::Siglip {
            config.projection = config.vision.width;
        }
        let tower = FastVision::new(&config);
        let (pt, ft) = (packed(&tower, &tensors(&config, 10)), packed(&tower, &tensors(&config, 11)));
        for n_images in [1, 2] {
            let (pixels, lambda) = (pixels(&config, n_images), [0.3, 0.6]);
            let lerp = Weights::Lerp { pt: &pt, ft: &ft, lambda: &lambda[..n_images] };
            let rows = |n_threads| {
                let features = on_threads(n_threads, || {
                    let prefix = tower.prefix(Weights::One(&pt), &pixels, 1);
                    let from = tower.features_from(Weights::One(&pt), &prefix);
                    [tower.features(Weights::One(&pt), &pixels), from, tower.features(lerp, &pixels)]
                });
                features.map(|features| bits(&features))
            };
            let alone = rows(1);
            assert_eq!(alone[0], alone[1]);
            for n_threads in [2, 3, 5, 16] {
                assert_eq!(
                    rows(n_threads),
                    alone,
                    "{kind:?} {width}, {n_images} images, {n_threads} threads"
                );
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for activation in [Activation::QuickGelu, Activation::Gelu] {
        let mut config = small();
        config.vision.activation = activation;
        let tensors = tensors(&config, 3);
        let pixels = pixels(&config, 2);
        let features = archs().into_iter().map(|arch: Arch| {
            let tower = FastVision::on(arch, &config);
            bits(&tower.features(Weights::One(&packed(&tower, &tensors)), &pixels))
        });
        let features: Vec<_> = features.collect();
        assert!(features.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn a_merge_on_the_fly_has_the_bits_of_the_merged_model() {
    let config = small();
    let tower = FastVision::new(&config);
    let (pt, ft) = (packed(&tower, &tensors(&config, 4)), packed(&tower, &tensors(&config, 5)));
    // Behind the special ones, more models than the memory of a set has tiles for.
    let special = [0.0, 0.3, 0.3, 0.3, 1.0, 0.1, 0.9, 0.9, 1.5, 0.0, 0.77];
    let lambda: Vec<f64> = special.into_iter().chain((1..30).map(|n| f64::from(n) / 31.0)).collect();
    let pixels = pixels(&config, lambda.len());
    let merged = |lambda: f64| -> Vec<f32> {
        match lambda as f32 {
            0.0 => pt.to_vec(),
            1.0 => ft.to_vec(),
            lambda => pt.iter().zip(&ft[..]).map(|(pt, ft)| pt + lambda * (ft - pt)).collect(),
        }
    };
    let images = pixels.chunks(tower.packing().pixels()).zip(&lambda);
    let expected: Vec<f32> =
        images.flat_map(|(image, lambda)| tower.features(Weights::One(&merged(*lambda)), image)).collect();
    for n_threads in 1..=3 {
        let weights = Weights::Lerp { pt: &pt, ft: &ft, lambda: &lambda };
        let ours = on_threads(n_threads, || tower.features(weights, &pixels));
        assert_eq!(bits(&ours), bits(&expected));
    }
}

#[test]
fn a_shared_prefix_changes_no_bit() {
    let config = small();
    let tower = FastVision::new(&config);
    let pt = tensors(&config, 6);
    let pixels = pixels(&config, 5);
    for n_layers in 0..config.vision.layers {
        // The second model is another one from that block on.
        let other = tensors(&config, 7);
        let is_later = |name: &str| {
            let later =
                (n_layers..config.vision.layers).any(|layer| name.contains(&format!("layers.{layer}.")));
            later || name.contains("post_layernorm") || name.contains("projection")
        };
        let ft: Tensors = pt
            .iter()
            .map(|(name, values)| (name.clone(), if is_later(name) { &other[name] } else { values }.clone()))
            .collect();
        let (pt, ft) = (packed(&tower, &pt), packed(&tower, &ft));
        let prefix = tower.prefix(Weights::One(&pt), &pixels, n_layers);
        for weights in [Weights::One(&pt), Weights::One(&ft)] {
            let ours = tower.features_from(weights, &prefix);
            assert_eq!(bits(&ours), bits(&tower.features(weights, &pixels)));
        }
    }
}

#[test]
fn no_images_give_no_features() {
    let tower = FastVision::new(&small());
    let weights = packed(&tower, &tensors(&small(), 1));
    assert!(tower.features(Weights::One(&weights), &[]).is_empty());
}

#[test]
#[should_panic(expected = "a coefficient per image")]
fn a_missing_coefficient_is_refused() {
    let tower = FastVision::new(&small());
    let weights = packed(&tower, &tensors(&small(), 1));
    let _ = tower.features(Weights::Lerp { pt: &weights, ft: &weights, lambda: &[] }, &pixels(&small(), 1));
}
