//! Which samples are worth showing: the surest that is right, and the surest that are wrong.

use t3b_report::Row;

/// Most wrong samples that are kept.
const MAX_WRONG: usize = 4;

/// One sample of the clean images, as the primary method sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Example {
    /// Position in the frozen list.
    pub sample_row: u64,
    /// Its class, where that is known.
    pub label: Option<u32>,
    /// Predicted class.
    pub pred: u32,
    /// Probability of the predicted class.
    pub confidence: f32,
}

/// The samples of one set; the lowest position among equals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examples {
    /// The surest right one; of a night without labels the surest.
    pub right: Option<Example>,
    /// The surest wrong ones, surest first.
    pub wrong: Vec<Example>,
}

impl Examples {
    /// Looks at a row of the primary method on clean images.
    pub(super) fn add(&mut self, row: &Row<'_>) {
        let found =
            Example { sample_row: row.sample, label: row.label, pred: row.pred, confidence: row.confidence };
        if row.label.is_none_or(|label| label == row.pred) {
            if self.right.is_none_or(|known| is_before(&found, &known)) {
                self.right = Some(found);
            }
            return;
        }
        let place = self.wrong.partition_point(|known| is_before(known, &found));
        if place < MAX_WRONG {
            self.wrong.insert(place, found);
            self.wrong.truncate(MAX_WRONG);
        }
    }
}

fn is_before(a: &Example, b: &Example) -> bool {
    b.confidence.total_cmp(&a.confidence).then(a.sample_row.cmp(&b.sample_row)).is_lt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_are_kept_whatever_order_rows_come_in() {
        let rows: Vec<(u64, u32, f32)> =
            (0..40).map(|n| (n, u32::from(n % 3 == 0), ((n * 7) % 11) as f32 / 11.0)).collect();
        let of = |rows: &[(u64, u32, f32)]| {
            let mut found = Examples::default();
            for (sample, pred, confidence) in rows {
                let (sample, pred, confidence) = (*sample, *pred, *confidence);
                found.add(&Row { sample, method: 0, cell: 0, label: Some(0), pred, confidence, probs: None });
            }
            found
        };
        let backward: Vec<_> = rows.iter().rev().copied().collect();
        let found = of(&rows);
        assert_eq!(found, of(&backward));
        let sure: Vec<f32> = found.wrong.iter().map(|one| one.confidence).collect();
        assert!(sure.len() == MAX_WRONG && sure.is_sorted_by(|a, b| a >= b), "{sure:?}");
        assert_eq!(
            found.right.map(|one| one.sample_row),
            Some(14),
            "7 n = 10 modulo 11 at 3, 14, 25 and 36; of these 3 is wrong, and 14 is before 25"
        );
    }
}
