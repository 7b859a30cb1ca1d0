//! A local folder that is only read: every name is resolved below it by the system, opened without waiting, and looked at
//! after it is open, so that nothing can change between the look and the open.

use std::fmt;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Tries of an open while the system says that names are being renamed under it.
const OPEN_TRIES: u32 = 16;

/// Why a name of a local folder is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoObject {
    /// A link leads out of the folder.
    #[error("the path leaves the root through a symlink")]
    Outside,
    /// A device, a pipe, a socket, or a link that leads to itself.
    #[error("not a regular file")]
    Special,
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Confined {
    folder: Arc<OwnedFd>,
    path: Arc<std::path::Path>,
    /// Lists it.
    listing: Arc<LocalFileSystem>,
}

impl Confined {
    /// Opens `folder`, whose own links are followed once, here.
    ///
    /// # Errors
    /// When there is no such folder.
    pub(super) fn open(folder: &str) -> std::io::Result<Self> {
        let path = std::fs::canonicalize(folder)?;
        let opened = File::open(&path)?;
        if !opened.metadata()?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        let listing =
            LocalFileSystem::new_with_prefix(&path).map_err(|_| Error::from(ErrorKind::NotFound))?;
        Ok(Self { folder: Arc::new(opened.into()), path: path.into(), listing: Arc::new(listing) })
    }

    /// The regular file of that key.
    fn file(&self, key: &Path) -> Result<File> {
        let missing = |source| object_store::Error::NotFound { path: key.to_string(), source };
        let other = |source| object_store::Error::Generic { store: "folder", source };
        let file = match self.opened(key.as_ref()) {
            Ok(file) => file,
            Err(Refused::NoObject(why)) => return Err(other(Box::new(why))),
            Err(Refused::System(error)) => {
                let is_missing = matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
                );
                return Err(if is_missing { missing(Box::new(error)) } else { other(Box::new(error)) });
            }
        };
        let kind = file.metadata().map_err(|error| other(Box::new(error)))?.file_type();
        if kind.is_dir() {
            return Err(missing(Box::new(Error::from(ErrorKind::IsADirectory))));
        }
        if kind.is_file() { Ok(file) } else { Err(other(Box::new(NoObject::Special))) }
    }

    #[cfg(target_os = "linux")]
    fn opened(&self, key: &str) -> std::result::Result<File, Refused> {
        use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
        use rustix::io::Errno;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut last = Errno::AGAIN;
        for _ in 0..OPEN_TRIES {
            last = match openat2(&self.folder, key, flags, Mode::empty(), beneath) {
                Ok(file) => return Ok(file.into()),
                // An absolute link, which may still mean a place below the folder: opened there, through no link at all.
                Err(Errno::XDEV) => {
                    let real = std::fs::canonicalize(self.path.join(key));
                    let real = real.map_err(|_| Refused::NoObject(NoObject::Outside))?;
                    let inner = real.strip_prefix(&self.path);
                    let inner = inner.map_err(|_| Refused::NoObject(NoObject::Outside))?;
                    match openat2(
                        &self.folder,
                        inner,
                        flags,
                        Mode::empty(),
                        beneath | ResolveFlags::NO_SYMLINKS,
                    ) {
                        Ok(file) => return Ok(file.into()),
                        Err(Errno::LOOP | Errno::XDEV) => Errno::AGAIN,
                        Err(other) => other,
                    }
                }
                Err(other) => other,
            };
            if last != Errno::AGAIN {
                break;
            }
        }
        match last {
            Errno::NOSYS => self.opened_by_path(key),
            // A link to itself; a socket; a device without a driver.
            Errno::LOOP | Errno::NXIO | Errno::NODEV => Err(Refused::NoObject(NoObject::Special)),
            other => Err(Refused::System(other.into())),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn opened(&self, key: &str) -> std::result::Result<File, Refused> {
        self.opened_by_path(key)
    }

    /// Where the system cannot resolve below a folder: the real path is looked at and then opened.
    fn opened_by_path(&self, key: &str) -> std::result::Result<File, Refused> {
        let real = std::fs::canonicalize(self.path.join(key)).map_err(Refused::System)?;
        if !real.starts_with(&self.path) {
            return Err(Refused::NoObject(NoObject::Outside));
        }
        if !std::fs::metadata(&real).map_err(Refused::System)?.is_file() {
            return Err(Refused::NoObject(NoObject::Special));
        }
        File::open(real).map_err(Refused::System)
    }
}

/// Runs `work` on a thread that may wait for a disk.
async fn off_io<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(object_store::Error::JoinError { source: error }))
}

enum Refused {
    NoObject(NoObject),
    System(Error),
}

/// What an open file is a version of.
fn meta(file: &File, key: &Path) -> Result<ObjectMeta> {
    use std::os::unix::fs::MetadataExt;
    let failed = |source: Error| object_store::Error::Generic { store: "folder", source: Box::new(source) };
    let found = file.metadata().map_err(failed)?;
    let tag = format!("\"{:x}-{:x}-{:x}-{:x}\"", found.ino(), found.mtime(), found.mtime_nsec(), found.len());
    Ok(ObjectMeta {
        location: key.clone(),
        last_modified: found.modified().map_err(failed)?.into(),
        size: found.len(),
        e_tag: Some(tag),
        version: None,
    })
}

/// Reads a range of an open file, which must be the same version before and after.
fn read(mut file: File, before: &ObjectMeta, range: std::ops::Range<u64>) -> Result<Bytes> {
    let failed = |source: Error| object_store::Error::Generic { store: "folder", source: Box::new(source) };
    let size = range.end - range.start;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
    (&file).take(size).read_to_end(&mut bytes).map_err(failed)?;
    if meta(&file, &before.location)?.e_tag != before.e_tag || bytes.len() as u64 != size {
        let source = Box::new(Error::other("written to while it was read"));
        return Err(object_store::Error::Precondition { path: String::new(), source });
    }
    Ok(bytes.into())
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folder that is only read")
    }
}

fn read_only<T>() -> Result<T> {
    Err(object_store::Error::NotSupported { source: "a folder that is only read".into() })
}

#[async_trait]
impl ObjectStore for Confined {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (this, key) = (self.clone(), location.clone());
        let (file, meta) = off_io(move || {
            let file = this.file(&key)?;
            let meta = meta(&file, &key)?;
            options.check_preconditions(&meta)?;
            let range = match &options.range {
                Some(range) => range.as_range(meta.size).map_err(|error| object_store::Error::Generic {
                    store: "folder",
                    source: Box::new(error),
                })?,
                None => 0..meta.size,
            };
            Ok::<_, object_store::Error>((file, (meta, range)))
        })
        .await?;
        let (meta, range) = meta;
        let (before, of) = (meta.clone(), range.clone());
        let bytes = stream::once(off_io(move || read(file, &before, of))).boxed();
        let (attributes, extensions) = Default::default();
        Ok(GetResult { payload: GetResultPayload::Stream(bytes), meta, range, attributes, extensions })
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.listing.list_with_delimiter(prefix).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::once(async { read_only() }).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}
