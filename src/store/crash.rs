//! Ends or halts the process at a chosen store operation, so that tests can die at every one of them.
//!
//! Debug builds only: a release binary does not hold this code. `T3B_CRASH_AT` is a comma-separated list of
//! `before:N` or `after:N`, counted over all stores of the process from 0, with an optional third part:
//! `KILL` (the default), `STOP`, `TERM`, `HOLD`, after which no write is answered any more, or `PANIC`, a defect of ours.

use std::fmt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

const VARIABLE: &str = "T3B_CRASH_AT";

static OPERATIONS: AtomicU64 = AtomicU64::new(0);
static IS_DEAD: AtomicBool = AtomicBool::new(false);
static HOLDS_WRITES: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    side: Side,
    operation: u64,
    act: String,
}

/// A store with crash points.
#[derive(Debug, Clone)]
struct CrashStore {
    inner: Arc<dyn ObjectStore>,
    points: Arc<[Point]>,
}

/// `store` itself, unless the environment names crash points.
pub(super) fn with_crash_points(store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    let Ok(text) = std::env::var(VARIABLE) else { return store };
    let points: Arc<[Point]> = text.split(',').filter_map(parse).collect();
    Arc::new(CrashStore { inner: store, points })
}

fn parse(text: &str) -> Option<Point> {
    let mut parts = text.split(':');
    let side = if parts.next()? == "before" { Side::Before } else { Side::After };
    let operation = parts.next()?.parse().ok()?;
    Some(Point { side, operation, act: parts.next().unwrap_or("KILL").to_owned() })
}

impl CrashStore {
    async fn pass(&self, operation: u64, side: Side) {
        for point in self.points.iter().filter(|point| point.side == side && point.operation == operation) {
            if point.act == "HOLD" {
                HOLDS_WRITES.store(true, SeqCst);
                continue;
            }
            assert!(point.act != "PANIC", "the crash point {:?} {} was reached", point.side, point.operation);
            // What happens between the decision and the signal must not reach a store.
            IS_DEAD.store(point.act == "KILL", SeqCst);
            let pid = std::process::id().to_string();
            let _sent = Command::new("kill").args([&format!("-{}", point.act), &pid]).status();
        }
        if IS_DEAD.load(SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let operation = OPERATIONS.fetch_add(1, SeqCst);
        self.pass(operation, Side::Before).await;
        let result = call.await;
        self.pass(operation, Side::After).await;
        result
    }
}

impl fmt::Display for CrashStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with crash points", self.inner)
    }
}

#[async_trait]
impl ObjectStore for CrashStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let write = async {
            if HOLDS_WRITES.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            self.inner.put_opts(location, payload, opts).await
        };
        self.around(write).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.around(self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.around(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (whole, inner) = (self.clone(), Arc::clone(&self.inner));
        let all = async move { whole.around(async { Ok(inner.delete_stream(locations)) }).await };
        stream::once(all).flat_map(|opened| opened.unwrap_or_else(|_| stream::empty().boxed())).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (whole, prefix) = (self.clone(), prefix.cloned());
        let all = async move {
            let listing = whole.inner.list(prefix.as_ref()).collect::<Vec<_>>();
            whole.around(async { Ok(listing.await) }).await.unwrap_or_default()
        };
        stream::once(all).flat_map(stream::iter).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.around(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.around(self.inner.copy_opts(from, to, options)).await
    }
}
