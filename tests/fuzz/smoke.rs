//! `cargo test --test fuzz [-- TARGET]`: every target over damaged seeds, for `T3B_FUZZ_SECONDS` (2) each.
//!
//! A target runs in a process of its own with 1 GiB of address space and 10 s of processor time for an input. The inputs
//! follow from `T3B_FUZZ_SEED` (1) alone. Whatever ends the process is found a second time with every input written down
//! first, and that file is named. Inputs that were found become ordinary tests.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(unreachable_pub, reason = "modules are shared with other tests")]

#[path = "../support/hostile.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod hostile;
mod mutate;
mod seeds;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod support;
mod targets;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};
use std::{env, fs};

use mutate::Dice;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use support::dicom;
use targets::{TARGETS, Target};

/// Names the target that a process is for.
const TARGET: &str = "T3B_FUZZ_TARGET";
/// Where each input is written before it is tried.
const KEEP: &str = "T3B_FUZZ_KEEP";
/// A folder that gets every seed, for libFuzzer.
const SEEDS_TO: &str = "T3B_FUZZ_SEEDS_TO";
const ROOM_BYTES: u64 = 1 << 30;
const INPUT_CPU_S: u64 = 10;

fn main() -> ExitCode {
    if let Ok(name) = env::var(TARGET) {
        let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
        run(&name, *target);
        return ExitCode::SUCCESS;
    }
    let only: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let mut n_failed = 0;
    for (name, _) in TARGETS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|arg| arg == name))
    {
        if let Some(folder) = env::var_os(SEEDS_TO) {
            write_seeds(name, &PathBuf::from(folder));
            continue;
        }
        let said = child(name, None);
        print!("{}", String::from_utf8_lossy(&said.stdout));
        if !said.status.success() {
            n_failed += 1;
            report(name, &said);
        }
    }
    if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn child(name: &str, keep: Option<&PathBuf>) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(TARGET, name).env("RUST_BACKTRACE", "0");
    if let Some(path) = keep {
        command.env(KEEP, path);
    }
    command.output().unwrap()
}

/// Finds the input again, by the same seed.
fn report(name: &str, said: &Output) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("fuzz-{name}.input"));
    let again = child(name, Some(&path));
    println!("{name}: FAILED, {}: {}", said.status, String::from_utf8_lossy(&said.stderr).trim());
    if again.status.success() {
        println!("{name}: not found again; a longer T3B_FUZZ_SECONDS may");
        return;
    }
    let input = fs::read(&path).unwrap_or_default();
    let shown = hex::encode(&input[..input.len().min(200)]);
    println!("{name}: {} bytes in {}, beginning with {shown}", input.len(), path.display());
}

fn run(name: &str, target: Target) {
    let number =
        |variable: &str, default| env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (seed, seconds) = (number("T3B_FUZZ_SEED", 1), number("T3B_FUZZ_SECONDS", 2));
    let keep = env::var_os(KEEP).map(PathBuf::from);
    let seeds = seeds::of(name);
    let whole = Rlimit { current: Some(ROOM_BYTES), maximum: None };
    setrlimit(Resource::As, whole).unwrap();
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let (mut n_execs, started, mut dice) = (0_u64, Instant::now(), Dice(seed));
    let mut attempt = |input: &[u8]| {
        if let Some(path) = &keep {
            fs::write(path, input).unwrap();
        }
        let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec as u64;
        setrlimit(Resource::Cpu, Rlimit { current: Some(used + 1 + INPUT_CPU_S), maximum: None }).unwrap();
        target(input);
        n_execs += 1;
    };
    seeds.iter().for_each(|seed| attempt(seed));
    // A search that is looking for what was found may be slower.
    let allowed = Duration::from_secs(seconds * if keep.is_some() { 20 } else { 1 });
    while started.elapsed() < allowed {
        attempt(&dice.mutated(&seeds));
    }
    println!("fuzz {name}: {n_execs} inputs from {} seeds, seed {seed}, {seconds} s", seeds.len());
}

fn write_seeds(name: &str, folder: &std::path::Path) {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).unwrap();
    for (n, seed) in seeds::of(name).iter().enumerate() {
        fs::write(folder.join(format!("seed-{n:03}")), seed).unwrap();
    }
}
