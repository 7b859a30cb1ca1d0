//! Object storage behind one small surface: open a root, read bounded, write once, list.
//!
//! Every call has a deadline of ours around the client's own retries. Errors name the class of object, never
//! its key: keys may identify patients, and the client's error texts print them.

mod answers;
mod client;
mod cloud;
mod confined;
#[cfg(debug_assertions)]
mod crash;
mod direct;
mod error;
mod folder;
mod leftovers;
mod meter;
mod open;
mod probe;
mod read;
mod settings;
mod throttle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use error::classify;
pub use error::{Cause, StoreError};
pub use leftovers::{Leftover, leftovers};
pub use meter::{StoreMeter, meter};
pub use read::{Object, Version};
pub use settings::StoreSettings;
pub(crate) use settings::{has_credentials, local_path};

/// Tries of one create whose outcome is unknown.
const CREATE_TRIES: u32 = 5;
/// Tries of one write beside others'.
const REPLACE_TRIES: u32 = 4;

/// A store and the prefix everything is below.
#[derive(Debug, Clone)]
pub struct Root {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    deadline: Duration,
    /// Serves objects by name and nothing else.
    is_read_only: bool,
    /// Whether an answer has shown that the bucket is there and may be read.
    is_there: Arc<AtomicBool>,
    /// Where a local folder lies that is only read, for listings of our own.
    folder: Option<Arc<std::path::Path>>,
    /// How messages name it; empty for a store that a caller made.
    place: Arc<str>,
}

/// What a create found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The object is ours.
    Ours,
    /// Somebody else's bytes were there first.
    Exists(Bytes),
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key relative to the root.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When the store says it was written; no decision about rows rests on it.
    pub modified_ms: i64,
    /// The store's own name of this version, where it has one.
    pub e_tag: Option<String>,
}

impl Listed {
    /// What changes with the bytes, besides the size: the store's name of the version, or else the time of writing.
    #[must_use]
    pub fn tag(&self) -> String {
        self.e_tag.clone().unwrap_or_else(|| format!("modified {}", self.modified_ms))
    }
}

/// The key of a listed name, as it is: [`Path::from`] would escape what is escaped.
pub(crate) fn listed_key(name: &str) -> Path {
    Path::parse(name).unwrap_or_else(|_| Path::from(name))
}

/// What stands directly in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder, relative to the root.
    Folder(String),
    /// An object.
    Object(Listed),
    /// Something that cannot be read by a key.
    Refused(Unnamed),
}

/// What a listing found and no key can name or nobody may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed {
    /// Its name below the root, with escapes where it is no printable text.
    pub name: String,
    /// Which kind of fault.
    pub why: NoKey,
    /// What was found, in our own words.
    pub what: &'static str,
}

/// Why something that a listing found cannot be read by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {
    /// Its name, or what it is called through.
    Name,
    /// It lies outside the root.
    Outside,
    /// It is no file.
    Special,
}

impl Node {
    fn name(&self) -> &str {
        match self {
            Self::Folder(name) => name,
            Self::Object(object) => &object.name,
            Self::Refused(unnamed) => &unnamed.name,
        }
    }
}

impl Root {
    /// A root over a store the caller made, for tests and wrappers.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>, prefix: Path, deadline: Duration) -> Self {
        Self {
            store,
            prefix,
            deadline,
            is_read_only: false,
            is_there: Arc::default(),
            folder: None,
            place: "".into(),
        }
    }

    /// The root as the user gave it, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        if self.place.is_empty() { "this root" } else { &self.place }
    }

    /// The same store, deeper.
    #[must_use]
    pub fn below(&self, relative: &str) -> Self {
        let prefix =
            relative.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), Path::join);
        Self { prefix, ..self.clone() }
    }

    fn at(&self, relative: &Path) -> Path {
        relative.parts().fold(self.prefix.clone(), Path::join)
    }

    async fn timed<T>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        self.metered(operation, object, meter::counting(false, call)).await
    }

    /// [`Root::timed`] for what continues an operation: its answer's body, which is asked for again where it breaks off.
    async fn timed_body<T>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        self.metered(operation, object, meter::counting(true, call)).await
    }

    async fn metered<T>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        let failed = |cause: Cause| {
            let is_named = cause.is_of_store() && !self.place.is_empty();
            let below = if is_named { format!(" below {}", self.place) } else { String::new() };
            StoreError { operation, object: format!("{object}{below}"), cause }
        };
        if self.is_read_only && !matches!(operation, "read" | "measure") {
            return Err(failed(Cause::ReadOnly));
        }
        let started = Instant::now();
        let ended = tokio::time::timeout(self.deadline, call).await;
        meter().durations.with_label_values(&[operation]).observe(started.elapsed().as_secs_f64());
        match ended {
            Ok(result) => result.map_err(|error| failed(classify(&error))),
            Err(_) => Err(failed(Cause::Deadline(self.deadline))),
        }
    }

    /// Reads one of our own objects; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails or the object is larger than `max_bytes`.
    pub async fn read(&self, key: &str, object: &str, max_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        let range_bytes = 8 << 20;
        let failed = |cause| StoreError { operation: "read", object: object.to_owned(), cause };
        match self.read_object(&listed_key(key), object, max_bytes, range_bytes).await? {
            Object::Bytes(bytes) => Ok(Some(bytes)),
            Object::Empty => Ok(Some(Bytes::new())),
            Object::Missing => Ok(None),
            Object::TooLarge(_) | Object::Short(_) => Err(failed(Cause::TooLarge)),
            Object::Archived => Err(failed(Cause::Archived)),
            Object::Changed => Err(failed(Cause::Changed)),
            Object::Outside => Err(failed(Cause::Outside)),
            Object::Special => Err(failed(Cause::Special)),
        }
    }

    /// Writes an object under a name nobody else uses, and reads it back: what a receipt will name for ever must
    /// not have been damaged on its way.
    ///
    /// # Errors
    /// When the store fails, or holds other bytes than it was given.
    pub async fn write(&self, key: &str, object: &str, bytes: Bytes) -> Result<(), StoreError> {
        let path = self.at(&listed_key(key));
        self.timed("write", object, self.store.put(&path, PutPayload::from(bytes.clone()))).await?;
        meter().n_written_bytes.fetch_add(bytes.len() as u64, Relaxed);
        if self.read(key, object, u64::MAX).await?.as_ref() == Some(&bytes) {
            return Ok(());
        }
        let cause = Cause::Other("other bytes came back than were written".into());
        Err(StoreError { operation: "write", object: object.to_owned(), cause })
    }

    /// Writes an object over what is there, unless that has the same bytes. Where two calls write at once, one of their objects
    /// stays, whole.
    ///
    /// # Errors
    /// When the store fails, or holds other bytes than it was given each time.
    pub async fn replace(&self, key: &str, object: &str, bytes: Bytes) -> Result<(), StoreError> {
        if self.read(key, object, u64::MAX).await?.as_ref() == Some(&bytes) {
            return Ok(());
        }
        for _ in 1..REPLACE_TRIES {
            match self.write(key, object, bytes.clone()).await {
                Err(StoreError { cause: Cause::Other(_), .. }) => {}
                done => return done,
            }
        }
        self.write(key, object, bytes).await
    }

    /// Creates an object that must not exist, and finds out whose it is when the answer is unclear.
    ///
    /// A create can be applied and still be answered by an error, and `AlreadyExists` can name our own
    /// object or none at all (reliability.md 0.1). So any answer but success is settled by reading back:
    /// equal bytes are ours, other bytes are somebody else's, none means try again.
    ///
    /// # Errors
    /// When the outcome stays unknown after several tries.
    pub async fn create(&self, key: &str, object: &str, bytes: Bytes) -> Result<Created, StoreError> {
        let path = self.at(&listed_key(key));
        let mut last = None;
        for _ in 0..CREATE_TRIES {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let put = self.store.put_opts(&path, PutPayload::from(bytes.clone()), options);
            let Err(error) = self.timed("create", object, put).await else {
                meter().n_written_bytes.fetch_add(bytes.len() as u64, Relaxed);
                return Ok(Created::Ours);
            };
            if error.cause.is_lasting() {
                return Err(error);
            }
            last = Some(error);
            match self.read(key, object, u64::MAX).await {
                Ok(Some(found)) if found == bytes => return Ok(Created::Ours),
                Ok(Some(found)) => return Ok(Created::Exists(found)),
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| unreachable_create(object)))
    }

    /// Names and sizes below `folder`, sorted by name, relative to the root.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, folder: &str, object: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let listed = self.list_dated(folder, object).await?;
        Ok(listed.into_iter().map(|entry| (entry.name, entry.size)).collect())
    }

    /// [`Root::list`] with the store's own times.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_dated(&self, folder: &str, object: &str) -> Result<Vec<Listed>, StoreError> {
        let mut names = Vec::new();
        self.each_listed(folder, None, object, |entry| names.push(entry)).await?;
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    /// Shows what stands below `folder` one by one, in no order, and behind `after` alone, a name in the folder or the beginning of
    /// one. Stores that list in order do not look at what stands before, and none of it is kept.
    ///
    /// # Errors
    /// When the store fails; some of it may have been shown by then.
    pub(crate) async fn each_listed(
        &self,
        folder: &str,
        after: Option<&str>,
        object: &str,
        mut see: impl FnMut(Listed),
    ) -> Result<(), StoreError> {
        let path = self.at(&listed_key(folder));
        let listing = match after {
            Some(after) => self.store.list_with_offset(Some(&path), &path.clone().join(after)),
            None => self.store.list(Some(&path)),
        };
        let each = listing.try_for_each(|meta| {
            self.listed(&meta).into_iter().for_each(&mut see);
            std::future::ready(Ok(()))
        });
        self.timed("list", object, each).await
    }

    /// Whether it is a local folder that is only read.
    pub(crate) fn is_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// What stands directly in `folder`, sorted by name; nothing in one that is not there, for object stores have no folders.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn children(&self, folder: &str, object: &str) -> Result<Vec<Node>, StoreError> {
        if let Some(root) = &self.folder {
            let mut nodes = match self.local_children(Arc::clone(root), folder, object).await {
                Err(error) if error.cause == Cause::Missing => Vec::new(),
                nodes => nodes?,
            };
            nodes.sort_unstable_by(|a, b| a.name().cmp(b.name()));
            return Ok(nodes);
        }
        let path = self.at(&listed_key(folder));
        let found = self.timed("list", object, self.store.list_with_delimiter(Some(&path))).await?;
        let folders = found.common_prefixes.iter().filter_map(|path| self.relative(path)).map(Node::Folder);
        let objects = found.objects.iter().filter_map(|meta| self.listed(meta)).map(Node::Object);
        let mut nodes: Vec<Node> = folders.chain(objects).collect();
        nodes.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        Ok(nodes)
    }

    async fn local_children(
        &self,
        root: Arc<std::path::Path>,
        folder: &str,
        object: &str,
    ) -> Result<Vec<Node>, StoreError> {
        let (root, folder) = (root.join(self.prefix.as_ref()), folder.to_owned());
        let list = async {
            let listed = folder::listed(root, folder).await;
            listed.map_err(|error| object_store::Error::Generic { store: "local", source: Box::new(error) })
        };
        self.timed("list", object, list).await
    }

    fn listed(&self, meta: &ObjectMeta) -> Option<Listed> {
        let modified_ms = meta.last_modified.timestamp_millis();
        let e_tag = meta.e_tag.clone();
        Some(Listed { name: self.relative(&meta.location)?, size: meta.size, modified_ms, e_tag })
    }

    /// A path below the root, as seen from there.
    fn relative(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.prefix)?.map(|part| part.as_ref().to_owned()).collect();
        Some(parts.join("/"))
    }

    /// Deletes one object; a missing one is fine.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, key: &str, object: &str) -> Result<(), StoreError> {
        let path = self.at(&listed_key(key));
        match self.timed("delete", object, self.store.delete(&path)).await {
            Err(error) if error.cause != Cause::Missing => Err(error),
            _ => Ok(()),
        }
    }
}

/// `CREATE_TRIES` is at least 1, so this is only a value for the type.
fn unreachable_create(object: &str) -> StoreError {
    StoreError { operation: "create", object: object.to_owned(), cause: Cause::Other("not tried".into()) }
}
