//! Whether a night is unlike others: effects with a null, and a size below which nothing alarms.

use t3b_stats::{Compared, Histogram, Mmd, compare, holm, mmd_null};

/// Permutations of the null.
const N_PERMUTATIONS: usize = 999;

/// Family-wise error of the alarms of one night.
const ALPHA: f64 = 0.05;

/// Population stability index from which a significant shift alarms: the usual "moderate" mark. A large night makes
/// every shift significant; this keeps trifles silent.
pub const PSI_ALARM: f64 = 0.1;

/// Squared discrepancy of features from which a significant shift alarms: with the kernel at the median distance, about that of
/// two clouds whose means are 0.3 standard deviations apart in every direction.
pub const MMD_ALARM: f64 = 0.025;

/// One quantity of a night.
#[derive(Debug, Clone)]
pub struct Quantity {
    /// Its name, such as `js_nats`.
    pub name: String,
    /// Rows of the reference runs.
    pub reference: Histogram,
    /// Rows of the night.
    pub night: Histogram,
    /// Categories have no order: no distribution function.
    pub is_category: bool,
}

/// Features of images of two nights, compared as they are: rows of one length.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    /// Of the reference runs, in random order.
    pub reference: &'a [Vec<f32>],
    /// Of the night, in random order.
    pub night: &'a [Vec<f32>],
}

/// How far a night is from its reference in one quantity.
#[derive(Debug, Clone, PartialEq)]
pub enum Shift {
    /// A distribution over bins.
    Bins(Compared),
    /// A discrepancy of vectors, from so many of the night and of the reference.
    Vectors(Mmd, [u64; 2]),
}

impl Shift {
    /// Share of pooled permutations that are at least as far apart.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        match self {
            Self::Bins(compared) => compared.psi.p_value,
            Self::Vectors(mmd, _) => mmd.p_value,
        }
    }

    /// Rows of the night and of the reference.
    #[must_use]
    pub fn n(&self) -> [u64; 2] {
        match self {
            Self::Bins(compared) => [compared.n, compared.n_reference],
            Self::Vectors(_, n) => *n,
        }
    }

    /// Where it is one of bins.
    #[must_use]
    pub fn bins(&self) -> Option<&Compared> {
        if let Self::Bins(compared) = self { Some(compared) } else { None }
    }

    /// The squared discrepancy, where it is one of vectors.
    #[must_use]
    pub fn mmd(&self) -> Option<f64> {
        if let Self::Vectors(mmd, _) = self { Some(mmd.value) } else { None }
    }

    fn is_large(&self) -> bool {
        match self {
            Self::Bins(compared) => compared.psi.value >= PSI_ALARM,
            Self::Vectors(mmd, _) => mmd.value >= MMD_ALARM,
        }
    }
}

/// What was found of one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Its name.
    pub name: String,
    /// Effects and their nulls.
    pub shift: Shift,
    /// p after Holm's correction over the night's quantities.
    pub p_adjusted: f64,
    /// Significant and large.
    pub is_alarm: bool,
    /// Categories have no order.
    pub is_category: bool,
}

/// Compares all quantities of a night, and its features where both sides have them; those without rows on a side are left out.
#[must_use]
pub fn drift(quantities: &[Quantity], features: Option<Features<'_>>, seed: u64) -> Vec<Drift> {
    let compared = |one: &Quantity| {
        let found = compare(&one.reference, &one.night, N_PERMUTATIONS, seed)?;
        Some((one.name.clone(), one.is_category, Shift::Bins(found)))
    };
    let mut found: Vec<(String, bool, Shift)> = quantities.iter().filter_map(compared).collect();
    found.extend(features.and_then(|both| Some(("features".to_owned(), false, of_features(both, seed)?))));
    let p: Vec<f64> = found.iter().map(|(_, _, shift)| shift.p_value()).collect();
    let all = found.into_iter().zip(holm(&p));
    all.map(|((name, is_category, shift), p_adjusted)| Drift {
        is_alarm: p_adjusted <= ALPHA && shift.is_large(),
        name,
        shift,
        p_adjusted,
        is_category,
    })
    .collect()
}

fn of_features(Features { reference, night }: Features<'_>, seed: u64) -> Option<Shift> {
    let [a, b] = [reference, night].map(|rows| rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mmd = mmd_null(&a, &b, N_PERMUTATIONS, seed)?;
    Some(Shift::Vectors(mmd, [night.len() as u64, reference.len() as u64]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn night(n: u64, spread: u64) -> Histogram {
        let mut counts = vec![0; 10];
        (0..n).for_each(|k| counts[((k * 7919) % spread) as usize % 10] += 1);
        Histogram::of(counts)
    }

    #[test]
    fn a_large_shift_alarms_and_equal_nights_do_not() {
        let quantity = |name: &str, night: Histogram, reference: Histogram| Quantity {
            name: name.to_owned(),
            reference,
            night,
            is_category: true,
        };
        let found = drift(
            &[
                quantity("same", night(2000, 10), night(3000, 10)),
                quantity("moved", night(2000, 4), night(3000, 10)),
            ],
            None,
            0,
        );
        assert!(!found[0].is_alarm && found[1].is_alarm, "{found:?}");
    }

    /// Normal vectors whose every coordinate has this mean.
    fn cloud(n: usize, mean: f32, key: u64) -> Vec<Vec<f32>> {
        let uniform = |n: u64| {
            let mixed = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as f32 / 16_777_216.0
        };
        let normal = |at: u64| (0..12).map(|k| uniform(key + at * 12 + k)).sum::<f32>() - 6.0 + mean;
        (0..n as u64).map(|row| (0..16).map(|column| normal(row * 16 + column + 1)).collect()).collect()
    }

    #[test]
    fn features_that_moved_alarm_and_others_do_not() {
        let reference = cloud(600, 0.0, 1 << 40);
        let of =
            |night: &[Vec<f32>]| drift(&[], Some(Features { reference: &reference, night }), 0)[0].clone();
        let (same, moved) = (of(&cloud(600, 0.0, 1 << 50)), of(&cloud(600, 0.6, 1 << 50)));
        assert!(!same.is_alarm && moved.is_alarm, "{same:?} {moved:?}");
        // Significant and small does not alarm.
        let trifle = of(&cloud(600, 0.1, 1 << 50));
        assert!(!trifle.is_alarm && trifle.shift.mmd().unwrap() < MMD_ALARM, "{trifle:?}");
    }
}
