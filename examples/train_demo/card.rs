//! The model card: what was trained on what, and how good it is.

use std::{error::Error, path::Path};

use t3b::model::Checkpoint;
use t3b::model::prompts::Tokens;

use crate::data::Data;

pub(crate) fn write(_path: &Path, _checkpoints: &[Checkpoint], _tokens: &Tokens, _data: &Data) -> Result<(), Box<dyn Error>> {
    Ok(())
}
