//! Objects as the source reads them: bounded, in ranges of one version.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStoreExt};

use super::{Cause, Root, StoreError, meter};

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
    /// It was another version each time it was read, or the store does not tell versions apart.
    Changed,
    /// A link in a local root leads out of it.
    Outside,
    /// A device, a pipe, a socket, or a link that leads to itself.
    Special,
}

/// What tells one version of an object from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    e_tag: Option<String>,
    /// Milliseconds since 1970; 0 where the store does not say.
    modified_ms: i64,
    size: u64,
}

impl Version {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            e_tag: meta.e_tag.clone(),
            modified_ms: meta.last_modified.timestamp_millis(),
            size: meta.size,
        }
    }

    /// Whether both are surely the same: equal tags, or where neither has one, an equal time. Sizes are equal in any case.
    fn is(&self, other: &Self) -> bool {
        let same = match (&self.e_tag, &other.e_tag) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.modified_ms != 0 && self.modified_ms == other.modified_ms,
            _ => false,
        };
        same && self.size == other.size
    }
}

/// Failures that are lasting facts about an object.
fn fact(read: Result<Object, StoreError>) -> Result<Object, StoreError> {
    read.or_else(|error| match error.cause {
        Cause::Missing => Ok(Object::Missing),
        Cause::Archived => Ok(Object::Archived),
        Cause::Changed => Ok(Object::Changed),
        Cause::Outside => Ok(Object::Outside),
        Cause::Special => Ok(Object::Special),
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
        // One answer is one version, and without a tag several answers may be several.
        if size <= range_bytes || first.meta.e_tag.is_none() {
            let whole = self.timed_body("read", object, first.bytes()).await?;
            return Self::whole(whole, size, object).map(Object::Bytes);
        }
        let version = Version::of(&first.meta);
        drop(first);
        let (bytes, _) = self.pieces(key, object, 0..size, range_bytes, Some(version)).await?;
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
        version: &mut Option<Version>,
    ) -> Result<Object, StoreError> {
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
        mut version: Option<Version>,
    ) -> Result<(Bytes, Option<Version>), StoreError> {
        let (path, size) = (self.at(key), range.end - range.start);
        let mut whole = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        for start in range.clone().step_by(usize::try_from(range_bytes).unwrap_or(usize::MAX)) {
            let piece = GetRange::Bounded(start..range.end.min(start + range_bytes));
            let tag = version.as_ref().and_then(|version| version.e_tag.clone());
            // A weak tag never matches by the rules of HTTP, so it is only compared.
            let if_match = tag.filter(|tag| !tag.starts_with("W/"));
            let options = GetOptions { range: Some(piece), if_match, ..GetOptions::default() };
            let part = async {
                let part = self.store.get_opts(&path, options).await?;
                Ok((Version::of(&part.meta), part.bytes().await?))
            };
            let (found, part) = self.timed("read", object, part).await?;
            // Some servers take a condition and do not keep it.
            if version.as_ref().is_some_and(|version| !version.is(&found)) {
                let cause = Cause::Changed;
                return Err(StoreError { operation: "read", object: object.to_owned(), cause });
            }
            version = Some(found);
            whole.extend_from_slice(&part);
        }
        Ok((Self::whole(whole.into(), size, object)?, version))
    }

    /// A body that ends early is the network's fault, and must not pass for a fact about the object.
    fn whole(bytes: Bytes, size: u64, object: &str) -> Result<Bytes, StoreError> {
        meter().n_read_bytes.fetch_add(bytes.len() as u64, Relaxed);
        if bytes.len() as u64 == size {
            return Ok(bytes);
        }
        let cause = Cause::Other(format!("{} of {size} bytes came", bytes.len()));
        Err(StoreError { operation: "read", object: object.to_owned(), cause })
    }

    /// Size of an object; `None` when there is none.
    ///
    /// The answer to a HEAD has no body, so that a bucket that is not there, another region or a wrong clock look like a missing
    /// object or a plain refusal. Such an answer is asked again with a GET of one byte, once for each root where it was good.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn size(&self, key: &Path, object: &str) -> Result<Option<u64>, StoreError> {
        let path = self.at(key);
        let error = match self.timed("measure", object, self.store.head(&path)).await {
            Ok(meta) => {
                self.is_there.store(true, Relaxed);
                return Ok(Some(meta.size));
            }
            Err(error) => error,
        };
        let is_known = error.cause == Cause::Missing && self.is_there.load(Relaxed);
        let is_clear = matches!(error.cause, Cause::NoCredentials | Cause::Unreachable | Cause::Deadline(_));
        if is_known || is_clear {
            return if is_known { Ok(None) } else { Err(error) };
        }
        let first_byte = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        match self.timed("measure", object, self.store.get_opts(&path, first_byte)).await {
            Ok(found) => Ok(Some(found.meta.size)),
            Err(StoreError { cause: Cause::Missing, .. }) => {
                self.is_there.store(true, Relaxed);
                Ok(None)
            }
            // An empty object has no first byte; everything else was said better by one of the two.
            Err(again) if again.cause.is_lasting() => Err(again),
            Err(_) if error.cause == Cause::Missing => Ok(None),
            Err(_) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_the_same_by_tag_or_by_time_and_always_by_size() {
        let version = |tag: Option<&str>, modified_ms, size| Version {
            e_tag: tag.map(str::to_owned),
            modified_ms,
            size,
        };
        assert!(version(Some("a"), 1, 5).is(&version(Some("a"), 2, 5)));
        assert!(version(None, 7, 5).is(&version(None, 7, 5)));
        for (a, b) in [
            (version(Some("a"), 1, 5), version(Some("b"), 1, 5)),
            (version(Some("a"), 1, 5), version(Some("a"), 1, 6)),
            (version(Some("a"), 1, 5), version(None, 1, 5)),
            (version(None, 1, 5), version(Some("a"), 1, 5)),
            (version(None, 1, 5), version(None, 2, 5)),
            (version(None, 0, 5), version(None, 0, 5)),
        ] {
            assert!(!a.is(&b), "{a:?} {b:?}");
        }
    }
}
