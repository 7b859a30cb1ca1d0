//! The two checkpoints and what they are asked, from wherever the settings say they are.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Exit, Problem, RunError};
use crate::merge::method::{Method, MethodKind};
use crate::model::bank_file::BankKey;
use crate::model::checkpoint::CheckpointSpec;
use crate::model::files::Files;
use crate::model::pair::PairReport;
use crate::model::prompts::{Prompts, Tokens};
use crate::model::vocabulary::Vocabulary;
use crate::model::{Checkpoint, ModelError, ModelWarning, Preprocess, Role, bank_file};
use crate::score::{ModelPair, TextSource};
use crate::settings::{self, Pipeline, Spec};
use crate::store::Root;
use crate::store::StoreSettings;

/// Most bytes of one file of a checkpoint that is fetched into memory.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// Reads and checks both checkpoints and the class texts; with what deserves a word.
///
/// # Errors
/// `W...` the checkpoints, `C001` the prompts, store failures.
pub(crate) async fn load(spec: &Spec) -> Result<(ModelPair, Vec<String>), RunError> {
    let (pipeline, store) = (&spec.pipeline, &spec.settings.store);
    let names = &pipeline.models;
    let (spills, keeps_text) =
        (spec.settings.spills_weights && can_spill(pipeline), names.text_features.is_none());
    let read = |spec: &CheckpointSpec, base: Option<&Checkpoint>| match base {
        base if spills => Checkpoint::spill(spec, base, keeps_text),
        Some(base) => Checkpoint::load_over(spec, base),
        None => Checkpoint::load(spec),
    };
    let files = files_at(&names.pretrained, store).await?;
    let pretrained = read(&checkpoint(names, files, Role::Pretrained), None);
    let mut pretrained = pretrained.map_err(|error| named("models.pretrained", &names.pretrained, error))?;
    let files = files_at(&names.expert, store).await?;
    let expert = read(&checkpoint(names, files, Role::Expert), Some(&pretrained));
    let mut expert = expert.map_err(|error| named("models.expert", &names.expert, error))?;
    let report = PairReport::compare(&pretrained, &expert).map_err(Problem::from)?;
    let (preprocess, overridden) = preprocess(names, &pretrained, &expert).map_err(Problem::from)?;
    let said =
        pretrained.warnings().into_iter().chain(expert.warnings()).chain(report.warnings()).chain(overridden);
    let mut warnings: Vec<String> = said.map(|warning| warning.to_string()).collect();
    if spec.settings.spills_weights {
        warnings.extend(vain_spill(&pretrained).map(str::to_owned));
    }
    let text = match &names.text_features {
        Some(path) => {
            let projection = pretrained.config().projection;
            let found = bank_file::read(Path::new(path), bank_key(pipeline), projection);
            let (bank, encoder) = found.map_err(Problem::from)?;
            if encoder.is_some_and(|sha256| sha256 != pretrained.sha256()) {
                warnings.push(
                    "models.text_features was encoded by another checkpoint than models.pretrained; t3b models encode writes it anew"
                        .to_owned(),
                );
            }
            // What is merged once looks at all values of both models, also at those that it leaves as they are.
            if !pipeline.merge.methods.iter().any(|method| method.kind() == MethodKind::StaticMerge) {
                (pretrained, expert) = (pretrained.without_text(), expert.without_text());
            }
            TextSource::Features(bank)
        }
        None => {
            let tokens = tokens(pipeline, &pretrained).map_err(Problem::from)?;
            let n_cut = tokens.cut().len();
            if n_cut > 0 {
                warnings.push(format!("{n_cut} prompts are longer than the model reads and were cut"));
            }
            TextSource::Prompts(tokens)
        }
    };
    Ok((ModelPair { pretrained, expert, report, text, preprocess }, warnings))
}

/// Whether nothing but the measure of how far integers are off needs blocks in `f32`.
fn can_spill(pipeline: &Pipeline) -> bool {
    let merges_by_image = |method: &Method| {
        let kind = method.kind();
        matches!(kind, MethodKind::SampleMerge | MethodKind::BatchMerge | MethodKind::ClusterMerge)
    };
    pipeline.models.int8.is_some_and(|int8| int8.merges) && pipeline.merge.methods.iter().all(merges_by_image)
}

/// Why a run that was asked to put blocks aside takes no less memory for it, if it does not.
fn vain_spill(pretrained: &Checkpoint) -> Option<&'static str> {
    let Some(blocks) = pretrained.spilled() else {
        return Some(
            "memory.weights = \"spilled\" changes nothing here: it takes models.merged_dtype = \"int8\", and methods that merge per sample or batch alone",
        );
    };
    blocks.is_in_memory().then_some(
        "memory.weights = \"spilled\" saves no memory here: the system's temporary folder is in memory; set TMPDIR to one on a disk",
    )
}

/// What the class vectors of a pipeline are of.
pub(crate) fn bank_key(pipeline: &Pipeline) -> BankKey<'_> {
    BankKey { classes: &pipeline.labels.names, templates: &pipeline.labels.templates }
}

/// What is asked of the files of one parent.
fn checkpoint(names: &settings::Models, files: Files, role: Role) -> CheckpointSpec {
    let sha256 = match role {
        Role::Pretrained => &names.pretrained_sha256,
        Role::Expert => &names.expert_sha256,
    };
    CheckpointSpec {
        files,
        role,
        architecture: names.arch.clone(),
        image_px: names.image_px,
        sha256: sha256.clone(),
    }
}

/// How pictures are prepared for both models: as their files say, or else as their family is trained; and what the pipeline
/// says against that.
fn preprocess(
    names: &settings::Models,
    pretrained: &Checkpoint,
    expert: &Checkpoint,
) -> Result<(Preprocess, Option<ModelWarning>), ModelError> {
    let said = pretrained.preprocess().cloned().unwrap_or_else(|| Preprocess::of_family(pretrained.config()));
    let used = names.preprocess.over(&said);
    if let Some(expert) = expert.preprocess() {
        Preprocess::same(&used, &names.preprocess.over(expert))?;
    }
    let overridden =
        used.differs(&said).map(|(key, used, said)| ModelWarning::PreprocessOverridden { key, said, used });
    Ok((used, overridden))
}

/// Says which of the two models is meant, and where it was looked for.
fn named(key: &str, place: &str, error: ModelError) -> Problem {
    let problem = Problem::from(error);
    let is_gone = problem.code == "W012" && !place.contains("://") && !Path::new(place).exists();
    let hint = if is_gone {
        Some(
            "name a folder, a file or a URI; t3b models fetch (feature hub) downloads one from Hugging Face"
                .to_owned(),
        )
    } else {
        problem.hint.filter(|hint| !hint.is_empty())
    };
    Problem { what: format!("{key} = {place}: {}", problem.what), hint, ..problem }
}

/// The side of the square that the pair's image tower sees, in pixels.
///
/// # Errors
/// `W...` the pretrained checkpoint, store failures.
pub(crate) async fn image_px(spec: &Spec) -> Result<u32, RunError> {
    let names = &spec.pipeline.models;
    let files = files_at(&names.pretrained, &spec.settings.store).await?;
    let pretrained = Checkpoint::load(&checkpoint(names, files, Role::Pretrained)).map_err(Problem::from)?;
    Ok(u32::try_from(pretrained.config().image_px).unwrap_or(u32::MAX))
}

fn tokens(pipeline: &Pipeline, pretrained: &Checkpoint) -> Result<Tokens, ModelError> {
    let prompts = Prompts::new(&pipeline.labels.templates, &pipeline.labels.names)?;
    let vocabulary = Vocabulary::of(pretrained)?.cleaned_as_openai(pipeline.labels.cleans_as_openai);
    prompts.tokenize(&vocabulary, pretrained.config().context_tokens)
}

/// The files of a checkpoint; those in an object store are read into memory.
async fn files_at(location: &str, store: &StoreSettings) -> Result<Files, RunError> {
    let local = location.strip_prefix("file://").unwrap_or(location);
    if !local.contains("://") {
        return Ok(Files::at(Path::new(local)));
    }
    let (folder, named) = match location.rsplit_once('/') {
        Some((folder, name)) if name.contains('.') => (folder, Some(name.to_owned())),
        _ => (location, None),
    };
    let root = Root::open(folder, false, store)?;
    let listed = root.list("", "checkpoint").await.map_err(Problem::from)?;
    let is_wanted = |name: &str| {
        // Of a folder with several models, only the named one is fetched.
        Files::may_be_part(name)
            && (named.is_none() || !name.ends_with(".safetensors") || Some(name) == named.as_deref())
    };
    let mut files = BTreeMap::new();
    for (name, _) in listed.into_iter().filter(|(name, _)| is_wanted(name)) {
        let bytes = root.read(&name, "checkpoint", MAX_FILE_BYTES).await.map_err(Problem::from)?;
        files.extend(bytes.map(|bytes| (name, bytes)));
    }
    if files.is_empty() {
        let what = "models: no file of a checkpoint at the location";
        return Err(Problem::new("S004", Exit::Config, what).hint("check the bucket and the prefix").into());
    }
    Ok(Files::fetched(files, named))
}
