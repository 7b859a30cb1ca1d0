//! What each method does, as data: a parent, an ensemble, a merge built once, or a coefficient per sample or
//! per batch. The lane carries recipes out; nothing here touches a device.

use super::beta_mixture::BetaMixture;
use super::coefficient::{Guard, Guarded, T3Rule};
use super::dare::Dare;
use super::divergence::Signals;
use super::entropy_ratio::{DawinOffset, Temperatures, entropies_nats, entropy_ratio};

/// How a method's prediction comes about.
#[derive(Debug, Clone, PartialEq)]
pub enum Recipe {
    /// The pretrained model alone.
    Pretrained,
    /// The expert alone.
    Expert,
    /// Mean of the parents' probabilities.
    MeanProbabilities,
    /// Mean of the parents' logits.
    MeanLogits,
    /// One set of merged weights for the whole run.
    Static(StaticRule),
    /// The line between the parents at one weight on the expert, merged into the buffer for each batch: for grids, whose
    /// weights would not all fit.
    Line(f64),
    /// Merged weights per batch, at the mean of its samples' coefficients.
    PerBatch(CoefficientRule),
    /// Merged weights per sample, by the factored forward.
    PerSample(CoefficientRule),
}

/// A merge of weights that no sample decides.
#[derive(Debug, Clone, PartialEq)]
pub enum StaticRule {
    /// `theta_pt + lambda (theta_ft - theta_pt)`: wise_ft, task_arithmetic, m3 and constant.
    Lerp(f64),
    /// The largest differences only.
    Ties {
        /// Share of differences kept.
        keep: f64,
        /// Weight of what is kept.
        scale: f64,
    },
    /// A random share of differences, rescaled.
    Dare(Dare),
    /// Along the arc between the parents, tensor by tensor.
    Slerp(f64),
}

impl StaticRule {
    /// The weight on the expert's difference that tables show: lambda of a linear merge, the scale of a trimmed or dropped
    /// one, the position on the arc.
    #[must_use]
    pub fn coefficient(&self) -> f64 {
        match self {
            Self::Lerp(lambda) => *lambda,
            Self::Ties { scale, .. } => *scale,
            Self::Dare(dare) => dare.scale,
            Self::Slerp(position) => *position,
        }
    }
}

/// From what both parents say of a sample to its weight on the expert.
#[derive(Debug, Clone, PartialEq)]
pub enum CoefficientRule {
    /// The sigmoid of the divergence, then the guard where there is one (paper).
    T3 {
        /// Divergence to coefficient.
        rule: T3Rule,
        /// Extrapolation guard.
        guard: Option<Guard>,
    },
    /// `e^-H_ft / (e^-H_pt + e^-H_ft)` (DaWin; at temperature 1 the paper's ablation).
    EntropyRatio(Temperatures),
    /// The ratio with whole-set statistics (DaWin).
    DawinOffset(Temperatures, DawinOffset),
    /// Another rule's coefficient, replaced by its cluster's (DaWin).
    Clustered(Box<CoefficientRule>, BetaMixture),
}

impl CoefficientRule {
    /// The coefficient of one sample in `[0, 1]` and what the guard did to it; `z_*` are the parents' logits and `signals`
    /// what they say.
    #[must_use]
    pub fn of(&self, z_pt: &[f32], z_ft: &[f32], signals: &Signals) -> Guarded {
        let unguarded = |coefficient| Guarded { step: 0, coefficient };
        match self {
            Self::T3 { rule, guard } => t3(rule, guard.as_ref(), signals),
            Self::EntropyRatio(temperatures) => {
                let (h_pt, h_ft) = entropies_nats(z_pt, z_ft, *temperatures);
                unguarded(entropy_ratio(h_pt, h_ft))
            }
            Self::DawinOffset(temperatures, offset) => {
                let (h_pt, h_ft) = entropies_nats(z_pt, z_ft, *temperatures);
                unguarded(offset.coefficient(h_pt, h_ft))
            }
            Self::Clustered(rule, mixture) => {
                let Guarded { step, coefficient } = rule.of(z_pt, z_ft, signals);
                Guarded { step, coefficient: mixture.coefficient(coefficient) }
            }
        }
    }

    /// How far the rule lets a coefficient move, in `[0, 1]`.
    #[must_use]
    pub fn range(&self) -> f64 {
        match self {
            Self::T3 { rule, .. } => rule.range(),
            Self::EntropyRatio(_) | Self::DawinOffset(..) => 1.0,
            Self::Clustered(rule, _) => rule.range(),
        }
    }
}

/// T3's coefficient with what the guard did to it. Order: sigmoid, guard.
#[must_use]
pub fn t3(rule: &T3Rule, guard: Option<&Guard>, signals: &Signals) -> Guarded {
    let coefficient = rule.coefficient(signals.js_nats);
    guard.map_or(Guarded { step: 0, coefficient }, |guard| guard.apply(coefficient, signals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::beta_mixture::MixtureRule;
    use crate::merge::divergence::log_softmax;

    #[test]
    fn a_clustered_rule_gives_its_clusters_coefficient() {
        let values: Vec<f64> = (0..60).map(|n| [0.2, 0.5, 0.9][n % 3] + 1e-3 * (n as f64 / 60.0)).collect();
        let mixture = BetaMixture::fit(&values, &MixtureRule::DAWIN).unwrap();
        let plain = CoefficientRule::EntropyRatio(Temperatures::ONE);
        let (z_pt, z_ft) = ([2.0_f32, 0.0, 0.0, 0.0], [4.0_f32, 0.0, 0.0, 0.0]);
        let signals = Signals::of(&log_softmax(&z_pt, 1.0), &log_softmax(&z_ft, 1.0));
        let lambda = plain.of(&z_pt, &z_ft, &signals).coefficient;
        assert!((lambda - 0.658_463_22).abs() < 1e-8, "{lambda}");
        let clustered = CoefficientRule::Clustered(Box::new(plain), mixture.clone());
        assert_eq!(clustered.of(&z_pt, &z_ft, &signals).coefficient, mixture.coefficient(lambda));
    }
}
