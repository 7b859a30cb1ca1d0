//! The rule as it ships: six quantities of a night, Holm over them, and no alarm below the least effect.

use t3b_report::{Drift, Quantity, drift};
use t3b_stats::{Grid, Histogram};

/// SplitMix64: the same nights on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal: the mean of four uniforms, in its own standard deviations.
    fn normal(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) * 3.0_f64.sqrt()
    }
}

/// What of a night is moved: a mean, in standard deviations, or a share, in points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Nothing,
    Divergence,
    Coefficient,
    Classes,
    Quarantine,
}

const NUMBERS: [&str; 4] = ["js_nats", "lambda_sample", "pt_entropy_nats", "ft_entropy_nats"];

fn night(n_rows: u64, planted: Planted, random: &mut Random) -> Vec<(String, bool, Histogram)> {
    let mut all = Vec::new();
    for name in NUMBERS {
        let shift = match (planted, name) {
            (Planted::Divergence, "js_nats") | (Planted::Coefficient, "lambda_sample") => 0.5,
            _ => 0.0,
        };
        let grid = Grid::new(-4.0, 4.0, 4096);
        let mut rows = Histogram::new(&grid);
        (0..n_rows).for_each(|_| rows.add(&grid, random.normal() + shift));
        all.push((name.to_owned(), false, rows));
    }
    let classes = if planted == Planted::Classes { [0.35, 0.35, 0.3] } else { [0.5, 0.3, 0.2] };
    let quarantine = if planted == Planted::Quarantine { [0.12, 0.88] } else { [0.01, 0.99] };
    for (name, shares) in [("predicted_class", &classes[..]), ("quarantine_reason", &quarantine[..])] {
        let mut counts = vec![0; shares.len()];
        for _ in 0..n_rows {
            let mut left = random.uniform();
            let place = shares.iter().position(|share| {
                left -= share;
                left < 0.0
            });
            counts[place.unwrap_or(0)] += 1;
        }
        all.push((name.to_owned(), true, Histogram::of(counts)));
    }
    all
}

fn compared(n_rows: u64, planted: Planted, random: &mut Random) -> Vec<Drift> {
    let (reference, tonight) = (night(n_rows, Planted::Nothing, random), night(n_rows, planted, random));
    let quantity =
        |((name, is_category, reference), (_, _, night))| Quantity { name, reference, night, is_category };
    let quantities: Vec<Quantity> = reference.into_iter().zip(tonight).map(quantity).collect();
    drift(&quantities, None, random.next())
}

/// What `of` says of each number below `n`, in order.
fn on_all_cores<T: Send>(n: usize, of: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(n.max(1));
    let share = n.div_ceil(n_threads);
    let part = |first: usize| (first..(first + share).min(n)).map(&of).collect::<Vec<T>>();
    std::thread::scope(|scope| {
        let part = &part;
        let threads: Vec<_> = (0..n).step_by(share).map(|first| scope.spawn(move || part(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a night")).collect()
    })
}

#[test]
fn undrifted_nights_are_silent_and_each_planted_drift_alarms_where_it_is() {
    let is_full = std::env::var_os("T3B_FULL").is_some();
    let (n_nights, n_rows) = if is_full { (1000, 100_000) } else { (20, 10_000) };
    println!("{n_nights} nights of {n_rows} rows, six quantities; the full form is T3B_FULL=1");
    let nights: Vec<[bool; 2]> = on_all_cores(n_nights, |night| {
        let found = compared(n_rows, Planted::Nothing, &mut Random((11 + night as u64) << 32));
        [found.iter().any(|one| one.is_alarm), found.iter().any(|one| one.p_adjusted <= 0.05)]
    });
    let [n_alarms, n_significant] = [0, 1].map(|k| nights.iter().filter(|night| night[k]).count());
    let share = |n: usize| 100.0 * n as f64 / n_nights as f64;
    println!("nights that alarm: {:.1} %; with p <= 0.05: {:.1} %", share(n_alarms), share(n_significant));
    assert!(share(n_alarms) <= 5.5, "{n_alarms} of {n_nights}");
    // A family-wise level of 5 %, and what 1000 nights miss it by once in a thousand; crates/stats checks the level itself.
    assert!(!is_full || share(n_significant) <= 7.2, "the permutations alone: {n_significant} of {n_nights}");
    let planted = [
        (Planted::Divergence, "js_nats"),
        (Planted::Coefficient, "lambda_sample"),
        (Planted::Classes, "predicted_class"),
        (Planted::Quarantine, "quarantine_reason"),
    ];
    let mut random = Random(7);
    for (planted, name) in planted {
        let found = compared(n_rows, planted, &mut random);
        let alarms: Vec<&str> =
            found.iter().filter(|one| one.is_alarm).map(|one| one.name.as_str()).collect();
        assert_eq!(alarms, [name], "{planted:?}");
        let one = found.iter().find(|one| one.name == name).unwrap();
        println!("{planted:?}: {name} alarms, PSI {:.3}", one.shift.bins().unwrap().psi.value);
    }
}
