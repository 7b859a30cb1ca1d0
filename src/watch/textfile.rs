//! The metrics as a file for node_exporter's textfile collector, which may read it at any moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::page::Page;

/// Most bytes of an earlier file that are looked at.
const MAX_BYTES: u64 = 1 << 20;

/// A file that is replaced as a whole.
#[derive(Debug, Clone)]
pub(super) struct Textfile {
    path: PathBuf,
    /// A disk that is full is told once.
    has_failed: Arc<AtomicBool>,
}

impl Textfile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, has_failed: Arc::default() }
    }

    /// When an earlier call says that a run was last published: a run that fails must not forget it.
    pub(super) async fn last_success_s(&self) -> Option<f64> {
        let size = tokio::fs::metadata(&self.path).await.ok()?.len();
        let text =
            if size <= MAX_BYTES { tokio::fs::read_to_string(&self.path).await.ok()? } else { return None };
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("t3b_last_success_timestamp_seconds"))?;
        line.rsplit(' ').next()?.parse().ok().filter(|s: &f64| s.is_finite())
    }

    /// Writes at once and then every so often.
    pub(super) async fn keep_writing(&self, page: &Page, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            self.write(&page.text()).await;
        }
    }

    /// Replaces the file: whoever reads sees the old text or the new one.
    pub(super) async fn write(&self, text: &str) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // The collector takes files that end with .prom only.
        let beside = self.path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let written = async {
            tokio::fs::write(&beside, text).await?;
            // Another user's collector reads it; what the tables are made without is not meant for it.
            set_readable(&beside).await?;
            tokio::fs::rename(&beside, &self.path).await
        };
        if let Err(error) = written.await {
            drop(tokio::fs::remove_file(&beside).await);
            if !self.has_failed.swap(true, Relaxed) {
                tracing::warn!(why = %error.kind(), "metrics.textfile cannot be written; the run goes on");
            }
        }
    }
}

async fn set_readable(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    tokio::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).await
}
