//! CLIP models: checkpoint files become checked tensors, prompts and pixels become logits.
//!
//! Read in this order:
//! [`config`] the architecture, [`layout`] the tensors it consists of, [`checkpoint`] a file checked against both,
//! [`pair`] two files checked against each other, [`prompts`] class names to token ids, [`tower`] tokens and pixels to
//! unit vectors, [`zeroshot`] unit vectors to logits.
//!
//! Every way in which a file can be unusable is a [`ModelError`] with a code from `W001` to `W014`, raised before any
//! inference. The reference implementation is `transformers.CLIPModel`; `tests/it/clip.rs` holds this module to it.

mod adapter;
pub mod bank_file;
pub mod checkpoint;
pub mod config;
mod config_json;
mod config_open_clip;
pub mod convert;
mod encoder;
pub mod error;
pub mod fast;
mod fault;
pub mod files;
mod gather;
mod header;
pub mod layout;
pub mod naming;
pub mod normalize;
pub mod packed;
pub mod pair;
pub mod pickle;
pub mod prompts;
pub mod random;
mod shards;
pub mod task_vector;
pub mod tower;
pub mod vocabulary;
mod widen;
pub mod zeroshot;

pub use checkpoint::{Checkpoint, Role};
pub use config::ClipConfig;
pub use error::{ModelError, ModelWarning};
pub use zeroshot::{TextBank, ZeroShot};
