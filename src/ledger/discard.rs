//! Withdrawing a run: its tables and its own folder go, a record of them stays, and the same run id can be used again.
//!
//! Order: the record first, which stops whoever still works on the run; then an entry in the Delta logs, where the run is in them;
//! then the `runs` row, so that readers see the whole run or nothing of it; then the tables and what workers left, and what they
//! left meanwhile; the plan last. A call that is cut short is taken up by the next one, which still finds the plan.

use serde::Serialize;

use super::delta;
use super::known::planned;
use super::layout::Layout;
use super::published::is_published;
use super::withdrawn::record_key;
use crate::error::{Problem, RunError};
use crate::store::{Node, Root};

/// What was found of a run, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discarded {
    /// Keys and sizes of everything of the run, in the order in which it is deleted.
    pub objects: Vec<(String, u64)>,
    /// Whether readers saw the run.
    pub was_published: bool,
    /// Key of the record that stays; `None` where nothing was deleted.
    pub record: Option<String>,
}

/// What stays of a withdrawn run.
#[derive(Debug, Serialize)]
struct Record<'a> {
    run_id: &'a str,
    run_date: &'a str,
    spec_sha256: &'a str,
    planned_at: &'a str,
    discarded_at: String,
    was_published: bool,
    n_samples: u64,
    objects: &'a [(String, u64)],
}

/// Finds, and with `delete` deletes, every object of a run. A worker that is still on it ends with `R012` at its next commit.
///
/// # Errors
/// `R009` no such run, store failures.
pub async fn discard(root: &Root, run_id: &str, delete: bool) -> Result<Discarded, RunError> {
    let layout = Layout::new(run_id);
    let plan = planned(root, run_id).await?;
    let was_published = is_published(root, &plan).await?;
    let mut objects = objects(root, &layout, &plan.run_date).await?;
    if !delete {
        return Ok(Discarded { objects, was_published, record: None });
    }
    let now = chrono::Utc::now();
    let record = Record {
        run_id,
        run_date: &plan.run_date,
        spec_sha256: &plan.spec_sha256,
        planned_at: &plan.planned_at,
        discarded_at: now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        was_published,
        n_samples: plan.n_samples,
        objects: &objects,
    };
    let text = serde_json::to_vec_pretty(&record).expect("a record has a JSON text");
    let key = record_key(&plan);
    // One that is there already is that of a call that was cut short.
    root.create(&key, "record of a withdrawn run", text.into()).await.map_err(Problem::from)?;
    if plan.facts.delta && was_published {
        // While the lists that say what to take out are still there.
        delta::remove(root, &plan, &layout).await?;
    }
    let is_plan = |(name, _): &(String, u64)| *name == layout.plan();
    for (name, _) in objects.iter().filter(|object| !is_plan(object)) {
        root.delete(name, "object of a withdrawn run").await.map_err(Problem::from)?;
    }
    let late = self::objects(root, &layout, &plan.run_date).await?;
    for (name, size) in late.into_iter().filter(|object| !is_plan(object)) {
        root.delete(&name, "object of a withdrawn run").await.map_err(Problem::from)?;
        if !objects.iter().any(|(known, _)| *known == name) {
            objects.push((name, size));
        }
    }
    root.delete(&layout.plan(), "plan of a withdrawn run").await.map_err(Problem::from)?;
    Ok(Discarded { objects, was_published, record: Some(key) })
}

/// Everything of a run that is there, the row that makes it visible first.
async fn objects(root: &Root, layout: &Layout, run_date: &str) -> Result<Vec<(String, u64)>, RunError> {
    let mut objects = Vec::new();
    for table in root.children("tables", "tables").await.map_err(Problem::from)? {
        let Node::Folder(folder) = table else { continue };
        let name = folder.rsplit('/').next().unwrap_or_default();
        let published = layout.published(name, run_date);
        objects.extend(root.list(&published, "published objects").await.map_err(Problem::from)?);
    }
    objects.extend(root.list(&layout.run(), "objects of the run").await.map_err(Problem::from)?);
    objects.sort_by_key(|(key, _)| *key != layout.runs_row(run_date));
    Ok(objects)
}
