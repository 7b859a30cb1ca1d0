//! Class vectors as a file, for prompts that were encoded elsewhere or once.
//!
//! A safetensors file with one tensor `text_features` `[classes, projection]` of unit rows; its metadata may say which
//! classes they are (`classes`, a JSON list of names in row order), and then they must be those of the job.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    error::{CheckpointFault, ModelError},
    files, widen,
    zeroshot::TextBank,
};

const NAME: &str = "text_features";
const CLASSES: &str = "classes";
/// 4096 classes of the widest projection are an eighth of it.
const MAX_BYTES: u64 = 128 << 20;

/// Reads the class vectors of `class_names`, in that order.
///
/// # Errors
/// `W012` a file that cannot be read, `W010` another content, other classes, or rows that are not of length 1.
pub fn read(path: &Path, class_names: &[String], projection: usize) -> Result<TextBank, ModelError> {
    let file = files::read(path, MAX_BYTES)?;
    let (_, header) = SafeTensors::read_metadata(&file).map_err(|_| refused("not a safetensors file"))?;
    let tensors = SafeTensors::deserialize(&file).map_err(|_| refused("not a safetensors file"))?;
    if let Some(text) = header.metadata().as_ref().and_then(|metadata| metadata.get(CLASSES)) {
        let stored: Vec<String> =
            serde_json::from_str(text).map_err(|_| refused("classes are no list of names"))?;
        if stored != class_names {
            return Err(refused("the file is of other classes, or of these in another order"));
        }
    }
    let view = tensors.tensor(NAME).map_err(|_| refused("found no tensor 'text_features'"))?;
    if tensors.len() != 1 || !widen::is_accepted(view.dtype()) {
        return Err(refused("allowed one tensor, F64, F32, F16 or BF16"));
    }
    let values = widen::to_f32(view.dtype(), view.data());
    let features = Tensor::from_vec(values, view.shape(), &Device::Cpu)?;
    match view.dtype() {
        Dtype::F16 | Dtype::BF16 => TextBank::rounded(features, class_names.len(), projection),
        _ => TextBank::new(features, class_names.len(), projection),
    }
}

/// Writes class vectors with the names they are of.
///
/// # Errors
/// `W012` when the file cannot be written.
pub fn write(path: &Path, class_names: &[String], bank: &TextBank) -> Result<(), ModelError> {
    let values: Vec<u8> = bank.values()?.into_iter().flat_map(f32::to_le_bytes).collect();
    let view = TensorView::new(Dtype::F32, bank.features().dims().to_vec(), &values)
        .map_err(|_| refused("no safetensors form"))?;
    let classes = serde_json::to_string(class_names).expect("names have a JSON text");
    let metadata = HashMap::from([(CLASSES.to_owned(), classes)]);
    let bytes =
        safetensors::serialize([(NAME, view)], Some(metadata)).map_err(|_| refused("no safetensors form"))?;
    std::fs::write(path, bytes).map_err(|source| files::unreadable(&files::file_name(path), source).into())
}

fn refused(what: &str) -> ModelError {
    CheckpointFault::Bank(what.to_owned()).into()
}
