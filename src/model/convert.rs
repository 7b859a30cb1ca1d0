//! Any weights file to the one form that jobs read: safetensors under Hugging Face's names.
//!
//! Pickles are read by candle, which interprets the few instructions that tensors need and runs no code. A file it
//! understands only in part may come back with fewer tensors and no error, so the full list of names is checked here.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::Path,
    thread,
};

use candle_core::{DType, Tensor};
use safetensors::{Dtype, serialize_to_file};
use zip::ZipArchive;

use super::{
    checkpoint::{Checkpoint, CheckpointSpec},
    error::{Fault, ModelError},
    files::{self, Files},
    pickle,
};

/// Wrappers of a state dictionary, as trainers save it, and of its names.
const DICTIONARIES: [&str; 3] = ["state_dict", "model_state_dict", "model"];
const WRAPPER: &str = "module.";

/// Longest pickle program read, in bytes; that of ViT-L/14 with its optimizer has 0.3 MB.
const MAX_PROGRAM_BYTES: u64 = 1 << 20;
/// Some 1000 bytes for every byte of the program. Only what is used of it is ever memory.
const STACK_BYTES: usize = 1 << 30;

/// Reads the checkpoint that `spec` names, where the weights file may also be a pickle.
///
/// # Errors
/// As [`Checkpoint::load`]; `W003` for a pickle without tensors, and for one that holds a program (`TorchScript`).
pub fn read(path: &Path, spec: CheckpointSpec) -> Result<Checkpoint, ModelError> {
    let is_pickle = matches!(spec.files.weights(), Err(error) if error.code() == "W001");
    if !is_pickle || path.is_dir() {
        return Checkpoint::load(&spec);
    }
    let tensors = read_pickle(path).map_err(|error| error.at(spec.role))?;
    let weights = serialized(&tensors)?;
    let mut files = BTreeMap::from([("model.safetensors".to_owned(), weights.into())]);
    for name in ["config.json", "open_clip_config.json", "merges.txt"] {
        if let Ok(bytes) = fs::read(path.with_file_name(name)) {
            files.insert(name.to_owned(), bytes.into());
        }
    }
    Checkpoint::load(&CheckpointSpec { files: Files::fetched(files, None), ..spec })
}

fn read_pickle(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    check_program(path)?;
    let owned = path.to_owned();
    // candle walks nested values by recursion; this stack outlasts the deepest nest that the bound leaves room for.
    let reader = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let keys = std::iter::once(None).chain(DICTIONARIES.into_iter().map(Some));
        let mut found = keys.filter_map(|key| candle_core::pickle::read_all_with_key(&owned, key).ok());
        found.find(|tensors| !tensors.is_empty())
    });
    let tensors = reader.ok().and_then(|reader| reader.join().ok().flatten()).ok_or_else(no_tensors)?;
    let wrapped = tensors.iter().all(|(name, _)| name.starts_with(WRAPPER));
    let name = |name: String| if wrapped { name[WRAPPER.len()..].to_owned() } else { name };
    Ok(tensors.into_iter().map(|(key, tensor)| (name(key), tensor)).collect())
}

/// Refuses an archive whose pickle program is longer, or makes more of itself, than any list of tensors.
fn check_program(path: &Path) -> Result<(), ModelError> {
    let file = fs::File::open(path).map_err(|source| unreadable(path, source))?;
    let mut archive = ZipArchive::new(file).map_err(|_| no_tensors())?;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|_| no_tensors())?;
        if entry.name_raw().ends_with(b".pkl")
            && entry.size().max(entry.compressed_size()) > MAX_PROGRAM_BYTES
        {
            return Err(no_tensors());
        }
    }
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|_| no_tensors())?;
        if !entry.name_raw().ends_with(b".pkl") {
            continue;
        }
        let mut program = Vec::new();
        entry.take(MAX_PROGRAM_BYTES + 1).read_to_end(&mut program).map_err(|_| no_tensors())?;
        if program.len() as u64 > MAX_PROGRAM_BYTES || !pickle::is_affordable(&program) {
            return Err(no_tensors());
        }
    }
    Ok(())
}

fn no_tensors() -> ModelError {
    let why = "no tensors found in the pickle; save model.state_dict() of the loaded model with torch.save, \
               not the model or a TorchScript program";
    Fault::NotSafetensors(why.to_owned()).into()
}

/// Writes `model.safetensors`, `config.json` and, if there is one, `merges.txt` into `folder`. Every value has the data type
/// it had in the file.
///
/// # Errors
/// `W012` when a file cannot be written.
pub fn write(checkpoint: &Checkpoint, folder: &Path) -> Result<(), ModelError> {
    let written = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| unreadable(&path, source))
    };
    fs::create_dir_all(folder).map_err(|source| unreadable(folder, source))?;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in checkpoint.tensors() {
        let dtype = match checkpoint.file_dtype(name) {
            Some(Dtype::F16) => DType::F16,
            Some(Dtype::BF16) => DType::BF16,
            _ => DType::F32,
        };
        tensors.insert(name.clone(), tensor.to_dtype(dtype)?);
    }
    serialize_to_file(&tensors, None, &folder.join("model.safetensors"))
        .map_err(|error| unreadable(folder, io::Error::other(error)))?;
    written("config.json", checkpoint.config().to_hf_json().as_bytes())?;
    checkpoint.merges().map_or(Ok(()), |merges| written("merges.txt", merges))
}

fn serialized(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, ModelError> {
    safetensors::serialize(tensors, None).map_err(|_| {
        Fault::NotSafetensors("tensors of the pickle have no safetensors form".to_owned()).into()
    })
}

fn unreadable(path: &Path, source: io::Error) -> ModelError {
    files::unreadable(&files::file_name(path), source).into()
}
