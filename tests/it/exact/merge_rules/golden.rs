//! Tolerances: 1e-12 where the other side used 50 digits, 1e-9 where EM iterated, bits where f32 is defined.

use serde_json::Value;
use t3b::merge::beta::{ln_beta, ln_density, ln_gamma};
use t3b::merge::beta_mixture::{BetaMixture, MixtureRule};
use t3b::merge::coefficient::{Direction, Guard, T3Rule, batch_mean};
use t3b::merge::dare::Dare;
use t3b::merge::divergence::{LogBase, Signals, log_softmax};
use t3b::merge::entropy_ratio::{DawinOffset, EntropySummary, Temperatures, entropies_nats, entropy_ratio};
use t3b::merge::lerp::{TASK_SCALE, add_scaled_into, lerp_into};
use t3b::merge::random::Draws;
use t3b::merge::slerp::slerp_into;
use t3b::merge::statistics::{Running, pearson_r, quantile};
use t3b::merge::ties::{ties_into, ties_threshold};

use super::{cases, close, number, numbers};

macro_rules! golden {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../golden/merge/", $name, ".json")))
            .expect("golden file parses")
    };
}

fn signals_of(case: &Value) -> Signals {
    let (pt, ft) = (numbers(case, "z_pt"), numbers(case, "z_ft"));
    Signals::of(&log_softmax(&pt, 1.0), &log_softmax(&ft, 1.0))
}

#[test]
fn the_table_of_the_method_is_reproduced() {
    // z_pt, z_ft, JS in nats, JS in bits, sigmoid(0.5 JS nats), as printed to ten digits.
    let table = [
        ([2.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], 0.0, 0.0, 0.5),
        ([2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], 0.2647058935, 0.3818898799, 0.5330400198),
        ([10.0, 0.0, 0.0, 0.0], [0.0, 10.0, 0.0, 0.0], 0.6925849192, 0.9991888283, 0.5857182222),
        ([20.0, 18.0, 15.0, 10.0], [20.0, 25.0, 15.0, 10.0], 0.4847290881, 0.6993162516, 0.5602962714),
    ];
    for (z_pt, z_ft, nats, bits, coefficient) in table {
        let js_nats = Signals::of(&log_softmax::<f32>(&z_pt, 1.0), &log_softmax::<f32>(&z_ft, 1.0)).js_nats;
        close("JS in nats", js_nats, nats, 1e-9);
        close("JS in bits", LogBase::Bits.of_nats(js_nats), bits, 1e-9);
        close("coefficient", T3Rule::PAPER.coefficient(js_nats), coefficient, 1e-9);
    }
}

#[test]
fn divergences_and_coefficients() {
    let steep = T3Rule {
        gamma: 4.0,
        lambda_min: 0.2,
        lambda_max: 0.9,
        log_base: LogBase::Bits,
        direction: Direction::Expert,
        centred: false,
    };
    let rules = [
        ("t3", T3Rule::PAPER),
        ("t3_bits", T3Rule { log_base: LogBase::Bits, ..T3Rule::PAPER }),
        ("generalist", T3Rule { direction: Direction::Pretrained, ..T3Rule::PAPER }),
        ("centred", T3Rule { centred: true, ..T3Rule::PAPER }),
        ("steep", steep),
        ("steep_centred", T3Rule { centred: true, ..steep }),
        ("steep_centred_generalist", T3Rule { centred: true, direction: Direction::Pretrained, ..steep }),
    ];
    let golden = golden!("divergence");
    assert_eq!(cases(&golden).len(), 40);
    for case in cases(&golden) {
        let signals = signals_of(case);
        close("js_nats", signals.js_nats, number(case, "js_nats"), 1e-14);
        close("js_bits", LogBase::Bits.of_nats(signals.js_nats), number(case, "js_bits"), 1e-14);
        close("H pt", signals.pt_entropy_nats, number(case, "entropy_pt_nats"), 1e-12);
        close("H ft", signals.ft_entropy_nats, number(case, "entropy_ft_nats"), 1e-12);
        for (name, rule) in &rules {
            close(name, rule.coefficient(signals.js_nats), number(case, name), 1e-12);
        }
    }
}

#[test]
fn small_divergences_keep_their_digits() {
    // The difference of entropies would lose them; the sum class by class does not.
    let golden = golden!("divergence");
    let small: Vec<_> = cases(&golden)
        .iter()
        .filter(|c| (1e-9..1e-6).contains(&number(c, "js_nats")))
        .map(|c| (signals_of(c).js_nats, number(c, "js_nats")))
        .collect();
    assert!(small.len() > 10, "{} small cases", small.len());
    for (got, want) in small {
        assert!(((got - want) / want).abs() < 1e-11, "got {got:e}, want {want:e}");
    }
}

#[test]
fn the_guard() {
    let golden = golden!("divergence");
    let mut steps = [0; 3];
    for case in cases(&golden) {
        let signals = signals_of(case);
        let guarded = Guard::CHOICE.apply(T3Rule::PAPER.coefficient(signals.js_nats), &signals);
        let want = case["guard_step"].as_i64().expect("a step");
        assert_eq!(i64::from(guarded.step), want, "{case}");
        close("guarded", guarded.coefficient, number(case, "t3_guard"), 1e-12);
        steps[(want + 1) as usize] += 1;
    }
    assert!(steps.iter().all(|&n| n > 0), "toward generalist, none, expert: {steps:?}");
}

#[test]
fn dawin_and_the_entropy_ratio() {
    let golden = golden!("entropy_ratio");
    for (name, temperatures) in [
        ("none", Some(Temperatures::ONE)),
        ("ViT-B/32", Temperatures::of_backbone("ViT-B/32")),
        ("ViT-B/16", Temperatures::of_backbone("ViT-B/16")),
        ("ViT-L/14", Temperatures::of_backbone("ViT-L/14")),
    ] {
        let temperatures = temperatures.expect("a known backbone");
        let want = &golden["backbones"][name];
        let entropies: Vec<(f64, f64)> = cases(&golden["rows"])
            .iter()
            .map(|r| entropies_nats(&numbers(r, "z_pt"), &numbers(r, "z_ft"), temperatures))
            .collect();
        let column = |f: fn(&(f64, f64)) -> f64| entropies.iter().map(f).collect::<Vec<f64>>();
        let summary = |xs: &[f64]| EntropySummary::of(&Running::of(xs)).expect("two entropies");
        let offset =
            DawinOffset::of(summary(&column(|e| e.0)), summary(&column(|e| e.1))).expect("some entropy");
        close("b", offset.bias, number(want, "bias"), 1e-12);
        close("w", offset.divisor, number(want, "divisor"), 1e-12);
        let plain: Vec<f64> = entropies.iter().map(|e| entropy_ratio(e.0, e.1)).collect();
        let (dawin, with_offset) = (numbers(want, "dawin"), numbers(want, "dawin_offset"));
        for (i, e) in entropies.iter().enumerate() {
            close("dawin", plain[i], dawin[i], 1e-12);
            close("dawin_offset", offset.coefficient(e.0, e.1), with_offset[i], 1e-12);
        }
        close("batch mean", batch_mean(&plain).expect("a batch"), number(want, "batch_mean"), 1e-14);
        if name == "none" {
            // As printed in the method's section on baselines.
            close("vector 1", plain[0], 0.6584632200, 1e-9);
            close("vector 2", plain[1], 0.5888203677, 1e-9);
        }
    }
}

#[test]
fn counter_based_draws() {
    for case in cases(&golden!("random")) {
        let text = |v: &Value| v.as_str().expect("text").parse::<u64>().expect("64 bits");
        let draws = Draws::new(text(&case["seed"]), case["name"].as_str().expect("a name"));
        for (counter, (bits, uniform)) in
            (0_u64..).zip(cases(&case["bits"]).iter().zip(numbers(case, "uniform")))
        {
            assert_eq!(draws.bits(counter), text(bits), "{case}");
            close("uniform", draws.uniform(counter), uniform, 1e-15);
        }
    }
}

fn floats(bits: &Value) -> Vec<f32> {
    cases(bits).iter().map(|v| f32::from_bits(v.as_u64().expect("bits") as u32)).collect()
}

/// The two parents' tensor of a case, and the merge another program made of them.
fn tensor(golden: &Value, name: &Value) -> (Vec<f32>, Vec<f32>) {
    let pair = &golden["tensors"][name.as_str().expect("a tensor name")];
    (floats(&pair["pt"]), floats(&pair["ft"]))
}

#[track_caller]
fn same_bits(case: &str, got: &[f32], want: &[f32]) {
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(got), bits(want), "{case}: got {got:?}, want {want:?}");
}

#[test]
fn linear_merges_bit_for_bit() {
    let golden = golden!("tensors");
    assert_eq!(cases(&golden["lerp"]).len(), 40);
    for case in cases(&golden["lerp"]) {
        let (pt, ft) = tensor(&golden, &case["tensor"]);
        let coefficient = number(case, "coefficient");
        let mut out = vec![f32::NAN; pt.len()];
        lerp_into(&pt, &ft, coefficient, &mut out);
        same_bits("lerp", &out, &floats(&case["merged"]));
        if coefficient != 1.0 {
            let delta: Vec<f32> = pt.iter().zip(&ft).map(|(p, f)| f - p).collect();
            add_scaled_into(&pt, &delta, coefficient, &mut out);
            same_bits("add_scaled", &out, &floats(&case["merged"]));
        }
    }
}

#[test]
fn ties_threshold_and_merge_bit_for_bit() {
    let golden = golden!("tensors");
    assert_eq!(cases(&golden["ties"]).len(), 20);
    for case in cases(&golden["ties"]) {
        let names = cases(&case["tensors"]);
        let parents: Vec<_> = names.iter().map(|n| tensor(&golden, n)).collect();
        let pairs = parents.iter().map(|(pt, ft)| (pt.as_slice(), ft.as_slice()));
        let threshold = ties_threshold(pairs.clone(), number(case, "keep")).expect("a threshold");
        assert_eq!(u64::from(threshold.to_bits()), case["threshold"].as_u64().expect("bits"), "{names:?}");
        let n_kept =
            pairs.flat_map(|(p, f)| p.iter().zip(f)).filter(|(p, f)| (*f - *p).abs() >= threshold).count();
        assert_eq!(Some(n_kept as u64), case["n_kept"].as_u64(), "{names:?}");
        for (name, (pt, ft)) in names.iter().zip(&parents) {
            let mut out = vec![f32::NAN; pt.len()];
            ties_into(pt, ft, threshold, TASK_SCALE, &mut out);
            // Compared as numbers: -0.0 plus a scaled +0.0 is +0.0 on one side only.
            assert_eq!(out, floats(&case["merged"][name.as_str().expect("a name")]), "{name}");
        }
    }
}

#[test]
fn dare_bit_for_bit() {
    let golden = golden!("tensors");
    for case in cases(&golden["dare"]) {
        let (pt, ft) = tensor(&golden, &case["tensor"]);
        let rule = Dare {
            drop_probability: number(case, "p"),
            scale: number(case, "scale"),
            seed: case["seed"].as_u64().expect("a seed"),
        };
        let mut out = vec![f32::NAN; pt.len()];
        rule.merge_into(case["tensor"].as_str().expect("a name"), &pt, &ft, &mut out);
        same_bits("dare", &out, &floats(&case["merged"]));
    }
}

#[test]
fn slerp_to_the_last_place() {
    // The sines of two libraries may differ in their last bit, so one unit of f32 is allowed.
    let golden = golden!("tensors");
    for case in cases(&golden["slerp"]) {
        let (pt, ft) = tensor(&golden, &case["tensor"]);
        let mut out = vec![f32::NAN; pt.len()];
        slerp_into(&pt, &ft, number(case, "position"), &mut out);
        for (got, want) in out.iter().zip(floats(&case["merged"])) {
            assert!((got - want).abs() <= want.abs() * f32::EPSILON, "{}: {got:e} {want:e}", case["tensor"]);
        }
    }
}

#[test]
fn the_beta_distribution() {
    let golden = golden!("beta");
    for case in cases(&golden["ln_gamma"]) {
        // Tighter than promised, so that a wrong late term of the series shows.
        close("ln_gamma", ln_gamma(number(case, "x")), number(case, "value"), 1e-14);
    }
    for case in cases(&golden["ln_beta"]) {
        close("ln_beta", ln_beta(number(case, "a"), number(case, "b")), number(case, "value"), 1e-12);
        close("ln_beta turned", ln_beta(number(case, "b"), number(case, "a")), number(case, "value"), 1e-12);
    }
    for case in cases(&golden["ln_density"]) {
        let (x, a, b) = (number(case, "x"), number(case, "a"), number(case, "b"));
        let got = ln_density(x.ln(), (-x).ln_1p(), a, b);
        // Relative to the terms that are summed: they are of the size of the parameters.
        let size = 1.0 + a * x.ln().abs() + b * (-x).ln_1p().abs();
        let error = (got - number(case, "value")).abs() / size;
        assert!(error < 1e-12, "{case}: got {got}, off by {error:e}");
    }
}

#[test]
fn the_beta_mixture() {
    let golden = golden!("mixture");
    assert_eq!(cases(&golden).len(), 7);
    for case in cases(&golden) {
        let name = case["name"].as_str().expect("a name");
        let values = numbers(case, "values");
        let rule = MixtureRule {
            n_components: number(case, "n_components") as usize,
            seed: number(case, "seed") as u64,
            ..MixtureRule::DAWIN
        };
        let mixture = BetaMixture::fit(&values, &rule).expect("a mixture");
        assert_eq!(mixture.rounds() as f64, number(case, "rounds"), "{name}");
        assert_eq!(Some(mixture.converged()), case["converged"].as_bool(), "{name}");
        // A spike's parameters are 1e9: what is left of its likelihood after the sums is less.
        let spike = mixture.components().iter().any(|c| c.alpha > 1e7);
        let tolerance = if spike { 1e-6 } else { 1e-9 };
        close(name, mixture.mean_log_likelihood_nats(), number(case, "mean_log_likelihood_nats"), tolerance);
        let (weights, alpha) = (numbers(case, "weights"), numbers(case, "alpha"));
        let (beta, coefficients) = (numbers(case, "beta"), numbers(case, "coefficients"));
        assert_eq!(mixture.components().len(), weights.len(), "{name}");
        for (k, component) in mixture.components().iter().enumerate() {
            close(name, component.weight, weights[k], 1e-9);
            close(name, component.alpha, alpha[k], tolerance);
            close(name, component.beta, beta[k], tolerance);
            close(name, component.coefficient(), coefficients[k], 1e-9);
        }
        for (value, label) in values.iter().zip(numbers(case, "labels")) {
            assert_eq!(mixture.assign(*value) as f64, label, "{name}: {value}");
            close(name, mixture.coefficient(*value), coefficients[label as usize], 1e-9);
        }
    }
}

#[test]
fn statistics() {
    for case in cases(&golden!("statistics")) {
        let (x, y) = (numbers(case, "x"), numbers(case, "y"));
        let running = Running::of(&x);
        let of = |v: Option<f64>| v.expect("enough numbers");
        close("mean", of(running.mean()), number(case, "mean"), 1e-13);
        close("unbiased", of(running.variance_unbiased()), number(case, "variance_unbiased"), 1e-9);
        close("population", of(running.variance_population()), number(case, "variance_population"), 1e-9);
        close("pearson", of(pearson_r(&x, &y)), number(case, "pearson_r"), 1e-9);
        for (level, want) in case["quantiles"].as_object().expect("quantiles") {
            let got = of(quantile(&x, level.parse().expect("a level")));
            close("quantile", got, want.as_f64().expect("a number"), 1e-13);
        }
    }
}
