#![doc = include_str!("../README.md")]

mod attempts;
mod bits;
mod compare;
mod derived;
mod draws;
mod drift;
mod facts;
mod figures;
mod files;
mod page;
mod ranks;
mod rows;
mod signals;
mod summary;
mod unlabelled;

pub use attempts::{Attempt, Stage};
pub use compare::{Best, Comparison};
pub use derived::{Choices, LINE, line_lambda};
pub use drift::{Drift, Features, MMD_ALARM, PSI_ALARM, Quantity, Shift, drift};
pub use facts::{SetFacts, Tags};
pub use figures::{Figures, LEVEL, Line, Settings};
pub use files::{
    clip_benchmark, contenders, detectable_words, medmnist_result, metrics_json, shown, tables_md,
    tables_tex, unaggregated_csv,
};
pub use page::{PageSet, Picture, Signature, page, signatures};
pub use rows::{Coverage, Row, RowError, Rows};
pub use signals::{CellSignals, SignalRow, Signals};
pub use summary::{PARENTS, SUMMARY_COLUMNS, SummaryLine, SummarySet, summary_csv};
pub use unlabelled::{Confidence, Estimated, Sums, calibrators, cross_fitted, estimated};
