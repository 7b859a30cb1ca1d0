//! The errors of the AlexNet models that MedMNIST-C normalises with.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// `medmnistc/utils/baselines.py` of medmnistc 0.1.0 (Apache-2.0), as CSV: balanced errors, over severities averaged.
const TABLE: &str = include_str!("../data/alexnet_medmnistc.csv");

/// Balanced errors of AlexNet on one data set: `clean` and each corruption.
pub type Suite = BTreeMap<&'static str, f64>;

static SUITES: LazyLock<BTreeMap<&'static str, Suite>> = LazyLock::new(|| {
    let mut suites: BTreeMap<&'static str, Suite> = BTreeMap::new();
    for line in TABLE.lines().skip(1) {
        let mut fields = line.split(',');
        if let (Some(set), Some(cell), Some(error)) = (fields.next(), fields.next(), fields.next())
            && let Ok(error) = error.parse()
        {
            suites.entry(set).or_default().insert(cell, error);
        }
    }
    suites
});

/// AlexNet's errors on the data set of that name, such as `bloodmnist`.
#[must_use]
pub fn alexnet_error(set: &str) -> Option<&'static Suite> {
    SUITES.get(set)
}
