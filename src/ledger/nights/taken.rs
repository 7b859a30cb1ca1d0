//! What nights took, as sorted lists of keyed hashes: 33 bytes an object, and no name.
//!
//! A list is of the folder of one day. Each night that takes something of it writes its own entries before it is frozen; once it
//! is settled, these and the list before them become the next list. So a night reads one list for each day that it looks into,
//! however old the archive is.

use std::collections::BTreeMap;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::NightLayout;
use super::record::{NightRecord, TakenOf};
use crate::error::{Exit, Problem, RunError};
use crate::ledger::published::{MAX_TABLE_BYTES, read_entry};
use crate::ledger::receipt::entry;
use crate::store::{Created, Root};

const MAGIC: &[u8; 8] = b"t3btaken";
/// Magic and the hash of the entries.
const HEAD_BYTES: usize = 8 + 32;
/// One entry.
const ENTRY_BYTES: usize = 16 + 8 + 8 + 1;
/// Older lists of a day that stay for whoever reads them just now.
const LISTS_KEPT: usize = 2;

/// How an object came into a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// For the first time, in the folder of the night's own day.
    New,
    /// For the first time, in the folder of an earlier day that a night had looked into.
    Late,
    /// Again, with other bytes.
    Changed,
    /// Not at all: it looks otherwise and has the bytes that were scored.
    Same,
}

impl Mark {
    const ALL: [Self; 4] = [Self::New, Self::Late, Self::Changed, Self::Same];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Late => "late",
            Self::Changed => "changed",
            Self::Same => "same",
        }
    }

    fn code(self) -> u8 {
        Self::ALL.iter().position(|mark| *mark == self).map_or(0, |n| n as u8)
    }
}

/// One object that a night took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Which object.
    pub id: [u8; 16],
    /// Which version, as a listing tells it.
    pub version: [u8; 8],
    /// Which bytes; zeros where nobody hashed them.
    pub content: [u8; 8],
    /// How it came.
    pub mark: Mark,
}

/// Hashes that say nothing to whoever lacks `T3B_PSEUDONYM_KEY`.
#[derive(Clone)]
pub struct NightKey {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for NightKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NightKey")
    }
}

impl NightKey {
    /// A key that no pseudonym is made with.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let key = Sha256::new_with_prefix(b"t3b nights key\0").chain_update(secret).finalize();
        Self { mac: Hmac::new_from_slice(&key).expect("HMAC takes a key of any length") }
    }

    fn hash(&self, kind: &str, parts: &[&str]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(kind.as_bytes());
        for part in parts {
            mac.update(&[0]);
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Which object a name is.
    #[must_use]
    pub fn id(&self, name: &str) -> [u8; 16] {
        first(&self.hash("object", &[name]))
    }

    /// Which version of it a listing saw.
    #[must_use]
    pub fn version(&self, name: &str, size: u64, tag: &str) -> [u8; 8] {
        first(&self.hash("version", &[name, &size.to_string(), tag]))
    }

    /// Which bytes it has.
    #[must_use]
    pub fn content(&self, name: &str, sha256: &str) -> [u8; 8] {
        first(&self.hash("content", &[name, sha256]))
    }

    /// Another text for another key, or for another `rule`.
    #[must_use]
    pub fn check(&self, rule: &str) -> String {
        hex::encode(&self.hash("check", &[rule])[..16])
    }
}

fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|n| hash[n])
}

/// A list of entries, sorted, one for each object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken(Vec<Entry>);

impl Taken {
    /// Of several entries of one object the last stays.
    #[must_use]
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let by_id: BTreeMap<[u8; 16], Entry> = entries.into_iter().map(|entry| (entry.id, entry)).collect();
        Self(by_id.into_values().collect())
    }

    /// The entry of an object.
    #[must_use]
    pub fn get(&self, id: &[u8; 16]) -> Option<&Entry> {
        self.0.binary_search_by(|entry| entry.id.cmp(id)).ok().map(|place| &self.0[place])
    }

    /// All entries, by object.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// This list with newer entries over it.
    #[must_use]
    pub fn with(&self, newer: &Self) -> Self {
        let (mut all, mut old) = (Vec::with_capacity(self.0.len() + newer.0.len()), self.0.iter().peekable());
        for entry in &newer.0 {
            while let Some(before) = old.next_if(|before| before.id < entry.id) {
                all.push(*before);
            }
            let known = old.next_if(|before| before.id == entry.id);
            // What was not read anew keeps the hash that it had.
            let is_unread = entry.mark == Mark::Same && entry.content == [0; 8];
            let content = known.filter(|_| is_unread).map_or(entry.content, |known| known.content);
            all.push(Entry { content, ..*entry });
        }
        all.extend(old);
        Self(all)
    }

    fn encode(&self) -> Bytes {
        let mut body = Vec::with_capacity(self.0.len() * ENTRY_BYTES);
        for entry in &self.0 {
            body.extend_from_slice(&entry.id);
            body.extend_from_slice(&entry.version);
            body.extend_from_slice(&entry.content);
            body.push(entry.mark.code());
        }
        [&MAGIC[..], &Sha256::digest(&body), &body].concat().into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
        let is_whole = head.starts_with(MAGIC)
            && Sha256::digest(body)[..] == head[MAGIC.len()..]
            && body.len().is_multiple_of(ENTRY_BYTES);
        let entry = |row: &[u8]| {
            Some(Entry {
                id: row[..16].try_into().ok()?,
                version: row[16..24].try_into().ok()?,
                content: row[24..32].try_into().ok()?,
                mark: *Mark::ALL.get(usize::from(row[32]))?,
            })
        };
        let entries = body.chunks_exact(ENTRY_BYTES).map(entry).collect::<Option<Vec<_>>>()?;
        (is_whole && entries.is_sorted_by(|a, b| a.id < b.id)).then_some(Self(entries))
    }
}

fn damaged(day: &str) -> Problem {
    Problem::new("R020", Exit::BadData, format!("what nights took of {day} has changed"))
        .hint("restore the object from a copy; without it objects would be scored twice")
}

/// Writes what a night takes of a day, under a name that follows from the bytes.
///
/// # Errors
/// Store failures.
pub async fn stage_new(
    root: &Root,
    layout: &NightLayout,
    day: &str,
    new: &Taken,
) -> Result<TakenOf, RunError> {
    let bytes = new.encode();
    let key = layout.new_of(day, &hex::encode(Sha256::digest(&bytes)));
    let object = entry("taken", key, &bytes, new.0.len() as u64);
    let created = root.create(&object.path, "list of what a night takes", bytes).await;
    if let Created::Exists(_) = created.map_err(Problem::from)? {
        return Err(damaged(day).into());
    }
    Ok(TakenOf { day: day.to_owned(), object })
}

/// What the night of a record takes, over all days.
///
/// # Errors
/// Store failures, `R006` and `R020` a list that has changed.
pub async fn read_new(root: &Root, record: &NightRecord) -> Result<Vec<(String, Taken)>, RunError> {
    let mut all = Vec::new();
    for TakenOf { day, object } in &record.taken {
        let bytes =
            read_entry(root, object, "list of what a night takes").await?.ok_or_else(|| damaged(day))?;
        all.push((day.clone(), Taken::decode(&bytes).ok_or_else(|| damaged(day))?));
    }
    Ok(all)
}

/// Numbers of the lists of a day, rising.
async fn numbers(root: &Root, layout: &NightLayout, day: &str) -> Result<Vec<u64>, RunError> {
    let listed =
        root.list(&layout.taken_of(day), "lists of what nights took").await.map_err(Problem::from)?;
    let number = |key: &str| key.rsplit('/').next()?.strip_suffix(".bin")?.parse::<u64>().ok();
    let mut found: Vec<u64> = listed.iter().filter_map(|(key, _)| number(key)).collect();
    found.sort_unstable();
    Ok(found)
}

async fn read_list(root: &Root, layout: &NightLayout, day: &str, number: u64) -> Result<Taken, RunError> {
    let key = layout.taken(day, number);
    let found = root.read(&key, "list of what nights took", MAX_TABLE_BYTES).await.map_err(Problem::from)?;
    Ok(found.and_then(|bytes| Taken::decode(&bytes)).ok_or_else(|| damaged(day))?)
}

/// What all settled nights took of a day.
///
/// # Errors
/// Store failures, `R020` a list that has changed.
pub async fn read_taken(root: &Root, layout: &NightLayout, day: &str) -> Result<Taken, RunError> {
    match numbers(root, layout, day).await?.last() {
        Some(number) => read_list(root, layout, day, *number).await,
        None => Ok(Taken::default()),
    }
}

/// Adds what the night of a record took to the lists of its days, and removes lists that two newer ones stand for.
///
/// Every call at the same record writes the same bytes.
///
/// # Errors
/// Store failures, `R006` and `R020` a list that has changed.
pub async fn fold(root: &Root, layout: &NightLayout, record: &NightRecord) -> Result<(), RunError> {
    for (day, new) in read_new(root, record).await? {
        let have = numbers(root, layout, &day).await?;
        if have.last().is_none_or(|newest| *newest < record.number) {
            let before = match have.last() {
                Some(number) => read_list(root, layout, &day, *number).await?,
                None => Taken::default(),
            };
            let key = layout.taken(&day, record.number);
            let created = root.create(&key, "list of what nights took", before.with(&new).encode()).await;
            if let Created::Exists(_) = created.map_err(Problem::from)? {
                return Err(damaged(&day).into());
            }
        }
        let older = have.iter().filter(|number| **number < record.number);
        for number in older.rev().skip(LISTS_KEPT - 1) {
            let deleted = root.delete(&layout.taken(&day, *number), "older list of what nights took").await;
            deleted.map_err(Problem::from)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry_of(key: &NightKey, name: &str, tag: &str, mark: Mark) -> Entry {
        Entry { id: key.id(name), version: key.version(name, 1, tag), content: [0; 8], mark }
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_no_flipped_bit_passes() {
        let key = NightKey::new("secret");
        let list = Taken::of(["a", "b", "c"].map(|name| entry_of(&key, name, "1", Mark::New)));
        let bytes = list.encode();
        assert_eq!(Taken::decode(&bytes), Some(list));
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            assert_eq!(Taken::decode(&flipped), None, "byte {at}");
        }
        assert_eq!(Taken::decode(&bytes[..bytes.len() - ENTRY_BYTES]), None);
    }

    #[test]
    fn newer_entries_stand_over_older_ones() {
        let key = NightKey::new("secret");
        let old = Taken::of(["a", "b"].map(|name| entry_of(&key, name, "1", Mark::New)));
        let newer = Taken::of([entry_of(&key, "b", "2", Mark::Changed), entry_of(&key, "c", "1", Mark::New)]);
        let all = old.with(&newer);
        assert_eq!(all.entries().len(), 3);
        assert_eq!(all.get(&key.id("b")).map(|entry| entry.version), Some(key.version("b", 1, "2")));
        assert_eq!(all.get(&key.id("a")), old.get(&key.id("a")));
        assert_eq!(Taken::of(all.entries().iter().copied()), all);
    }

    #[test]
    fn hashes_are_of_the_key_and_of_each_part() {
        let (key, other) = (NightKey::new("one"), NightKey::new("two"));
        assert_ne!(key.id("a"), other.id("a"));
        assert_ne!(key.check(""), other.check(""));
        assert_ne!(key.version("a", 1, "2"), key.version("a", 12, ""));
    }
}
