//! Spans of a run for whoever traces it: kept only while somebody asks for them, and never more than a bound.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Spans that wait for their way out; what comes beyond them is counted and left out.
const MOST: usize = 1 << 16;

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// Text that identifies nobody.
    Text(String),
    /// A count.
    Count(u64),
    /// A measure.
    Measure(f64),
}

/// Something that took time, and what it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What it is called.
    pub name: &'static str,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What is said of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Its parts.
    pub parts: Vec<Span>,
}

impl Span {
    fn n_spans(&self) -> usize {
        1 + self.parts.iter().map(Self::n_spans).sum::<usize>()
    }
}

/// Where stages leave spans; shared by whoever makes them and whoever sends them.
#[derive(Debug, Clone, Default)]
pub struct Spans(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_open: AtomicBool,
    n_left_out: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    spans: Vec<Span>,
    n: usize,
}

impl Spans {
    /// Begins to keep spans.
    pub fn open(&self) {
        self.0.is_open.store(true, Relaxed);
    }

    /// Whether anybody asks for spans.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_open.load(Relaxed)
    }

    /// Keeps a span with its parts, where there is room.
    pub fn push(&self, span: Span) {
        let (n, mut held) = (span.n_spans(), self.held());
        if held.n + n > MOST {
            self.0.n_left_out.fetch_add(n as u64, Relaxed);
        } else if self.is_open() {
            held.n += n;
            held.spans.push(span);
        }
    }

    /// Everything that is kept, in the order of its ends.
    #[must_use]
    pub fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.held()).spans
    }

    /// Spans that there was no room for.
    #[must_use]
    pub fn n_left_out(&self) -> u64 {
        self.0.n_left_out.load(Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(n_parts: usize) -> Span {
        let now = SystemTime::UNIX_EPOCH;
        let part = Span { name: "batch", began: now, ended: now, attributes: vec![], parts: vec![] };
        Span { name: "partition", parts: vec![part.clone(); n_parts], ..part }
    }

    #[test]
    fn nothing_is_kept_for_nobody_and_no_more_than_the_bound_for_somebody() {
        let spans = Spans::default();
        spans.push(span(1));
        assert!(spans.take().is_empty());
        spans.open();
        spans.push(span(MOST - 1));
        spans.push(span(0));
        assert_eq!((spans.take().len(), spans.n_left_out()), (1, 1));
        spans.push(span(2));
        assert_eq!((spans.take().len(), spans.take().len()), (1, 0));
    }
}
