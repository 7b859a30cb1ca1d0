//! Ranks of more scores than fit in memory: sorted runs in one temporary file, merged once.
//!
//! A score is a 32-bit float that is not negative, so its sign bit is free to say whether the row is of the class: four
//! bytes a row and class. Runs are sorted by score, merged `k`-way, and ties counted in integers: the area is exact.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

/// Keys that all open buffers may hold together: 16 MiB, and as much again while they grow.
const MAX_OPEN: usize = 4 << 20;

/// Bytes read ahead of each run while merging.
const READ_AHEAD: usize = 16 << 10;

/// The bit that marks rows of the class.
const POSITIVE: u32 = 1 << 31;

/// Sorted columns of (score, is positive), one a place.
#[derive(Debug)]
pub(crate) struct Ranks {
    columns: Vec<Column>,
    n_open: usize,
    max_open: usize,
    spill: Option<File>,
    end: u64,
}

#[derive(Debug, Default)]
struct Column {
    open: Vec<u32>,
    /// Offset and number of keys of each sorted run.
    runs: Vec<(u64, usize)>,
}

/// Rows with one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tie {
    pub(crate) score: f32,
    pub(crate) n_pos: u64,
    pub(crate) n_neg: u64,
}

impl Ranks {
    pub(crate) fn new(n_columns: usize) -> Self {
        Self::with_limit(n_columns, MAX_OPEN)
    }

    fn with_limit(n_columns: usize, max_open: usize) -> Self {
        let columns = (0..n_columns).map(|_| Column::default()).collect();
        Self { columns, n_open: 0, max_open, spill: None, end: 0 }
    }

    /// Adds a row; a score below 0 counts as 0.
    pub(crate) fn push(&mut self, column: usize, score: f32, is_pos: bool) -> io::Result<()> {
        let bits = score.max(0.0).to_bits() & !POSITIVE;
        self.columns[column].open.push(bits | if is_pos { POSITIVE } else { 0 });
        self.n_open += 1;
        if self.n_open >= self.max_open {
            self.spill_half()?;
        }
        Ok(())
    }

    /// Writes the largest buffers until half of the room is free.
    fn spill_half(&mut self) -> io::Result<()> {
        let mut order: Vec<usize> = (0..self.columns.len()).collect();
        order.sort_by_key(|column| Reverse(self.columns[*column].open.len()));
        for column in order {
            if self.n_open <= self.max_open / 2 {
                break;
            }
            self.spill_one(column)?;
        }
        Ok(())
    }

    fn spill_one(&mut self, column: usize) -> io::Result<()> {
        let file = match &mut self.spill {
            Some(file) => file,
            None => self.spill.insert(tempfile::tempfile()?),
        };
        let mut keys = std::mem::take(&mut self.columns[column].open);
        sort(&mut keys);
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(&bytes)?;
        self.columns[column].runs.push((self.end, keys.len()));
        self.end += bytes.len() as u64;
        self.n_open -= keys.len();
        Ok(())
    }

    /// Hands every tie of a column over in ascending order, and frees the column.
    pub(crate) fn each_tie(&mut self, column: usize, mut look: impl FnMut(Tie)) -> io::Result<()> {
        let mut open = std::mem::take(&mut self.columns[column].open);
        self.n_open -= open.len();
        sort(&mut open);
        let mut sources = vec![Source::Open(open.into_iter())];
        for (offset, n) in std::mem::take(&mut self.columns[column].runs) {
            if let Some(file) = &self.spill {
                sources.push(Source::Run { file, offset, left: n, ahead: Vec::new().into_iter() });
            }
        }
        let mut heap = BinaryHeap::new();
        for (place, source) in sources.iter_mut().enumerate() {
            if let Some(key) = source.next()? {
                heap.push(Reverse((key & !POSITIVE, key & POSITIVE, place)));
            }
        }
        let mut tie: Option<Tie> = None;
        while let Some(Reverse((score, is_pos, place))) = heap.pop() {
            let found = tie.get_or_insert(Tie { score: f32::from_bits(score), n_pos: 0, n_neg: 0 });
            if found.score.to_bits() != score {
                look(*found);
                *found = Tie { score: f32::from_bits(score), n_pos: 0, n_neg: 0 };
            }
            if is_pos == 0 {
                found.n_neg += 1
            } else {
                found.n_pos += 1
            }
            if let Some(key) = sources[place].next()? {
                heap.push(Reverse((key & !POSITIVE, key & POSITIVE, place)));
            }
        }
        tie.into_iter().for_each(look);
        Ok(())
    }
}

fn sort(keys: &mut [u32]) {
    keys.sort_unstable_by_key(|key| key & !POSITIVE);
}

enum Source<'a> {
    Open(std::vec::IntoIter<u32>),
    Run { file: &'a File, offset: u64, left: usize, ahead: std::vec::IntoIter<u32> },
}

impl Source<'_> {
    fn next(&mut self) -> io::Result<Option<u32>> {
        match self {
            Self::Open(keys) => Ok(keys.next()),
            Self::Run { file, offset, left, ahead } => {
                if let Some(key) = ahead.next() {
                    return Ok(Some(key));
                }
                if *left == 0 {
                    return Ok(None);
                }
                let n = (*left).min(READ_AHEAD / 4);
                let mut bytes = vec![0; n * 4];
                let mut reader: BufReader<&File> = BufReader::with_capacity(0, file);
                reader.seek(SeekFrom::Start(*offset))?;
                reader.read_exact(&mut bytes)?;
                *offset += bytes.len() as u64;
                *left -= n;
                let keys: Vec<u32> =
                    bytes.as_chunks::<4>().0.iter().map(|key| u32::from_le_bytes(*key)).collect();
                *ahead = keys.into_iter();
                Ok(ahead.next())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spilled_runs_merge_to_what_memory_would_have_sorted() {
        let key = |n: u32| (n.wrapping_mul(2_654_435_761) >> 8) % 500;
        let ties = |max_open: usize| {
            let mut ranks = Ranks::with_limit(2, max_open);
            for n in 0..10_000 {
                ranks.push((n % 2) as usize, key(n) as f32 / 500.0, key(n + 7) % 3 == 0).unwrap();
            }
            let mut found = [Vec::new(), Vec::new()];
            for (column, list) in found.iter_mut().enumerate() {
                ranks.each_tie(column, |tie| list.push(tie)).unwrap();
            }
            found
        };
        let (small, large) = (ties(64), ties(1 << 20));
        assert_eq!(small, large);
        assert!(small[0].windows(2).all(|pair| pair[0].score < pair[1].score));
        assert_eq!(small[0].iter().map(|tie| tie.n_pos + tie.n_neg).sum::<u64>(), 5_000);
    }
}
