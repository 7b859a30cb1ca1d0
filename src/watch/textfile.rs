//! The metrics as a file for node_exporter's textfile collector, which may read it at any moment.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Mutex;

use super::page::Page;

/// Most bytes of an earlier file that are looked at.
const MAX_BYTES: u64 = 1 << 20;

/// A file that is replaced as a whole.
#[derive(Debug, Clone)]
pub(super) struct Textfile {
    path: PathBuf,
    /// Held by the thread that writes until the file is in its place, also when nobody waits for it any more.
    turn: Arc<Mutex<()>>,
    /// A disk that is full is told once.
    has_failed: Arc<AtomicBool>,
}

impl Textfile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, turn: Arc::default(), has_failed: Arc::default() }
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
            self.write(page.text()).await;
        }
    }

    /// Replaces the file: whoever reads sees the old text or the new one.
    ///
    /// A caller that is ended in the middle leaves a writing that goes on; the next one begins when it has ended.
    pub(super) async fn write(&self, text: String) {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            replace(&path, &text)
        });
        let failed = match written.await {
            Ok(written) => written.err().map(|error| error.kind()),
            Err(_) => Some(io::ErrorKind::Other),
        };
        if let Some(why) = failed
            && !self.has_failed.swap(true, Relaxed)
        {
            tracing::warn!(%why, "metrics.textfile cannot be written; the run goes on");
        }
    }
}

/// Writes beside the file, then puts that in its place.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The collector takes files that end with .prom only.
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&beside, text)
        // Another user's collector reads it; what the tables are made without is not meant for it.
        .and_then(|()| fs::set_permissions(&beside, fs::Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run's end once met a writing that nobody waited for any more: the file held half a line.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_last_word_stands_whole_behind_a_writing_that_was_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let file = Textfile::new(dir.path().join("night.prom"));
        for round in 0..200 {
            let early = tokio::spawn({
                let file = file.clone();
                async move { file.write("early\n".repeat(50_000)).await }
            });
            for _ in 0..round % 8 {
                tokio::task::yield_now().await;
            }
            early.abort();
            drop(early.await);
            let last = format!("last {round}\n");
            file.write(last.clone()).await;
            assert_eq!(fs::read_to_string(&file.path).unwrap(), last);
        }
    }
}
