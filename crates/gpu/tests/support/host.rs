//! `host/main.cpp`, compiled for one tower, as a process.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use t3b_gpu::kernels::{Kernel, options};
use t3b_gpu::schedule::{self, Arg, At, Buffer, Gemm, Op};
use t3b_gpu::{Compute, Layout, Schedule, Sizes};

/// The first C++ compiler there is: `$CXX`, then the usual names.
pub(crate) fn compiler() -> Option<String> {
    let named = env::var("CXX").ok().into_iter();
    let usual = ["c++", "g++", "clang++"].map(str::to_owned);
    named.chain(usual).find(|name| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    })
}

/// A compiled tower, with a folder for what it reads and writes.
pub(crate) struct Host {
    pub(crate) sizes: Sizes,
    pub(crate) layout: Layout,
    pub(crate) compute: Compute,
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// Whether addresses and undefined behaviour are checked. The sanitizers take most of the time, so by default only the tower of
/// odd sizes has them; with T3B_FULL=1 every one.
fn is_checked(sizes: &Sizes) -> bool {
    *sizes == super::inputs::odd() || env::var("T3B_FULL").is_ok_and(|full| full == "1")
}

/// Compiles the program of a tower once in this process.
fn compiled(compiler: &str, sizes: &Sizes, compute: Compute) -> PathBuf {
    static DONE: Mutex<BTreeMap<String, Arc<OnceLock<PathBuf>>>> = Mutex::new(BTreeMap::new());
    let options = options(sizes, compute);
    let own = Arc::clone(DONE.lock().unwrap().entry(options.concat()).or_default());
    let compile = || {
        let kind = if is_checked(sizes) { "checked" } else { "plain" };
        let name = format!("host-{kind}{}", options.concat());
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if is_newer_than_sources(&program) {
            return program;
        }
        let checks: &[&str] = if is_checked(sizes) {
            &["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        } else {
            &["-O1"]
        };
        // A run that is stopped leaves no half program under the name.
        let unfinished = program.with_extension("unfinished");
        let ended = Command::new(compiler)
            .args(["-std=c++17", "-fno-strict-aliasing", "-ffp-contract=off", "-Wall", "-Werror"])
            .arg("-Wno-unknown-pragmas")
            .args(checks)
            .args(&options)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("host/main.cpp"))
            .arg("-o")
            .arg(&unfinished)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        fs::rename(unfinished, &program).unwrap();
        program
    };
    own.get_or_init(compile).clone()
}

/// Whether an earlier run of the tests left a program of these sources.
fn is_newer_than_sources(program: &Path) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["host", "kernels"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let mut files = files.into_iter().flatten().map(|file| file.unwrap().path());
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    changed(program).is_ok_and(|made| files.all(|file| changed(&file).unwrap() < made))
}

impl Host {
    /// `None`, with a printed word, where there is no C++ compiler.
    pub(crate) fn new(sizes: Sizes, compute: Compute) -> Option<Self> {
        let Some(compiler) = compiler() else {
            println!("skipped: no C++ compiler here, so the kernels are not run on the host");
            return None;
        };
        let program = compiled(&compiler, &sizes, compute);
        let (layout, folder) = (Layout::new(&sizes), tempfile::tempdir().unwrap());
        Some(Self { sizes, layout, compute, program, folder })
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn run(&self, program: &str) {
        let mut child =
            Command::new(&self.program).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{}", &said[..said.len().min(4000)]);
    }

    /// A program that declares a buffer with values in it.
    pub(crate) fn filled(&self, name: &str, kind: &str, values: &[f32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        format!("buffer {name} {kind} {} {}\n", values.len(), self.file(name, &bytes).display())
    }

    /// Runs steps on some images and returns the features. Weights as the layout packs them.
    pub(crate) fn features(&self, weights: &[f32], pixels: &[u8], steps: &[Schedule], seed: u32) -> Vec<f32> {
        let n_images = pixels.len() / self.sizes.image_bytes();
        let mut program = format!("seed {seed}\n");
        program += &self.filled("Weights", "value", weights);
        program += &self.filled("Table", "f32", &super::inputs::table());
        for (buffer, len) in schedule::lengths(&self.sizes, n_images) {
            let kind = if buffer.is_f32() { "f32" } else { "value" };
            if buffer == Buffer::Pixels {
                let path = self.file("Pixels", pixels);
                writeln!(program, "buffer Pixels u8 {len} {}", path.display()).unwrap();
            } else {
                writeln!(program, "buffer {buffer:?} {kind} {len}").unwrap();
            }
        }
        steps.iter().flatten().for_each(|op| program += &line(op));
        self.run(&(program + &self.save("Features", n_images * self.sizes.projection)));
        self.saved("Features")
    }

    pub(crate) fn save(&self, name: &str, len: usize) -> String {
        format!("save {name} {len} {}\n", self.folder.path().join(format!("{name}.out")).display())
    }

    pub(crate) fn saved(&self, name: &str) -> Vec<f32> {
        let bytes = fs::read(self.folder.path().join(format!("{name}.out"))).unwrap();
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    }
}

fn line(op: &Op) -> String {
    let place = |At(buffer, offset): At| format!("{buffer:?}:{offset}");
    match op {
        Op::Gemm(Gemm { m, n, k, a, b, c }) => {
            let matrices = [a, b, c].map(|(at, stride)| format!(" {} {stride}", place(*at)));
            format!("gemm {m} {n} {k}{}\n", matrices.concat())
        }
        Op::Launch { kernel, grid: [x, y, z], block, args } => launch(*kernel, [*x, *y, *z], *block, args),
    }
}

fn launch(kernel: Kernel, [x, y, z]: [u32; 3], block: u32, args: &[Arg]) -> String {
    let mut line = format!("launch {} {x} {y} {z} {block}", kernel.name());
    for arg in args {
        match arg {
            Arg::At(At(buffer, offset)) => write!(line, " {buffer:?}:{offset}").unwrap(),
            Arg::Null => line += " null",
            Arg::U32(n) => write!(line, " {n}u").unwrap(),
            Arg::F32(x) => write!(line, " {}f", x.to_bits()).unwrap(),
        }
    }
    line + "\n"
}
