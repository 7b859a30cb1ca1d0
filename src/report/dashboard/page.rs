//! The page's files: the bundle as it was built, and the nights as scripts that a browser may load from a folder too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::gather::Nights;
use super::latest::latest_files;
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;

/// What `npm run build` in `dashboard/` writes.
const NAMES: [&str; 4] = ["index.html", "app.js", "app.css", "LICENSES.txt"];

/// Most bytes of one file of the bundle.
const MAX_BUNDLE_BYTES: u64 = 8 << 20;

/// The bundle that lay in `dashboard/dist` when this program was built: `EMBEDDED`, empty when none did.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));
}

/// Script, style and page, with the licences of what is in them.
#[derive(Debug, Clone)]
pub struct Bundle {
    files: Vec<(String, Bytes)>,
}

impl Bundle {
    /// The one inside this program.
    ///
    /// # Errors
    /// `E007` when it was built without.
    pub fn embedded() -> Result<Self, Problem> {
        let files =
            embedded::EMBEDDED.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::from_static(bytes)));
        let files: Vec<_> = files.collect();
        if files.is_empty() {
            return Err(Problem::new("E007", Exit::Config, "this t3b was built without the page's script").hint(
                "npm ci && npm run build in the source's folder dashboard/, then --bundle dashboard/dist (or build t3b again)",
            ));
        }
        Ok(Self { files })
    }

    /// One that lies in a folder.
    ///
    /// # Errors
    /// `E007` when a file of it is missing, and store failures.
    pub async fn read(folder: &Root) -> Result<Self, RunError> {
        let mut files = Vec::new();
        for name in NAMES {
            let bytes = folder.read(name, "bundle", MAX_BUNDLE_BYTES).await.map_err(Problem::from)?;
            let bytes = bytes.ok_or_else(|| {
                Problem::new("E007", Exit::Config, format!("the bundle has no {name}")).hint(
                    "npm ci && npm run build in the source's folder dashboard/ writes it to dashboard/dist",
                )
            })?;
            files.push((name.to_owned(), bytes));
        }
        Ok(Self { files })
    }
}

/// Everything below the page's folder: name and content. `index.html` is the last, so that it never names what is not there yet.
///
/// # Errors
/// `B005` when a table cannot be encoded.
pub fn page_files(nights: &Nights, bundle: Bundle) -> Result<Vec<(String, Bytes)>, Problem> {
    let tables = [
        ("runs", nights.runs_table()?),
        ("summary", nights.summary_table()?),
        ("drift", nights.drift_table()?),
        ("quarantine", nights.quarantine_table()?),
    ];
    let mut files = latest_files(nights)?;
    let mut script = String::new();
    for (name, bytes) in tables {
        script += &put(name, &bytes);
        files.push((format!("data/{name}.parquet"), bytes.into()));
    }
    files.push(("data/tables.js".to_owned(), script.into()));
    for night in &nights.nights {
        if let Some(bytes) = nights.night_table(night)? {
            let name = format!("nights/{}", night.run_id);
            files.push((format!("data/{name}.js"), put(&name, &bytes).into()));
        }
    }
    let (page, others): (Vec<_>, Vec<_>) =
        bundle.files.into_iter().partition(|(name, _)| name == "index.html");
    files.extend(others);
    files.extend(page);
    Ok(files)
}

/// One table as a statement: names are ours or run ids, and base64 has no character that ends a text.
fn put(name: &str, bytes: &[u8]) -> String {
    format!("(globalThis.t3bTables ??= {{}})[\"{name}\"] = \"{}\";\n", STANDARD.encode(bytes))
}
