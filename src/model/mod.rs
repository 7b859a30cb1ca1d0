//! CLIP models: checkpoint files become checked tensors, prompts and pixels become logits.
//!
//! Read in this order:
//! [`config`] the architecture, [`preprocess`] what is done to pictures, [`layout`] the tensors it consists of, [`checkpoint`] a file checked against both,
//! [`pair`] two files checked against each other, [`prompts`] class names to token ids, [`tower`] tokens and pixels to
//! unit vectors, [`zeroshot`] unit vectors to logits.
//!
//! Every way in which a file can be unusable is a [`ModelError`] with a code from `W001` to `W016`, raised before any
//! inference. The reference implementations are `transformers` and `open_clip`; `tests/it/exact/clip.rs`, `layouts.rs` and
//! `families.rs` hold this module to them.

mod adapter;
mod architecture;
mod attention_pool;
pub mod bank_file;
mod bert;
#[cfg(feature = "cuda")]
pub(crate) mod card;
pub mod checkpoint;
mod checkpoint_fault;
pub mod config;
mod config_bert;
mod config_json;
mod config_open_clip;
mod config_timm;
pub mod convert;
mod encoder;
pub mod error;
pub mod fast;
pub mod files;
mod gather;
mod header;
pub mod layout;
mod load;
pub mod look;
pub mod naming;
pub mod normalize;
pub mod packed;
pub mod pair;
pub mod pickle;
mod positions;
mod prefix;
pub mod preprocess;
pub mod prompts;
pub mod random;
mod role;
mod shards;
pub mod spill;
pub mod spilled_tower;
pub mod task_vector;
mod text;
pub mod tower;
pub mod vocabulary;
mod vocabulary_files;
mod warning;
mod widen;
pub mod zeroshot;

pub use checkpoint::Checkpoint;
pub use config::ClipConfig;
pub use error::ModelError;
pub use prefix::Renaming;
pub use preprocess::Preprocess;
pub use role::Role;
pub use warning::ModelWarning;
pub use zeroshot::{TextBank, ZeroShot};
