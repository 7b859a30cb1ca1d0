//! Whether a night is unlike others: effects with a null, and a size below which nothing alarms.

use t3b_stats::{Compared, Histogram, compare, holm};

/// Permutations of the null.
const N_PERMUTATIONS: usize = 999;

/// Family-wise error of the alarms of one night.
const ALPHA: f64 = 0.05;

/// Population stability index from which a significant shift alarms: the usual "moderate" mark. A large night makes
/// every shift significant; this keeps trifles silent.
pub const PSI_ALARM: f64 = 0.1;

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

/// What was found of one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Its name.
    pub name: String,
    /// Effects and their nulls.
    pub compared: Compared,
    /// p of the stability index after Holm's correction over the night's quantities.
    pub p_adjusted: f64,
    /// Significant and large.
    pub is_alarm: bool,
    /// Categories have no order.
    pub is_category: bool,
}

/// Compares all quantities of a night; those without rows on a side are left out.
#[must_use]
pub fn drift(quantities: &[Quantity], seed: u64) -> Vec<Drift> {
    let compared = |one: &Quantity| {
        let found = compare(&one.reference, &one.night, N_PERMUTATIONS, seed)?;
        Some((one.name.clone(), one.is_category, found))
    };
    let found: Vec<(String, bool, Compared)> = quantities.iter().filter_map(compared).collect();
    let p: Vec<f64> = found.iter().map(|(_, _, compared)| compared.psi.p_value).collect();
    let all = found.into_iter().zip(holm(&p));
    all.map(|((name, is_category, compared), p_adjusted)| Drift {
        is_alarm: p_adjusted <= ALPHA && compared.psi.value >= PSI_ALARM,
        name,
        compared,
        p_adjusted,
        is_category,
    })
    .collect()
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
            0,
        );
        assert!(!found[0].is_alarm && found[1].is_alarm, "{found:?}");
    }
}
