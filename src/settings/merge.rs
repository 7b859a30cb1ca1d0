//! `[merge]`: which methods are scored, and the parameters of each.

use std::path::Path;

use serde_json::json;

use super::layers::Reader;
use super::values::nearest_of;
use crate::error::{Exit, Problem, quoted};
use crate::merge::beta_mixture::MixtureRule;
use crate::merge::coefficient::{Direction, Guard, T3Rule};
use crate::merge::dare::Dare;
use crate::merge::divergence::LogBase;
use crate::merge::entropy_ratio::Temperatures;
use crate::merge::method::Method;

/// Methods and their parameters.
#[derive(Debug, Clone)]
pub struct Merge {
    /// In output order, without repeats.
    pub methods: Vec<Method>,
    /// Points of the line between the parents that are scored too, behind the methods.
    pub grid: Vec<Method>,
    /// Weight on the expert of `expo`, above 1.
    pub expo_scale: f64,
    /// The method reports put first and whose entropies `coefficients` has; one of `methods`.
    pub primary: Method,
    /// Divergence to coefficient.
    pub rule: T3Rule,
    /// The extrapolation guard: of the `*_guard` methods, and of the others when enabled.
    pub guard: Guard,
    /// Whether the T3 family and the signals are guarded.
    pub guard_enabled: bool,
    /// What each parent's logits are divided by.
    pub temperatures: Temperatures,
    /// An earlier run whose signals the whole-set rules read.
    pub from: Option<String>,
    /// Weight on the expert of `constant`; without it the mean of the run in `from`.
    pub constant_lambda: Option<f64>,
    /// Weight on the expert of `wise_ft`.
    pub wise_ft_alpha: f64,
    /// Weight of the whole difference.
    pub task_arithmetic_scale: f64,
    /// Share of the largest differences kept, and their weight.
    pub ties: (f64, f64),
    /// Random differences.
    pub dare: Dare,
    /// Position on the arc.
    pub slerp_position: f64,
    /// Which uniform draw is the coefficient of `m3`.
    pub m3_draw: u64,
    /// Temperatures of the DaWin family's entropies.
    pub dawin: Temperatures,
    /// The mixture of the clustered rules.
    pub clusters: MixtureRule,
}

impl Merge {
    /// Reads and checks `[merge]`; problems stay in `reader`.
    pub(super) fn read(reader: &mut Reader, seed: u64, dir: &Path) -> Self {
        let (methods, primary) = read_methods(reader);
        Self {
            methods,
            grid: read_grid(reader),
            expo_scale: reader.number("merge.expo.scale", 1.0..=10.0),
            primary,
            rule: read_rule(reader),
            guard: Guard {
                delta: reader.number("merge.guard.delta", 0.0..=1.0),
                tau: reader.number("merge.guard.tau", 0.0..=1.0),
            },
            guard_enabled: reader.switch("merge.guard.enabled"),
            temperatures: Temperatures {
                pretrained: reader.number("merge.temperature.pretrained", 1e-3..=1e3),
                expert: reader.number("merge.temperature.expert", 1e-3..=1e3),
            },
            from: reader.opt_place("merge.from", dir),
            constant_lambda: reader.opt_number("merge.constant.lambda", 0.0..=1.0),
            wise_ft_alpha: reader.number("merge.wise_ft.alpha", 0.0..=1.0),
            task_arithmetic_scale: reader.number("merge.task_arithmetic.scale", -10.0..=10.0),
            ties: (
                reader.number("merge.ties.keep", 0.0..=1.0),
                reader.number("merge.ties.scale", -10.0..=10.0),
            ),
            dare: Dare {
                drop_probability: reader.number("merge.dare.drop_probability", 0.0..=0.999),
                scale: reader.number("merge.dare.scale", -10.0..=10.0),
                seed,
            },
            slerp_position: reader.number("merge.slerp.position", 0.0..=1.0),
            m3_draw: reader.whole("merge.m3.draw", 0..=1 << 32),
            dawin: Temperatures {
                pretrained: reader.number("merge.dawin.pretrained_temperature", 1e-3..=1e3),
                expert: reader.number("merge.dawin.expert_temperature", 1e-3..=1e3),
            },
            clusters: MixtureRule {
                n_components: usize::try_from(reader.whole("merge.clusters.n_components", 1..=64))
                    .unwrap_or(1),
                seed: reader.whole("merge.clusters.seed", 0..=1 << 32),
                ..MixtureRule::DAWIN
            },
        }
    }
}

fn read_methods(reader: &mut Reader) -> (Vec<Method>, Method) {
    let names = reader.opt_texts("merge.methods").unwrap_or_default();
    reader.narrow("merge.methods", json!({ "items": { "enum": Method::NAMES }, "minItems": 1 }));
    let mut methods = Vec::new();
    for name in &names {
        match Method::from_name(name) {
            Some(method) if !methods.contains(&method) => methods.push(method),
            Some(_) => bad_method(reader, name, " twice"),
            None => bad_method(reader, name, ""),
        }
    }
    let primary = reader.text("merge.primary");
    reader.narrow("merge.primary", json!({ "enum": Method::NAMES }));
    let found = Method::from_name(&primary).filter(|method| methods.contains(method));
    if found.is_none() {
        let allowed: Vec<&str> = methods.iter().map(|method| method.name()).collect();
        let what = format!(
            "merge.primary: found {}, allowed one of merge.methods: {}",
            quoted(&primary),
            allowed.join(", ")
        );
        let problem = Problem::new("C001", Exit::Config, what)
            .hint("add it to merge.methods, or set merge.primary to one of them");
        reader.problem(&["merge.primary", "merge.methods"], problem);
    }
    (methods, found.unwrap_or(Method::T3B))
}

/// Evenly spaced weights in whole per cent, both parents included.
fn read_grid(reader: &mut Reader) -> Vec<Method> {
    let n = reader.whole("merge.grid", 0..=101);
    reader.narrow("merge.grid", json!({ "enum": [0, 2, 3, 5, 6, 11, 21, 26, 51, 101] }));
    if n == 0 {
        return Vec::new();
    }
    if n == 1 || 100 % (n - 1) != 0 {
        let what = format!(
            "merge.grid: found {n}, allowed 0, 2, 3, 5, 6, 11, 21, 26, 51 or 101 (steps of whole per cent)"
        );
        reader.problem(&["merge.grid"], Problem::new("C001", Exit::Config, what));
        return Vec::new();
    }
    (0..n).map(|k| Method::Line(u8::try_from(k * 100 / (n - 1)).unwrap_or(100))).collect()
}

fn bad_method(reader: &mut Reader, found: &str, why: &str) {
    let what = format!(
        "merge.methods: found {}{why}, allowed each of {} at most once",
        quoted(found),
        Method::NAMES.join(", ")
    );
    let nearest = nearest_of(found, Method::NAMES.into_iter()).filter(|_| why.is_empty());
    let hint = match nearest {
        Some(nearest) => format!("did you mean {nearest}? merge.primary has to be one of them"),
        None => "docs/methods.md says what each does; merge.primary has to be one of them".to_owned(),
    };
    reader.problem(&["merge.methods"], Problem::new("C001", Exit::Config, what).hint(hint));
}

fn read_rule(reader: &mut Reader) -> T3Rule {
    let rule = T3Rule {
        gamma: reader.number("merge.gamma", 0.0..=1e6),
        lambda_min: reader.number("merge.lambda_min", 0.0..=1.0),
        lambda_max: reader.number("merge.lambda_max", 0.0..=1.0),
        log_base: reader.choice("merge.log_base", ("nats", LogBase::Nats), &[("bits", LogBase::Bits)]),
        direction: reader.choice(
            "merge.direction",
            ("expert", Direction::Expert),
            &[("pretrained", Direction::Pretrained)],
        ),
        centred: reader.switch("merge.centred"),
    };
    if rule.lambda_min > rule.lambda_max {
        let (min, max) = (rule.lambda_min, rule.lambda_max);
        let what = format!("merge.lambda_min: found {min}, allowed at most merge.lambda_max ({max})");
        let keys = ["merge.lambda_min", "merge.lambda_max"];
        reader.problem(&keys, Problem::new("C001", Exit::Config, what));
    }
    rule
}
