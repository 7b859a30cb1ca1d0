//! Giving a night up that cannot be finished: its manifest is lost, or its images are gone.

use chrono::NaiveDate;

use super::Nights;
use crate::error::{Exit, Problem, RunError};
use crate::ledger::{
    Layout, NightState, discard, is_published, last_record, read_new, read_plan, read_state, settle,
};

impl Nights {
    /// Gives up the night of `date`, which an earlier call left unfinished: what was scored of it is withdrawn, and the next
    /// night takes its objects. How many there are. Nobody may be at work on it.
    ///
    /// # Errors
    /// `R023` when it is not unfinished, store failures.
    pub async fn give_up(&self, date: NaiveDate) -> Result<u64, RunError> {
        let day = date.to_string();
        let refused =
            |why: &str| Problem::new("R023", Exit::Usage, format!("night {day} cannot be given up: {why}"));
        let last = last_record(&self.output, &self.layout).await?.filter(|last| last.date == day);
        let last = last.ok_or_else(|| refused("it is not the one that was begun last"))?;
        self.check_key(&last)?;
        let state = read_state(&self.output, &self.layout, &day).await?;
        if state.is_some_and(|state| state.number >= last.number) {
            return Err(refused("it is settled").hint("t3b discard withdraws a run").into());
        }
        let run_id = self.layout.run_id(&day);
        if let Some(plan) = read_plan(&self.output, &Layout::new(&run_id)).await? {
            if is_published(&self.output, &plan).await? {
                return Err(refused("its run is published")
                    .hint("the same command without --give-up settles it")
                    .into());
            }
            discard(&self.output, &run_id, true).await?;
        }
        let new = read_new(&self.output, &last).await?;
        let state = NightState { is_given_up: true, ..self.state_of(&last) };
        settle(&self.output, &self.layout, &state).await?;
        Ok(new.iter().map(|(_, new)| new.entries().len() as u64).sum::<u64>())
    }
}
