//! Pictures for the report of `t3b evaluate`: asked for twice, by a setting and by naming where they are.

use std::path::PathBuf;

use super::ConfigArgs;
use crate::error::{Exit, Problem, RunError};
use crate::job::Album;
use crate::report::{Evaluation, RunAt};
use crate::settings::{Settings, Sources, Spec};

/// Most bytes of pictures in one report, so that it stays below a megabyte.
const MAX_BYTES: usize = 400 << 10;

/// The archives whose images a report may show: those of `pipelines`, where `report.images` allows it.
///
/// # Errors
/// `C001` pipelines without the setting, whatever keeps their manifests from being read.
pub(super) async fn albums(
    pipelines: &[PathBuf],
    how: &ConfigArgs,
    settings: &Settings,
) -> Result<Vec<Album>, RunError> {
    if !settings.report_images && !pipelines.is_empty() {
        let what = "--images: report.images is false, so that no report holds pictures";
        let hint = "set it in a --config file, or T3B_REPORT_IMAGES=true; whoever has the report then has the pictures";
        return Err(Problem::new("C001", Exit::Config, what).hint(hint).into());
    }
    if settings.report_images && pipelines.is_empty() {
        tell!("note: report.images is on and no --images says where the images are: the report has none");
    }
    let mut albums = Vec::new();
    for pipeline in pipelines {
        let sources = Sources { pipeline: pipeline.clone(), ..how.sources() };
        albums.push(Album::open(Spec::load(&sources)?).await?);
    }
    Ok(albums)
}

/// Puts pictures of its examples into the page of every run.
///
/// # Errors
/// `E009` a run of which no album is, and whatever keeps its images from being read.
pub(super) async fn add_pictures(
    found: &mut Evaluation,
    runs: &[RunAt],
    albums: &[Album],
) -> Result<(), RunError> {
    for (n, run) in runs.iter().enumerate().filter(|_| !albums.is_empty()) {
        let album = albums.iter().find(|album| album.is_of(&run.plan)).ok_or_else(|| {
            let what = format!("--images: no pipeline given has the samples of run {}", run.plan.run_id);
            Problem::new("E009", Exit::Config, what).hint(
                "name the one it was made of, with its input.split, under the T3B_PSEUDONYM_KEY that it had",
            )
        })?;
        let Some(examples) = found.examples(n).cloned() else { continue };
        found.show(n, album.pictures(&run.plan, &examples, MAX_BYTES / runs.len()).await?);
    }
    Ok(())
}
