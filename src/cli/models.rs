//! `t3b models`: checkpoints looked at, compared and converted, before any job uses them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

#[cfg(feature = "hub")]
use super::FetchArgs;
use super::SpecArgs;
use super::commands::{load, on_runtime};
use crate::error::{Exit, Problem, RunError};
use crate::model::checkpoint::{CheckpointSpec, Source};
use crate::model::config::TowerConfig;
use crate::model::files::Files;
use crate::model::pair::PairReport;
use crate::model::{Checkpoint, ModelError, Role, bank_file, convert, task_vector};

/// `t3b models`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Checks a checkpoint and tells what it is.
    Inspect(InspectArgs),
    /// Checks two checkpoints against each other and prints the task vector, layer by layer.
    Compare(CompareArgs),
    /// Writes the class vectors of a pipeline's prompts, for models.text_features.
    Encode(EncodeArgs),
    /// Fetches a checkpoint from the Hugging Face hub, pinned by commit and sha256.
    #[cfg(feature = "hub")]
    Fetch(FetchArgs),
    /// Writes a checkpoint of any layout, pickles too, as model.safetensors and config.json.
    Convert(ConvertArgs),
}

/// `t3b models inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Folder or weights file.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Which architecture, and how it is printed.
    #[command(flatten)]
    pub shape: ShapeArgs,
}

/// `t3b models compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The generalist: folder or weights file.
    #[arg(value_name = "PRETRAINED")]
    pub pretrained: PathBuf,
    /// The expert: folder or weights file, image half alone or LoRA adapter.
    #[arg(value_name = "EXPERT")]
    pub expert: PathBuf,
    /// Which architecture, and how it is printed.
    #[command(flatten)]
    pub shape: ShapeArgs,
}

/// `t3b models convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Folder, weights file or pickle (.pt, .bin); no code in it is run.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Where to write.
    #[arg(value_name = "OUT_DIR")]
    pub out_dir: PathBuf,
    /// Which architecture, and how it is printed.
    #[command(flatten)]
    pub shape: ShapeArgs,
}

/// `t3b models encode`.
#[derive(Debug, Args)]
pub struct EncodeArgs {
    /// The pipeline whose labels and generalist are meant.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// The safetensors file to write.
    #[arg(short, long, value_name = "OUT.safetensors", env = "T3B_MODELS_ENCODE_OUT")]
    pub out: PathBuf,
}

/// Which architecture is meant, and how the answer is printed.
#[derive(Debug, Args)]
pub struct ShapeArgs {
    /// Architecture by name or the path of its configuration; by default the one beside the weights.
    #[arg(long, value_name = "NAME", env = "T3B_MODELS_ARCH")]
    pub arch: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn models(command: &ModelsCommand) -> Result<Exit, RunError> {
    match command {
        ModelsCommand::Inspect(args) => inspect(args).map_err(Problem::from)?,
        ModelsCommand::Compare(args) => compare(args).map_err(Problem::from)?,
        ModelsCommand::Encode(args) => encode(args)?,
        #[cfg(feature = "hub")]
        ModelsCommand::Fetch(args) => super::fetch::fetch(args)?,
        ModelsCommand::Convert(args) => convert(args).map_err(Problem::from)?,
    }
    Ok(Exit::Done)
}

fn spec(path: &Path, role: Role, shape: &ShapeArgs) -> CheckpointSpec {
    CheckpointSpec { files: Files::at(path), role, architecture: shape.arch.clone(), sha256: None }
}

fn inspect(args: &InspectArgs) -> Result<(), ModelError> {
    let checkpoint = Checkpoint::load(&spec(&args.path, Role::Pretrained, &args.shape))?;
    print_checkpoint(&checkpoint, args.shape.json);
    Ok(())
}

fn encode(args: &EncodeArgs) -> Result<(), RunError> {
    let spec = load(&args.spec)?;
    let settings = spec.settings.clone();
    let (models, warnings) = on_runtime(&settings, crate::job::models::load(&spec))?;
    warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    let bank = models.bank().map_err(Problem::from)?;
    let names = &spec.pipeline.labels.names;
    bank_file::write(&args.out, names, &bank).map_err(Problem::from)?;
    say!("{}  {} classes", args.out.display(), names.len());
    Ok(())
}

fn convert(args: &ConvertArgs) -> Result<(), ModelError> {
    let checkpoint = convert::read(&args.path, spec(&args.path, Role::Pretrained, &args.shape))?;
    convert::write(&checkpoint, &args.out_dir)?;
    let written =
        Checkpoint::load(&spec(&args.out_dir, Role::Pretrained, &ShapeArgs { arch: None, json: false }))?;
    print_checkpoint(&written, args.shape.json);
    Ok(())
}

fn print_checkpoint(checkpoint: &Checkpoint, as_json: bool) {
    let config = checkpoint.config();
    let n_values: usize = checkpoint.tensors().values().map(|tensor| tensor.elem_count()).sum();
    let mut dtypes = BTreeMap::<String, usize>::new();
    for dtype in checkpoint.tensors().keys().filter_map(|name| checkpoint.file_dtype(name)) {
        *dtypes.entry(format!("{dtype:?}")).or_default() += 1;
    }
    let (n_tensors, scale) = (checkpoint.tensors().len(), checkpoint.logit_scale());
    if as_json {
        let shape: serde_json::Value = serde_json::from_str(&config.to_hf_json()).unwrap_or_default();
        let answer = json!({
            "holds": holds(checkpoint.source()), "n_tensors": n_tensors, "n_values": n_values, "dtypes": dtypes,
            "sha256": checkpoint.sha256(), "logit_scale": scale, "config": shape,
        });
        say!("{answer:#}");
        return;
    }
    let dtypes: Vec<String> = dtypes.iter().map(|(dtype, n)| format!("{n} {dtype}")).collect();
    say!("holds        {}", holds(checkpoint.source()));
    say!("image tower  {} px, patches of {} px, {}", config.image_px, config.patch_px, tower(&config.vision));
    say!("text tower   {} tokens of {}, {}", config.context_tokens, config.vocab_size, tower(&config.text));
    say!("projection   {}", config.projection);
    say!("tensors      {n_tensors} ({}), {n_values} values", dtypes.join(", "));
    say!("logit_scale  {scale:.4}, so logits are {:.2} times the cosine", scale.exp());
    say!("sha256       {}", checkpoint.sha256());
    say!("ok           names, shapes, data types and values are those of the architecture");
}

fn holds(source: Source) -> String {
    match source {
        Source::Full(naming) => format!("a whole model, {} names", naming.name()),
        Source::VisionOnly(naming) => format!("the image half, {} names", naming.name()),
        Source::Adapter { n_layers } => format!("low-rank updates of {n_layers} layers"),
    }
}

fn tower(tower: &TowerConfig) -> String {
    let TowerConfig { width, mlp_width, layers, heads, activation } = tower;
    format!("{layers} blocks of {width}/{mlp_width}, {heads} heads, {}", activation.name())
}

fn compare(args: &CompareArgs) -> Result<(), ModelError> {
    let pretrained = Checkpoint::load(&spec(&args.pretrained, Role::Pretrained, &args.shape))?;
    let expert = Checkpoint::load_over(&spec(&args.expert, Role::Expert, &args.shape), &pretrained)?;
    let report = PairReport::compare(&pretrained, &expert)?;
    let layers = task_vector::by_layer(&pretrained, &expert)?;
    let n_shared = report.shared_vision_blocks(pretrained.config());
    let warnings: Vec<String> = report.warnings().iter().map(ToString::to_string).collect();
    if args.shape.json {
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| {
                json!({
                    "layer": layer.layer, "n_tensors": layer.n_tensors, "n_differing": layer.n_differing,
                    "norm": layer.norm, "relative": layer.relative,
                })
            })
            .collect();
        let answer = json!({
            "expert_holds": holds(expert.source()), "layers": layers, "n_shared_vision_blocks": n_shared,
            "text_towers_equal": report.text_towers_equal(), "warnings": warnings,
        });
        say!("{answer:#}");
        return Ok(());
    }
    say!("{:<20} {:>9} {:>12} {:>10}", "layer", "differ", "task vector", "relative");
    for layer in &layers {
        let differ = format!("{}/{}", layer.n_differing, layer.n_tensors);
        say!("{:<20} {differ:>9} {:>12.6} {:>10.6}", layer.layer, layer.norm, layer.relative);
    }
    say!();
    say!("expert holds   {}", holds(expert.source()));
    say!(
        "text towers    {}",
        if report.text_towers_equal() { "equal: one class bank" } else { "differ: a class bank each" }
    );
    say!(
        "shared blocks  the first {n_shared} of {} image blocks are computed once",
        pretrained.config().vision.layers
    );
    warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    Ok(())
}
