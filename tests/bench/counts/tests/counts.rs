//! Instructions of each hot kernel under valgrind, held against recorded.txt: more than 3 % above fails.
//!
//! `cargo test --test counts` compares; `T3B_TEST_COUNTS=renew cargo test --test counts` writes the file anew and prints old -> new.
//! Both count on the AVX2 path, which valgrind knows, so a machine with wider vectors counts the same. Another compiler makes other code:
//! under one that recorded.txt does not name, the table is printed and nothing fails.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

/// Above this share of the recorded count a kernel has become slower.
const LIMIT: f64 = 1.03;
/// Below this one the record hides what was won, and would let it be lost again.
const STALE: f64 = 0.97;
const KERNELS: &str = env!("CARGO_BIN_EXE_t3b-counts");

fn main() -> ExitCode {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded.txt");
    let renews = std::env::var("T3B_TEST_COUNTS").is_ok_and(|asked| asked == "renew");
    if let Some(lack) = lack() {
        println!("counts: skipped, {lack}");
        return if renews { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let recorded = read(&text);
    let compiler = said(Command::new("rustc").arg("--version"));
    let is_same = text.lines().any(|line| line == format!("# {compiler}"));

    let mut new = format!("{HEAD}# {compiler}\n");
    let mut faults = Vec::new();
    println!("{:<18} {:>12} {:>12} {:>9}", "kernel", "recorded", "counted", "change");
    let names = said(&mut Command::new(KERNELS));
    faults.extend(
        recorded
            .keys()
            .filter(|old| !names.lines().any(|name| name == **old))
            .map(|old| format!("{old} is no kernel")),
    );
    for name in names.lines() {
        let count = instructions(name);
        let _ = writeln!(new, "{name} {count}");
        let Some(&old) = recorded.get(name) else {
            println!("{name:<18} {:>12} {count:>12}", "-");
            faults.extend((!renews).then(|| format!("{name} is not recorded")));
            continue;
        };
        let share = count as f64 / old as f64;
        let note = if share < STALE { "  renew the record: it has become faster" } else { "" };
        println!("{name:<18} {old:>12} {count:>12} {:>+8.2} %{note}", (share - 1.0) * 100.0);
        faults.extend((share > LIMIT).then(|| format!("{name}, {old} -> {count}")));
    }
    if renews {
        std::fs::write(&file, new).expect("the file of recorded counts can be written");
        println!("written: {}", file.display());
    } else if !is_same {
        println!("nothing is held against these: recorded.txt is of another compiler than {compiler}");
    } else if !faults.is_empty() {
        println!("above the recorded counts by more than 3 %: {}", faults.join("; "));
        println!("if that is meant: T3B_TEST_COUNTS=renew cargo test --test counts");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

const HEAD: &str = "# Instructions of one call of each kernel, AVX2, under valgrind; kernels of tower and merge at opt-level 3, the crates \
                    image, corrupt and decode as\n# the development profile builds them. Renewed by: \
                    T3B_TEST_COUNTS=renew cargo test --test counts\n";

/// What is missing for counting here.
fn lack() -> Option<&'static str> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Some("no valgrind on this machine");
    }
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        return None;
    }
    Some("no AVX2 on this machine")
}

fn read(text: &str) -> BTreeMap<&str, u64> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split_once(' '))
        .filter_map(|(name, n)| Some((name, n.parse().ok()?)))
        .collect()
}

/// Instructions of one call of a kernel: those of a process that makes two, less those of one that makes one.
fn instructions(name: &str) -> u64 {
    let [once, twice] = [1, 2].map(|n| start(name, n)).map(|process| counted(name, process));
    twice - once
}

/// A kernel under the counter, called `n` times.
fn start(name: &str, n: usize) -> Child {
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", KERNELS, name]);
    // The widest of the paths that valgrind knows. The rest of the environment would be copied, and so counted.
    command.arg(n.to_string()).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("T3B_SIMD", "avx2").stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("valgrind starts")
}

/// What the counter says at the end: `==pid== I   refs:      12,345`.
fn counted(name: &str, process: Child) -> u64 {
    let output = process.wait_with_output().expect("valgrind ends");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {report}");
    let line = report.lines().find(|line| line.contains("refs:")).expect("a line with the count");
    let digits: String = line.rsplit(':').next().unwrap_or("").chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

fn said(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
