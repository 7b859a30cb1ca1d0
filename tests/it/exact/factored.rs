//! One factored pass gives what a merged model per sample gives.

use candle_core::{DType, Device, Tensor};
use t3b::merge::factored::FactoredVision;
use t3b::merge::weights::Tensors;
use t3b::model::config::{Activation, TextKind, TowerConfig, VisionKind};
use t3b::model::fast::{FastVision, Weights};
use t3b::model::layout::{self, Part};
use t3b::model::packed::{pack, with_values};
use t3b::model::random::{self, Seeds};
use t3b::model::tower::VisionTower;
use t3b::model::{ClipConfig, ModelError};

/// Allowed difference of a logit in f64, relative to the largest.
const F64_RELATIVE: f64 = 1e-10;
/// The same in f32, against candle's tower with merged weights.
const F32_RELATIVE: f64 = 1e-4;
/// What a tensor must at least change for a test of it to mean something.
const VISIBLE_RELATIVE: f64 = 1e-4;

/// Coefficients of a batch: ends, neighbours that are equal, an equal one elsewhere, two that extrapolate.
const MIXED: [f64; 8] = [0.5, 0.0, 0.31, 0.31, 1.0, -0.25, 1.5, 0.5];

/// No two sizes are equal where confusing them would go unseen.
fn small() -> ClipConfig {
    ClipConfig {
        vision: TowerConfig { mlp_width: 56, ..TowerConfig::quick_gelu(24, 3, 3) },
        text: TowerConfig::quick_gelu(8, 1, 1),
        vision_kind: VisionKind::Clip,
        text_kind: TextKind::Clip,
        logit_bias: false,
        image_px: 24,
        patch_px: 8,
        context_tokens: 4,
        vocab_size: 8,
        projection: 16,
    }
}

struct Pair {
    config: ClipConfig,
    pt: Tensors,
    ft: Tensors,
}

impl Pair {
    fn new(config: ClipConfig, dtype: DType) -> Self {
        let parent = |vision| {
            let tensors = random::tensors(&config, Seeds { vision, text: 1 }).unwrap();
            tensors.into_iter().map(|(name, tensor)| (name, tensor.to_dtype(dtype).unwrap())).collect()
        };
        let (pt, ft) = (parent(2), parent(3));
        Self { config, pt, ft }
    }

    /// Names of the image tower.
    fn names(&self) -> Vec<String> {
        let specs = layout::tensors(&self.config).into_iter().filter(|spec| spec.part == Part::Vision);
        specs.map(|spec| spec.name).collect()
    }

    /// The model that the method's definition asks for.
    fn materialised(&self, differing: &[String], lambda: f64) -> Tensors {
        let mut merged = self.pt.clone();
        for name in differing {
            let delta = (&self.ft[name] - &self.pt[name]).unwrap();
            merged.insert(name.clone(), (&self.pt[name] + (delta * lambda).unwrap()).unwrap());
        }
        merged
    }

    fn factored(&self, differing: &[String]) -> FactoredVision {
        FactoredVision::new(&self.pt, &self.ft, differing, &self.config, &Device::Cpu).unwrap()
    }

    /// The fast tower, which merges weights while it reads them; f32 only.
    fn fast(&self, pixels: &Tensor, lambda: &[f64]) -> Tensor {
        let engine = FastVision::new(&self.config);
        let packed = |tensors: &Tensors| pack(engine.packing(), tensors).unwrap();
        let (pt, ft) = (packed(&self.pt), packed(&self.ft));
        let features = with_values(&pt, |pt| {
            with_values(&ft, |ft| {
                with_values(pixels, |pixels| engine.features(Weights::Lerp { pt, ft, lambda }, pixels))
            })
        });
        let features = features.unwrap().unwrap().unwrap();
        Tensor::from_vec(features, (lambda.len(), self.config.projection), &Device::Cpu).unwrap()
    }

    fn pixels(&self, n_samples: usize) -> Tensor {
        let side = self.config.image_px;
        let values = (0..n_samples * 3 * side * side).map(|i| 2.0 * ((i * i) as f32 * 0.01).sin()).collect();
        let pixels = Tensor::from_vec(values, (n_samples, 3, side, side), &Device::Cpu).unwrap();
        pixels.to_dtype(self.pt["visual_projection.weight"].dtype()).unwrap()
    }

    /// Features of sample by sample, each from a merged model of its own.
    fn one_by_one(
        &self,
        pixels: &Tensor,
        lambda: &[f64],
        features: impl Fn(&Tensors, &Tensor) -> Tensor,
        differing: &[String],
    ) -> Tensor {
        let row = |(index, &lambda)| {
            let alone = pixels.narrow(0, index, 1).unwrap().contiguous().unwrap();
            features(&self.materialised(differing, lambda), &alone)
        };
        Tensor::cat(&lambda.iter().enumerate().map(row).collect::<Vec<_>>(), 0).unwrap()
    }

    /// The reference in this module's own terms: no expert, a batch of one.
    fn unfactored(&self, pixels: &Tensor, lambda: &[f64], differing: &[String]) -> Tensor {
        let features = |merged: &Tensors, pixels: &Tensor| {
            let plain = FactoredVision::new(merged, merged, &[], &self.config, &Device::Cpu).unwrap();
            plain.features(pixels, &[0.0]).unwrap()
        };
        self.one_by_one(pixels, lambda, features, differing)
    }

    /// The independent reference, f32 only.
    fn candle(&self, pixels: &Tensor, lambda: &[f64]) -> Tensor {
        let features = |merged: &Tensors, pixels: &Tensor| {
            VisionTower::new(merged, &self.config, &Device::Cpu).unwrap().features(pixels).unwrap()
        };
        self.one_by_one(pixels, lambda, features, &self.names())
    }
}

/// Largest difference of a logit, relative to the largest logit; the scale cancels.
fn difference(left: &Tensor, right: &Tensor) -> f64 {
    let width = left.dim(1).unwrap();
    let values: Vec<f64> = (0..width * 5).map(|i| ((i * i) as f64 * 0.37).sin()).collect();
    let classes = Tensor::from_vec(values, (width, 5), &Device::Cpu).unwrap();
    let logits = |features: &Tensor| features.to_dtype(DType::F64).unwrap().matmul(&classes).unwrap();
    let largest = |tensor: &Tensor| {
        let values = tensor.abs().unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        // `f64::max` would pass over a NaN.
        values
            .into_iter()
            .fold(0.0, |most: f64, value| if value.is_nan() || value > most { value } else { most })
    };
    largest(&(logits(left) - logits(right)).unwrap()) / largest(&logits(right))
}

#[test]
fn a_pass_equals_one_merged_model_per_sample_in_f64() {
    let gelu =
        ClipConfig { vision: TowerConfig { activation: Activation::Gelu, ..small().vision }, ..small() };
    for config in [small(), gelu] {
        let pair = Pair::new(config, DType::F64);
        let (pixels, names) = (pair.pixels(MIXED.len()), pair.names());
        let wanted = pair.unfactored(&pixels, &MIXED, &names);
        let found = pair.factored(&names).features(&pixels, &MIXED).unwrap();
        let off = difference(&found, &wanted);
        println!("{off:.1e}");
        assert!(off < F64_RELATIVE, "{off:e}");
    }
}

fn both_ways_equal_candle(pair: &Pair, pixels: &Tensor, lambda: &[f64]) {
    let wanted = pair.candle(pixels, lambda);
    let by_outputs = pair.factored(&pair.names()).features(pixels, lambda).unwrap();
    for (name, found) in [("by outputs", by_outputs), ("fast", pair.fast(pixels, lambda))] {
        let off = difference(&found, &wanted);
        println!("{name}: {off:.1e}");
        assert!(off < F32_RELATIVE, "{name}: {off:e}");
    }
}

#[test]
fn a_pass_equals_candles_tower_with_merged_weights_in_f32() {
    let pair = Pair::new(small(), DType::F32);
    let pixels = pair.pixels(MIXED.len());
    both_ways_equal_candle(&pair, &pixels, &MIXED);
}

/// The shapes of production.
#[test]
fn a_pass_equals_candles_tower_at_the_size_of_vit_b_32() {
    let config = ClipConfig {
        text: small().text,
        vocab_size: 8,
        ..ClipConfig::named("clip-vit-base-patch32").unwrap()
    };
    let pair = Pair::new(config, DType::F32);
    let (pixels, lambda) = (pair.pixels(4), [0.52, 0.58, 0.9, 0.05]);
    both_ways_equal_candle(&pair, &pixels, &lambda);
}

/// Where one kind of tensor differs and nothing else, a coefficient forgotten there cannot hide.
#[test]
fn every_kind_of_tensor_is_merged() {
    let pair = Pair::new(small(), DType::F64);
    let pixels = pair.pixels(MIXED.len());
    let kinds = [
        "class_embedding",
        "patch_embedding.weight",
        "position_embedding.weight",
        "pre_layrnorm.weight",
        "pre_layrnorm.bias",
        "layer_norm1.weight",
        "layer_norm1.bias",
        "layer_norm2.weight",
        "layer_norm2.bias",
        "q_proj.weight",
        "q_proj.bias",
        "k_proj.weight",
        "v_proj.weight",
        "v_proj.bias",
        "out_proj.weight",
        "out_proj.bias",
        "fc1.weight",
        "fc1.bias",
        "fc2.weight",
        "fc2.bias",
        "post_layernorm.weight",
        "post_layernorm.bias",
        "visual_projection.weight",
        // Last because it changes nothing: the same number is added to every score of a query.
        "k_proj.bias",
    ];
    let names = pair.names();
    let of = |kind: &&str| names.iter().filter(|name| name.ends_with(*kind)).cloned().collect::<Vec<_>>();
    assert_eq!(kinds.iter().map(|kind| of(kind).len()).sum::<usize>(), names.len(), "each tensor once");
    let plain = pair.factored(&[]).features(&pixels, &MIXED).unwrap();
    for kind in kinds {
        let differing = of(&kind);
        let wanted = pair.unfactored(&pixels, &MIXED, &differing);
        assert!(
            kind == "k_proj.bias" || difference(&plain, &wanted) > VISIBLE_RELATIVE,
            "{kind} does not matter"
        );
        let found = pair.factored(&differing).features(&pixels, &MIXED).unwrap();
        let off = difference(&found, &wanted);
        assert!(off < F64_RELATIVE, "{kind}, {off:e}");
    }
}

#[test]
fn zero_is_the_generalist_and_one_the_expert() {
    let pair = Pair::new(small(), DType::F32);
    let pixels = pair.pixels(3);
    for (lambda, parent) in [(0.0, &pair.pt), (1.0, &pair.ft)] {
        let wanted = VisionTower::new(parent, &pair.config, &Device::Cpu).unwrap().features(&pixels).unwrap();
        let found = pair.factored(&pair.names()).features(&pixels, &[lambda; 3]).unwrap();
        let off = difference(&found, &wanted);
        assert!(off < F32_RELATIVE, "{lambda}, {off:e}");
    }
}

#[test]
fn one_coefficient_for_all_is_one_merged_model() {
    let pair = Pair::new(small(), DType::F64);
    let (pixels, names) = (pair.pixels(5), pair.names());
    let merged = pair.materialised(&names, 0.55);
    let plain = FactoredVision::new(&merged, &merged, &[], &pair.config, &Device::Cpu).unwrap();
    let wanted = plain.features(&pixels, &[0.0; 5]).unwrap();
    let found = pair.factored(&names).features(&pixels, &[0.55; 5]).unwrap();
    let off = difference(&found, &wanted);
    assert!(off < F64_RELATIVE, "{off:e}");
}

#[test]
fn a_sample_does_not_see_the_others() {
    let pair = Pair::new(small(), DType::F64);
    let factored = pair.factored(&pair.names());
    let pixels = pair.pixels(3);
    let all = factored.features(&pixels, &[0.2, f64::NAN, 0.7]).unwrap();
    for (row, lambda) in [(0, 0.2), (2, 0.7)] {
        let pixels = pixels.narrow(0, row, 1).unwrap().contiguous().unwrap();
        let alone = factored.features(&pixels, &[lambda]).unwrap();
        assert!(difference(&all.narrow(0, row, 1).unwrap(), &alone) < F64_RELATIVE, "row {row}");
    }
    let spoilt = all.narrow(0, 1, 1).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert!(spoilt.iter().all(|value| value.is_nan()));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let pair = Pair::new(small(), DType::F32);
    let (factored, pixels) = (pair.factored(&pair.names()), pair.pixels(MIXED.len()));
    let bits = |n_threads| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let features = threads.install(|| factored.features(&pixels, &MIXED)).unwrap();
        features
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
            .into_iter()
            .map(f32::to_bits)
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(1), bits(3));
}

#[test]
fn the_expert_is_read_only_where_it_differs() {
    let pair = Pair::new(small(), DType::F64);
    let differing = vec!["visual_projection.weight".to_owned()];
    let sparse: Tensors = differing.iter().map(|name| (name.clone(), pair.ft[name].clone())).collect();
    let factored = FactoredVision::new(&pair.pt, &sparse, &differing, &pair.config, &Device::Cpu).unwrap();
    let pixels = pair.pixels(2);
    let found = factored.features(&pixels, &[0.3, 0.6]).unwrap();
    let wanted = pair.unfactored(&pixels, &[0.3, 0.6], &differing);
    assert!(difference(&found, &wanted) < F64_RELATIVE);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let pair = Pair::new(small(), DType::F32);
    let (names, pixels) = (pair.names(), pair.pixels(2));
    let factored = pair.factored(&names);
    let code = |result: Result<Tensor, ModelError>| result.unwrap_err().code();
    assert_eq!(code(factored.features(&pixels, &[0.5])), "N002", "too few coefficients");
    assert_eq!(code(factored.features(&pixels, &[0.5; 3])), "N002", "too many coefficients");
    assert_eq!(
        code(factored.features(&pixels.to_dtype(DType::F64).unwrap(), &[0.5; 2])),
        "N002",
        "data type"
    );
    let wide = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(code(factored.features(&wide, &[0.5; 2])), "N002", "another size");

    let new = |pt: &Tensors, ft: &Tensors| FactoredVision::new(pt, ft, &names, &pair.config, &Device::Cpu);
    let mut lacking = pair.ft.clone();
    lacking.remove("vision_model.post_layernorm.bias");
    assert_eq!(new(&lacking, &pair.ft).unwrap_err().code(), "W005");
    assert_eq!(new(&pair.pt, &lacking).unwrap_err().code(), "W005");
    let mut bent = pair.ft.clone();
    bent.insert(
        "visual_projection.weight".to_owned(),
        Tensor::zeros((24, 16), DType::F32, &Device::Cpu).unwrap(),
    );
    assert_eq!(new(&pair.pt, &bent).unwrap_err().code(), "N002");
}
