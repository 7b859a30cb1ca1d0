//! The fast image tower, in f32 and with its blocks in 8-bit integers, against candle's and other runtimes', in one loop: images a second, ratios, share of the peak.
//!
//! Ratios are medians over rounds with their quartiles, once of wall time and once of CPU time: on a machine that others use,
//! a wall clock measures them too. `T3B_SIMD` forces our kernels, and the peak that is printed, to a path; the others do as
//! they like.
//!
//! `cargo bench --bench tower -- [ARCHITECTURE [BATCH [ROUNDS]]]`, by default `clip-vit-base-patch16 8 7`, two threads each, or
//! `T3B_BENCH_THREADS`.
//! With `T3B_PEERS_PYTHON` naming a Python that has torch, transformers and, if wanted, onnxruntime, onnx and openvino,
//! `tests/bench/peers/vision.py` runs beside us on the weights and pixels that we export: the towers take turns, one call
//! each a round, so that all meet the same load. `T3B_PEERS_GRAPH=class` gives them the graph whose last block goes on with
//! the class token alone, as ours does.

mod cpu;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use cpu::cpu_seconds;
use pulp::{Simd, WithSimd};
use t3b::model::ClipConfig;
use t3b::model::config::TowerConfig;
use t3b::model::fast::FastVision;
use t3b::model::normalize::Normalizer;
use t3b::model::packed::pack;
use t3b::model::random::{self, Seeds};
use t3b::model::tower::VisionTower;
use t3b_image::simd;

const SEEDS: Seeds = Seeds { vision: 7, text: 7 };
/// Threads of every tower.
fn n_threads() -> usize {
    std::env::var("T3B_BENCH_THREADS").map_or(2, |text| text.parse().expect("a number"))
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let name = arguments.first().map_or("clip-vit-base-patch16", String::as_str);
    let number =
        |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (batch, n_rounds): (usize, usize) = (number(1, 8), number(2, 7));
    let known = ClipConfig::named(name).expect("a known architecture");
    let config = ClipConfig { text: TowerConfig::quick_gelu(8, 1, 1), vocab_size: 8, ..known };
    rayon::ThreadPoolBuilder::new().num_threads(n_threads()).build_global().expect("a pool");

    let tensors = random::tensors(&config, SEEDS).expect("memory");
    let engine = Arc::new(FastVision::new(&config));
    let fast = VisionTower::fast(&engine, &pack(engine.packing(), &tensors).expect("a packed tower"));
    let int8 = fast.in_int8(0).expect("weights on the CPU").expect("a fast tower");
    let candle = VisionTower::reference(&tensors, &config, &Device::Cpu).expect("a tower");
    let side = config.image_px;
    let bytes: Vec<u8> = (0..batch * side * side * 3)
        .map(|i| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    let pixels = Normalizer::new().batch(&bytes, side, &Device::Cpu).expect("pixels");
    let mut peers = Peers::start(&config, &tensors, &pixels);

    let ours = |tower: &VisionTower| tower.features(&pixels).expect("features");
    let (features, theirs) = (values(&ours(&fast)), values(&ours(&candle)));
    let mut rounds: BTreeMap<String, Vec<Cost>> = BTreeMap::new();
    let mut peak = 0.0_f64;
    for _ in 0..n_rounds {
        peak = peak.max(peak_flops() * n_threads() as f64);
        let mut note = |name: &str, cost| rounds.entry(name.to_owned()).or_default().push(cost);
        note(" ours", cost(|| drop(ours(&fast))));
        note("ours, int8", cost(|| drop(ours(&int8))));
        note("candle", cost(|| drop(ours(&candle))));
        for (name, cost) in peers.iter_mut().flat_map(Peers::round) {
            note(&name, cost);
        }
        if peers.is_some() {
            // Their threads go on spinning for a while, on the cores of whoever is next: that is us.
            std::thread::sleep(Duration::from_millis(500));
        }
    }
    let flop = batch as f64 * flop_of_an_image(&config);
    println!(
        "{name}, batch {batch}, {} threads, {n_rounds} rounds; {:?}, f32 peak {:.0} GFLOP/s; load {}",
        n_threads(),
        simd::arch(),
        peak / 1e9,
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    println!(
        "{:<12} {:>8} {:>8} {:>20} {:>20} {:>8} {:>8}",
        "tower", "best/s", "median/s", "theirs/ours, wall", "theirs/ours, CPU", "of peak", "by CPU"
    );
    let own = rounds[" ours"].clone();
    for (name, costs) in &rounds {
        let of = |f: fn(&Cost) -> f64| costs.iter().map(f).collect::<Vec<_>>();
        let ratio = |f: fn(&Cost) -> f64| {
            let ratios: Vec<f64> = own.iter().zip(costs).map(|(own, theirs)| f(theirs) / f(own)).collect();
            let at = |share| quantile(&ratios, share);
            format!("{:.2} ({:.2}-{:.2})", at(0.5), at(0.25), at(0.75))
        };
        let (wall, cpu) = (of(|cost| cost.wall_s), of(|cost| cost.cpu_s));
        println!(
            "{name:<12} {:>8.2} {:>8.2} {:>20} {:>20} {:>8.2} {:>8.2}",
            batch as f64 / quantile(&wall, 0.0),
            batch as f64 / quantile(&wall, 0.5),
            ratio(|cost| cost.wall_s),
            ratio(|cost| cost.cpu_s),
            flop / quantile(&wall, 0.5) / peak,
            flop / quantile(&cpu, 0.5) / peak * n_threads() as f64
        );
    }
    println!("largest difference to candle: {:.1e} of the largest feature", difference(&features, &theirs));
    let of_int8 = difference(&values(&ours(&int8)), &features);
    println!("largest difference of int8 to f32: {of_int8:.1e} of the largest feature");
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

/// What a call took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall_s: f64,
    /// Of all threads of the process.
    cpu_s: f64,
}

fn cost(work: impl FnOnce()) -> Cost {
    let (started, cpu_s) = (Instant::now(), cpu_seconds());
    work();
    Cost { wall_s: started.elapsed().as_secs_f64(), cpu_s: cpu_seconds() - cpu_s }
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
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
        let started = cpu_seconds();
        for _ in 0..self.0 {
            sums.iter_mut().for_each(|sum| *sum = simd.mul_add_f32s(*sum, factor, term));
        }
        let seconds = cpu_seconds() - started;
        std::hint::black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
        (self.0 * sums.len() * S::F32_LANES * 2) as f64 / seconds
    }
}

fn peak_flops() -> f64 {
    (0..5).map(|_| simd::arch().dispatch(Peak(2_000_000))).fold(0.0, f64::max)
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
                &n_threads().to_string(),
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

    /// One call of every runtime: name and cost.
    fn round(&mut self) -> Vec<(String, Cost)> {
        let names = self.names.clone();
        let costs = names.into_iter().map(|name| {
            let answer = self.ask(&name);
            let mut seconds = answer.split_whitespace().map(|text| text.parse().expect("seconds"));
            let mut next = || seconds.next().expect("two numbers");
            (name, Cost { wall_s: next(), cpu_s: next() })
        });
        costs.collect()
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
