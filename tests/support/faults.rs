//! A store that breaks on command: at a numbered operation, before or after the operation takes effect.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

/// Whether the operation has taken effect when the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// What the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 500, 503, a reset connection.
    Failed,
    /// 403.
    Denied,
    /// 409 or 412.
    Exists,
    /// ENOSPC, a quota.
    Full,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is gone: this operation and every later one stay without an answer.
    Die(Side),
    /// An error, with or without effect.
    Fail(Side, Answer),
    /// An error now; a write lands two operations later.
    Late,
    /// A body shorter than announced.
    Truncate,
    /// Never answered.
    Stall,
}

/// Answers that say something else than what happened.
pub const LIES: [Fault; 5] = [
    Fault::Fail(Side::After, Answer::Failed),
    Fault::Fail(Side::After, Answer::Exists),
    Fault::Fail(Side::Before, Answer::Exists),
    Fault::Fail(Side::Before, Answer::Failed),
    Fault::Late,
];

/// A store that does what the commit must not be built on: controls that have to be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Works as it should.
    None,
    /// Ignores create-only.
    PlainPut,
    /// Says yes to every create, whoever was first.
    ExistsIsSuccess,
    /// Says yes to every claim and keeps none.
    FreeClaims,
}

type LateWrite = (u64, Arc<dyn ObjectStore>, Path, PutPayload, PutOptions);

/// What several wrapped stores of one imagined process share.
#[derive(Debug)]
pub struct Faults {
    n_seen: AtomicU64,
    is_dead: AtomicBool,
    died: Notify,
    at: Mutex<BTreeMap<u64, Fault>>,
    late: Mutex<Vec<LateWrite>>,
    applied: Mutex<Vec<String>>,
    mutant: Mutant,
    dice: Option<Mutex<Dice>>,
    delay_ms: AtomicU64,
}

impl Faults {
    /// Faults at the given operations, counted from 0.
    pub fn at(faults: &[(u64, Fault)]) -> Arc<Self> {
        Self::new(faults, Mutant::None, None)
    }

    /// Also a mutant, and yields drawn from a seed so that tasks interleave differently.
    pub fn new(faults: &[(u64, Fault)], mutant: Mutant, seed: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            n_seen: AtomicU64::new(0),
            is_dead: AtomicBool::new(false),
            died: Notify::new(),
            at: Mutex::new(faults.iter().copied().collect()),
            late: Mutex::default(),
            applied: Mutex::default(),
            mutant,
            dice: seed.map(|seed| Mutex::new(Dice::new(seed))),
            delay_ms: AtomicU64::new(0),
        })
    }

    /// `inner` under these faults.
    pub fn over(self: &Arc<Self>, inner: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(FaultStore { inner, faults: Arc::clone(self) })
    }

    /// Holds every operation from now on back.
    pub fn slow(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap(), SeqCst);
    }

    /// Operations so far.
    pub fn n_seen(&self) -> u64 {
        self.n_seen.load(SeqCst)
    }

    /// Keys whose writes took effect, in order.
    pub fn applied(&self) -> Vec<String> {
        self.applied.lock().unwrap().clone()
    }

    /// Returns when a [`Fault::Die`] struck.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// Lands whatever is still late.
    pub async fn settle(&self) {
        self.land(u64::MAX).await;
    }

    async fn land(&self, now: u64) {
        let due: Vec<LateWrite> = {
            let mut late = self.late.lock().unwrap();
            let (due, rest) = late.drain(..).partition(|write| write.0 <= now);
            *late = rest;
            due
        };
        for (_, store, path, payload, options) in due {
            if store.put_opts(&path, payload, options).await.is_ok() {
                self.applied.lock().unwrap().push(path.to_string());
            }
        }
    }

    async fn enter(&self) -> (u64, Option<Fault>) {
        let operation = self.n_seen.fetch_add(1, SeqCst);
        let n_yields = self.dice.as_ref().map_or(0, |dice| dice.lock().unwrap().below(4));
        for _ in 0..n_yields {
            tokio::task::yield_now().await;
        }
        let delay_ms = self.delay_ms.load(SeqCst);
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        self.land(operation).await;
        self.answer().await;
        let fault = self.at.lock().unwrap().remove(&operation);
        (operation, fault)
    }

    /// The dead hear nothing.
    async fn answer(&self) {
        if self.is_dead.load(SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    async fn die(&self) {
        self.is_dead.store(true, SeqCst);
        self.died.notify_one();
        self.answer().await;
    }

    /// What a fault does to an operation other than a write.
    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let (_, fault) = self.enter().await;
        match fault {
            Some(Fault::Die(Side::Before)) => self.die().await,
            Some(Fault::Fail(Side::Before, answer)) => return Err(error(answer)),
            Some(Fault::Stall) => std::future::pending::<()>().await,
            _ => {}
        }
        let result = call.await;
        self.answer().await;
        match fault {
            Some(Fault::Die(Side::After)) => self.die().await,
            Some(Fault::Fail(_, answer)) => return Err(error(answer)),
            Some(Fault::Late) => return Err(error(Answer::Failed)),
            _ => {}
        }
        result
    }
}

fn error(answer: Answer) -> Error {
    let (path, source) = ("key".to_owned(), "on command".into());
    match answer {
        Answer::Failed => Error::Generic { store: "faults", source },
        Answer::Denied => Error::PermissionDenied { path, source },
        Answer::Exists => Error::AlreadyExists { path, source },
        Answer::Full => {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            Error::Generic { store: "faults", source: Box::new(full) }
        }
    }
}

/// One store under [`Faults`].
#[derive(Debug, Clone)]
struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl FaultStore {
    async fn apply(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let mutant = self.faults.mutant;
        if mutant == Mutant::PlainPut {
            options.mode = PutMode::Overwrite;
        }
        if mutant == Mutant::FreeClaims
            && ["/claims/", "/publishing/"].iter().any(|folder| path.as_ref().contains(folder))
        {
            return Ok(PutResult { e_tag: None, version: None, extensions: Default::default() });
        }
        let done = self.inner.put_opts(path, payload, options).await;
        match done {
            Ok(_) => self.faults.applied.lock().unwrap().push(path.to_string()),
            Err(Error::AlreadyExists { .. }) if mutant == Mutant::ExistsIsSuccess => {
                return Ok(PutResult { e_tag: None, version: None, extensions: Default::default() });
            }
            Err(_) => {}
        }
        done
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with faults", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let faults = &self.faults;
        let (operation, fault) = faults.enter().await;
        match fault {
            Some(Fault::Die(Side::Before)) => faults.die().await,
            Some(Fault::Fail(Side::Before, answer)) => return Err(error(answer)),
            Some(Fault::Stall) => std::future::pending::<()>().await,
            Some(Fault::Late) => {
                let write = (operation + 2, Arc::clone(&self.inner), path.clone(), payload, options);
                faults.late.lock().unwrap().push(write);
                return Err(error(Answer::Failed));
            }
            _ => {}
        }
        let done = self.apply(path, payload, options).await;
        faults.answer().await;
        match fault {
            Some(Fault::Die(Side::After)) => faults.die().await,
            Some(Fault::Fail(Side::After, answer)) => return Err(error(answer)),
            _ => {}
        }
        done
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.faults.around(self.inner.put_multipart_opts(path, options)).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = self.faults.n_seen();
        let is_truncated = self.faults.at.lock().unwrap().get(&operation) == Some(&Fault::Truncate);
        let is_head = options.head;
        let mut got = self.faults.around(self.inner.get_opts(path, options)).await?;
        if is_truncated && !is_head {
            let (meta, range) = (got.meta.clone(), got.range.clone());
            let (attributes, extensions) = (got.attributes.clone(), got.extensions.clone());
            let whole = got.bytes().await?;
            let half = stream::once(async move { Ok(whole.slice(..whole.len() / 2)) }).boxed();
            got = GetResult { payload: GetResultPayload::Stream(half), meta, range, attributes, extensions };
        }
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (store, inner) = (self.clone(), Arc::clone(&self.inner));
        let all = async move {
            let deleted = inner.delete_stream(paths).try_collect::<Vec<_>>();
            store.faults.around(deleted).await
        };
        stream::once(all).map_ok(|paths| stream::iter(paths).map(Ok)).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let all = async move {
            let listed = store.inner.list(prefix.as_ref()).try_collect::<Vec<_>>();
            store.faults.around(listed).await
        };
        stream::once(all).map_ok(|found| stream::iter(found).map(Ok)).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults.around(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.faults.around(self.inner.copy_opts(from, to, options)).await
    }
}

/// Seeded numbers (splitmix64), so that a failure is repeated by its seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
