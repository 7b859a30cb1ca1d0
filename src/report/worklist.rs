//! Samples whose parents are both sure and say different things: a list for people to look at.

use std::collections::BTreeMap;

/// Confidence from which a parent counts as sure.
const SURE: f32 = 0.9;

/// Most entries of the list; the count goes on.
const MAX_LISTED: usize = 10_000;

/// What one parent says of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    pub(super) pred: u32,
    pub(super) confidence: f32,
}

/// One sample to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// Pseudonym of the sample.
    pub sample_id: String,
    /// Class and confidence of the generalist, then of the expert.
    pub said: [(u32, f32); 2],
}

/// The list, and of how many samples it was made.
#[derive(Debug, Default)]
pub struct Worklist {
    /// Surest first: by the lower of both confidences.
    pub listed: Vec<Disagreement>,
    /// All such samples, listed or not.
    pub n_sure: u64,
    /// Clean samples that both parents scored.
    pub n: u64,
    waiting: BTreeMap<u64, (usize, Said)>,
}

impl Worklist {
    /// Adds what one parent (0 generalist, 1 expert) says of a clean sample.
    pub(super) fn add(&mut self, sample: u64, id: &str, parent: usize, said: Said) {
        let Some((other, before)) = self.waiting.remove(&sample) else {
            self.waiting.insert(sample, (parent, said));
            return;
        };
        self.n += 1;
        let is_sure = said.confidence >= SURE && before.confidence >= SURE;
        if said.pred == before.pred || !is_sure || other == parent {
            return;
        }
        self.n_sure += 1;
        if self.listed.len() < MAX_LISTED {
            let pair = if other == 0 { [before, said] } else { [said, before] };
            let said = pair.map(|said| (said.pred, said.confidence));
            self.listed.push(Disagreement { sample_id: id.to_owned(), said });
        }
    }

    /// Ends the rows.
    pub(super) fn finish(&mut self) {
        self.waiting.clear();
        let sure = |one: &Disagreement| one.said[0].1.min(one.said[1].1);
        self.listed.sort_by(|a, b| sure(b).total_cmp(&sure(a)).then(a.sample_id.cmp(&b.sample_id)));
    }

    /// The list as CSV, with class names.
    #[must_use]
    pub fn csv(&self, classes: &[String]) -> String {
        let mut text = String::from("sample_id,pretrained,pretrained_confidence,expert,expert_confidence\n");
        for one in &self.listed {
            let [(a, p), (b, q)] = one.said;
            let name = |class: u32| format!("\"{}\"", classes[class as usize].replace('"', "\"\""));
            text += &format!("{},{},{p},{},{q}\n", one.sample_id, name(a), name(b));
        }
        text
    }
}
