//! `t3b dashboard`: the nights below a root as a page.

use std::path::PathBuf;

use clap::Args;

use super::ConfigArgs;
use super::opening::{on_runtime, start_logging};
use crate::error::{Exit, RunError};
use crate::report::{Bundle, nights, page_files, write};
use crate::settings::Settings;
use crate::store::Root;

/// `t3b dashboard`.
#[derive(Debug, Args)]
pub struct DashboardArgs {
    /// The output root whose published runs are shown.
    #[arg(value_name = "ROOT", env = "T3B_RUNS_ROOT")]
    pub root: String,
    /// Folder or URI for the page; index.html is what to open.
    #[arg(long, value_name = "DIR|URI", default_value = "dashboard", env = "T3B_DASHBOARD_OUT")]
    pub out: String,
    /// Where summary.parquet and drift.parquet of the runs lie, at any depth; by default ROOT/nights and ROOT/reports.
    #[arg(long, value_name = "DIR|URI", env = "T3B_REPORTS")]
    pub reports: Option<String>,
    /// How many runs, the newest.
    #[arg(long, value_name = "N", default_value_t = 1000, env = "T3B_LAST")]
    pub last: usize,
    /// The page's script and style as `npm run build` wrote them, instead of those inside this program.
    #[arg(long, value_name = "DIR", env = "T3B_BUNDLE")]
    pub bundle: Option<PathBuf>,
    /// How the store is spoken to.
    #[command(flatten)]
    pub how: ConfigArgs,
}

pub(super) fn write_page(args: &DashboardArgs) -> Result<Exit, RunError> {
    let settings = Settings::defaults(&args.how.sources())?;
    start_logging(&settings);
    on_runtime(&settings, async {
        // Before anything is read: a program without a page has nothing to write.
        let bundle = match &args.bundle {
            None => Bundle::embedded()?,
            Some(folder) => {
                let folder =
                    Root::open(&super::from_here(&folder.to_string_lossy()), false, &settings.store)?;
                Bundle::read(&folder).await?
            }
        };
        let root = Root::open(&super::from_here(&args.root), false, &settings.store)?;
        let reports = match &args.reports {
            // Where t3b nightly writes, and where docs/dashboard.md says to write by hand.
            None => vec![root.below("nights"), root.below("reports")],
            Some(uri) => vec![Root::open(&super::from_here(uri), false, &settings.store)?],
        };
        let found = nights(&root, &reports, args.last).await?;
        let out = Root::open(&super::from_here(&args.out), true, &settings.store)?;
        let files = page_files(&found, bundle)?;
        let (n_files, n_bytes) = (files.len(), files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
        write(&out, files).await?;
        for note in &found.notes {
            tell!("note: {note}");
        }
        if found.n_unevaluated() > 0 {
            tell!(
                "note: {} of {} runs have no summary; t3b evaluate RUN --out ROOT/reports/DATE/RUN writes one",
                found.n_unevaluated(),
                found.len()
            );
        }
        say!("{} runs, {n_files} files, {n_bytes} bytes", found.len());
        say!("open    {}/index.html", args.out.trim_end_matches('/'));
        Ok(Exit::Done)
    })
}
