//! Samples that are laid aside by their cells until the last row has said which cells there are.

use std::collections::BTreeMap;
use std::io;
use std::mem;

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::columns::{of_batch, schema, to_batch};
use crate::error::Problem;
use crate::messages::Sample;
use crate::source::cells::Group;
use crate::source::spool::{Spool, unspooled};

/// Samples of a group that are written at once.
const BLOCK_ROWS: usize = 512;

/// Samples by group, each group in the order of the file.
#[derive(Debug)]
pub(super) struct Aside {
    spool: Spool,
    groups: BTreeMap<Group, Laid>,
}

impl Default for Aside {
    fn default() -> Self {
        Self { spool: Spool::new(), groups: BTreeMap::new() }
    }
}

#[derive(Debug, Default)]
struct Laid {
    open: Vec<Sample>,
    /// Where its full blocks begin, and their bytes.
    blocks: Vec<(u64, usize)>,
}

impl Aside {
    /// # Errors
    /// `C007` when nothing more can be spooled.
    pub(super) fn push(&mut self, group: Group, sample: Sample) -> Result<(), Problem> {
        let laid = self.groups.entry(group).or_default();
        laid.open.push(sample);
        if laid.open.len() == BLOCK_ROWS {
            let block = encoded(&mem::take(&mut laid.open)).map_err(|error| unspooled(&error))?;
            laid.blocks.push((self.spool.n_bytes(), block.len()));
            self.spool.append(&block).map_err(|error| unspooled(&error))?;
        }
        Ok(())
    }

    /// Gives all samples to `take`: those without a declared cell first, then cell by cell.
    ///
    /// Unless cells are made, the samples without one, which are refused then, stand among those of the first cell: they must count
    /// somewhere, and are no reason to make cells that nothing is scored in.
    pub(super) fn place(
        mut self,
        is_made: bool,
        mut take: impl FnMut(Group, Sample) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let refused = if is_made { None } else { self.groups.remove(&None) };
        let mut refused = refused.into_iter().flat_map(|laid| self.spool.samples(laid)).peekable();
        for (group, laid) in self.groups {
            for sample in self.spool.samples(laid) {
                let sample = sample?;
                let is_before = |other: &Result<Sample, Problem>| {
                    other.as_ref().map_or(true, |other| other.manifest_row < sample.manifest_row)
                };
                while group == Some(0)
                    && let Some(other) = refused.next_if(is_before)
                {
                    take(group, other?)?;
                }
                take(group, sample)?;
            }
            if group == Some(0) {
                refused.by_ref().try_for_each(|other| take(group, other?))?;
            }
        }
        Ok(())
    }
}

impl Spool {
    fn samples(&self, laid: Laid) -> impl Iterator<Item = Result<Sample, Problem>> + use<> {
        let spool = self.clone();
        let blocks = laid.blocks.into_iter().flat_map(move |(start, n_bytes)| {
            let read = spool.read_at(start, n_bytes).and_then(decoded);
            let (samples, error) = match read {
                Ok(samples) => (samples, None),
                Err(error) => (Vec::new(), Some(Err(unspooled(&error)))),
            };
            samples.into_iter().map(Ok).chain(error)
        });
        blocks.chain(laid.open.into_iter().map(Ok))
    }
}

fn encoded(samples: &[Sample]) -> io::Result<Vec<u8>> {
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(), None)?;
    writer.write(&to_batch(samples))?;
    Ok(writer.into_inner()?)
}

fn decoded(bytes: Bytes) -> io::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = batch.map_err(io::Error::other)?;
        samples.extend(of_batch(&batch).ok_or(io::ErrorKind::InvalidData)?);
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing;

    #[test]
    fn groups_come_one_by_one_in_the_file_s_order_and_what_is_refused_stands_in_the_first() {
        let group = |n: u64| if n.is_multiple_of(5) { None } else { Some((n % 5 - 1) as usize % 2) };
        for is_made in [true, false] {
            let mut aside = Aside::default();
            for n in 0..6_000 {
                aside.push(group(n), Sample { manifest_row: n, ..testing::sample() }).unwrap();
            }
            let mut found = Vec::new();
            let take = |group, sample: Sample| {
                found.push((group, sample.manifest_row));
                Ok(())
            };
            aside.place(is_made, take).unwrap();
            let mut wanted: Vec<_> = (0..6_000).map(|n| (group(n), n)).collect();
            if !is_made {
                wanted.iter_mut().for_each(|(group, _)| *group = Some(group.unwrap_or(0)));
            }
            wanted.sort_unstable();
            assert_eq!(found, wanted);
        }
    }
}
