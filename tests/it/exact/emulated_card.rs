//! Runs on a card, from images to tables: the program's own lane, driver calls and kernels on two cards that the host emulates
//! (crates/gpu/host). What only a card has, its instructions' rounding and its speed, is not in it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::support::{Fixture, repo};
use crate::tables::{Columns, table};

/// A folder with the emulated libraries; `None`, with a word, where there is no C++ compiler that takes them.
fn libraries() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn compiler() -> OsString {
    std::env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

fn build() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-card");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new(compiler());
    command.args(["-std=c++17", "-O3", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros"]);
    command.args(["-shared", "-fPIC"]).arg(repo("crates/gpu/host/card.cpp")).arg("-o");
    let built = command.arg(folder.join("libcuda.so")).arg("-ldl").status();
    if !built.is_ok_and(|status| status.success()) {
        println!("skipped: no C++ compiler here that takes the emulated card");
        return None;
    }
    for name in ["libcuda.so.1", "libnvrtc.so", "libcublas.so"] {
        symlink("libcuda.so", folder.join(name)).unwrap();
    }
    Some(folder)
}

/// Runs the fixture's pipeline into `out` with the emulated cards, of whose memory there are so many bytes.
fn run(fixture: &Fixture, out: &str, most_bytes: u64, set: &[&str]) -> Output {
    let libraries = libraries().expect("asked before");
    let root = format!("output.root={out}");
    let mut args = vec!["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02", "--set", &root];
    args.extend(METHODS.iter().chain(set).flat_map(|set| ["--set", set]));
    let mut command = fixture.command(&args);
    command.env("LD_LIBRARY_PATH", libraries).env("EMULATED_CARD_SOURCES", repo("crates/gpu/host"));
    command.env("EMULATED_CARD_CACHE", libraries).env("EMULATED_CARD_BYTES", most_bytes.to_string());
    command.env("CXX", compiler()).output().unwrap()
}

/// Every kind of work: a parent, a merge that no batch decides, one for each batch, one for each sample.
const METHODS: [&str; 2] = [
    r#"merge.methods=["pretrained", "expert", "wise_ft", "ties", "t3_b", "t3"]"#,
    r#"corrupt.corruptions=["pixelate"]"#,
];

fn done(said: &Output) -> String {
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}");
    text
}

/// The largest difference of a column's numbers; the tables have the same rows in the same order.
fn deviation(left: &Columns, right: &Columns, column: &str) -> f64 {
    let (left, right) = (left.number(column), right.number(column));
    assert!(left.len() == right.len() && !left.is_empty(), "{column}");
    // A NaN is no small difference.
    let difference =
        |(a, b): (&f64, &f64)| if a.is_nan() || b.is_nan() { f64::INFINITY } else { (a - b).abs() };
    left.iter().zip(&right).map(difference).fold(0.0, f64::max)
}

/// Whether the rows of two runs are equal up to rounding.
fn assert_close(fixture: &Fixture, left: &str, right: &str, allowed: f64) {
    for (name, columns) in [
        ("signals", &["js_nats", "lambda_sample", "pt_entropy_nats", "ft_entropy_nats"][..]),
        ("coefficients", &["lambda_mean", "lambda_std"]),
        ("predictions", &["pred_prob", "margin", "entropy_nats"]),
    ] {
        let (left, right) = (table(&fixture.path(left), name), table(&fixture.path(right), name));
        for column in columns {
            let found = deviation(&left, &right, column);
            assert!(found < allowed, "{name}.{column}: {found}");
        }
    }
}

#[test]
fn a_run_on_a_card_has_the_rows_of_a_run_on_the_cpu_up_to_rounding() {
    if libraries().is_none() {
        return;
    }
    let fixture = Fixture::new();
    done(&run(&fixture, "cpu", u64::MAX, &[r#"device.kind="cpu""#]));
    done(&run(&fixture, "card", u64::MAX, &[r#"device.kind="auto""#]));
    assert_close(&fixture, "cpu", "card", 1e-5);
    let class = table(&fixture.path("card"), "runs").text("device");
    assert_eq!(class, ["cuda-f32"]);
    // Where both parents are one model, blocks are computed once; and every coefficient merges to that model.
    for (out, kind) in [("same-cpu", "cpu"), ("same-card", "cuda")] {
        done(&run(
            &fixture,
            out,
            u64::MAX,
            &[&format!("device.kind=\"{kind}\""), r#"models.expert="pretrained""#],
        ));
    }
    assert_close(&fixture, "same-cpu", "same-card", 1e-5);
    // Sixteen bits: what they cost is small, and not nothing.
    done(&run(&fixture, "bf16", u64::MAX, &[r#"device.kind="cuda""#, r#"models.compute="bf16""#]));
    assert_close(&fixture, "cpu", "bf16", 0.2);
    let [exact, rounded] = ["cpu", "bf16"].map(|out| table(&fixture.path(out), "signals"));
    let (js, lambda) = (deviation(&exact, &rounded, "js_nats"), deviation(&exact, &rounded, "lambda_sample"));
    assert!(js > 1e-6 && js < 0.05 && lambda < 0.01, "{js} {lambda}");
}

#[test]
fn two_cards_write_the_bytes_of_one_and_a_short_memory_changes_only_the_last_bits() {
    if libraries().is_none() {
        return;
    }
    let fixture = Fixture::new();
    done(&run(&fixture, "one", u64::MAX, &[r#"device.kind="cuda:1""#]));
    done(&run(&fixture, "two", u64::MAX, &[r#"device.kind=["cuda:0", "cuda:1"]"#]));
    assert!(fixture.published("one") == fixture.published("two"), "two lanes wrote other bytes than one");
    // Room for the weights and for small passes alone.
    let text = done(&run(&fixture, "short", 1_600_000, &[r#"device.kind="cuda""#]));
    assert!(text.matches("no memory for so many images").count() == 1, "{text}");
    assert_close(&fixture, "one", "short", 1e-5);
    // No room for one image.
    let said = run(&fixture, "none", 60_000, &[r#"device.kind="cuda""#]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(65) && text.contains("N002"), "{text}");
    assert!(text.contains("OUT_OF_MEMORY") && !fixture.path("none/tables").exists(), "{text}");
}
