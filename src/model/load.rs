//! Weights files become checked tensors.

use std::sync::Arc;

use super::{
    adapter,
    architecture::Architecture,
    checkpoint::{Checkpoint, CheckpointSpec, Source},
    config::ClipConfig,
    error::ModelError,
    files::Weights,
    gather::{Gathered, Leniency, Matches},
    header, layout,
    prefix::Renaming,
    preprocess::Preprocess,
    role::Role,
    shards::Shards,
    spill::Spilling,
    spilled_tower::spill_fault,
    vocabulary_files::VocabularyFiles,
};

impl Checkpoint {
    /// Reads and checks a complete checkpoint. Nothing is computed with it; the time is that of reading and hashing the
    /// files, the memory that of the values and of one tensor more.
    ///
    /// # Errors
    /// `W001` a pickle; `W012` a file that cannot be read; `W013` the architecture, or low-rank updates without a base;
    /// then as [`from_bytes`](Self::from_bytes).
    pub fn load(spec: &CheckpointSpec) -> Result<Self, ModelError> {
        Self::read(spec, None, None).map_err(|error| error.at(spec.role))
    }

    /// As [`load`](Self::load), for an expert that may be less than a whole model: the image half alone, or low-rank
    /// updates (LoRA, as PEFT saves it). What it leaves out is that of `base`, which is also its architecture where no
    /// configuration lies beside the weights.
    ///
    /// # Errors
    /// As [`load`](Self::load); `W013` for updates that are not plain LoRA of linear layers of `base`.
    pub fn load_over(spec: &CheckpointSpec, base: &Self) -> Result<Self, ModelError> {
        Self::read(spec, Some(base), None).map_err(|error| error.at(spec.role))
    }

    /// As [`load`](Self::load) or [`load_over`](Self::load_over), but for the matrices of the image tower's blocks, which go to a
    /// [file](Self::spilled) as they are read: one block and one tensor of them are in memory. Without `keeps_text` the text tower is
    /// read, checked and compared, and not kept.
    ///
    /// # Errors
    /// As these; `W012` when the file cannot be written; `W013` for low-rank updates, which need their base's blocks.
    pub fn spill(spec: &CheckpointSpec, base: Option<&Self>, keeps_text: bool) -> Result<Self, ModelError> {
        Self::read(spec, base, Some(keeps_text)).map_err(|error| error.at(spec.role))
    }

    /// `spills` says that blocks are, and whether text towers are kept then.
    fn read(spec: &CheckpointSpec, base: Option<&Self>, spills: Option<bool>) -> Result<Self, ModelError> {
        let (files, pin) = (&spec.files, spec.sha256.as_deref());
        let weights = files.weights()?;
        let vocabulary = VocabularyFiles::read(files)?;
        let (checkpoint, native_px) = match (weights, base) {
            (Weights::Adapter, Some(_)) if spills.is_some() => return Err(adapter::without_blocks()),
            (Weights::Adapter, Some(base)) => (adapter::fold(files, base, spec.role, pin)?, base.native_px),
            (Weights::Adapter, None) => return Err(adapter::without_base()),
            (weights, _) => {
                let Architecture { config, native_px } = Architecture::of(spec, base)?;
                let may_resize = spec.image_px.is_some();
                let shards = Shards::open(files, &weights, largest_file(&config, may_resize))?;
                let leniency = Leniency { may_inherit: base.is_some(), may_resize };
                let spilling = spills.map(|keeps_text| Spilling::new(&config, keeps_text));
                let spilling = spilling.transpose().map_err(spill_fault)?;
                let read = Reading { shards, pin, base, leniency, spilling };
                (Self::of_shards(spec.role, config, read)?, native_px)
            }
        };
        let preprocess = Preprocess::beside(files, &checkpoint.config, native_px)?;
        let image_px = checkpoint.config.image_px;
        let preprocess = preprocess.map(|preprocess| preprocess.at(native_px, image_px)).transpose()?;
        Ok(Self { vocabulary, preprocess, native_px, ..checkpoint })
    }

    /// Checks `file`, the content of a safetensors file with a complete model, against `config`.
    ///
    /// Floats of 16, 32 and 64 bits are accepted; those of 16 are widened to f32, which changes no value, those of 64 rounded
    /// to it. Names are those of any [`Naming`](super::naming::Naming), a wrapper's prefix before them; buffers of old files are ignored.
    ///
    /// # Errors
    /// In this order: `W002`, `W003`, `W004` for the container; `W011` without a `logit_scale`; `W005` for other missing and
    /// unknown tensors; `W006` for shapes and dtypes, all of them; `W008` when `pin` (hex) is given and not the sha256 of
    /// `file`; `W007` for values; `W011` for a temperature above [`MAX_LOGIT_SCALE`](super::checkpoint::MAX_LOGIT_SCALE).
    pub fn from_bytes(
        role: Role,
        config: ClipConfig,
        file: Vec<u8>,
        pin: Option<&str>,
    ) -> Result<Self, ModelError> {
        let shards = Shards::of(file).map_err(|error| error.at(role))?;
        let leniency = Leniency::default();
        Self::of_shards(role, config, Reading { shards, pin, base: None, leniency, spilling: None })
    }

    fn of_shards(role: Role, config: ClipConfig, reading: Reading<'_>) -> Result<Self, ModelError> {
        let Reading { shards, pin, base, leniency, spilling } = reading;
        let fault = |fault| ModelError::of(role, fault);
        let mut entries = shards.entries();
        let renaming = Renaming::of(entries.iter().map(|entry| entry.name.as_str())).map_err(fault)?;
        renaming.apply(&mut entries);
        // The headers are checked first because that takes microseconds and reading and hashing a second or more.
        let matches = Matches::find(role, &config, &entries, leniency).map_err(fault)?;
        let Gathered { sha256, naming, tensors, spilled, dtypes, logit_scale, logit_bias, vision_only } =
            matches.gather(shards, pin, base, spilling)?;
        let source = if vision_only { Source::VisionOnly(naming) } else { Source::Full(naming) };
        Ok(Self {
            role,
            native_px: config.image_px,
            config,
            sha256,
            source,
            renaming,
            tensors,
            spilled: spilled.map(Arc::new),
            dtypes,
            logit_scale,
            logit_bias,
            vocabulary: VocabularyFiles::default(),
            preprocess: None,
        })
    }
}

/// What a checkpoint is read from, and how.
struct Reading<'a> {
    shards: Shards,
    pin: Option<&'a str>,
    base: Option<&'a Checkpoint>,
    leniency: Leniency,
    spilling: Option<Spilling>,
}

/// Bytes of the architecture in f64, the longest header, and room for the buffers and for positions of a larger image.
fn largest_file(config: &ClipConfig, may_resize: bool) -> u64 {
    let weights: u64 = layout::tensors(config).iter().map(|spec| 8 * spec.elements() as u64).sum();
    weights + header::MAX_HEADER_BYTES + if may_resize { 1 << 28 } else { 1 << 20 }
}
