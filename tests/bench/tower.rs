//! The fast image tower against candle's and other runtimes', in one loop: images a second, ratios, share of the peak.
//!
//! `cargo bench --bench tower -- [ARCHITECTURE [BATCH [ROUNDS]]]`, by default `clip-vit-base-patch16 8 7`, two threads each.
//! With `T3B_PEERS_PYTHON` naming a Python that has torch, transformers and, if wanted, onnxruntime, onnx and openvino,
//! `tests/bench/peers/vision.py` runs beside us on the weights and pixels that we export: the towers take turns, one call
//! each a round, so that all meet the same load. `T3B_PEERS_GRAPH=class` gives them the graph whose last block goes on with
//! the class token alone, as ours does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use pulp::{Arch, Simd, WithSimd};
use t3b::model::ClipConfig;
use t3b::model::config::TowerConfig;
use t3b::model::fast::FastVision;
use t3b::model::normalize::Normalizer;
use t3b::model::packed::pack;
use t3b::model::random::{self, Seeds};
use t3b::model::tower::VisionTower;

const SEEDS: Seeds = Seeds { vision: 7, text: 7 };
const N_THREADS: usize = 2;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let name = arguments.first().map_or("clip-vit-base-patch16", String::as_str);
    let number =
        |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (batch, n_rounds): (usize, usize) = (number(1, 8), number(2, 7));
    let known = ClipConfig::named(name).expect("a known architecture");
    let config = ClipConfig { text: TowerConfig::quick_gelu(8, 1, 1), vocab_size: 8, ..known };
    rayon::ThreadPoolBuilder::new().num_threads(N_THREADS).build_global().expect("a pool");

    let tensors = random::tensors(&config, SEEDS).expect("memory");
    let engine = Arc::new(FastVision::new(&config));
    let fast = VisionTower::fast(&engine, &pack(engine.packing(), &tensors).expect("a packed tower"));
    let candle = VisionTower::reference(&tensors, &config, &Device::Cpu).expect("a tower");
    let side = config.image_px;
    let bytes: Vec<u8> = (0..batch * side * side * 3)
        .map(|i| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    let pixels = Normalizer::new().batch(&bytes, side, &Device::Cpu).expect("pixels");
    let mut peers = Peers::start(&config, &tensors, &pixels);

    let ours = |tower: &VisionTower| tower.features(&pixels).expect("features");
    let (features, theirs) = (values(&ours(&fast)), values(&ours(&candle)));
    let mut rounds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..n_rounds {
        let mut note = |name: &str, seconds| rounds.entry(name.to_owned()).or_default().push(seconds);
        note(" ours", seconds(|| drop(ours(&fast))));
        note("candle", seconds(|| drop(ours(&candle))));
        for peer in peers.iter_mut().flat_map(Peers::round) {
            note(&peer.0, peer.1);
        }
    }
    let flop = batch as f64 * flop_of_an_image(&config);
    let peak = peak_flops() * N_THREADS as f64;
    println!(
        "{name}, batch {batch}, {N_THREADS} threads, {n_rounds} rounds; f32 peak {:.0} GFLOP/s",
        peak / 1e9
    );
    println!("{:<12} {:>9} {:>9} {:>12} {:>12}", "tower", "best/s", "median/s", "ours/theirs", "of the peak");
    let own = rounds[" ours"].clone();
    for (name, times) in &rounds {
        let ratios: Vec<f64> = own.iter().zip(times).map(|(own, theirs)| theirs / own).collect();
        let (best, median_rate) = (batch as f64 / best(times), batch as f64 / median(times));
        let share = flop / median(times) / peak;
        println!("{name:<12} {best:>9.2} {median_rate:>9.2} {:>12.2} {share:>12.2}", median(&ratios));
    }
    println!("largest difference to candle: {:.1e} of the largest feature", difference(&features, &theirs));
    for (name, theirs) in peers.iter_mut().flat_map(Peers::features) {
        println!(
            "largest difference to {name}: {:.1e} of the largest feature",
            difference(&features, &theirs)
        );
    }
}

fn values(features: &Tensor) -> Vec<f32> {
    features.flatten_all().and_then(|flat| flat.to_vec1()).expect("features")
}

fn seconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

fn best(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn difference(left: &[f32], right: &[f32]) -> f32 {
    let largest = right.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    left.iter().zip(right).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

/// Multiplications and additions of the whole tower, all tokens in every block, as peers are counted too.
fn flop_of_an_image(config: &ClipConfig) -> f64 {
    let (tokens, tower) = (config.vision_positions() as f64, &config.vision);
    let (width, inner) = (tower.width as f64, tower.mlp_width as f64);
    let block = tokens * (4.0 * width * width + 2.0 * width * inner) + 2.0 * tokens * tokens * width;
    let patches = (tokens - 1.0) * width * 3.0 * (config.patch_px * config.patch_px) as f64;
    2.0 * (tower.layers as f64 * block + patches + width * config.projection as f64)
}

/// Multiply-adds on registers alone: what one core can do.
struct Peak(usize);

impl WithSimd for Peak {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let mut sums = [simd.splat_f32s(0.5); 10];
        let factor = simd.splat_f32s(std::hint::black_box(0.999));
        let term = simd.splat_f32s(std::hint::black_box(1e-3));
        let started = Instant::now();
        for _ in 0..self.0 {
            sums.iter_mut().for_each(|sum| *sum = simd.mul_add_f32s(*sum, factor, term));
        }
        let seconds = started.elapsed().as_secs_f64();
        std::hint::black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
        (self.0 * sums.len() * S::F32_LANES * 2) as f64 / seconds
    }
}

fn peak_flops() -> f64 {
    (0..30).map(|_| Arch::new().dispatch(Peak(2_000_000))).fold(0.0, f64::max)
}

/// The process of the other runtimes, which answers one line for each that it is sent.
struct Peers {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    names: Vec<String>,
    width: usize,
}

impl Peers {
    /// `None` without `T3B_PEERS_PYTHON`.
    fn start(config: &ClipConfig, tensors: &BTreeMap<String, Tensor>, pixels: &Tensor) -> Option<Self> {
        let python = std::env::var("T3B_PEERS_PYTHON").ok()?;
        let folder = std::env::temp_dir().join(format!("t3b-tower-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        let mut exported: BTreeMap<String, Tensor> = tensors.clone();
        exported.retain(|name, _| name.starts_with("vis"));
        exported.insert("pixels".to_owned(), pixels.clone());
        let bytes = safetensors::serialize(&exported, None).expect("tensors");
        std::fs::write(folder.join("tower.safetensors"), bytes).expect("disk space");
        let graph = std::env::var("T3B_PEERS_GRAPH").unwrap_or_else(|_| "full".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/peers/vision.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(&folder)
            .args([
                "--patch",
                &config.patch_px.to_string(),
                "--threads",
                &N_THREADS.to_string(),
                "--graph",
                &graph,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peers start");
        let (asks, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut peers = Self {
            child,
            asks,
            answers: BufReader::new(answers),
            names: Vec::new(),
            width: config.projection,
        };
        peers.names = peers.answer().split_whitespace().map(str::to_owned).collect();
        std::fs::remove_dir_all(&folder).expect("the scratch folder goes");
        Some(peers)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the peers answer");
        line
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.asks, "{line}").expect("the peers listen");
        self.answer()
    }

    /// One call of every runtime: name and seconds.
    fn round(&mut self) -> Vec<(String, f64)> {
        let names = self.names.clone();
        names
            .into_iter()
            .map(|name| (name.clone(), self.ask(&name).trim().parse().expect("seconds")))
            .collect()
    }

    /// The features of every runtime.
    fn features(&mut self) -> Vec<(String, Vec<f32>)> {
        let mut all = Vec::new();
        for name in self.names.clone() {
            let line = self.ask(&format!("features {name}"));
            let values: Vec<f32> =
                line.split_whitespace().map(|value| value.parse().expect("a number")).collect();
            assert!(values.len().is_multiple_of(self.width), "whole rows");
            all.push((name, values));
        }
        all
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Ours, by its handle; it also ends by itself when its input closes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
