//! The way back from a pseudonym to what it stands for, for whoever has the manifest and the key.

use std::collections::HashSet;

use super::secret::pseudonym_secret;
use super::{open_archive, read_manifest};
use crate::error::{Exit, Problem, RunError, shown_place};
use crate::flow::ordered::off_io;
use crate::messages::Sample;
use crate::settings::{Settings, Spec};
use crate::source::{Grouping, ManifestFile};
use crate::store::Root;

/// One sample with what its id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The id in every table.
    pub sample_id: String,
    /// Data row of the manifest file, from 0.
    pub manifest_row: u64,
    /// Position in the frozen list, from 0.
    pub sample_row: u64,
    /// Key below the input root.
    pub uri: String,
    /// Row of the archive at `uri`, or the byte at which the image begins in it.
    pub within: Option<u64>,
}

/// Every sample of the manifest, or those of `ids`, in manifest order. Reads the manifest and nothing else; writes nothing.
///
/// # Errors
/// `M...` the manifest, `M030` an id that no sample has, store failures.
pub async fn samples(spec: &Spec, ids: Option<&HashSet<String>>) -> Result<Vec<Named>, RunError> {
    let input = open_archive(spec)?;
    let manifest = read_manifest(spec, &input).await?;
    let mut found = Vec::new();
    let take = |sample: Sample| {
        if ids.is_none_or(|ids| ids.contains(&*sample.id)) {
            found.push(named(&sample));
        }
    };
    manifest.for_each(take).await?;
    if let Some(ids) = ids.filter(|ids| ids.len() > found.len()) {
        let known: HashSet<&str> = found.iter().map(|named| named.sample_id.as_str()).collect();
        let n_unknown = ids.iter().filter(|id| !known.contains(id.as_str())).count();
        let what = format!("{n_unknown} of {} ids belong to no sample of the manifest", ids.len());
        return Err(Problem::new("M030", Exit::BadData, what)
            .hint("ids depend on T3B_PSEUDONYM_KEY, or without it on the manifest's bytes: use those of the run")
            .into());
    }
    Ok(found)
}

/// What the column `group` of a manifest says, for whoever resamples by it.
///
/// # Errors
/// `M019` no such file, `M...` what makes it no manifest with groups, `C021` an unusable key, store failures.
pub async fn grouping(manifest: &str, settings: &Settings) -> Result<Grouping, RunError> {
    let secret = pseudonym_secret()?;
    let (folder, name) = manifest.rsplit_once('/').unwrap_or((".", manifest));
    let root = Root::open(folder, false, &settings.store)?;
    let file = ManifestFile::fetch(&root, name).await?.ok_or_else(|| {
        let what = format!("--groups: found no object {name:?} below {}", shown_place(folder));
        Problem::new("M019", Exit::BadData, what).hint("name the manifest of the run, with a column group")
    })?;
    Ok(off_io(move || Grouping::read(&file, secret.as_deref())).await?)
}

fn named(sample: &Sample) -> Named {
    Named {
        sample_id: sample.id.to_string(),
        manifest_row: sample.manifest_row,
        sample_row: sample.row,
        uri: sample.key.to_string(),
        within: sample.location.within(),
    }
}
