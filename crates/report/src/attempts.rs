//! What processes at work on a run counted and timed.

/// One process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempt {
    /// Batches that it scored.
    pub n_batches: u64,
    /// From its beginning to its end.
    pub seconds: f64,
    /// The most memory it had.
    pub rss_peak_mib: u64,
    /// Its stages in flow order; none where the run is of a version that did not keep them.
    pub stages: Vec<Stage>,
    /// Seconds that both parents took, then each method by its name; none where the run did not keep them.
    pub methods: Vec<(String, f64)>,
}

/// One stage of the flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// What it sent on; `None` for the last one.
    pub n_items: Option<u64>,
    /// What these are.
    pub unit: &'static str,
    /// Time in which it had something in hand and was not waiting for the next one.
    pub busy_s: f64,
}

/// Stages of all attempts together.
pub(crate) fn stage_totals(attempts: &[Attempt]) -> Vec<Stage> {
    let mut all: Vec<Stage> = Vec::new();
    for stage in attempts.iter().flat_map(|attempt| &attempt.stages) {
        match all.iter_mut().find(|known| known.name == stage.name) {
            Some(known) => {
                known.busy_s += stage.busy_s;
                known.n_items = known.n_items.zip(stage.n_items).map(|(a, b)| a + b);
            }
            None => all.push(stage.clone()),
        }
    }
    all
}

/// Seconds of all attempts by method, in the order of the first that has them.
pub(crate) fn method_seconds(attempts: &[Attempt]) -> Vec<(String, f64)> {
    let mut all: Vec<(String, f64)> = Vec::new();
    for (name, seconds) in attempts.iter().flat_map(|attempt| &attempt.methods) {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += seconds,
            None => all.push((name.clone(), *seconds)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_add_up_by_name() {
        let stage = |n, busy_s| Stage { name: "decode".into(), n_items: Some(n), unit: "images", busy_s };
        let attempt = |n, busy_s| Attempt {
            stages: vec![stage(n, busy_s)],
            methods: vec![("parents".into(), busy_s), ("t3_b".into(), 1.0)],
            ..Attempt::default()
        };
        let all = [attempt(3, 0.5), Attempt::default(), attempt(4, 1.0)];
        assert_eq!(stage_totals(&all), [stage(7, 1.5)]);
        assert_eq!(method_seconds(&all), [("parents".to_owned(), 1.5), ("t3_b".to_owned(), 2.0)]);
    }
}
