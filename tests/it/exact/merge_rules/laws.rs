//! What holds for every input, tried on random ones.

use std::f64::consts::LN_2;

use proptest::prelude::*;
use t3b::merge::beta_mixture::{BetaMixture, MixtureRule};
use t3b::merge::coefficient::{Direction, Guard, T3Rule, batch_mean};
use t3b::merge::dare::Dare;
use t3b::merge::divergence::{
    LogBase, Signals, entropy_nats, jensen_shannon_nats, log_softmax, probabilities,
};
use t3b::merge::ensemble::{mean_of_logits, mean_of_probabilities};
use t3b::merge::entropy_ratio::{DawinOffset, EntropySummary, entropy_ratio};
use t3b::merge::lerp::{add_scaled_into, lerp_into};
use t3b::merge::slerp::slerp_into;
use t3b::merge::statistics::{Running, quantile};
use t3b::merge::ties::{ties_into, ties_threshold};

/// Two rows of logits over the same classes: near, far, or with one model certain.
fn two_rows() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let logit = || prop_oneof![-1.0..1.0_f64, -20.0..20.0_f64, -800.0..800.0_f64];
    prop::collection::vec((logit(), logit()), 1..12).prop_map(|rows| rows.into_iter().unzip())
}

fn rule() -> impl Strategy<Value = T3Rule> {
    (0.0..50.0_f64, 0.0..=1.0_f64, 0.0..=1.0_f64, any::<[bool; 3]>()).prop_map(
        |(gamma, a, b, [bits, expert, centred])| T3Rule {
            gamma,
            lambda_min: a.min(b),
            lambda_max: a.max(b),
            log_base: if bits { LogBase::Bits } else { LogBase::Nats },
            direction: if expert { Direction::Expert } else { Direction::Pretrained },
            centred,
        },
    )
}

/// A tensor of both parents, some weights untouched and some magnitudes equal.
fn parents() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    let step = prop_oneof![Just(0.0_f32), Just(0.25), Just(-0.25), -1.0..1.0_f32];
    prop::collection::vec((-4.0..4.0_f32, step), 1..80)
        .prop_map(|rows| rows.into_iter().map(|(weight, step)| (weight, weight + step)).unzip())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #[test]
    fn divergence_is_symmetric_and_bounded((a, b) in two_rows()) {
        let (p, q) = (log_softmax(&a, 1.0), log_softmax(&b, 1.0));
        let js = jensen_shannon_nats(&p, &q);
        prop_assert!((0.0..=LN_2).contains(&js), "{js}");
        prop_assert_eq!(js.to_bits(), jensen_shannon_nats(&q, &p).to_bits());
    }

    #[test]
    fn divergence_is_zero_exactly_for_equal_rows((a, b) in two_rows()) {
        let (p, q) = (log_softmax(&a, 1.0), log_softmax(&b, 1.0));
        prop_assert_eq!(jensen_shannon_nats(&p, &p), 0.0);
        // Between TV^2 / 2 and TV ln 2, so it vanishes with the total variation and only with it.
        let tv = probabilities(&p).iter().zip(probabilities(&q)).map(|(x, y)| (x - y).abs()).sum::<f64>() / 2.0;
        let js = jensen_shannon_nats(&p, &q);
        prop_assert!(tv * tv / 2.0 <= js + 1e-12 && js <= tv * LN_2 + 1e-12, "tv {tv}, js {js}");
    }

    #[test]
    fn divergence_is_unchanged_by_relabelling((a, b) in two_rows(), by in 0..12_usize) {
        let turn = |v: &[f64]| {
            let mut v = v.to_vec();
            v.rotate_left(by % a.len());
            v.reverse();
            log_softmax(&v, 1.0)
        };
        let here = Signals::of(&log_softmax(&a, 1.0), &log_softmax(&b, 1.0));
        let there = Signals::of(&turn(&a), &turn(&b));
        prop_assert!((here.js_nats - there.js_nats).abs() < 1e-13);
        prop_assert!((here.ft_entropy_nats - there.ft_entropy_nats).abs() < 1e-12);
    }

    #[test]
    fn divergence_is_the_difference_of_entropies((a, b) in two_rows()) {
        let (p, q) = (log_softmax(&a, 1.0), log_softmax(&b, 1.0));
        let m: Vec<f64> = mean_of_probabilities(&p, &q).iter().map(|v| v.ln()).collect();
        let want = entropy_nats(&m) - entropy_nats(&p) / 2.0 - entropy_nats(&q) / 2.0;
        prop_assert!((jensen_shannon_nats(&p, &q) - want).abs() < 1e-12);
    }

    #[test]
    fn softmax_ignores_a_shift_and_sums_to_one((a, _) in two_rows(), shift in -100.0..100.0_f64) {
        let p = log_softmax(&a, 1.0);
        let moved: Vec<f64> = a.iter().map(|z| z + shift).collect();
        for (x, y) in p.iter().zip(log_softmax(&moved, 1.0)) {
            prop_assert!((x - y).abs() < 1e-10);
        }
        prop_assert!((probabilities(&p).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_larger_temperature_never_sharpens((a, _) in two_rows(), t in 0.1..10.0_f64, more in 0.0..10.0_f64) {
        let entropy = |t| entropy_nats(&log_softmax(&a, t));
        prop_assert!(entropy(t) <= entropy(t + more) + 1e-12);
    }

    #[test]
    fn every_coefficient_is_within_its_bounds(rule in rule(), js in 0.0..=LN_2) {
        let c = rule.coefficient(js);
        prop_assert!(rule.lambda_min <= c && c <= rule.lambda_max, "{c}");
    }

    #[test]
    fn the_coefficient_is_monotone_in_the_divergence(rule in rule(), js in 0.0..=LN_2, more in 0.0..=LN_2) {
        let (near, far) = (rule.coefficient(js), rule.coefficient((js + more).min(LN_2)));
        match rule.direction {
            Direction::Expert => prop_assert!(near <= far),
            Direction::Pretrained => prop_assert!(near >= far),
        }
    }

    #[test]
    fn a_guard_moves_only_toward_the_more_confident_model(
        (a, b) in two_rows(), c in 0.0..=1.0_f64, delta in 0.0..=1.0_f64, tau in 0.0..=1.0_f64,
    ) {
        let s = Signals::of(&log_softmax(&a, 1.0), &log_softmax(&b, 1.0));
        let guarded = Guard { delta, tau }.apply(c, &s);
        prop_assert!((0.0..=1.0).contains(&guarded.coefficient));
        prop_assert!((guarded.coefficient - c).abs() <= delta + 1e-15);
        match guarded.step {
            1 => prop_assert!(guarded.coefficient >= c && s.ft_entropy_nats < s.pt_entropy_nats),
            -1 => prop_assert!(guarded.coefficient <= c && s.pt_entropy_nats < s.ft_entropy_nats),
            step => prop_assert!(step == 0 && guarded.coefficient == c),
        }
    }

    #[test]
    fn a_batch_mean_stays_among_its_samples(cs in prop::collection::vec(0.0..=1.0_f64, 1..130)) {
        let mean = batch_mean(&cs).expect("a batch");
        prop_assert!(cs.iter().any(|&c| c <= mean) && cs.iter().any(|&c| c >= mean));
        prop_assert_eq!(batch_mean(&cs[..1]), Some(cs[0]));
        prop_assert_eq!(batch_mean(&vec![cs[0]; cs.len()]), Some(cs[0]));
    }

    #[test]
    fn the_entropy_ratio_is_fair_and_bounded((a, b) in two_rows()) {
        let s = Signals::of(&log_softmax(&a, 1.0), &log_softmax(&b, 1.0));
        let (pt, ft, c) = (s.pt_entropy_nats, s.ft_entropy_nats, a.len() as f64);
        let ratio = entropy_ratio(pt, ft);
        prop_assert!(1.0 / (1.0 + c) - 1e-15 <= ratio && ratio <= c / (1.0 + c) + 1e-15, "{ratio}");
        prop_assert!((ratio + entropy_ratio(ft, pt) - 1.0).abs() < 1e-15);
        prop_assert!(if ft <= pt { ratio >= 0.5 } else { ratio <= 0.5 }, "{ratio}");
    }

    #[test]
    fn the_offset_keeps_the_unit_interval(
        means in (0.01..2.0_f64, 0.01..2.0_f64), stds in (0.0..2.0_f64, 0.0..2.0_f64), hs in (0.0..3.0_f64, 0.0..3.0_f64),
    ) {
        let summary = |mean_nats, std_nats| EntropySummary { mean_nats, std_nats };
        let offset = DawinOffset::of(summary(means.0, stds.0), summary(means.1, stds.1)).expect("positive means");
        prop_assert!((0.0..=1.0).contains(&offset.coefficient(hs.0, hs.1)));
        prop_assert!(offset.divisor >= 1.0 && offset.bias >= 0.0);
        let still = DawinOffset::of(summary(means.0, 0.0), summary(means.1, 0.0)).expect("positive means");
        prop_assert!((still.coefficient(hs.0, hs.1) - entropy_ratio(hs.0, hs.1)).abs() < 1e-15);
    }

    #[test]
    fn merges_at_the_ends_are_the_parents(
        (pt, ft) in prop::collection::vec((any::<f32>(), any::<f32>()), 1..40).prop_map(|rows| rows.into_iter().unzip::<f32, f32, Vec<_>, Vec<_>>()),
    ) {
        let mut out = vec![f32::NAN; pt.len()];
        for (merge, c) in [(lerp_into as fn(&[f32], &[f32], f64, &mut [f32]), 0.0), (slerp_into, 0.0)] {
            merge(&pt, &ft, c, &mut out);
            prop_assert_eq!(bits(&out), bits(&pt));
            merge(&pt, &ft, 1.0, &mut out);
            prop_assert_eq!(bits(&out), bits(&ft));
        }
        add_scaled_into(&pt, &ft, 0.0, &mut out);
        prop_assert_eq!(bits(&out), bits(&pt));
    }

    #[test]
    fn a_linear_merge_lies_between_its_parents((pt, ft) in parents(), c in 0.0..=1.0_f64) {
        let mut out = vec![f32::NAN; pt.len()];
        lerp_into(&pt, &ft, c, &mut out);
        for ((&p, &f), &m) in pt.iter().zip(&ft).zip(&out) {
            let slack = (p.abs() + f.abs()) * f32::EPSILON;
            prop_assert!(p.min(f) - slack <= m && m <= p.max(f) + slack, "{p} {f} {m}");
            prop_assert!(p != f || m == p);
        }
        // The other way of writing it, (1 - c) pt + c ft, within rounding.
        for ((&p, &f), &m) in pt.iter().zip(&ft).zip(&out) {
            let exact = (1.0 - c) * f64::from(p) + c * f64::from(f);
            prop_assert!((f64::from(m) - exact).abs() < 2e-6);
        }
    }

    #[test]
    fn the_threshold_is_the_order_statistic((pt, ft) in parents(), keep in 0.0..=1.0_f64, cut in 0..80_usize) {
        // As one tensor or as two: the vector is the same.
        let cut = cut.min(pt.len());
        let halves = [(&pt[..cut], &ft[..cut]), (&pt[cut..], &ft[cut..])];
        let threshold = ties_threshold(halves.into_iter(), keep).expect("a threshold");
        let mut sorted: Vec<f32> = pt.iter().zip(&ft).map(|(p, f)| (f - p).abs()).collect();
        sorted.sort_by(f32::total_cmp);
        let asked = (pt.len() as f64 * keep) as usize;
        prop_assert_eq!(threshold, sorted[(pt.len() - asked).max(1) - 1]);
        let kept = sorted.iter().filter(|&&d| d >= threshold).count();
        prop_assert!(kept > asked.min(pt.len() - 1), "{kept} kept, {asked} asked");
        let strictly_above = sorted.iter().filter(|&&d| d > threshold).count();
        prop_assert!(strictly_above <= asked);
    }

    #[test]
    fn ties_and_dare_that_drop_nothing_are_task_arithmetic((pt, ft) in parents(), scale in 0.01..0.99_f64) {
        let (mut task, mut other) = (vec![0.0; pt.len()], vec![0.0; pt.len()]);
        lerp_into(&pt, &ft, scale, &mut task);
        let all = ties_threshold(std::iter::once((pt.as_slice(), ft.as_slice())), 1.0).expect("a threshold");
        ties_into(&pt, &ft, all, scale, &mut other);
        prop_assert_eq!(&other, &task);
        Dare { drop_probability: 0.0, scale, seed: 3 }.merge_into("any", &pt, &ft, &mut other);
        prop_assert_eq!(&other, &task);
    }

    #[test]
    fn a_spherical_merge_has_a_length_between((pt, ft) in parents(), t in 0.0..=1.0_f64) {
        let norm = |v: &[f32]| v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let mut out = vec![f32::NAN; pt.len()];
        slerp_into(&pt, &ft, t, &mut out);
        prop_assume!(pt.iter().zip(&ft).map(|(p, f)| p * f).sum::<f32>() > 0.0);
        prop_assert!(norm(&out) >= norm(&pt).min(norm(&ft)) * (1.0 - 1e-5));
        prop_assert!(norm(&out) <= norm(&pt).max(norm(&ft)) * 1.5);
    }

    #[test]
    fn running_statistics_are_the_two_pass_ones(xs in prop::collection::vec(-1e3..1e3_f64, 2..60), cut in 0..60_usize) {
        let n = xs.len() as f64;
        let mean = xs.iter().sum::<f64>() / n;
        let squares = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let cut = cut.min(xs.len());
        for running in [Running::of(&xs), Running::of(&xs[..cut]).then(Running::of(&xs[cut..]))] {
            prop_assert_eq!(running.n(), xs.len() as u64);
            prop_assert!((running.mean().expect("numbers") - mean).abs() < 1e-9);
            prop_assert!((running.variance_unbiased().expect("two") - squares / (n - 1.0)).abs() < 1e-6);
            prop_assert!((running.variance_population().expect("two") - squares / n).abs() < 1e-6);
        }
    }

    #[test]
    fn quantiles_rise_with_their_level(xs in prop::collection::vec(-1e3..1e3_f64, 1..60), a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
        let q = |level| quantile(&xs, level).expect("numbers");
        prop_assert!(q(a.min(b)) <= q(a.max(b)) + 1e-9);
        prop_assert_eq!(q(0.0), xs.iter().copied().fold(f64::INFINITY, f64::min));
        prop_assert_eq!(q(1.0), xs.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    }

    #[test]
    fn ensembles_are_distributions_and_even_handed((a, b) in two_rows()) {
        let (p, q) = (log_softmax(&a, 1.0), log_softmax(&b, 1.0));
        let mean = mean_of_probabilities(&p, &q);
        prop_assert!((mean.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert_eq!(mean, mean_of_probabilities(&q, &p));
        prop_assert_eq!(mean_of_logits(&a, &b), mean_of_logits(&b, &a));
        prop_assert_eq!(mean_of_logits(&a, &a), a);
    }

    #[test]
    fn a_mixture_is_a_partition_with_coefficients_among_the_data(
        xs in prop::collection::vec(0.0..=1.0_f64, 1..60), seed in any::<u64>(),
    ) {
        let rule = MixtureRule { seed, ..MixtureRule::DAWIN };
        let mixture = BetaMixture::fit(&xs, &rule).expect("a mixture");
        let components = mixture.components();
        prop_assert!((1..=3).contains(&components.len()));
        prop_assert!((components.iter().map(|c| c.weight).sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(components.iter().all(|c| c.alpha > 0.0 && c.beta > 0.0));
        prop_assert!(components.windows(2).all(|w| w[0].coefficient() <= w[1].coefficient()));
        let (low, high) = (quantile(&xs, 0.0).expect("numbers"), quantile(&xs, 1.0).expect("numbers"));
        for &x in &xs {
            let c = mixture.coefficient(x);
            prop_assert!(low - 2e-6 <= c && c <= high + 2e-6, "{c} outside {low} ..= {high}");
        }
        // The same data and seed, the same bits.
        prop_assert_eq!(BetaMixture::fit(&xs, &rule).expect("a mixture"), mixture);
    }
}
