//! Scoring random slots of a published run again, and comparing bits.

use std::collections::BTreeSet;

use super::{Job, Request};
use crate::error::{Exit, Problem, RunError};
use crate::flow::meter::Meter;
use crate::flow::stop::stop;
use crate::ledger::{Layout, Parts, Receipt, nonce, read_plan};
use crate::report::differing_tables;
use crate::source::{Partition, Partitions, Todo};
use crate::store::Root;
use crate::tables::Table;

/// Most bytes of one staged or published object.
const MAX_PART_BYTES: u64 = 4 << 30;

/// What scoring again found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reproduced {
    /// Batch numbers that were scored again, in every cell.
    pub slots: Vec<u64>,
    /// Whether this machine's numerics are those of the run.
    pub same_canary: bool,
    /// Slot and table of every difference.
    pub differing: Vec<(u64, &'static str)>,
}

impl Job {
    /// Scores `n_slots` random slots of a published run in memory and compares every row with the tables.
    ///
    /// # Errors
    /// `R009` no such run, `R001` another spec, `V001` a table that is gone, and whatever a run can fail with.
    pub async fn reproduce(
        self,
        output: &Root,
        request: &Request,
        n_slots: usize,
    ) -> Result<Reproduced, RunError> {
        let ours = self.plan(request)?;
        let layout = Layout::new(&ours.run_id);
        let stored = read_plan(output, &layout).await?.ok_or_else(|| {
            let what = format!("no run {} below {}", ours.run_id, output.place());
            Problem::new("R009", Exit::Usage, what).hint("pass the --run-id that t3b run printed")
        })?;
        stored.check_same(&ours)?;
        let partition_size = u64::from(self.spec.pipeline.partition_size);
        let cut = Partitions::new(self.spec.pipeline.batch_size, self.manifest.end());
        let slots = draw(u64::from(cut.n()), n_slots)?;
        let drawn: Vec<Partition> =
            slots.iter().filter_map(|slot| cut.get(u32::try_from(*slot).ok()?)).collect();
        let todo =
            (0..).zip(&drawn).map(|(index, slot)| Partition { index, rows: slot.rows.clone() }).collect();

        let scratch = Root::open(&format!("memory://{}", nonce()?), true, &self.spec.settings.store)?;
        let ready = self.ready(ours).await?;
        let same_canary = stored.check_numerics(&ready.lanes.canary).is_ok();
        let (_nobody_asks, never) = stop();
        let meter = Meter::default();
        ready.go(Todo::listed(todo, meter.open.clone()), scratch.clone(), never, meter).await?;

        let mut differing = Vec::new();
        for ((index, &slot), Partition { rows, .. }) in (0..).zip(&slots).zip(&drawn) {
            let receipt = Receipt::read(&scratch, &layout, index).await?;
            let receipt =
                receipt.ok_or_else(|| Problem::new("R008", Exit::Bug, "a scored slot has no receipt"))?;
            let partition = u32::try_from(rows.start / partition_size).unwrap_or(u32::MAX);
            for table in Table::ALL {
                let held = Parts::open(output, &stored, table).await?.holding(partition).await?;
                let key =
                    held.map_or_else(|| layout.part(table, &stored.run_date, partition), |file| file.path);
                let published = part(output, &key).await?;
                let again = part(&scratch, &receipt.file(table)?.path).await?;
                if differing_tables(table, &published, &again, rows.clone(), slot)? {
                    differing.push((slot, table.name()));
                }
            }
        }
        Ok(Reproduced { slots, same_canary, differing })
    }
}

async fn part(root: &Root, key: &str) -> Result<bytes::Bytes, RunError> {
    let found = root.read(key, "table", MAX_PART_BYTES).await.map_err(Problem::from)?;
    let gone = || Problem::new("V001", Exit::BadData, format!("{key} is missing")).hint("run t3b verify");
    Ok(found.ok_or_else(gone)?)
}

/// `wanted` different numbers below `n_slots`, or all of them.
fn draw(n_slots: u64, wanted: usize) -> Result<Vec<u64>, Problem> {
    let mut drawn = BTreeSet::new();
    while (drawn.len() as u64) < n_slots.min(wanted as u64) {
        let digits = u64::from_str_radix(&nonce()?[..15], 16).unwrap_or_default();
        drawn.insert(digits % n_slots);
    }
    Ok(drawn.into_iter().collect())
}
