//! Any weights file to the one form that jobs read: safetensors under the names of the family.
//!
//! A pickle may hold anything beside the model; which of its dictionaries is the model is found by the names. The full list of
//! names is then checked as it is for any file.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
};

use candle_core::{DType, Tensor};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};

use super::{
    checkpoint::{Checkpoint, CheckpointSpec, Source},
    config::{TextKind, VisionKind},
    error::{CheckpointFault, ModelError},
    files::{self, ADAPTER_CONFIG, ADAPTER_PICKLE, ADAPTER_WEIGHTS, Files},
    naming::{Naming, Take},
    pickle::{self, Loose},
    prefix::Renaming,
    widen,
};

/// Where trainers put a state dictionary, the likeliest first.
const DICTIONARIES: [&str; 4] = ["state_dict.", "model_state_dict.", "model.", "module."];

/// The small files of a checkpoint, which go along.
const BESIDE: [&str; 9] = [
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
];
const WEIGHTS: &str = "model.safetensors";

/// Data types to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Width {
    /// Every value as it is in the file; doubles as f32.
    #[default]
    Kept,
    /// All values as f32.
    F32,
}

/// What was converted.
#[derive(Debug)]
pub enum Converted {
    /// A whole model.
    Whole(Box<Checkpoint>),
    /// The image half of one, which its base completes.
    Half(Part),
    /// Low-rank updates, which their base completes.
    Adapter(Part),
}

/// Tensors that are no model by themselves.
#[derive(Debug)]
pub struct Part {
    tensors: BTreeMap<String, Loose>,
    /// What was done to the names.
    pub renaming: Renaming,
    /// Tensors of the file that are not part of it.
    pub left_out: Vec<String>,
}

impl Part {
    /// How many tensors.
    #[must_use]
    pub fn n_tensors(&self) -> usize {
        self.tensors.len()
    }

    /// How many tensors of each data type.
    #[must_use]
    pub fn dtypes(&self) -> BTreeMap<String, usize> {
        let mut dtypes = BTreeMap::new();
        for tensor in self.tensors.values() {
            *dtypes.entry(format!("{:?}", tensor.dtype)).or_default() += 1;
        }
        dtypes
    }
}

/// Reads the checkpoint that `spec` names, where the weights may also be a pickle, in a file or a folder.
///
/// # Errors
/// As [`Checkpoint::load`]; `W003` for a pickle without tensors; `W001` for a folder with several.
pub fn read(path: &Path, spec: &CheckpointSpec) -> Result<Converted, ModelError> {
    let at_role = |error: ModelError| error.at(spec.role);
    let Some(file) = pickle_at(path).map_err(at_role)? else {
        return Checkpoint::load(spec).map(|checkpoint| Converted::Whole(Box::new(checkpoint)));
    };
    let found = pickle::read(&file).map_err(|source| files::unreadable(&files::file_name(&file), source))?;
    if found.is_empty() {
        return Err(ModelError::of(spec.role, no_tensors()));
    }
    if files::file_name(&file) == ADAPTER_PICKLE || found.keys().any(|name| name.contains(".lora_A.")) {
        let part = Part { tensors: found, renaming: Renaming::default(), left_out: Vec::new() };
        return Ok(Converted::Adapter(part));
    }
    let part = the_model(found).map_err(|fault| ModelError::of(spec.role, fault))?;
    if is_image_half(part.tensors.keys().map(String::as_str)) {
        return Ok(Converted::Half(part));
    }
    let mut files = BTreeMap::from([(WEIGHTS.to_owned(), part.serialized()?.into())]);
    for name in BESIDE {
        if let Ok(bytes) = fs::read(file.with_file_name(name)) {
            files.insert(name.to_owned(), bytes.into());
        }
    }
    let spec = CheckpointSpec { files: Files::fetched(files, None), ..spec.clone() };
    Ok(Converted::Whole(Box::new(Checkpoint::load(&spec)?)))
}

/// The pickle at a path: the file itself, or the only one in a folder without safetensors.
fn pickle_at(path: &Path) -> Result<Option<std::path::PathBuf>, ModelError> {
    if !path.is_dir() {
        return Ok(looks_pickled(path).then(|| path.to_owned()));
    }
    let files = Files::at(path);
    if files.has(ADAPTER_CONFIG) {
        let is_pickled = !files.has(ADAPTER_WEIGHTS) && files.has(ADAPTER_PICKLE);
        return Ok(is_pickled.then(|| path.join(ADAPTER_PICKLE)));
    }
    let names = files.names()?;
    if names.iter().any(|name| name.ends_with(".safetensors")) {
        return Ok(None);
    }
    let mut pickles =
        names.iter().filter(|name| files::is_pickle(name) && !name.starts_with("training_args"));
    match (pickles.next(), pickles.next()) {
        (Some(only), None) => Ok(Some(path.join(only))),
        (Some(_), Some(_)) => Err(CheckpointFault::Pickle.into()),
        (None, _) => Ok(None),
    }
}

/// By the first bytes: files of trainers have all kinds of names.
fn looks_pickled(path: &Path) -> bool {
    let start = fs::File::open(path).and_then(|mut file| {
        let mut start = [0; 4];
        io::Read::read_exact(&mut file, &mut start).map(|()| start)
    });
    let by_bytes =
        |start: [u8; 4]| start == *b"PK\x03\x04" || (start[0] == 0x80 && (2..=5).contains(&start[1]));
    files::is_pickle(&files::file_name(path)) || start.is_ok_and(by_bytes)
}

/// The tensors of the dictionary that is a model, under the model's names.
fn the_model(found: BTreeMap<String, Loose>) -> Result<Part, CheckpointFault> {
    let names = || found.keys().map(String::as_str);
    let renaming = match Renaming::of(names()) {
        Err(CheckpointFault::Several(prefixes)) => {
            let likeliest =
                DICTIONARIES.iter().find_map(|start| prefixes.iter().find(|p| p.starts_with(start)));
            let Some(prefix) = likeliest else { return Err(CheckpointFault::Several(prefixes)) };
            let inside = names().filter(|name| name.starts_with(prefix.as_str()));
            Renaming::of(inside.collect::<Vec<_>>().into_iter())?
        }
        other => other?,
    };
    let (mut tensors, mut left_out) = (BTreeMap::new(), Vec::new());
    for (name, tensor) in found {
        if name.starts_with(&renaming.stripped) {
            tensors.insert(renaming.renamed(&name), tensor);
        } else {
            left_out.push(name);
        }
    }
    Ok(Part { tensors, renaming, left_out })
}

/// Whether there is nothing of a text tower.
pub(super) fn is_image_half<'a>(mut names: impl Iterator<Item = &'a str> + Clone) -> bool {
    let starts = ["visual.", "vision_model.", "visual_projection.", "logit_scale", "logit_bias"];
    names.clone().all(|name| starts.iter().any(|start| name.starts_with(start)))
        && names.any(|name| !name.starts_with("logit_"))
}

impl Part {
    fn serialized(&self) -> Result<Vec<u8>, ModelError> {
        let no_form = |_| {
            ModelError::from(CheckpointFault::NotSafetensors(
                "tensors of the pickle have no safetensors form".to_owned(),
            ))
        };
        let mut views = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).map_err(no_form)?;
            views.push((name.clone(), view));
        }
        // The first reader of a file from torch is told so: other programs look for it.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(views, Some(metadata)).map_err(no_form)
    }
}

fn no_tensors() -> CheckpointFault {
    let why = "no tensors found in the pickle; save model.state_dict() of the loaded model with torch.save";
    CheckpointFault::NotSafetensors(why.to_owned())
}

/// Writes what was converted into `folder`, with the small files that lie beside `from`.
///
/// # Errors
/// `W012` when a file cannot be written.
pub fn write(converted: &Converted, from: &Path, width: Width, folder: &Path) -> Result<(), ModelError> {
    fs::create_dir_all(folder).map_err(|source| unreadable(folder, source))?;
    let (part, name) = match converted {
        Converted::Whole(checkpoint) => return write_whole(checkpoint, from, width, folder),
        Converted::Half(part) => (part, WEIGHTS),
        Converted::Adapter(part) => (part, ADAPTER_WEIGHTS),
    };
    let part = part.of_width(width);
    written(folder, name, &part.serialized()?)?;
    copy_beside(from, folder, &BESIDE)?;
    copy_beside(from, folder, &[ADAPTER_CONFIG])
}

impl Part {
    fn of_width(&self, width: Width) -> Self {
        let as_f32 = |tensor: &Loose| {
            let is_wanted = width == Width::F32 || tensor.dtype == Dtype::F64;
            if !is_wanted || !widen::is_accepted(tensor.dtype) {
                return tensor.clone();
            }
            let values = widen::to_f32(tensor.dtype, &tensor.bytes);
            let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
            Loose { dtype: Dtype::F32, shape: tensor.shape.clone(), bytes }
        };
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.clone(), as_f32(tensor))).collect();
        Self { tensors, renaming: self.renaming.clone(), left_out: Vec::new() }
    }
}

/// A model that transformers has a class for under its names and configuration, another one under open_clip's.
fn write_whole(checkpoint: &Checkpoint, from: &Path, width: Width, folder: &Path) -> Result<(), ModelError> {
    let config = checkpoint.config();
    let has_class = matches!(
        (config.vision_kind, &config.text_kind),
        (VisionKind::Clip, TextKind::Clip) | (VisionKind::Siglip, TextKind::Siglip)
    );
    let naming = match checkpoint.source() {
        _ if has_class => Naming::HuggingFace,
        Source::Full(naming) | Source::VisionOnly(naming) => naming,
        Source::Adapter { .. } => Naming::OpenClip,
    };
    let tensors = named(checkpoint, naming, width)?;
    serialize_to_file(&tensors, None, &folder.join(WEIGHTS))
        .map_err(|error| unreadable(folder, io::Error::other(error)))?;
    let also = |name: &&str| {
        if has_class {
            !name.ends_with("config.json") || name.contains("process") || name.contains("token")
        } else {
            true
        }
    };
    copy_beside(from, folder, &BESIDE.into_iter().filter(|name| also(name)).collect::<Vec<_>>())?;
    if has_class {
        written(folder, "config.json", config.to_hf_json().as_bytes())?;
        if let Some(preprocess) = checkpoint.preprocess() {
            written(folder, "preprocessor_config.json", preprocess.to_hugging_face().as_bytes())?;
        }
        if let Some(merges) = checkpoint.vocabulary().merges() {
            written(folder, "merges.txt", merges)?;
        }
    }
    Ok(())
}

/// The tensors of a file of that naming; those that stand in one tensor there are joined.
fn named(
    checkpoint: &Checkpoint,
    naming: Naming,
    width: Width,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let mut parts = BTreeMap::<String, BTreeMap<usize, Tensor>>::new();
    for spec in super::layout::tensors(checkpoint.config()) {
        let dtype = match checkpoint.file_dtype(&spec.name).filter(|_| width == Width::Kept) {
            Some(Dtype::F16) => DType::F16,
            Some(Dtype::BF16) => DType::BF16,
            _ => DType::F32,
        };
        let origin = naming.origin(&spec, checkpoint.config());
        let tensor = checkpoint.tensors()[&spec.name].to_dtype(dtype)?;
        let (index, tensor) = match origin.take {
            Take::Whole => (0, tensor.reshape(origin.shape.as_slice())?),
            Take::Rows { index, .. } => (index, tensor),
            Take::Transposed => (0, tensor.t()?.contiguous()?),
        };
        parts.entry(origin.name).or_default().insert(index, tensor);
    }
    let joined = |(name, parts): (String, BTreeMap<usize, Tensor>)| {
        let parts: Vec<Tensor> = parts.into_values().collect();
        let tensor = if let [only] = parts.as_slice() { only.clone() } else { Tensor::cat(&parts, 0)? };
        Ok((name, tensor))
    };
    parts.into_iter().map(joined).collect()
}

/// Copies the named files that lie beside `from`, or in it.
fn copy_beside(from: &Path, folder: &Path, names: &[&str]) -> Result<(), ModelError> {
    for name in names {
        let source = if from.is_dir() { from.join(name) } else { from.with_file_name(name) };
        if source.is_file() && source != folder.join(name) {
            fs::copy(&source, folder.join(name)).map_err(|source| unreadable(Path::new(name), source))?;
        }
    }
    Ok(())
}

fn written(folder: &Path, name: &str, content: &[u8]) -> Result<(), ModelError> {
    fs::write(folder.join(name), content).map_err(|source| unreadable(Path::new(name), source))
}

fn unreadable(path: &Path, source: io::Error) -> ModelError {
    files::unreadable(&files::file_name(path), source).into()
}
