//! How stages end, and which ending names the run: the first fault, never its echo.

use std::any::Any;

use crate::error::{Exit, Problem};
use crate::flow::Stage;
use crate::flow::link::{Hangup, Torn};

/// Why a stage returned early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageEnd {
    /// Something is wrong with the run.
    Fault(Problem),
    /// The stage panicked: a bug of ours.
    Panicked(String),
    /// Downstream went away first.
    Hangup,
    /// Upstream went away first.
    Torn,
}

impl StageEnd {
    /// The end of a task that panicked or was cancelled with the graph.
    #[must_use]
    pub fn from_join(error: tokio::task::JoinError) -> Self {
        match error.try_into_panic() {
            Ok(payload) => Self::from_panic(payload.as_ref()),
            Err(_) => Self::Torn,
        }
    }

    /// A panic.
    #[must_use]
    pub fn from_panic(payload: &(dyn Any + Send)) -> Self {
        Self::Panicked(panic_text(payload))
    }
}

/// What a panic says, in its own words where they are text.
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

impl From<Hangup> for StageEnd {
    fn from(_: Hangup) -> Self {
        Self::Hangup
    }
}

impl From<Torn> for StageEnd {
    fn from(_: Torn) -> Self {
        Self::Torn
    }
}

impl<P: Into<Problem>> From<P> for StageEnd {
    fn from(problem: P) -> Self {
        Self::Fault(problem.into())
    }
}

/// The verdict over all stages, in the order in which they ended: `None` when all ended well.
///
/// [`StageEnd::Hangup`] and [`StageEnd::Torn`] are echoes: they decide only when nothing else is known.
#[must_use]
pub fn verdict(ends: &[(Stage, Result<(), StageEnd>)]) -> Option<Problem> {
    let failed = || ends.iter().filter_map(|(stage, end)| end.as_ref().err().map(|end| (*stage, end)));
    let cause = failed().find(|(_, end)| matches!(end, StageEnd::Fault(_) | StageEnd::Panicked(_)));
    cause.or_else(|| failed().next()).map(|(stage, end)| describe(stage, end))
}

fn describe(stage: Stage, end: &StageEnd) -> Problem {
    let name = stage.name();
    match end {
        StageEnd::Fault(problem) => problem.clone(),
        StageEnd::Panicked(text) => Problem::new("B001", Exit::Bug, format!("stage {name} panicked: {text}"))
            .hint("this is a bug; please report it with the pipeline file"),
        StageEnd::Hangup | StageEnd::Torn => {
            Problem::new("B002", Exit::Bug, format!("stage {name} lost its neighbour and nobody said why"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_that_is_reported_first_does_not_hide_the_fault() {
        let fault = Problem::new("S007", Exit::StoreIo, "write staged predictions: the store failed");
        let ends = [
            (Stage::Batch, Err(StageEnd::Hangup)),
            (Stage::Score, Err(StageEnd::Torn)),
            (Stage::Sink, Err(StageEnd::Fault(fault.clone()))),
        ];
        assert_eq!(verdict(&ends), Some(fault));
    }

    #[test]
    fn a_panic_is_a_bug() {
        let ends = [(Stage::Source, Ok(())), (Stage::Score, Err(StageEnd::Panicked("index".into())))];
        assert_eq!(verdict(&ends).map(|problem| problem.exit), Some(Exit::Bug));
    }
}
