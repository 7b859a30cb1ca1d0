//! Intervals cover what they should, tests of pairs err as rarely as they should, estimates without labels hold while
//! their assumption does. 300 draws by default; 2000, and nights of 1e5 rows, with `T3B_FULL=1`.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use t3b_stats::{
    AdaptiveEce, Calibrator, CellErrors, Estimate, Grid, Histogram, Interval, Metric, Outcome, Resamples,
    Tally, adaptive_ece, calibration_interval, compare, expanded_percentile, expected_auc, holm,
    mcnemar_exact, mean_error, mmd_null, one_vs_rest, paired_p_value, wilson,
};

const N_CLASSES: usize = 4;

fn is_full() -> bool {
    std::env::var("T3B_FULL").is_ok_and(|value| value == "1")
}

fn n_draws() -> usize {
    if is_full() {
        return 2000;
    }
    println!("reduced: 300 draws instead of 2000, wider bounds; T3B_FULL=1 for all");
    300
}

/// 93-97 % of 2000 draws; of 300 what 5 binomial standard deviations around 95 % leave.
#[track_caller]
fn check_coverage(covered: usize, n: usize, what: &str) {
    let share = covered as f64 / n as f64;
    println!("{what}: {:.1} % of {n}", 100.0 * share);
    let allowed = if is_full() { 0.93..=0.97 } else { 0.90..=1.0 };
    assert!(allowed.contains(&share), "{what} covers {share}");
}

fn normal(rng: &mut Pcg64Mcg) -> f64 {
    let (u, v): (f64, f64) = (rng.random::<f64>().max(1e-300), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Rows of a model of some skill that is too sure of itself by `sharpness`.
fn rows(n: usize, skill: f64, sharpness: f64, rng: &mut Pcg64Mcg) -> (Vec<u32>, Vec<f32>) {
    let (mut labels, mut probs) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let label = match rng.random::<f64>() {
            u if u < 0.4 => 0,
            u if u < 0.7 => 1,
            u if u < 0.85 => 2,
            _ => 3_u32,
        };
        // Bayes' posterior of unit Gaussians around skill * e_label has logits skill * x; a sharpness of 1 is calibrated
        // but for the prior, which the logits carry as well.
        let prior: [f64; 4] = [0.4, 0.3, 0.15, 0.15];
        let logit = |class: usize, rng: &mut Pcg64Mcg| {
            let x = normal(rng) + if class == label as usize { skill } else { 0.0 };
            sharpness * (skill * x + prior[class].ln())
        };
        let z: Vec<f64> = (0..N_CLASSES).map(|class| logit(class, rng)).collect();
        let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| (z - most).exp()).sum();
        probs.extend(z.iter().map(|z| ((z - most).exp() / sum) as f32));
        labels.push(label);
    }
    (labels, probs)
}

fn outcomes(labels: &[u32], probs: &[f32]) -> Vec<Outcome> {
    labels.iter().zip(probs.chunks_exact(N_CLASSES)).map(|(label, row)| Outcome::of(*label, row)).collect()
}

fn tally(rows: &[Outcome], weights: Option<&[u32]>) -> Tally {
    let mut tally = Tally::new(N_CLASSES);
    for (n, row) in rows.iter().enumerate() {
        tally.add(row, weights.map_or(1, |weights| u64::from(weights[n])));
    }
    tally
}

fn sorted_ece(rows: &[Outcome], weights: Option<&[u32]>) -> AdaptiveEce {
    let mut pairs = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let times = weights.map_or(1, |weights| weights[n]);
        pairs.extend((0..times).map(|_| (row.confidence, row.is_correct())));
    }
    adaptive_ece(&mut pairs)
}

const BY_TALLY: [Metric; 6] = [
    Metric::BalancedAccuracy,
    Metric::MacroF1,
    Metric::KappaQuadratic,
    Metric::Ece,
    Metric::Brier,
    Metric::Nll,
];

/// Perfect calibration lies at the end of the range, where no bootstrap covers.
#[test]
fn calibrated_confidence_is_not_called_miscalibrated() {
    let mut rng = Pcg64Mcg::seed_from_u64(8);
    let (n, n_draws, mut covered) = (400, n_draws(), 0);
    for draw in 0..n_draws {
        let confidence = |rng: &mut Pcg64Mcg| 0.3 + 0.7 * rng.random::<f64>();
        let row = |c: f64, rng: &mut Pcg64Mcg| Outcome {
            label: u32::from(rng.random::<f64>() >= c),
            pred: 0,
            confidence: c as f32,
            scores: None,
        };
        let set: Vec<Outcome> = (0..n)
            .map(|_| {
                let c = confidence(&mut rng);
                row(c, &mut rng)
            })
            .collect();
        let resamples = Resamples::new(draw as u64, n, 200);
        let list: Vec<f64> =
            resamples.all().map(|w| tally(&set, Some(&w)).totals.bins.ece().unwrap()).collect();
        let of_set = tally(&set, None).totals.bins;
        let interval = calibration_interval(of_set.ece().unwrap(), &list, of_set.null(), 0.75, 0.95).unwrap();
        covered += usize::from(interval.low == 0.0);
    }
    let share = covered as f64 / n_draws as f64;
    println!("calibrated: the interval reaches 0 in {:.1} %", 100.0 * share);
    assert!(share >= 0.93, "{share}");
}

#[test]
fn intervals_cover_the_truth() {
    let (n, skill, sharpness) = (400, 1.6, 1.7);
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let (labels, probs) = rows(1_000_000, skill, sharpness, &mut rng);
    let population = outcomes(&labels, &probs);
    let truth = tally(&population, None);
    let true_auc = one_vs_rest(N_CLASSES, &labels, &probs).unwrap().value.unwrap();
    let true_adaptive = sorted_ece(&population, None).value().unwrap();
    let n_draws = n_draws();
    let mut covered = [0_usize; BY_TALLY.len() + 3];
    for draw in 0..n_draws {
        let (labels, probs) = rows(n, skill, sharpness, &mut rng);
        let set = outcomes(&labels, &probs);
        let of_set = tally(&set, None);
        let mut replicates: [Vec<f64>; BY_TALLY.len() + 1] = Default::default();
        for weights in Resamples::new(draw as u64, n, 400).all() {
            let drawn = tally(&set, Some(&weights));
            for (list, metric) in replicates.iter_mut().zip(BY_TALLY) {
                list.push(drawn.value(metric).unwrap());
            }
            replicates[BY_TALLY.len()].push(sorted_ece(&set, Some(&weights)).value().unwrap());
        }
        let smallest = (0..N_CLASSES).map(|class| of_set.confusion.n_label(class)).min().unwrap();
        for (place, list) in replicates.iter_mut().enumerate() {
            let metric = BY_TALLY.get(place).copied().unwrap_or(Metric::EceAdaptive);
            let units = if matches!(metric, Metric::BalancedAccuracy | Metric::MacroF1) {
                smallest
            } else {
                n as u64
            };
            let mut interval = expanded_percentile(list, 0.95, units).unwrap();
            let (value, target) = match metric {
                Metric::EceAdaptive => (sorted_ece(&set, None).value().unwrap(), true_adaptive),
                other => (of_set.value(other).unwrap(), truth.value(other).unwrap()),
            };
            if metric == Metric::Ece {
                interval = calibration_interval(value, list, of_set.totals.bins.null(), 0.75, 0.95).unwrap();
            } else if metric == Metric::EceAdaptive {
                interval =
                    calibration_interval(value, list, sorted_ece(&set, None).null(), 1.0, 0.95).unwrap();
            }
            covered[place] += usize::from(interval.holds(target));
        }
        let top1 = wilson(of_set.confusion.n_correct(), n as u64, 0.95).unwrap();
        covered[BY_TALLY.len() + 1] += usize::from(top1.holds(truth.value(Metric::Top1).unwrap()));
        let auc = one_vs_rest(N_CLASSES, &labels, &probs).unwrap().interval(0.95).unwrap();
        covered[BY_TALLY.len() + 2] += usize::from(auc.holds(true_auc));
    }
    let names = BY_TALLY.iter().map(|metric| metric.name()).chain(["ece_adaptive", "top1", "auc"]);
    let results: Vec<_> = names.zip(covered).collect();
    results.iter().for_each(|(name, covered)| println!("{name} {}", *covered as f64 / n_draws as f64));
    results.into_iter().for_each(|(name, covered)| check_coverage(covered, n_draws, name));
}

/// Errors of one sample in several cells hang together; the mean over cells must not pretend otherwise.
#[test]
fn means_over_cells_are_covered_when_samples_are_drawn_whole() {
    let (n, n_cells, true_error) = (150, 6, 0.3);
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let (n_draws, mut covered) = (n_draws(), 0);
    for draw in 0..n_draws {
        // A sample's difficulty is shared by its cells.
        let wrong: Vec<Vec<f64>> = (0..n)
            .map(|_| {
                let hard = rng.random::<f64>() < 0.5;
                let p = if hard { 0.5 } else { 0.1 };
                (0..n_cells).map(|_| f64::from(u8::from(rng.random::<f64>() < p))).collect()
            })
            .collect();
        let mean = |weights: &[u32]| {
            let cell = |cell: usize| {
                wrong.iter().zip(weights).map(|(row, w)| row[cell] * f64::from(*w)).sum::<f64>() / n as f64
            };
            let kind = |k: usize| (format!("{k}"), vec![cell(2 * k), cell(2 * k + 1)]);
            mean_error(&CellErrors { clean: None, corruptions: (0..n_cells / 2).map(kind).collect() })
                .unwrap()
        };
        let mut list: Vec<f64> = Resamples::new(draw as u64, n, 400).all().map(|w| mean(&w)).collect();
        covered += usize::from(expanded_percentile(&mut list, 0.95, n as u64).unwrap().holds(true_error));
    }
    check_coverage(covered, n_draws, "mean_err over cells");
}

#[test]
fn a_family_of_pairs_errs_rarely() {
    let (n, n_others) = (300, 4);
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let (n_draws, mut exact, mut bootstrap) = (n_draws(), 0, 0);
    for draw in 0..n_draws {
        // Equal accuracies; the methods agree on most samples, as merges of the same parents do.
        let right: Vec<Vec<bool>> = (0..n)
            .map(|_| {
                let base = rng.random::<f64>() < 0.7;
                let own = |rng: &mut Pcg64Mcg| {
                    if rng.random::<f64>() < 0.8 { base } else { rng.random::<f64>() < 0.7 }
                };
                (0..=n_others).map(|_| own(&mut rng)).collect()
            })
            .collect();
        let discordant = |other: usize| {
            let count = |a: bool| right.iter().filter(|row| row[0] == a && row[other] != a).count() as u64;
            (count(true), count(false))
        };
        let p: Vec<f64> = (1..=n_others).map(discordant).map(|(b, c)| mcnemar_exact(b, c)).collect();
        exact += usize::from(holm(&p).iter().any(|p| *p <= 0.05));
        let weights: Vec<Vec<u32>> = Resamples::new(draw as u64, n, 1000).all().collect();
        let difference = |other: usize, weights: &Vec<u32>| {
            let of = |(row, w): (&Vec<bool>, &u32)| {
                f64::from(*w) * (f64::from(u8::from(row[0])) - f64::from(u8::from(row[other])))
            };
            right.iter().zip(weights).map(of).sum::<f64>()
        };
        let p = (1..=n_others)
            .map(|other| paired_p_value(&weights.iter().map(|w| difference(other, w)).collect::<Vec<_>>()));
        bootstrap += usize::from(holm(&p.collect::<Vec<_>>()).iter().any(|p| *p <= 0.05));
    }
    for (what, errors) in [("McNemar", exact), ("paired bootstrap", bootstrap)] {
        let share = errors as f64 / n_draws as f64;
        println!("family-wise error of {what}: {:.1} %", 100.0 * share);
        assert!(share <= if is_full() { 0.055 } else { 0.095 }, "{what}: {share}");
    }
}

#[test]
fn a_real_difference_is_found() {
    assert!(holm(&[mcnemar_exact(40, 10), 0.5, 0.8])[0] < 0.001);
    let differences: Vec<f64> = (0..1000).map(|k| 0.01 + 1e-5 * f64::from(k)).collect();
    assert!(paired_p_value(&differences) < 0.01);
}

/// Estimates of a night from a calibrator fitted on another.
#[test]
fn estimates_without_labels_hold_while_calibration_does_and_fail_with_it() {
    let mut rng = Pcg64Mcg::seed_from_u64(4);
    let (labels, probs) = rows(20_000, 1.6, 1.7, &mut rng);
    let calibrator = Calibrator::fit(N_CLASSES, &labels, &probs).unwrap();
    let estimate = |skill: f64, rng: &mut Pcg64Mcg| {
        let (labels, probs) = rows(20_000, skill, 1.7 * 1.6 / skill, rng);
        let (mut all, mut ranked) = (Estimate::new(N_CLASSES), vec![Vec::new(); N_CLASSES]);
        for row in probs.chunks_exact(N_CLASSES) {
            let calibrated = calibrator.apply(row);
            all.add(Outcome::of(0, row).pred as usize, &calibrated);
            (0..N_CLASSES).for_each(|class| ranked[class].push((row[class], calibrated[class])));
        }
        let auc = ranked.iter_mut().map(|rows| expected_auc(rows).unwrap()).sum::<f64>() / N_CLASSES as f64;
        let truth = tally(&outcomes(&labels, &probs), None);
        let true_auc = one_vs_rest(N_CLASSES, &labels, &probs).unwrap().value.unwrap();
        [
            all.accuracy().unwrap() - truth.value(Metric::Top1).unwrap(),
            all.macro_f1().unwrap() - truth.value(Metric::MacroF1).unwrap(),
            auc - true_auc,
        ]
    };
    for error in estimate(1.6, &mut rng) {
        println!("calibrated night: {:+.2} points", 100.0 * error);
        assert!(error.abs() < 0.02, "{error}");
    }
    // The pictures became harder and the model as sure as before: nothing in its outputs says so.
    let fooled = estimate(0.9, &mut rng);
    println!("miscalibrated night: {:+.2} points of accuracy", 100.0 * fooled[0]);
    assert!(fooled[0] > 0.05, "{fooled:?}");
}

fn night(n: usize, shift: f64, rng: &mut Pcg64Mcg) -> Histogram {
    let grid = Grid::new(-6.0, 6.0, 4096);
    let mut counts = Histogram::new(&grid);
    (0..n).for_each(|_| counts.add(&grid, normal(rng) + shift));
    counts
}

#[test]
fn nights_without_drift_do_not_alarm_and_planted_ones_do() {
    let (n_nights, n_rows) = if is_full() { (1000, 100_000) } else { (200, 5_000) };
    println!("{n_nights} nights of {n_rows} rows");
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let mut alarms = 0;
    for seed in 0..n_nights {
        let found = compare(&night(n_rows, 0.0, &mut rng), &night(n_rows, 0.0, &mut rng), 199, seed).unwrap();
        alarms += usize::from(found.ks.p_value <= 0.05);
    }
    let share = alarms as f64 / n_nights as f64;
    println!("p <= 0.05 in {:.1} % of undrifted nights, before any limit on the effect", 100.0 * share);
    assert!(share <= if is_full() { 0.065 } else { 0.1 }, "{share}");
    // A shift of half a standard deviation: KS 0.197, the normal distribution's.
    let found = compare(&night(n_rows, 0.0, &mut rng), &night(n_rows, 0.5, &mut rng), 199, 0).unwrap();
    assert!(found.ks.p_value <= 0.005 && (found.ks.value - 0.197).abs() < 0.03, "{found:?}");
    assert!(found.psi.value > 0.2 && found.js_nats.value > 0.02, "{found:?}");
    // Categories: one class doubles.
    let found =
        compare(&Histogram::of(vec![500, 300, 200]), &Histogram::of(vec![400, 200, 400]), 199, 0).unwrap();
    assert!(found.psi.p_value <= 0.005 && found.psi.value > 0.1, "{found:?}");
}

#[test]
fn a_large_night_with_a_trifling_shift_is_significant_but_small() {
    let mut rng = Pcg64Mcg::seed_from_u64(6);
    let found = compare(&night(200_000, 0.0, &mut rng), &night(200_000, 0.03, &mut rng), 199, 0).unwrap();
    assert!(found.ks.p_value <= 0.01 && found.ks.value < 0.03 && found.psi.value < 0.01, "{found:?}");
}

#[test]
fn vectors_that_move_are_found_and_others_are_not() {
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let mut set = |shift: f64| -> Vec<Vec<f32>> {
        (0..600).map(|_| (0..8).map(|_| (normal(&mut rng) + shift) as f32).collect()).collect()
    };
    let (a, b, moved) = (set(0.0), set(0.0), set(0.7));
    let of = |x: &[Vec<f32>], y: &[Vec<f32>]| {
        let (x, y): (Vec<&[f32]>, Vec<&[f32]>) =
            (x.iter().map(Vec::as_slice).collect(), y.iter().map(Vec::as_slice).collect());
        mmd_null(&x, &y, 199, 1).unwrap()
    };
    assert!(of(&a, &moved).p_value <= 0.01);
    assert!(of(&a, &b).p_value > 0.05);
}

#[test]
fn an_interval_holds_its_ends() {
    let interval = Interval { low: 0.1, high: 0.2 };
    assert!(interval.holds(0.1) && interval.holds(0.2) && !interval.holds(0.3));
}
