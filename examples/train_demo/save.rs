//! Writes a checkpoint as Hugging Face lays it out, and reads it back as the job will.

use std::{collections::HashMap, error::Error, fs, path::Path};

use candle_core::{Device, Tensor};
use safetensors::{Dtype, tensor::TensorView};
use t3b::model::Role;
use t3b::model::checkpoint::{Checkpoint, CheckpointSpec};
use t3b::model::files::Files;
use t3b::model::normalize::Normalizer;
use t3b::model::prompts::Tokens;

use crate::clip::Clip;
use crate::data::Crop;
use crate::measure::zero_shot;

/// Furthest that logits of the training's forward pass may be from those of candle's CLIP.
///
/// Both are f32 but sum in other orders; cosines then differ by about 1e-7, and the temperature multiplies that.
const PARITY: f32 = 1e-5;

/// Writes `config.json`, `merges.txt` and `model.safetensors` into `folder`.
pub(crate) fn write(folder: &Path, clip: &Clip, merges: &str) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("config.json"), clip.config.to_hf_json())?;
    fs::write(folder.join("merges.txt"), merges)?;
    let tensors = clip.tensors();
    let mut bytes = Vec::new();
    for tensor in tensors.values() {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        bytes.push(values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
    }
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        Ok((name.as_str(), TensorView::new(Dtype::F32, tensor.dims().to_vec(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    // Without this key `transformers` refuses to read a safetensors file.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    fs::write(folder.join("model.safetensors"), safetensors::serialize(views, Some(metadata))?)?;
    Ok(())
}

/// Reads the checkpoint in `folder` and holds candle's CLIP on it to the training's forward pass.
pub(crate) fn read_checked(
    folder: &Path,
    role: Role,
    clip: &Clip,
    tokens: &Tokens,
    crops: &[Crop],
) -> Result<Checkpoint, Box<dyn Error>> {
    let spec =
        CheckpointSpec { files: Files::at(folder), role, architecture: None, sha256: None, image_px: None };
    let checkpoint = Checkpoint::load(&spec)?;
    let few: Vec<u8> = crops.iter().take(32).flat_map(|crop| crop.pixels.as_bytes().to_vec()).collect();
    let pixels = Normalizer::new().batch(&few, clip.config.image_px, &Device::Cpu)?;
    let model = zero_shot(checkpoint.tensors(), checkpoint.config(), tokens)?;
    let text = clip.text_features(&tokens.to_tensor(&Device::Cpu)?)?;
    let apart = furthest(&clip.logits(&pixels, &text)?, &model.logits(&pixels)?)?;
    assert!(apart <= PARITY, "logits of training and inference are {apart} apart");
    println!("{role}: logits of training and inference are at most {apart:.1e} apart");
    Ok(checkpoint)
}

fn furthest(a: &Tensor, b: &Tensor) -> candle_core::Result<f32> {
    (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()
}
