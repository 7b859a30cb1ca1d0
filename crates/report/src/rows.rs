//! Collecting rows: whole where a set is small, as sums over blocks of samples where it is not.

use std::io;

use t3b_stats::{Outcome, Tally, Totals};

use crate::bits::Bits;
use crate::facts::SetFacts;
use crate::ranks::Ranks;

/// Sets with at most this many labelled rows are held whole and resampled sample by sample.
const MAX_WHOLE_ROWS: u64 = 1_000_000;

/// And at most this many samples: a resample is a list of them.
const MAX_WHOLE_SAMPLES: u64 = 50_000;

/// Sets above it are resampled by blocks: as many random groups of samples as this,
const MAX_BLOCKS: usize = 200;

/// and fewer, down to this, where the sums of all methods, cells and classes would take more than [`MAX_BLOCK_BYTES`].
const MIN_BLOCKS: usize = 40;

/// What the sums of all blocks may take.
const MAX_BLOCK_BYTES: usize = 256 << 20;

/// One published prediction.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Position of the sample in the frozen list.
    pub sample: u64,
    /// Place of the method.
    pub method: usize,
    /// Place of the cell.
    pub cell: usize,
    /// Class of the sample; rows without one are counted and left out.
    pub label: Option<u32>,
    /// Predicted class.
    pub pred: u32,
    /// Probability of the predicted class.
    pub confidence: f32,
    /// All class probabilities, where the run kept them.
    pub probs: Option<&'a [f32]>,
}

/// What a row cannot be.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Two rows of one sample, cell and method.
    #[error("sample {sample} has two rows of one method in cell {cell}")]
    Twice {
        /// Position of the sample.
        sample: u64,
        /// Place of the cell.
        cell: usize,
    },
    /// A sample, class, cell or method that the plan does not have.
    #[error("a row of sample {sample} that the plan does not have")]
    Unplanned {
        /// Position of the sample.
        sample: u64,
    },
    /// The temporary file of sorted scores.
    #[error("sorted scores cannot be put aside: {0}")]
    Disk(#[from] io::Error),
}

/// Rows that do not fit the plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {n_missing} samples have no row and are not quarantined, {n_both} have a row and are")]
pub struct Coverage {
    /// Method and cell.
    pub place: String,
    /// Samples without a row.
    pub n_missing: u64,
    /// Samples with a row too many.
    pub n_both: u64,
}

/// All rows of one (method, cell).
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) tally: Tally,
    /// Which samples have a row here, labelled or not.
    pub(crate) present: Bits,
    /// Which samples have a labelled row here, and of those which are right.
    pub(crate) seen: Bits,
    pub(crate) right: Bits,
    pub(crate) detail: Detail,
}

#[derive(Debug)]
pub(crate) enum Detail {
    Whole {
        samples: Vec<u32>,
        outcomes: Vec<Outcome>,
        probs: Vec<f32>,
    },
    Blocks(Vec<Totals>),
    /// A bound of which only the number of right samples is known.
    Bound,
    /// Rows whose figures are computed and that are not held any more.
    Told,
}

/// The rows of one set.
#[derive(Debug)]
pub struct Rows {
    pub(crate) facts: SetFacts,
    pub(crate) groups: Vec<Group>,
    pub(crate) has_probs: bool,
    /// Unit of resampling of each sample where samples belong together, such as patients.
    pub(crate) units: Option<Vec<u32>>,
    /// Whether a unit may have several samples in one cell: then rows of a cell are not independent.
    pub(crate) is_grouped: bool,
    /// Confidence of the prediction and every class's probability, for what needs ranks.
    pub(crate) ranks: Option<Ranks>,
    /// Blocks of a set that is not held whole.
    pub(crate) n_blocks: usize,
    /// Quarantined samples by cell.
    quarantined: Vec<Bits>,
    n_rows: u64,
}

impl Rows {
    /// No rows yet. `grouping` gives what each position belongs to (its patient, for example), numbered without gaps; without it every
    /// image is a unit of its own.
    #[must_use]
    pub fn new(facts: SetFacts, has_probs: bool, grouping: Option<Vec<u32>>) -> Self {
        let n_rows = facts.n_pairs() * facts.methods.len() as u64;
        let is_whole = n_rows <= MAX_WHOLE_ROWS && facts.n_positions() <= MAX_WHOLE_SAMPLES;
        Self::with(facts, has_probs, grouping, is_whole)
    }

    fn with(facts: SetFacts, has_probs: bool, grouping: Option<Vec<u32>>, is_whole: bool) -> Self {
        let is_grouped = grouping.is_some();
        let units = grouping.or_else(|| facts.units());
        let n_classes = facts.classes.len();
        let n_blocks = n_blocks(facts.n_groups(), n_classes);
        let detail = || match is_whole {
            true => Detail::Whole { samples: Vec::new(), outcomes: Vec::new(), probs: Vec::new() },
            false => Detail::Blocks(vec![Totals::new(n_classes); n_blocks]),
        };
        let group = |_| Group {
            tally: Tally::new(n_classes),
            present: Bits::new(facts.n_positions()),
            seen: Bits::new(facts.n_positions()),
            right: Bits::new(facts.n_positions()),
            detail: detail(),
        };
        let groups: Vec<Group> = (0..facts.n_groups()).map(group).collect();
        let ranks =
            (!is_whole).then(|| Ranks::new(groups.len() * (1 + if has_probs { n_classes } else { 0 })));
        let quarantined = facts.cells.iter().map(|_| Bits::new(facts.n_positions())).collect();
        Self { facts, groups, has_probs, units, is_grouped, ranks, n_blocks, quarantined, n_rows: 0 }
    }

    /// What the set is.
    #[must_use]
    pub fn facts(&self) -> &SetFacts {
        &self.facts
    }

    /// Rows added, labelled or not.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Adds a row, in any order.
    ///
    /// # Errors
    /// A second row of one (sample, method, cell), one that the plan does not have, a full disk.
    pub fn add(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let n_classes = self.facts.classes.len();
        let is_class = |class: u32| (class as usize) < n_classes;
        let is_planned = self.facts.cells_of(row.sample).contains(&row.cell)
            && row.method < self.facts.methods.len()
            && is_class(row.pred)
            && row.label.is_none_or(is_class)
            && row.probs.is_none_or(|probs| probs.len() == n_classes);
        if !is_planned {
            return Err(RowError::Unplanned { sample: row.sample });
        }
        self.n_rows += 1;
        let place = self.facts.group(row.method, row.cell);
        let group = &mut self.groups[place];
        if !group.present.set(row.sample) {
            return Err(RowError::Twice { sample: row.sample, cell: row.cell });
        }
        let Some(label) = row.label else { return Ok(()) };
        group.seen.set(row.sample);
        let outcome = Outcome::predicted(label, row.pred, row.confidence, row.probs);
        if outcome.is_correct() {
            group.right.set(row.sample);
        }
        group.tally.add(&outcome, 1);
        match &mut group.detail {
            Detail::Whole { samples, outcomes, probs } => {
                samples.push(u32::try_from(row.sample).unwrap_or(u32::MAX));
                outcomes.push(outcome);
                probs.extend(row.probs.into_iter().flatten());
            }
            Detail::Blocks(blocks) => {
                let unit = unit_of(self.units.as_deref(), row.sample);
                let block = block_of(unit, blocks.len());
                blocks[block].add(&outcome, 1);
            }
            Detail::Bound | Detail::Told => {}
        }
        if let Some(ranks) = &mut self.ranks {
            let columns = 1 + if self.has_probs { n_classes } else { 0 };
            ranks.push(place * columns, row.confidence, outcome.is_correct())?;
            for (class, p) in row.probs.into_iter().flatten().enumerate() {
                ranks.push(place * columns + 1 + class, *p, class == label as usize)?;
            }
        }
        Ok(())
    }

    /// Notes a quarantined sample: in one cell, or in all of its own.
    ///
    /// # Errors
    /// A sample that the plan does not have, or does not have in that cell.
    pub fn quarantine(&mut self, sample: u64, cell: Option<usize>) -> Result<(), RowError> {
        let own = self.facts.cells_of(sample);
        if own.is_empty() || cell.is_some_and(|cell| !own.contains(&cell)) {
            return Err(RowError::Unplanned { sample });
        }
        cell.map_or(own, |cell| cell..cell + 1).for_each(|cell| {
            self.quarantined[cell].set(sample);
        });
        Ok(())
    }

    /// Checks that every planned (sample, cell) has one row of every method, or is quarantined, and not both.
    ///
    /// # Errors
    /// The first cell where that is not so, with counts.
    pub fn check_coverage(&self) -> Result<(), Coverage> {
        for (cell, (corruption, severity)) in self.facts.cells.iter().enumerate() {
            let quarantined = &self.quarantined[cell];
            for (method, name) in self.facts.methods.iter().enumerate() {
                let present = &self.groups[self.facts.group(method, cell)].present;
                let n_both = present.and(quarantined).count();
                let n_missing = self.facts.n_in(cell) - present.or(quarantined).count();
                if n_both > 0 || n_missing > 0 {
                    let place = format!("{name}, {corruption}/{severity}");
                    return Err(Coverage { place, n_missing, n_both });
                }
            }
        }
        Ok(())
    }

    /// Brings the rows of every group into the order of samples, whatever order parts and slots came in; derived methods
    /// and pairs rely on it.
    pub fn sort(&mut self) {
        let n_classes = self.facts.classes.len();
        for group in &mut self.groups {
            let Detail::Whole { samples, outcomes, probs } = &mut group.detail else { continue };
            if samples.is_sorted() {
                continue;
            }
            let mut order: Vec<usize> = (0..samples.len()).collect();
            order.sort_unstable_by_key(|n| samples[*n]);
            *outcomes = order.iter().map(|n| outcomes[*n]).collect();
            // Sums of the same numbers in another order differ in their last bits.
            group.tally = Tally::new(n_classes);
            outcomes.iter().for_each(|row| group.tally.add(row, 1));
            *samples = order.iter().map(|n| samples[*n]).collect();
            if !probs.is_empty() {
                *probs =
                    order.iter().flat_map(|n| &probs[n * n_classes..(n + 1) * n_classes]).copied().collect();
            }
        }
    }

    /// Which half a sample is in where one half of a set chooses for the other; what belongs together is in one half.
    pub(crate) fn half_of(&self, sample: u32) -> usize {
        usize::from(unit_of(self.units.as_deref(), u64::from(sample)) % 2 == 1)
    }

    /// Whether samples are resampled one by one.
    pub(crate) fn is_whole(&self) -> bool {
        self.ranks.is_none()
    }

    /// Whether a sample's labelled row of a method and cell is right; `None` without such a row.
    #[must_use]
    pub fn is_right(&self, method: usize, cell: usize, sample: u64) -> Option<bool> {
        let group = &self.groups[self.facts.group(method, cell)];
        group.seen.has(sample).then(|| group.right.has(sample))
    }

    /// Lets go of the rows once their figures are computed; sums and which samples are right stay. `is_kept` says of which groups
    /// the rows stay too.
    pub(crate) fn shrink(&mut self, is_kept: impl Fn(usize) -> bool) {
        for (place, group) in self.groups.iter_mut().enumerate() {
            if !is_kept(place) {
                group.detail = Detail::Told;
            }
            group.present = Bits::new(0);
        }
        (self.ranks, self.quarantined, self.units) = (None, Vec::new(), None);
    }

    /// Samples that are right under one method alone, in one cell: (only `a`, only `b`).
    #[must_use]
    pub fn discordant(&self, a: usize, b: usize, cell: usize) -> (u64, u64) {
        let (a, b) = (&self.groups[self.facts.group(a, cell)], &self.groups[self.facts.group(b, cell)]);
        let both = a.seen.and(&b.seen);
        (a.right.minus(&b.right).and(&both).count(), b.right.minus(&a.right).and(&both).count())
    }
}

fn unit_of(units: Option<&[u32]>, sample: u64) -> u64 {
    units.map_or(sample, |units| u64::from(units[sample as usize]))
}

/// Blocks of a set with so many (method, cell) pairs and classes.
fn n_blocks(n_groups: usize, n_classes: usize) -> usize {
    let bytes = n_groups.max(1).saturating_mul(Totals::size_bytes(n_classes));
    (MAX_BLOCK_BYTES / bytes).clamp(MIN_BLOCKS, MAX_BLOCKS)
}

/// A random block that depends on the unit alone.
fn block_of(unit: u64, n_blocks: usize) -> usize {
    let mixed = (unit ^ (unit >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((u128::from(mixed ^ (mixed >> 31)) * n_blocks as u128) >> 64) as usize
}
