//! A manifest file, copied beside this process before its first row is read.

use bytes::Bytes;

use crate::error::Problem;
use crate::flow::ordered::off_io;
use crate::source::spool::{Spool, unspooled};
use crate::store::{Cause, Object, Root, StoreError, listed_key};

/// Most bytes of a manifest file; no memory is taken for it.
const MAX_BYTES: u64 = 1 << 40;
/// Bytes of one ranged read.
const RANGE_BYTES: u64 = 8 << 20;
/// Copies that are begun because the file changed under the one before.
const COPIES: u32 = 3;

/// The bytes of a manifest, with the name that says their format.
#[derive(Debug, Clone)]
pub struct ManifestFile {
    pub(in crate::source) name: String,
    pub(in crate::source) spool: Spool,
}

impl ManifestFile {
    /// These bytes.
    ///
    /// # Errors
    /// `C007` when they cannot be spooled.
    pub fn of(name: &str, bytes: &[u8]) -> Result<Self, Problem> {
        let mut spool = Spool::new();
        spool.append(bytes).map_err(|error| unspooled(&error))?;
        Ok(Self { name: name.to_owned(), spool })
    }

    /// Copies an object, a range at a time; `None` when there is none. One request where it is small.
    ///
    /// # Errors
    /// `C007` when it cannot be spooled; store failures, an object that is another at each read.
    pub async fn fetch(root: &Root, name: &str) -> Result<Option<Self>, Problem> {
        let failed = |cause| StoreError { operation: "read", object: "manifest".to_owned(), cause };
        for _ in 0..COPIES {
            let small = root.read_object(&listed_key(name), "manifest", RANGE_BYTES, RANGE_BYTES).await?;
            let copied = match small {
                Object::TooLarge(size) if size <= MAX_BYTES => copy(root, name, size).await?,
                other => Copied::Ended(other),
            };
            return match copied {
                Copied::Whole(spool) => Ok(Some(Self { name: name.to_owned(), spool })),
                Copied::Ended(Object::Bytes(bytes)) => Self::of(name, &bytes).map(Some),
                Copied::Ended(Object::Empty) => Self::of(name, &[]).map(Some),
                Copied::Ended(Object::Missing) => Ok(None),
                Copied::Ended(Object::TooLarge(_)) => Err(failed(Cause::TooLarge).into()),
                Copied::Ended(Object::Archived) => Err(failed(Cause::Archived).into()),
                Copied::Ended(Object::Outside) => Err(failed(Cause::Outside).into()),
                Copied::Ended(Object::Special) => Err(failed(Cause::Special).into()),
                Copied::Ended(Object::Changed | Object::Short(_)) => continue,
            };
        }
        Err(failed(Cause::Changed).into())
    }
}

/// How a copy ended.
enum Copied {
    Whole(Spool),
    /// What was found in place of the next range.
    Ended(Object),
}

async fn copy(root: &Root, name: &str, size: u64) -> Result<Copied, Problem> {
    let (key, mut spool, mut version) = (listed_key(name), Spool::new(), None);
    while spool.n_bytes() < size {
        let range = spool.n_bytes()..size.min(spool.n_bytes() + RANGE_BYTES);
        let read = root.read_block(&key, "manifest", range, RANGE_BYTES, &mut version).await?;
        let Object::Bytes(bytes) = read else { return Ok(Copied::Ended(read)) };
        spool = appended(spool, bytes).await?;
    }
    Ok(Copied::Whole(spool))
}

async fn appended(mut spool: Spool, bytes: Bytes) -> Result<Spool, Problem> {
    let append = move || spool.append(&bytes).map(|()| spool);
    off_io(append).await.map_err(|error| unspooled(&error))
}
