//! `[models]`: the two checkpoints, and what is said of them against their own files.

use std::path::Path;

use serde_json::json;
use toml::Value;

use super::layers::Reader;
use super::places::location;
use crate::error::{Exit, Problem};
use crate::model::preprocess::{ByHand, ResizeMode};
use crate::score::TowerKind;
use t3b_gpu::Compute;
use t3b_image::resize::{CropRule, Filter};

/// What 8-bit integers are used for beside the parents' divergence, and how far that may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Int8 {
    /// The most that a batch's coefficient may be off.
    pub bound: f64,
    /// Whether the merge that a batch is predicted with is computed in them too.
    pub merges: bool,
}

/// The two checkpoints.
#[derive(Debug, Clone)]
pub struct Models {
    /// A known architecture or the path of a `config.json`; `None` reads the one beside `pretrained`.
    pub arch: Option<String>,
    /// The pretrained model: a folder or a `.safetensors` file, local or in an object store.
    pub pretrained: String,
    /// The expert: the same, or the image half alone, or a LoRA adapter of the pretrained model.
    pub expert: String,
    /// Which image tower computes.
    pub tower: TowerKind,
    /// In which numbers; other than f32 on NVIDIA cards alone.
    pub compute: Compute,
    /// Where coefficients come from parents in 8-bit integers; `None` is `f32`.
    pub int8: Option<Int8>,
    /// Side of the image in force; `None` takes the architecture's. Position embeddings are resized to it.
    pub image_px: Option<usize>,
    /// How pictures are prepared, where that is said by hand.
    pub preprocess: ByHand,
    /// Class vectors encoded elsewhere; `None` encodes the prompts.
    pub text_features: Option<String>,
    /// Pinned content hash of the pretrained model, 64 hex digits.
    pub pretrained_sha256: Option<String>,
    /// Pinned content hash of the expert, 64 hex digits.
    pub expert_sha256: Option<String>,
}

impl Models {
    pub(super) fn read(reader: &mut Reader, dir: &Path) -> Self {
        let arch = reader.opt_text("models.arch");
        Self {
            arch: arch.map(|arch| if arch.ends_with(".json") { location(&arch, dir) } else { arch }),
            pretrained: reader.place("models.pretrained", dir),
            expert: reader.place("models.expert", dir),
            tower: reader.choice(
                "models.tower",
                ("fast", TowerKind::Fast),
                &[("reference", TowerKind::Reference)],
            ),
            compute: reader.choice(
                "models.compute",
                ("f32", Compute::F32),
                &[("tf32", Compute::Tf32), ("f16", Compute::F16), ("bf16", Compute::Bf16)],
            ),
            int8: read_int8(reader),
            image_px: pixels(reader, "models.image_px").and_then(|px| usize::try_from(px).ok()),
            preprocess: read_by_hand(reader),
            text_features: reader.opt_place("models.text_features", dir),
            pretrained_sha256: read_sha256(reader, "models.pretrained_sha256"),
            expert_sha256: read_sha256(reader, "models.expert_sha256"),
        }
    }
}

fn read_int8(reader: &mut Reader) -> Option<Int8> {
    let is_int8 = reader.choice("models.coefficient_dtype", ("f32", false), &[("int8", true)]);
    let merges = reader.choice("models.merged_dtype", ("f32", false), &[("int8", true)]);
    let bound = reader.number("models.coefficient_bound", 0.0..=1.0);
    if merges && !is_int8 {
        let what = "models.merged_dtype: found int8, allowed with models.coefficient_dtype = \"int8\" alone: it is made of the \
                    parents in integers";
        let problem =
            Problem::new("C001", Exit::Config, what).hint("set models.coefficient_dtype = \"int8\" too");
        reader.problem(&["models.merged_dtype", "models.coefficient_dtype"], problem);
    }
    is_int8.then_some(Int8 { bound, merges })
}

fn read_by_hand(reader: &mut Reader) -> ByHand {
    let key = |name: &str| format!("models.preprocess.{name}");
    let modes = [
        ("shortest", ResizeMode::Shortest),
        ("longest", ResizeMode::Longest),
        ("squash", ResizeMode::Squash),
    ];
    let crops = [("torchvision", CropRule::HalfToEven), ("huggingface", CropRule::Floor)];
    let list =
        |item: serde_json::Value| json!({ "type": "array", "items": item, "minItems": 3, "maxItems": 3 });
    let level = json!({ "type": "integer", "minimum": 0, "maximum": 255 });
    let positive = json!({ "type": "number", "exclusiveMinimum": 0 });
    ByHand {
        resize_mode: one_of(reader, &key("resize_mode"), &["shortest", "longest", "squash"], |name| {
            named(name, &modes)
        }),
        size_px: pixels(reader, &key("size")),
        interpolation: one_of(reader, &key("interpolation"), &FILTERS, Filter::named),
        crop: one_of(reader, &key("crop"), &["torchvision", "huggingface"], |name| named(name, &crops)),
        fill_color: reader.typed(&key("fill_color"), "three levels from 0 to 255", list(level), |value| {
            let levels = value.as_array()?.iter();
            let levels =
                levels.map(|level| u8::try_from(level.as_integer()?).ok()).collect::<Option<Vec<u8>>>()?;
            levels.try_into().ok()
        }),
        mean: reader.typed(&key("mean"), "three numbers", list(json!({ "type": "number" })), |value| {
            channels(value, f64::NEG_INFINITY)
        }),
        std: reader
            .typed(&key("std"), "three positive numbers", list(positive), |value| channels(value, 0.0)),
    }
}

const FILTERS: [&str; 6] = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"];

/// An optional word of a list that has no default.
fn one_of<T>(reader: &mut Reader, key: &str, names: &[&str], parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    reader.typed(key, &names.join(" | "), json!({ "enum": names }), |value| value.as_str().and_then(&parse))
}

fn pixels(reader: &mut Reader, key: &str) -> Option<u32> {
    let shape = json!({ "type": "integer", "minimum": 1, "maximum": 4096 });
    reader.typed(key, "1..=4096", shape, |value| {
        u32::try_from(value.as_integer()?).ok().filter(|px| (1..=4096).contains(px))
    })
}

fn named<T: Copy>(text: &str, known: &[(&str, T)]) -> Option<T> {
    known.iter().find(|(name, _)| text == *name).map(|(_, found)| *found)
}

fn channels(value: &Value, above: f64) -> Option<[f64; 3]> {
    let number = |value: &Value| value.as_float().or(value.as_integer().map(|n| n as f64));
    let numbers = value.as_array()?.iter().map(number).collect::<Option<Vec<f64>>>()?;
    let numbers: [f64; 3] = numbers.try_into().ok()?;
    numbers.iter().all(|number| number.is_finite() && *number > above).then_some(numbers)
}

fn read_sha256(reader: &mut Reader, key: &str) -> Option<String> {
    let text = reader.opt_text(key);
    reader.narrow(key, json!({ "pattern": "^[0-9A-Fa-f]{64}$" }));
    let text = text?.to_ascii_lowercase();
    if hex::decode(&text).map_or(0, |bytes| bytes.len()) != 32 {
        let what = format!("{key}: found {} characters, allowed 64 hex digits", text.chars().count());
        let hint = "t3b models inspect prints a checkpoint's";
        reader.problem(&[key], Problem::new("C001", Exit::Config, what).hint(hint));
    }
    Some(text)
}
