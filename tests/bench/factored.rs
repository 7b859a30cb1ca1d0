//! One pass with a merge per sample against one merged model per sample: ViT-B/32, a batch of 32, all coefficients distinct.
//!
//! `cargo bench --bench factored -- [ARCHITECTURE [BATCH]]`. Prints the largest difference of a feature relative to the
//! largest, and seconds: of the fast tower merging while it reads; of merging the packed weights and running the fast tower
//! once per sample; of the same with candle's tensor expression and candle-transformers' tower, which is what the method's
//! definition costs without this project; and of a plain pass over the batch, the price of the arithmetic alone. With `T3B_PEERS_PYTHON`
//! naming a Python that has torch and transformers, also of the same in PyTorch (`tests/bench/peers/sample_wise.py`), and of sample-wise
//! T3 from pixels to features: both parents, then the merged models.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use t3b::merge::lerp::lerp_into;
use t3b::model::ClipConfig;
use t3b::model::config::TowerConfig;
use t3b::model::fast::{FastVision, Weights};
use t3b::model::normalize::Normalizer;
use t3b::model::packed::{pack, with_values};
use t3b::model::random::{self, Seeds};
use t3b::model::tower::VisionTower;

type Tensors = BTreeMap<String, Tensor>;

/// The best of several rounds is the one least disturbed by the rest of the machine.
const N_ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let architecture = arguments.first().map_or("clip-vit-base-patch32", String::as_str);
    let n_samples: usize = arguments.get(1).map_or(32, |text| text.parse().expect("BATCH is a number"));
    let text = TowerConfig::quick_gelu(8, 1, 1);
    let known = ClipConfig::named(architecture).expect("a known architecture");
    let config = ClipConfig { text, vocab_size: 8, ..known };
    let parent = |vision| random::tensors(&config, Seeds { vision, text: 1 }).expect("memory");
    let (pt, ft): (Tensors, Tensors) = (parent(2), parent(3));
    let engine = Arc::new(FastVision::new(&config));
    let packed = |tensors| {
        let packed = pack(engine.packing(), tensors).expect("a packed tower");
        with_values(&packed, <[f32]>::to_vec).expect("values")
    };
    let (packed_pt, packed_ft) = (packed(&pt), packed(&ft));
    let lambda: Vec<f64> = (0..n_samples).map(|i| (i as f64 * 0.618).fract()).collect();
    let pixels = pixels(n_samples, config.image_px);
    let image = 3 * config.image_px * config.image_px;

    let factored =
        || engine.features(Weights::Lerp { pt: &packed_pt, ft: &packed_ft, lambda: &lambda }, &pixels);
    let mut merged = vec![0.0; packed_pt.len()];
    let mut materialised = || {
        let rows = lambda.iter().zip(pixels.chunks_exact(image)).flat_map(|(&lambda, image)| {
            lerp_into(&packed_pt, &packed_ft, lambda, &mut merged);
            engine.features(Weights::One(&merged), image)
        });
        rows.collect::<Vec<f32>>()
    };
    let with_candle = || {
        let rows = lambda.iter().zip(pixels.chunks_exact(image));
        rows.flat_map(|(&lambda, image)| candle_row(&pt, &ft, lambda, image, &config)).collect::<Vec<f32>>()
    };
    let plain = || engine.features(Weights::One(&packed_pt), &pixels);

    let mut best = [f64::INFINITY; 4];
    let mut worst = 0.0_f32;
    for _ in 0..N_ROUNDS {
        let (one_pass, seconds) = timed(factored);
        best[0] = best[0].min(seconds);
        let (one_by_one, seconds) = timed(&mut materialised);
        best[1] = best[1].min(seconds);
        let (theirs, seconds) = timed(with_candle);
        best[2] = best[2].min(seconds);
        best[3] = best[3].min(timed(plain).1);
        assert_eq!(one_pass, one_by_one, "the same bits, merged at once or one by one");
        worst = worst.max(difference(&one_pass, &theirs));
    }
    let [once, each, candle, plain] = best;
    println!("{architecture}, batch {n_samples}, {} threads", rayon::current_num_threads());
    println!("largest difference to candle: {worst:.1e} of the largest feature; to one by one: none");
    println!("one pass {once:.3} s, of the time of a plain pass {:.2}", once / plain);
    println!("one merged model per sample, our merge and tower: {each:.3} s, ratio {:.1}", each / once);
    println!("the same with candle's merge and tower: {candle:.3} s, ratio {:.1}", candle / once);
    if let Ok(python) = std::env::var("T3B_PEERS_PYTHON") {
        let (parents, merged, theirs) = in_torch(&python, &config, [&pt, &ft], &pixels, &lambda);
        println!("the same in PyTorch: {merged:.3} s, ratio {:.1}", merged / once);
        println!(
            "largest difference to PyTorch: {:.1e} of the largest feature",
            difference(&factored(), &theirs)
        );
        let (ours, theirs) = (2.0 * plain + once, parents + merged);
        println!("with both parents: {ours:.3} s, PyTorch {theirs:.3} s, ratio {:.1}", theirs / ours);
    }
}

/// Seconds of both parents and of the merged models, one for each image, in PyTorch, and the features of the latter.
fn in_torch(
    python: &str,
    config: &ClipConfig,
    parents: [&Tensors; 2],
    pixels: &[f32],
    lambda: &[f64],
) -> (f64, f64, Vec<f32>) {
    let folder = std::env::temp_dir().join(format!("t3b-sample-wise-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    let write = |name: &str, tensors: &Tensors| {
        let bytes = safetensors::serialize(tensors, None).expect("tensors");
        std::fs::write(folder.join(name), bytes).expect("disk space");
    };
    for (name, tensors) in ["pt.safetensors", "ft.safetensors"].into_iter().zip(parents) {
        let mut tensors = tensors.clone();
        tensors.retain(|name, _| name.starts_with("vis"));
        write(name, &tensors);
    }
    let shape = (lambda.len(), 3, config.image_px, config.image_px);
    let of = |name: &str, tensor: candle_core::Result<Tensor>| (name.to_owned(), tensor.expect("a tensor"));
    let given = [
        of("pixels", Tensor::from_slice(pixels, shape, &Device::Cpu)),
        of("lambda", Tensor::from_slice(lambda, lambda.len(), &Device::Cpu)),
    ];
    write("input.safetensors", &Tensors::from(given));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/peers/sample_wise.py");
    let threads = rayon::current_num_threads().to_string();
    let (patch_px, n_rounds) = (config.patch_px.to_string(), N_ROUNDS.to_string());
    let options = ["--patch", &patch_px, "--threads", &threads, "--rounds", &n_rounds];
    let said = Command::new(python).arg(script).arg(&folder).args(options).output().expect("Python");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).expect("text");
    let seconds: Vec<f64> = said.split_whitespace().map(|text| text.parse().expect("seconds")).collect();
    let features = candle_core::safetensors::load(folder.join("features.safetensors"), &Device::Cpu);
    let features = features.expect("features")["features"].flatten_all().and_then(|flat| flat.to_vec1());
    std::fs::remove_dir_all(&folder).expect("the scratch folder goes");
    (seconds[0], seconds[1], features.expect("features"))
}

/// Features of an image by the definition: a merged model for it alone.
fn candle_row(pt: &Tensors, ft: &Tensors, lambda: f64, image: &[f32], config: &ClipConfig) -> Vec<f32> {
    let row = || {
        let mut merged = pt.clone();
        for (name, pt) in pt.iter().filter(|(name, _)| name.starts_with("vis")) {
            merged.insert(name.clone(), (pt + ((&ft[name] - pt)? * lambda)?)?);
        }
        let tower = VisionTower::reference(&merged, config, &Device::Cpu).expect("a tower");
        let side = config.image_px;
        let pixels = Tensor::from_slice(image, (1, 3, side, side), &Device::Cpu)?;
        tower.features(&pixels).expect("features").flatten_all()?.to_vec1::<f32>()
    };
    row().expect("candle")
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed().as_secs_f64())
}

/// Images without structure but of the right range, normalised.
fn pixels(n_samples: usize, side_px: usize) -> Vec<f32> {
    let n_bytes = n_samples * side_px * side_px * 3;
    let bytes: Vec<u8> =
        (0..n_bytes as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let batch = Normalizer::new().batch(&bytes, side_px, &Device::Cpu).expect("pixels");
    with_values(&batch, <[f32]>::to_vec).expect("values")
}

/// Largest difference over the largest value.
fn difference(left: &[f32], right: &[f32]) -> f32 {
    let largest = right.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    left.iter().zip(right).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
}
