//! Class vectors as a file, for prompts that were encoded elsewhere or once.
//!
//! A safetensors file with one tensor `text_features` `[classes, projection]` of unit rows; its metadata may say which
//! classes they are (`classes`, a JSON list of names in row order) and of which prompts (`templates`, the same), and then they must
//! be those of the job; and which checkpoint encoded them (`checkpoint_sha256`).

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
const TEMPLATES: &str = "templates";
const CHECKPOINT: &str = "checkpoint_sha256";
/// 4096 classes of the widest projection are an eighth of it.
const MAX_BYTES: u64 = 128 << 20;

/// What class vectors are of.
#[derive(Debug, Clone, Copy)]
pub struct BankKey<'a> {
    /// Class names in row order.
    pub classes: &'a [String],
    /// Templates that every name is put into.
    pub templates: &'a [String],
}

/// Reads the class vectors of `prompts`, in that order, and which checkpoint encoded them, where the file says.
///
/// # Errors
/// `W012` a file that cannot be read, `W010` another content, other classes or templates, or rows that are not of length 1.
pub fn read(
    path: &Path,
    prompts: BankKey<'_>,
    projection: usize,
) -> Result<(TextBank, Option<String>), ModelError> {
    let file = files::read(path, MAX_BYTES)?;
    let (_, header) = SafeTensors::read_metadata(&file).map_err(|_| refused("not a safetensors file"))?;
    let tensors = SafeTensors::deserialize(&file).map_err(|_| refused("not a safetensors file"))?;
    let said = |key: &str| header.metadata().as_ref()?.get(key);
    let list = |key: &str| -> Result<Option<Vec<String>>, ModelError> {
        let parse = |text: &String| serde_json::from_str(text);
        said(key).map(parse).transpose().map_err(|_| refused("classes or templates are no list of names"))
    };
    if list(CLASSES)?.is_some_and(|stored| stored != prompts.classes) {
        return Err(refused("the file is of other classes, or of these in another order"));
    }
    if list(TEMPLATES)?.is_some_and(|stored| stored != prompts.templates) {
        return Err(refused("the file is of other prompts than labels.templates"));
    }
    let checkpoint = said(CHECKPOINT).cloned();
    let view = tensors.tensor(NAME).map_err(|_| refused("found no tensor 'text_features'"))?;
    if tensors.len() != 1 || !widen::is_accepted(view.dtype()) {
        return Err(refused("allowed one tensor, F64, F32, F16 or BF16"));
    }
    let values = widen::to_f32(view.dtype(), view.data());
    let features = Tensor::from_vec(values, view.shape(), &Device::Cpu)?;
    let n_classes = prompts.classes.len();
    let bank = match view.dtype() {
        Dtype::F16 | Dtype::BF16 => TextBank::rounded(features, n_classes, projection)?,
        _ => TextBank::new(features, n_classes, projection)?,
    };
    Ok((bank, checkpoint))
}

/// Class vectors as a file, with the prompts they are of and the checkpoint that encoded them.
///
/// # Errors
/// `W010` vectors that have no safetensors form.
pub fn bytes(prompts: BankKey<'_>, checkpoint_sha256: &str, bank: &TextBank) -> Result<Vec<u8>, ModelError> {
    let values: Vec<u8> = bank.values()?.into_iter().flat_map(f32::to_le_bytes).collect();
    let view = TensorView::new(Dtype::F32, bank.features().dims().to_vec(), &values)
        .map_err(|_| refused("no safetensors form"))?;
    let list = |names: &[String]| serde_json::to_string(names).expect("names have a JSON text");
    let metadata = HashMap::from([
        (CLASSES.to_owned(), list(prompts.classes)),
        (TEMPLATES.to_owned(), list(prompts.templates)),
        (CHECKPOINT.to_owned(), checkpoint_sha256.to_owned()),
    ]);
    safetensors::serialize([(NAME, view)], Some(metadata)).map_err(|_| refused("no safetensors form"))
}

fn refused(what: &str) -> ModelError {
    CheckpointFault::Bank(what.to_owned()).into()
}
