//! Objects as the source reads them: bounded, in ranges of one version.

use std::ops::Range;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectStoreExt};

use super::{Cause, Root, StoreError};

/// Reads of an object that changes while it is read.
const VERSIONS: u32 = 4;

/// An object as the source reads it: its bytes, or a lasting fact about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The whole object.
    Bytes(Bytes),
    /// There is none.
    Missing,
    /// It has no bytes.
    Empty,
    /// It has this many bytes, over the limit.
    TooLarge(u64),
    /// It has this many bytes, and the part that was asked for ends behind them.
    Short(u64),
    /// It lies in an archived storage class and has to be restored first.
    Archived,
    /// It was another version each time it was read.
    Changed,
}

/// Failures that are lasting facts about an object.
fn fact(read: Result<Object, StoreError>) -> Result<Object, StoreError> {
    read.or_else(|error| match error.cause {
        Cause::Missing => Ok(Object::Missing),
        Cause::Archived => Ok(Object::Archived),
        Cause::Changed => Ok(Object::Changed),
        _ => Err(error),
    })
}

impl Root {
    /// Reads a whole object of at most `max_bytes`, in ranges of at most `range_bytes`, all of one version: an object that changes
    /// meanwhile is read again from its start, and is [`Object::Changed`] when that happens every time.
    ///
    /// # Errors
    /// Everything that is not a lasting fact about the object.
    pub async fn read_object(
        &self,
        key: &Path,
        object: &str,
        max_bytes: u64,
        range_bytes: u64,
    ) -> Result<Object, StoreError> {
        self.confine(key, object).await?;
        for _ in 0..VERSIONS {
            match fact(self.read_version(key, object, max_bytes, range_bytes).await)? {
                Object::Changed => {}
                found => return Ok(found),
            }
        }
        Ok(Object::Changed)
    }

    async fn read_version(
        &self,
        key: &Path,
        object: &str,
        max_bytes: u64,
        range_bytes: u64,
    ) -> Result<Object, StoreError> {
        let path = self.at(key);
        let first = self.store.get_opts(&path, GetOptions::default());
        let first: GetResult = self.timed("read", object, first).await?;
        let size = first.meta.size;
        if size == 0 {
            return Ok(Object::Empty);
        }
        if size > max_bytes {
            return Ok(Object::TooLarge(size));
        }
        if size <= range_bytes {
            let whole = self.timed("read", object, first.bytes()).await?;
            return Self::whole(whole, size, object).map(Object::Bytes);
        }
        let version = first.meta.e_tag.clone();
        drop(first);
        let (bytes, _) = self.pieces(key, object, 0..size, range_bytes, version).await?;
        Ok(Object::Bytes(bytes))
    }

    /// Reads `range` of an object, in pieces of at most `range_bytes` of one version as [`Root::read_object`] does: its bytes,
    /// [`Object::Missing`], or [`Object::Short`] when the object ends before the range does.
    ///
    /// # Errors
    /// Everything that is not a lasting fact about the object.
    pub async fn read_part(
        &self,
        key: &Path,
        object: &str,
        range: Range<u64>,
        range_bytes: u64,
    ) -> Result<Object, StoreError> {
        self.confine(key, object).await?;
        for _ in 0..VERSIONS {
            let read = self.pieces(key, object, range.clone(), range_bytes, None).await;
            let error = match fact(read.map(|(bytes, _)| Object::Bytes(bytes))) {
                Ok(Object::Changed) => continue,
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            // Asked only now: a part that is there costs no second request.
            return match self.size(key, object).await? {
                None => Ok(Object::Missing),
                Some(size) if size < range.end => Ok(Object::Short(size)),
                Some(_) => Err(error),
            };
        }
        Ok(Object::Changed)
    }

    /// Reads a part of a version of an object, or of the one that is there, which `version` then names.
    ///
    /// [`Object::Changed`] when there is another version.
    ///
    /// # Errors
    /// Everything that is not a lasting fact about the object.
    pub async fn read_block(
        &self,
        key: &Path,
        object: &str,
        range: Range<u64>,
        range_bytes: u64,
        version: &mut Option<String>,
    ) -> Result<Object, StoreError> {
        self.confine(key, object).await?;
        let read = self.pieces(key, object, range, range_bytes, version.clone()).await;
        fact(read.map(|(bytes, found)| {
            *version = found;
            Object::Bytes(bytes)
        }))
    }

    /// `range` in pieces, all of `version` or else of the version the first of them has; the bytes and that version.
    async fn pieces(
        &self,
        key: &Path,
        object: &str,
        range: Range<u64>,
        range_bytes: u64,
        mut version: Option<String>,
    ) -> Result<(Bytes, Option<String>), StoreError> {
        let (path, size) = (self.at(key), range.end - range.start);
        let mut whole = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        for start in range.clone().step_by(usize::try_from(range_bytes).unwrap_or(usize::MAX)) {
            let piece = GetRange::Bounded(start..range.end.min(start + range_bytes));
            // A weak tag never matches by the rules of HTTP, so it is only compared.
            let if_match = version.clone().filter(|tag| !tag.starts_with("W/"));
            let options = GetOptions { range: Some(piece), if_match, ..GetOptions::default() };
            let part = async {
                let part = self.store.get_opts(&path, options).await?;
                Ok((part.meta.e_tag.clone(), part.bytes().await?))
            };
            let (found, part) = self.timed("read", object, part).await?;
            // Some servers take a condition and do not keep it.
            if version.is_some() && found.is_some() && version != found {
                let cause = Cause::Changed;
                return Err(StoreError { operation: "read", object: object.to_owned(), cause });
            }
            version = version.or(found);
            whole.extend_from_slice(&part);
        }
        Ok((Self::whole(whole.into(), size, object)?, version))
    }

    /// The local store follows links, also out of its folder.
    async fn confine(&self, key: &Path, object: &str) -> Result<(), StoreError> {
        let Some(root) = &self.confined_to else { return Ok(()) };
        match tokio::fs::canonicalize(root.join(self.at(key).as_ref())).await {
            Ok(path) if !path.starts_with(root) => {
                let cause = Cause::Outside;
                Err(StoreError { operation: "read", object: object.to_owned(), cause })
            }
            // One that is not there is the store's to name.
            _ => Ok(()),
        }
    }

    /// A body that ends early is the network's fault, and must not pass for a fact about the object.
    fn whole(bytes: Bytes, size: u64, object: &str) -> Result<Bytes, StoreError> {
        if bytes.len() as u64 == size {
            return Ok(bytes);
        }
        let cause = Cause::Other(format!("{} of {size} bytes came", bytes.len()));
        Err(StoreError { operation: "read", object: object.to_owned(), cause })
    }

    /// Size of an object; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn size(&self, key: &Path, object: &str) -> Result<Option<u64>, StoreError> {
        let path = self.at(key);
        match self.timed("measure", object, self.store.head(&path)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.cause == Cause::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }
}
