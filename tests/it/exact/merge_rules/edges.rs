//! Small cases worked by hand, and inputs that must be refused or shown, never smoothed over.

use t3b::merge::beta_mixture::{BetaMixture, MixtureError, MixtureRule};
use t3b::merge::coefficient::{Guard, T3Rule, batch_mean};
use t3b::merge::dare::Dare;
use t3b::merge::divergence::{Signals, log_softmax, log_softmax_into};
use t3b::merge::entropy_ratio::{DawinOffset, EntropySummary, Temperatures};
use t3b::merge::lerp::{add_scaled_into, lerp_into, m3_coefficient};
use t3b::merge::method::{Method, MethodKind};
use t3b::merge::slerp::slerp_into;
use t3b::merge::statistics::{Running, pearson_r, quantile};
use t3b::merge::ties::{TiesError, ties_into, ties_threshold};

use super::close;

#[test]
fn a_broken_logit_is_seen_all_the_way() {
    for broken in [f32::NAN, f32::INFINITY] {
        let signals = Signals::of(&log_softmax(&[broken, 1.0], 1.0), &log_softmax(&[0.0_f32, 1.0], 1.0));
        assert!(signals.js_nats.is_nan() && signals.pt_entropy_nats.is_nan(), "{signals:?}");
        assert!(!signals.is_finite());
        let coefficient = T3Rule::PAPER.coefficient(signals.js_nats);
        let guarded = Guard::CHOICE.apply(coefficient, &signals).coefficient;
        assert!(guarded.is_nan() && batch_mean(&[0.5, guarded, 0.5]).is_some_and(f64::is_nan));
    }
}

#[test]
fn a_class_ruled_out_is_not_a_nan() {
    // A masked class, in one model and in both.
    let masked = f64::NEG_INFINITY;
    let one = Signals::of(&log_softmax(&[0.0, masked], 1.0), &log_softmax(&[0.0, 0.0], 1.0));
    let both = Signals::of(&log_softmax(&[1.0, 0.0, masked], 1.0), &log_softmax(&[0.0, 1.0, masked], 1.0));
    let without = Signals::of(&log_softmax(&[1.0, 0.0], 1.0), &log_softmax(&[0.0, 1.0], 1.0));
    // (1, 0) against (1/2, 1/2): H(3/4, 1/4) - ln 2 / 2.
    let want = -0.75 * 0.75_f64.ln() - 0.25 * 0.25_f64.ln() - 0.5 * 2.0_f64.ln();
    close("js", one.js_nats, want, 1e-15);
    assert_eq!(both.js_nats, without.js_nats);
    assert_eq!(one.pt_entropy_nats, 0.0);
}

#[test]
fn opposite_certainties_reach_ln_2_and_no_further() {
    let signals = Signals::of(&log_softmax(&[1e4, 0.0], 1.0), &log_softmax(&[0.0, 1e4], 1.0));
    assert_eq!(signals.js_nats, std::f64::consts::LN_2);
    assert_eq!(Signals::of(&[0.0], &[0.0]).js_nats, 0.0);
}

#[test]
fn temperature_divides() {
    let mut out = [0.0; 2];
    log_softmax_into(&[6.0_f32, 0.0], 3.0, &mut out);
    assert_eq!(out.to_vec(), log_softmax(&[2.0_f64, 0.0], 1.0));
}

#[test]
fn a_saturated_sigmoid_stops_at_the_bound() {
    // 0.001 + (0.009 - 0.001) rounds to more than 0.009.
    let rule = T3Rule { gamma: 1e3, lambda_min: 0.001, lambda_max: 0.009, ..T3Rule::PAPER };
    assert!(rule.lambda_min + (rule.lambda_max - rule.lambda_min) > rule.lambda_max);
    assert_eq!(rule.coefficient(0.5), 0.009);
}

#[test]
fn the_guard_is_strict_and_stays_in_the_interval() {
    let with =
        |pt, ft, n_classes| Signals { js_nats: 0.1, pt_entropy_nats: pt, ft_entropy_nats: ft, n_classes };
    let threshold = 0.05 * 4.0_f64.ln();
    let step = |s: Signals| Guard::CHOICE.apply(0.5, &s).step;
    assert_eq!(step(with(1.0, threshold, 4)), 0, "at the threshold is not below it");
    assert_eq!(step(with(1.0, threshold.next_down(), 4)), 1);
    assert_eq!(step(with(threshold.next_down(), 1.0, 4)), -1);
    assert_eq!(step(with(0.01, 0.01, 4)), 0, "two equally sure models pull nowhere");
    assert_eq!(step(with(0.01, 0.02, 4)), -1, "both sure: the surer one");
    assert_eq!(step(with(0.0, 0.0, 1)), 0, "one class has no entropy to compare");
    assert_eq!(Guard::CHOICE.apply(0.97, &with(1.0, 0.0, 4)).coefficient, 1.0);
    assert_eq!(Guard::CHOICE.apply(0.03, &with(0.0, 1.0, 4)).coefficient, 0.0);
}

#[test]
fn a_batch_of_none_has_no_coefficient() {
    assert_eq!(batch_mean(&[]), None);
    // A plain sum over n leaves the inputs behind: 0.1 + 0.1 + 0.1 is more than 0.3.
    assert_eq!(batch_mean(&[0.1; 3]), Some(0.1));
    assert!(batch_mean(&[f64::NAN]).is_some_and(f64::is_nan));
}

#[test]
fn standard_deviations_divide_by_n_minus_one() {
    let running = Running::of(&[1.0, 2.0, 3.0, 6.0]);
    assert_eq!((running.n(), running.mean()), (4, Some(3.0)));
    // Squares 4 + 1 + 0 + 9.
    close("unbiased", running.std_unbiased().expect("two"), (14.0_f64 / 3.0).sqrt(), 1e-15);
    close("population", running.variance_population().expect("one"), 3.5, 1e-15);
    assert_eq!((Running::of(&[5.0]).std_unbiased(), Running::default().mean()), (None, None));
    assert_eq!(EntropySummary::of(&Running::of(&[5.0])), None);
    let summary = EntropySummary::of(&running).expect("two");
    let offset = DawinOffset::of(summary, summary).expect("positive");
    close("b", offset.bias, (14.0_f64 / 3.0).sqrt() / 3.0, 1e-15);
    assert_eq!(offset.divisor, 2.0);
}

#[test]
fn an_offset_without_entropy_is_refused() {
    let summary = |mean_nats| EntropySummary { mean_nats, std_nats: 0.1 };
    for (pt, ft) in [(0.0, 1.0), (1.0, 0.0), (f64::NAN, 1.0)] {
        assert!(DawinOffset::of(summary(pt), summary(ft)).is_err());
    }
    assert_eq!(Temperatures::of_backbone("ViT-H/14"), None);
}

#[test]
fn equal_magnitudes_at_the_threshold_are_all_kept() {
    // Magnitudes 1 1 1 1 2, keep 0.2: floor(5 * 0.2) = 1, so the 4th smallest decides, which is a 1.
    let (pt, ft) = ([0.0_f32; 5], [1.0_f32, -1.0, 1.0, -1.0, 2.0]);
    let pair = || std::iter::once((&pt[..], &ft[..]));
    assert_eq!(ties_threshold(pair(), 0.2), Ok(1.0));
    let mut out = [f32::NAN; 5];
    ties_into(&pt, &ft, 1.0, 0.5, &mut out);
    assert_eq!(out, [0.5, -0.5, 0.5, -0.5, 1.0]);
    // Without ties one more than asked: of 1 2 3 4 5 the 4th smallest and what is above it.
    let ft = [1.0_f32, 2.0, -3.0, 4.0, 5.0];
    assert_eq!(ties_threshold(std::iter::once((&pt[..], &ft[..])), 0.2), Ok(4.0));
    ties_into(&pt, &ft, 4.0, 0.5, &mut out);
    assert_eq!(out, [0.0, 0.0, 0.0, 2.0, 2.5]);
}

#[test]
fn ties_refuses_what_has_no_order() {
    let weights = |e: &'static [f32]| std::iter::once((&[0.0_f32, 0.0][..e.len()], e));
    assert!(matches!(ties_threshold(weights(&[1.0, 2.0]), 1.5), Err(TiesError::Keep { .. })));
    assert!(matches!(ties_threshold(weights(&[1.0, 2.0]), f64::NAN), Err(TiesError::Keep { .. })));
    assert_eq!(ties_threshold(weights(&[]), 0.2), Err(TiesError::Empty));
    assert_eq!(ties_threshold(std::iter::empty(), 0.2), Err(TiesError::Empty));
    assert_eq!(ties_threshold(weights(&[1.0, f32::NAN]), 0.2), Err(TiesError::NotFinite));
    assert_eq!(ties_threshold(weights(&[f32::NEG_INFINITY, 1.0]), 0.2), Err(TiesError::NotFinite));
    assert_eq!(ties_threshold(weights(&[f32::MAX, 0.0]), 0.0), Ok(f32::MAX));
}

#[test]
fn dare_drops_the_fraction_it_says_and_keeps_the_mean() {
    let n = 100_000;
    let (pt, ft, mut out) = (vec![0.0_f32; n], vec![1.0_f32; n], vec![f32::NAN; n]);
    let rule = Dare { drop_probability: 0.9, scale: 1.0, seed: 1 };
    rule.merge_into("w", &pt, &ft, &mut out);
    let kept = out.iter().filter(|&&w| w != 0.0).count();
    // Four standard deviations of a binomial count are 380.
    assert!(kept.abs_diff(n / 10) < 380, "{kept}");
    assert!(out.iter().all(|&w| w == 0.0 || (w - 10.0).abs() < 1e-5));
    let mut other = vec![f32::NAN; n];
    rule.merge_into("w2", &pt, &ft, &mut other);
    assert_ne!(out, other, "another tensor draws its own numbers");
    Dare { seed: 2, ..rule }.merge_into("w", &pt, &ft, &mut other);
    assert_ne!(out, other, "another seed is another run");
}

#[test]
fn spherical_merges_of_degenerate_tensors_are_finite() {
    let merged = |pt: &[f32], ft: &[f32]| {
        let mut out = vec![f32::NAN; pt.len()];
        slerp_into(pt, ft, 0.5, &mut out);
        out
    };
    assert_eq!(merged(&[0.0, 0.0], &[1.0, -2.0]), [0.5, -1.0], "a zero tensor: the linear merge");
    assert_eq!(merged(&[], &[]), [0.0_f32; 0]);
    for (got, want) in merged(&[3.0, 4.0], &[3.0, 4.0]).iter().zip([3.0, 4.0]) {
        close("parallel", f64::from(*got), want, 1e-6);
    }
    // Exactly opposite: the angle stops short of pi, where the sine would vanish.
    assert!(merged(&[3.0, 4.0], &[-3.0, -4.0]).iter().all(|w| w.abs() < 1e-3));
    // At a right angle both factors are sin 45 / sin 90.
    close("right angle", f64::from(merged(&[1.0, 0.0], &[0.0, 1.0])[0]), 0.5_f64.sqrt(), 1e-7);
}

#[test]
fn the_ends_of_a_merge_are_copied() {
    // 1e8 + (1 - 1e8) rounds to 0: the formula alone would lose the expert's weight.
    let mut out = [f32::NAN];
    lerp_into(&[1e8], &[1.0], 1.0, &mut out);
    assert_eq!(out, [1.0]);
    // And -0 + 0 is 0: the near end too is a copy.
    lerp_into(&[-0.0], &[1.0], 0.0, &mut out);
    assert_eq!(out[0].to_bits(), (-0.0_f32).to_bits());
    add_scaled_into(&[-0.0], &[1.0], 0.0, &mut out);
    assert_eq!(out[0].to_bits(), (-0.0_f32).to_bits());
}

#[test]
fn m3_draws_another_coefficient_every_run() {
    let runs: Vec<f64> = (0..1000).map(|run| m3_coefficient(1, run)).collect();
    assert!(runs.iter().all(|c| (0.0..1.0).contains(c)));
    let mean = Running::of(&runs).mean().expect("runs");
    assert!((mean - 0.5).abs() < 0.04, "{mean}");
    assert_ne!(m3_coefficient(1, 0), m3_coefficient(2, 0));
}

#[test]
fn a_mixture_of_the_ends_is_capped() {
    // 0 and 1 in equal number: m = 1/2, variance near 1/4, capped at 1/16, so s = 3 and a = b = 3/2.
    let rule = MixtureRule { n_components: 1, ..MixtureRule::DAWIN };
    let mixture = BetaMixture::fit(&[0.0, 1.0, 0.0, 1.0], &rule).expect("a mixture");
    close("a", mixture.components()[0].alpha, 1.5, 1e-7);
    close("b", mixture.components()[0].beta, 1.5, 1e-7);
}

#[test]
fn a_mixture_of_equal_numbers_is_one_cluster() {
    let mixture = BetaMixture::fit(&[0.55; 20], &MixtureRule::DAWIN).expect("a mixture");
    assert_eq!(mixture.components().len(), 1);
    close("coefficient", mixture.coefficient(0.9), 0.55, 1e-12);
    assert!(mixture.converged() && mixture.mean_log_likelihood_nats().is_finite());
    let one = BetaMixture::fit(&[0.0], &MixtureRule::DAWIN).expect("a mixture");
    assert!(one.coefficient(0.0) < 1e-5);
}

#[test]
fn a_mixture_refuses_what_is_no_coefficient() {
    let fit = |values: &[f64]| BetaMixture::fit(values, &MixtureRule::DAWIN);
    assert_eq!(fit(&[]), Err(MixtureError::Empty));
    assert_eq!(fit(&[0.5, 1.5]), Err(MixtureError::OutOfRange { index: 1, value: 1.5 }));
    assert!(matches!(fit(&[0.5, 0.5, f64::NAN]), Err(MixtureError::OutOfRange { index: 2, .. })));
    let none = MixtureRule { n_components: 0, ..MixtureRule::DAWIN };
    assert_eq!(BetaMixture::fit(&[0.5], &none), Err(MixtureError::Rule));
}

#[test]
fn correlations_and_quantiles_of_too_little() {
    assert_eq!(pearson_r(&[1.0], &[2.0]), None);
    assert_eq!(pearson_r(&[0.1; 10], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]), None);
    close("r", pearson_r(&[1.0, 2.0, 3.0], &[-2.0, -4.0, -6.0]).expect("rows"), -1.0, 1e-15);
    assert_eq!(quantile(&[], 0.5), None);
    assert_eq!(quantile(&[1.0, f64::NAN], 0.5), None);
    assert_eq!(quantile(&[4.0, 1.0, 2.0, 3.0], 0.5), Some(2.5));
    assert_eq!(quantile(&[7.0], 0.95), Some(7.0));
}

#[test]
fn every_method_has_one_name_and_one_kind() {
    let mut names = Method::NAMES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 23);
    for (method, name) in Method::ALL.into_iter().zip(Method::NAMES) {
        assert_eq!(Method::from_name(name), Some(method));
        assert_eq!(method.is_guarded(), name.ends_with("_guard"));
        assert_eq!(method.kind() == MethodKind::ClusterMerge, name.contains("clusters"));
        let batch = ["entropy_ratio_b", "t3_b", "t3_b_guard"].contains(&name);
        assert_eq!(method.kind() == MethodKind::BatchMerge, batch, "{name}");
    }
    assert_eq!(Method::from_name("T3_B"), None);
    assert_eq!(Method::from_name(""), None);
}
