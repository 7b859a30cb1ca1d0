//! What is fuzzed: functions of any bytes that must not panic, end the process, hang or take memory beyond their limits.
//!
//! Two drivers call them: `smoke.rs` on every change, libFuzzer for hours (`fuzz_targets/`).

use std::sync::OnceLock;

use bytes::Bytes;
use t3b::ledger::{Receipt, parse_plan};
use t3b::model::{Checkpoint, ClipConfig, Role};
use t3b::settings::{Settings, Sources, Spec};
use t3b::source::catalog::{CatalogRule, catalog};
use t3b::source::{Manifest, ManifestFile, ManifestRule};
use t3b::store::Root;
use t3b_decode::{
    DecodeError, Limits, Reason, Rendering, Slice, Window, decode_with, decoded_bytes_with, is_risky,
};
use t3b_image::Rgb8;
use t3b_image::npz::Npz;

/// A function of any bytes.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 13] = [
    ("decode_any", decode_any),
    ("decode_foreign", decode_foreign),
    ("dicom_prescan", dicom_prescan),
    ("manifest", manifest),
    ("npz", npz),
    ("tar_index", tar_index),
    ("parquet_rows", parquet_rows),
    ("safetensors_check", safetensors_check),
    ("path_parse", path_parse),
    ("plan", plan),
    ("receipts", receipts),
    ("pickles", pickles),
    ("settings", settings),
];

/// Small, so that a good picture is fast and a wild allocation is seen.
const LIMITS: Limits = Limits { max_side_px: 2048, min_side_px: 1, max_pixels: 1 << 18, max_aspect: 1000 };

/// An architecture of a few thousand parameters.
pub const CONFIG: &str = r#"{
  "projection_dim": 4,
  "text_config": { "vocab_size": 16, "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1,
    "num_attention_heads": 1, "max_position_embeddings": 8, "projection_dim": 4,
    "bos_token_id": 14, "eos_token_id": 15 },
  "vision_config": { "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1,
    "num_attention_heads": 1, "image_size": 32, "patch_size": 16, "projection_dim": 4 }
}"#;

/// A stored plan. Whatever is taken for one must make as many partitions as it says.
pub fn plan(data: &[u8]) {
    if let Ok(plan) = parse_plan(data) {
        let tiled: u64 =
            (0..plan.n_partitions.min(1 << 16)).map(|p| plan.coverage().n_samples(&plan.rows_of(p))).sum();
        assert!(tiled <= plan.n_samples);
    }
}

/// A stored receipt.
pub fn receipts(data: &[u8]) {
    drop(Receipt::parse(data, "receipt"));
}

/// A pickle's program.
pub fn pickles(data: &[u8]) {
    let _n_tensors = t3b::model::pickle::n_described(data);
}

/// A pipeline file, which is also taken for a config file, and its text for a flag.
pub fn settings(data: &[u8]) {
    thread_local! {
        static FILE: tempfile::NamedTempFile = tempfile::NamedTempFile::new().expect("a scratch file");
    }
    FILE.with(|file| {
        std::fs::write(file.path(), data).expect("a scratch file");
        let set = String::from_utf8_lossy(data).into_owned();
        let set = set.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let path = file.path().to_owned();
        let sources = Sources { pipeline: path.clone(), config: vec![path], set: set.into_iter().collect() };
        if let Err(error) = Spec::load(&sources) {
            assert!(error.to_string().lines().all(|line| line.len() < 10_000), "a message of any length");
        }
    });
}

/// A picture of any format. The last byte says how it is rendered.
pub fn decode_any(data: &[u8]) {
    let (&how, bytes) = data.split_last().unwrap_or((&0, &[]));
    let windows =
        [Window::File, Window::MinMax, Window::Percentile, Window::Fixed { center: 40.0, width: 400.0 }];
    let number = how >> 4;
    let rendering = Rendering {
        frame: (how & 4 != 0).then(|| (number & 1).into()),
        slice: (how & 8 != 0).then(|| Slice { axis: number & 3, index: (number >> 2).into() }),
        window: windows[usize::from(how & 3)],
        ..Rendering::default()
    };
    picture(bytes, &rendering);
}

/// The elements of a data set behind a good meta group. The first byte says which transfer syntax it names.
pub fn dicom_prescan(data: &[u8]) {
    let (&syntax, data_set) = data.split_first().unwrap_or((&0, &[]));
    let syntaxes =
        ["", ".1", ".2", ".1.99", ".5", ".4.50", ".4.70", ".4.80", ".4.90", ".1.98", ".8.1", ".4.51"];
    let mut uid = format!("1.2.840.10008.1.2{}", syntaxes[usize::from(syntax) % syntaxes.len()]).into_bytes();
    uid.resize(uid.len().next_multiple_of(2), 0);
    let element = [&b"\x02\0\x10\0UI"[..], &(uid.len() as u16).to_le_bytes(), &uid].concat();
    let length = [&b"\x02\0\0\0UL\x04\0"[..], &(element.len() as u32).to_le_bytes()].concat();
    let file = [&[0; 128][..], b"DICM", &length, &element, data_set].concat();
    picture(&file, &Rendering { frame: Some(0), ..Rendering::default() });
}

/// A picture whose decoder is another's and written in Rust: BMP, WebP, GIF, PNM, JPEG XL inside DICOM.
///
/// A panic in one is caught where it happens and costs its row; nothing else of what is promised may fail.
pub fn decode_foreign(data: &[u8]) {
    const JPEG_2000: &[u8] = b"\xff\x4f\xff\x51";
    let (&how, bytes) = data.split_last().unwrap_or((&0, &[]));
    // Without this beginning of a codestream the one that is not written in Rust is never asked.
    if bytes.windows(JPEG_2000.len()).any(|window| window == JPEG_2000) {
        return;
    }
    let window = if how & 1 == 0 { Window::File } else { Window::MinMax };
    let rendering = Rendering { window, ..Rendering::default() };
    let _weighed = decoded_bytes_with(bytes, &rendering);
    if let Err(error) = decode_with(bytes, &LIMITS, &rendering) {
        assert!(error.detail.is_ascii() && error.detail.len() <= DecodeError::MAX_DETAIL_LEN);
    }
}

fn picture(bytes: &[u8], rendering: &Rendering) {
    let _weighed = decoded_bytes_with(bytes, rendering);
    // What the job decodes in a process that may die would end this one too.
    if is_risky(bytes) {
        return;
    }
    let decoded: Result<Rgb8, DecodeError> = decode_with(bytes, &LIMITS, rendering);
    if let Err(error) = decoded {
        assert_ne!(error.reason, Reason::DecoderPanic);
        assert!(error.detail.is_ascii() && error.detail.len() <= DecodeError::MAX_DETAIL_LEN);
    }
}

/// A manifest file. The last byte says which format its name has.
pub fn manifest(data: &[u8]) {
    let (&format, bytes) = data.split_last().unwrap_or((&0, &[]));
    let name = ["m.csv", "m.jsonl", "m.parquet"][usize::from(format) % 3];
    let labels = ["red".to_owned(), "white".to_owned()];
    let rule = ManifestRule {
        labels: &labels,
        split: None,
        pseudonym_key: Some("key"),
        cells: &[],
        batch_size: 8,
        partition_size: 8,
        ignores_declared: false,
    };
    let file = ManifestFile::of(name, bytes).expect("a small file");
    if let Err(problem) = Manifest::parse(&file, rule) {
        assert!(problem.code.starts_with('M'), "{problem}");
    }
}

/// An archive of arrays: read as a file, and listed in a store.
pub fn npz(data: &[u8]) {
    let read = || {
        let mut rows = Npz::over(std::io::Cursor::new(data)).ok()?.into_rows("images").ok()?;
        let mut row = Vec::new();
        for _row_of_thousands in 0..4096 {
            if !rows.next_into(&mut row).ok()? {
                break;
            }
        }
        Some(())
    };
    let _read = read();
    list("a.npz", data);
}

/// The index of a tar shard.
pub fn tar_index(data: &[u8]) {
    list("a.tar", data);
}

/// The rows of a table.
pub fn parquet_rows(data: &[u8]) {
    list("a.parquet", data);
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    })
}

/// Lists a store that holds one archive, with the hashes of what is in it.
fn list(name: &str, data: &[u8]) {
    let settings = Settings::defaults(&Sources::default()).expect("embedded settings");
    let root =
        Root::open(&format!("memory://fuzz-{name}"), false, &settings.store).expect("a store in memory");
    // In memory where there is such a folder: a listing syncs its parts.
    let memory = std::path::PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let out = folder.join(format!("t3b-fuzz-{}-{name}.csv", std::process::id()));
    let rule = CatalogRule { sha256: true, ..CatalogRule::default() };
    let listed = runtime().block_on(async {
        root.write(name, "archive", Bytes::copy_from_slice(data)).await.expect("a store in memory");
        catalog(&root, rule, &out).await
    });
    match listed {
        Ok(_) => drop(std::fs::remove_file(&out)),
        Err(problem) => assert!(problem.code.starts_with('M') || problem.code == "S015", "{problem}"),
    }
}

/// A checkpoint file against a small architecture.
pub fn safetensors_check(data: &[u8]) {
    let config = ClipConfig::from_hf_json(CONFIG).expect("a valid architecture");
    let _checked = Checkpoint::from_bytes(Role::Pretrained, config, data.to_vec(), None);
}

/// A key of a manifest: what is accepted stays below the root.
pub fn path_parse(data: &[u8]) {
    let Ok(key) = std::str::from_utf8(data) else { return };
    let line = serde_json::json!({ "uri": key }).to_string();
    let rule = ManifestRule {
        labels: &[],
        split: None,
        pseudonym_key: None,
        cells: &[],
        batch_size: 8,
        partition_size: 8,
        ignores_declared: false,
    };
    let file = ManifestFile::of("m.jsonl", line.as_bytes()).expect("a small file");
    let Ok(manifest) = Manifest::parse(&file, rule) else { return };
    let sample = runtime().block_on(manifest.samples(0..1)).expect("a list of its own").remove(0);
    let accepted = sample.key.to_string();
    // A backslash is a letter of a name, but must not become a way up for those who take it for a slash.
    let is_inside = |segment: &str| segment != "." && segment != "..";
    assert!(accepted.split(['/', '\\']).all(is_inside), "{accepted:?}");
    assert!(accepted.split('/').all(|segment| !segment.is_empty()), "{accepted:?}");
    assert!(!accepted.contains("://") && !accepted.chars().any(char::is_control));
}
