//! `t3b models`: checkpoints looked at, compared and converted, before any job uses them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

#[cfg(feature = "hub")]
use super::FetchArgs;
use super::SpecArgs;
use super::deliver::unwritable;
use super::opening::{load, on_runtime};
use crate::error::{Exit, Problem, RunError, quoted};
use crate::job::models::{self, bank_key};
use crate::model::checkpoint::{CheckpointSpec, Source};
use crate::model::config::TowerConfig;
use crate::model::convert::{Converted, Width};
use crate::model::files::Files;
use crate::model::look::{self, Look};
use crate::model::pair::PairReport;
use crate::model::{Checkpoint, ModelError, Preprocess, Role, bank_file, convert, task_vector};

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
    /// Data type to write: that of the file, or f32 for all.
    #[arg(long, value_enum, default_value = "keep", env = "T3B_MODELS_CONVERT_DTYPE")]
    pub dtype: DtypeArg,
    /// Which architecture, and how it is printed.
    #[command(flatten)]
    pub shape: ShapeArgs,
}

/// Data types that `t3b models convert` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtypeArg {
    /// As in the file.
    Keep,
    /// 32 bits.
    F32,
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
    /// Side of the input image, where it is not the architecture's; position embeddings are resized to it.
    #[arg(long, value_name = "PX", env = "T3B_MODELS_IMAGE_PX")]
    pub image_px: Option<usize>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn models(command: &ModelsCommand) -> Result<Exit, RunError> {
    match command {
        ModelsCommand::Inspect(args) => inspect(args)?,
        ModelsCommand::Compare(args) => {
            there(&args.pretrained)?;
            there(&args.expert)?;
            compare(args).map_err(Problem::from)?;
        }
        ModelsCommand::Encode(args) => encode(args)?,
        #[cfg(feature = "hub")]
        ModelsCommand::Fetch(args) => super::fetch::fetch(args)?,
        ModelsCommand::Convert(args) => convert(args)?,
    }
    Ok(Exit::Done)
}

fn spec(path: &Path, role: Role, shape: &ShapeArgs) -> CheckpointSpec {
    CheckpointSpec {
        files: Files::at(path),
        role,
        architecture: shape.arch.clone(),
        image_px: shape.image_px,
        sha256: None,
    }
}

/// A path that is nowhere is said before anything is looked for beside it.
fn there(path: &Path) -> Result<(), Problem> {
    if path.exists() {
        return Ok(());
    }
    if path.to_string_lossy().contains("://") {
        let what = "found a URI, allowed a local folder or weights file";
        return Err(Problem::new("C007", Exit::BadData, what)
            .hint("copy the checkpoint here; pipelines take URIs in models.pretrained and models.expert"));
    }
    let what = format!("cannot read {}: no such file or folder", quoted(&path.to_string_lossy()));
    Err(Problem::new("C007", Exit::BadData, what).hint("name a local folder or a weights file in it"))
}

fn inspect(args: &InspectArgs) -> Result<(), Problem> {
    there(&args.path)?;
    let role = Role::Pretrained;
    let found = look::at(&args.path, &spec(&args.path, role, &args.shape)).map_err(|error| {
        let problem = Problem::from(error);
        Problem { what: format!("{}: {}", args.path.display(), problem.what), ..problem }
    })?;
    match found {
        Look::Whole(checkpoint) => print_checkpoint(&checkpoint, args.shape.json),
        Look::Half(tensors) => {
            print_part("an image half, which the generalist completes", &tensors, &[], args.shape.json)
        }
        Look::Adapter(tensors, keys) => {
            print_part("low-rank updates, which the generalist completes", &tensors, &keys, args.shape.json);
        }
    }
    Ok(())
}

fn print_part(holds: &str, tensors: &look::Tensors, keys: &[(String, String)], as_json: bool) {
    let look::Tensors { n_tensors, dtypes, renaming, is_pickled } = tensors;
    if as_json {
        let keys: BTreeMap<_, _> = keys.iter().cloned().collect();
        let answer = json!({
            "holds": holds, "n_tensors": n_tensors, "dtypes": dtypes, "names": renaming.to_string(),
            "is_pickled": is_pickled, "config": keys,
        });
        say!("{answer:#}");
        return;
    }
    let dtypes: Vec<String> = dtypes.iter().map(|(dtype, n)| format!("{n} {dtype}")).collect();
    say!("holds        {holds}");
    say!("tensors      {n_tensors} ({})", dtypes.join(", "));
    if renaming.is_some() {
        say!("names        {renaming}");
    }
    keys.iter().for_each(|(key, value)| say!("{key:<12} {value}"));
    if *is_pickled {
        say!("pickle       jobs read safetensors: t3b models convert");
    }
    say!("ok           sizes and values are checked against the generalist, as models.expert");
}

fn encode(args: &EncodeArgs) -> Result<(), RunError> {
    let spec = load(&args.spec)?;
    let settings = spec.settings.clone();
    let (models, warnings) = on_runtime(&settings, models::load(&spec))?;
    warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    let bank = models.bank().map_err(Problem::from)?;
    let key = bank_key(&spec.pipeline);
    let bytes = bank_file::bytes(key, models.pretrained.sha256(), &bank).map_err(Problem::from)?;
    std::fs::write(&args.out, bytes).map_err(|error| unwritable(&args.out, &error))?;
    say!("{}  {} classes", args.out.display(), key.classes.len());
    Ok(())
}

/// Nothing that is there is written over: a checkpoint least of all.
fn empty_folder(folder: &Path) -> Result<(), Problem> {
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let mut entries = std::fs::read_dir(folder).map_err(|error| unwritable(folder, &error))?;
    if entries.next().is_some() {
        let what = format!("OUT_DIR: found files in {}, allowed a new or empty folder", folder.display());
        return Err(
            Problem::new("C007", Exit::Config, what).hint("nothing is written over: name another folder")
        );
    }
    Ok(())
}

fn convert(args: &ConvertArgs) -> Result<(), Problem> {
    let role = Role::Pretrained;
    there(&args.path)?;
    let converted = convert::read(&args.path, &spec(&args.path, role, &args.shape))?;
    empty_folder(&args.out_dir)?;
    let width = if args.dtype == DtypeArg::F32 { Width::F32 } else { Width::Kept };
    convert::write(&converted, &args.path, width, &args.out_dir)?;
    if let Converted::Half(part) | Converted::Adapter(part) = &converted
        && !part.left_out.is_empty()
    {
        eprintln!("warning: {} tensors of other dictionaries left out", part.left_out.len());
    }
    let shape = ShapeArgs { arch: None, image_px: None, json: args.shape.json };
    inspect(&InspectArgs { path: args.out_dir.clone(), shape })
}

fn print_checkpoint(checkpoint: &Checkpoint, as_json: bool) {
    let config = checkpoint.config();
    let n_values: usize = checkpoint.tensors().values().map(|tensor| tensor.elem_count()).sum();
    let mut dtypes = BTreeMap::<String, usize>::new();
    for dtype in checkpoint.tensors().keys().filter_map(|name| checkpoint.file_dtype(name)) {
        *dtypes.entry(format!("{dtype:?}")).or_default() += 1;
    }
    let (n_tensors, scale) = (checkpoint.tensors().len(), checkpoint.logit_scale());
    let preprocess = preprocess_of(checkpoint);
    if as_json {
        let shape: serde_json::Value = serde_json::from_str(&config.to_hf_json()).unwrap_or_default();
        let answer = json!({
            "holds": holds(checkpoint.source()), "n_tensors": n_tensors, "n_values": n_values, "dtypes": dtypes,
            "sha256": checkpoint.sha256(), "logit_scale": scale, "logit_bias": checkpoint.logit_bias(),
            "family": config.family(), "names": checkpoint.renaming().to_string(),
            "preprocess": preprocess.to_json(), "config": shape,
        });
        say!("{answer:#}");
        return;
    }
    let dtypes: Vec<String> = dtypes.iter().map(|(dtype, n)| format!("{n} {dtype}")).collect();
    say!("holds        {}", holds(checkpoint.source()));
    say!("family       {}", config.family());
    if checkpoint.renaming().is_some() {
        say!("names        {}", checkpoint.renaming());
    }
    say!("image tower  {} px, patches of {} px, {}", config.image_px, config.patch_px, tower(&config.vision));
    say!("text tower   {} tokens of {}, {}", config.context_tokens, config.vocab_size, tower(&config.text));
    say!("projection   {}", config.projection);
    say!("tensors      {n_tensors} ({}), {n_values} values", dtypes.join(", "));
    say!("logit_scale  {scale:.4}, so logits are {:.2} times the cosine", scale.exp());
    let said = if checkpoint.preprocess().is_some() { "its own files" } else { "the family's, no file says" };
    say!("preprocess   {} ({said})", preprocess.line());
    say!("sha256       {}", checkpoint.sha256());
    say!("ok           names, shapes, data types and values are those of the architecture");
}

/// How pictures are prepared, by its files or its family.
fn preprocess_of(checkpoint: &Checkpoint) -> Preprocess {
    checkpoint.preprocess().cloned().unwrap_or_else(|| Preprocess::of_family(checkpoint.config()))
}

fn holds(source: Source) -> String {
    match source {
        Source::Full(naming) => format!("a whole model, {} names", naming.name()),
        Source::VisionOnly(naming) => format!("the image half, {} names", naming.name()),
        Source::Adapter { n_layers } => format!("low-rank updates of {n_layers} layers"),
    }
}

fn tower(tower: &TowerConfig) -> String {
    let TowerConfig { width, mlp_width, layers, heads, activation, norm_eps } = tower;
    format!("{layers} blocks of {width}/{mlp_width}, {heads} heads, {}, eps {norm_eps:e}", activation.name())
}

fn compare(args: &CompareArgs) -> Result<(), ModelError> {
    let pretrained = Checkpoint::load(&spec(&args.pretrained, Role::Pretrained, &args.shape))?;
    let expert = Checkpoint::load_over(&spec(&args.expert, Role::Expert, &args.shape), &pretrained)?;
    let report = PairReport::compare(&pretrained, &expert)?;
    let layers = task_vector::by_layer(&pretrained, &expert)?;
    let n_shared = report.shared_vision_blocks(pretrained.config());
    let warnings = pretrained.warnings().into_iter().chain(expert.warnings()).chain(report.warnings());
    let mut warnings: Vec<String> = warnings.map(|warning| warning.to_string()).collect();
    let left = preprocess_of(&pretrained);
    let right = expert.preprocess().cloned().unwrap_or_else(|| left.clone());
    let preprocess = Preprocess::same(&left, &right);
    warnings.extend(preprocess.as_ref().err().map(ToString::to_string));
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
            "preprocess": { "pretrained": left.to_json(), "expert": right.to_json() },
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
    match preprocess {
        Ok(()) => say!("preprocess     the same: {}", left.line()),
        Err(_) => say!("preprocess     {}\n               {}", left.line(), right.line()),
    }
    say!(
        "shared blocks  the first {n_shared} of {} image blocks are computed once",
        pretrained.config().vision.layers
    );
    warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    Ok(())
}
