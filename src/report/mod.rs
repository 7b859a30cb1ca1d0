//! Reads published tables only: never a model, never a tensor.

mod accuracy;
mod attempts;
mod dashboard;
mod differences;
mod drift;
mod evaluate;
mod examples;
mod features;
mod first_pass;
mod grouping;
mod inspect;
mod parts;
mod reading;
mod run_at;
mod summary;
mod tune;
mod worklist;

pub use accuracy::{Accuracy, AccuracyTable, accuracy};
pub use dashboard::{Bundle, NightLine, Nights, latest_files, nights, page_files};
pub use differences::differing_tables;
pub use drift::{Profile, drift_between, drift_of, drift_parquet};
pub use evaluate::{Evaluation, Headline, Request, evaluate, write};
pub use examples::{Example, Examples};
pub use first_pass::{MAX_ROWS, SignalRow, parent_probs, signals};
pub use inspect::{Answer, Refusal, SampleStory, coefficient_means, reasons, story};
pub use reading::{RunTables, divergences, facts, read};
pub use run_at::RunAt;
pub use tune::{Picked, Setting, best_lambda, best_setting, t3_settings};
pub use worklist::{Disagreement, Worklist};
