//! Whether an id stands twice among any number of rows, in bounded memory.
//!
//! Of every id a hash of 128 bits is kept with its row: two that are equal are one id. Hashes are dealt by their first bits to
//! buckets, whose blocks lie in a spool, and each bucket is sorted by itself.

use std::io;

use sha2::{Digest, Sha256};

use crate::source::spool::Spool;

/// A hash and a row.
type Seen = ([u8; 16], u64);
const SEEN_BYTES: usize = 24;
/// Two rows of one id.
type Twice = (u64, u64);
/// Records of a bucket that are written at once.
const BLOCK_RECORDS: usize = 170;
const BLOCK_BYTES: usize = BLOCK_RECORDS * SEEN_BYTES;
/// Bytes of a manifest for each bucket, so that a bucket is about a megabyte.
const BYTES_PER_BUCKET: u64 = 4 << 20;
const MAX_BUCKETS: u64 = 4096;

/// The ids so far.
#[derive(Debug)]
pub(super) struct Once {
    spool: Spool,
    buckets: Vec<Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    open: Vec<u8>,
    /// Where its full blocks begin.
    blocks: Vec<u64>,
}

impl Once {
    /// For a manifest file of that size.
    pub(super) fn new(n_file_bytes: u64) -> Self {
        let n_buckets = (n_file_bytes / BYTES_PER_BUCKET).clamp(1, MAX_BUCKETS);
        Self { spool: Spool::new(), buckets: (0..n_buckets).map(|_| Bucket::default()).collect() }
    }

    /// Notes the id of a row; `group` tells ids apart that may be the same. Returns two rows of one id where they stand close to each
    /// other, so that no bucket grows by ids that are all one.
    pub(super) fn push(&mut self, group: Option<usize>, id: &str, row: u64) -> io::Result<Option<Twice>> {
        let digest = Sha256::new().chain_update(format!("{group:?}\0")).chain_update(id).finalize();
        let place = u32::from_be_bytes([digest[16], digest[17], digest[18], digest[19]]) as usize;
        let n_buckets = self.buckets.len();
        let bucket = &mut self.buckets[place % n_buckets];
        bucket.open.extend_from_slice(&digest[..16]);
        bucket.open.extend_from_slice(&row.to_le_bytes());
        if bucket.open.len() < BLOCK_BYTES {
            return Ok(None);
        }
        bucket.blocks.push(self.spool.n_bytes());
        self.spool.append(&bucket.open)?;
        let found = first_twice(records(&bucket.open).collect());
        bucket.open.clear();
        Ok(found)
    }

    /// The first row whose id stood in a row before it, behind that row; `None` where every id stands once.
    pub(super) fn twice(self) -> io::Result<Option<Twice>> {
        let mut found: Option<Twice> = None;
        for bucket in self.buckets {
            let mut seen: Vec<Seen> = Vec::new();
            for start in bucket.blocks {
                seen.extend(records(&self.spool.read_at(start, BLOCK_BYTES)?));
            }
            seen.extend(records(&bucket.open));
            found = first_twice(seen).into_iter().chain(found).min_by_key(|(_, second)| *second);
        }
        Ok(found)
    }
}

fn first_twice(mut seen: Vec<Seen>) -> Option<Twice> {
    seen.sort_unstable();
    let pairs = seen.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    pairs.map(|pair| (pair[0].1, pair[1].1)).min_by_key(|(_, second)| *second)
}

fn records(bytes: &[u8]) -> impl Iterator<Item = Seen> {
    bytes.as_chunks::<SEEN_BYTES>().0.iter().filter_map(|record| {
        let (hash, row) = record.split_first_chunk::<16>()?;
        Some((*hash, u64::from_le_bytes(row.try_into().ok()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice(n_file_bytes: u64, ids: impl Iterator<Item = u64>) -> Option<Twice> {
        let mut once = Once::new(n_file_bytes);
        for (row, id) in ids.enumerate() {
            if let Some(found) = once.push(None, &id.to_string(), row as u64).unwrap() {
                return Some(found);
            }
        }
        once.twice().unwrap()
    }

    #[test]
    fn of_all_ids_that_stand_twice_the_first_is_told_in_however_many_buckets() {
        for n_file_bytes in [0, 3 * BYTES_PER_BUCKET, 64 * BYTES_PER_BUCKET, u64::MAX] {
            assert_eq!(twice(n_file_bytes, 0..30_000), None);
            let two = (0..30_000).map(|n| {
                if n == 29_999 {
                    3
                } else if n == 20_000 {
                    19_998
                } else {
                    n
                }
            });
            assert_eq!(twice(n_file_bytes, two), Some((19_998, 20_000)));
            let thrice = (0..9).map(|n| if n > 6 { 2 } else { n });
            assert_eq!(twice(n_file_bytes, thrice), Some((2, 7)));
        }
    }

    #[test]
    fn ids_that_are_all_one_end_the_reading_before_they_fill_a_bucket() {
        let mut once = Once::new(0);
        let n_pushed = (0..).take_while(|row| once.push(None, "x", *row).unwrap().is_none()).count();
        assert_eq!(n_pushed + 1, BLOCK_RECORDS);
    }

    #[test]
    fn an_id_may_stand_in_several_groups() {
        let mut once = Once::new(0);
        for (row, group) in [(0, None), (1, Some(0)), (2, Some(1))] {
            assert_eq!(once.push(group, "x", row).unwrap(), None);
        }
        assert_eq!(once.twice().unwrap(), None);
    }
}
