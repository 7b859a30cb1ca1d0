//! Nights of one pipeline below an output root: what each took, and how it ended.
//!
//! Records stand in a row, numbered from 1. Each is created under its number and nothing else, so of two calls that would freeze a
//! night at once one wins and the other looks again. The next number is only taken once the night before it is settled; so what
//! any night took is known before another is frozen, and no object is in two of them.
//!
//! Nothing here names an object of the archive: objects are told apart by keyed hashes ([`NightKey`]), and the frozen manifests,
//! which hold names, lie where the archive's owner says.

mod record;
mod state;
mod taken;

pub use record::{FrozenManifest, NightRecord, PastNight, TakenOf, last_record, read_record};
pub use state::{DriftState, Measured, NightState, read_state, settle};
pub use taken::{Entry, Mark, NightKey, Taken, fold, read_new, read_taken, stage_new};

/// Names of the objects of one pipeline's nights, relative to the output root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NightLayout {
    name: String,
}

impl NightLayout {
    /// The layout of the pipeline of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    fn own(&self) -> String {
        format!("_t3b/nights/{}", self.name)
    }

    /// Folder of the records.
    #[must_use]
    pub fn records(&self) -> String {
        format!("{}/log", self.own())
    }

    /// The record with that number.
    #[must_use]
    pub fn record(&self, number: u64) -> String {
        format!("{}/{number:06}.json", self.records())
    }

    /// What a night takes of one day's folder, by the hash of its bytes; it counts once a record names it.
    #[must_use]
    pub fn new_of(&self, day: &str, sha256: &str) -> String {
        format!("{}/new/{day}/{}.bin", self.own(), sha256.get(..16).unwrap_or(sha256))
    }

    /// Folder of what all settled nights took of one day's folder.
    #[must_use]
    pub fn taken_of(&self, day: &str) -> String {
        format!("{}/taken/{day}", self.own())
    }

    /// The same as it was once the night with that number was settled.
    #[must_use]
    pub fn taken(&self, day: &str, number: u64) -> String {
        format!("{}/{number:06}.bin", self.taken_of(day))
    }

    /// Folder of what a night left for its readers.
    #[must_use]
    pub fn report(&self, date: &str) -> String {
        format!("reports/{}/{date}", self.name)
    }

    /// How a night ended; written last.
    #[must_use]
    pub fn state(&self, date: &str) -> String {
        format!("{}/night.json", self.report(date))
    }

    /// What later nights compare themselves with.
    #[must_use]
    pub fn profile(&self, date: &str) -> String {
        format!("{}/profile.json", self.report(date))
    }

    /// The run of a night.
    #[must_use]
    pub fn run_id(&self, date: &str) -> String {
        format!("{}-{date}", self.name)
    }
}
