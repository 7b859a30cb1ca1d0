//! Coefficients from the ratio of exponentiated negative entropies: DaWin, its offset, and the T3 paper's
//! entropy-ratio ablation.
//!
//! `lambda = e^-H_ft / (e^-H_pt + e^-H_ft)` with `H` in nats: the model that is surer of itself gets the larger
//! share. It is the sigmoid of `H_pt - H_ft`, which is how it is computed.

use thiserror::Error;

use super::coefficient::sigmoid;
use super::divergence::{entropy_nats, log_softmax};
use super::statistics::Running;

/// Temperatures that DaWin divides the logits by before the entropies (code).
///
/// They calibrate the two models on the authors' validation data, so they belong to a backbone, and to natural
/// images at that: an honest row says which were used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperatures {
    /// Of the pretrained model; positive and finite.
    pub pretrained: f64,
    /// Of the expert; positive and finite.
    pub expert: f64,
}

impl Temperatures {
    /// No calibration.
    pub const ONE: Self = Self { pretrained: 1.0, expert: 1.0 };
    /// DaWin's for ViT-B/32.
    pub const VIT_B_32: Self = Self { pretrained: 0.9576, expert: 0.9733 };
    /// DaWin's for ViT-B/16.
    pub const VIT_B_16: Self = Self { pretrained: 0.96, expert: 1.0066 };
    /// DaWin's for ViT-L/14.
    pub const VIT_L_14: Self = Self { pretrained: 1.0767, expert: 0.9545 };

    /// DaWin's temperatures for a backbone named as its code names it (`ViT-B/32`, `ViT-B/16`, `ViT-L/14`), or
    /// `None` for a backbone it has none for.
    #[must_use]
    pub fn of_backbone(name: &str) -> Option<Self> {
        match name {
            "ViT-B/32" => Some(Self::VIT_B_32),
            "ViT-B/16" => Some(Self::VIT_B_16),
            "ViT-L/14" => Some(Self::VIT_L_14),
            _ => None,
        }
    }
}

/// The two entropies of one sample in nats, `(pretrained, expert)`, each at its own temperature.
///
/// # Panics
/// When a row is empty, the rows differ in length, or a temperature is not positive and finite.
#[must_use]
pub fn entropies_nats<T: Copy + Into<f64>>(z_pt: &[T], z_ft: &[T], temperatures: Temperatures) -> (f64, f64) {
    assert_eq!(z_pt.len(), z_ft.len(), "both models score the same classes");
    (
        entropy_nats(&log_softmax(z_pt, temperatures.pretrained)),
        entropy_nats(&log_softmax(z_ft, temperatures.expert)),
    )
}

/// Weight on the expert from two entropies in nats: `e^-H_ft / (e^-H_pt + e^-H_ft)` (code of DaWin).
///
/// For C classes it lies in `1 / (1 + C) ..= C / (1 + C)`. The T3 paper compares its coefficient with an
/// "entropy ratio" whose formula is not public; this one at [`Temperatures::ONE`] stands for it (choice), per
/// sample or, through [`super::coefficient::batch_mean`], per batch.
#[must_use]
pub fn entropy_ratio(pt_entropy_nats: f64, ft_entropy_nats: f64) -> f64 {
    sigmoid(pt_entropy_nats - ft_entropy_nats)
}

/// Mean and spread of one model's entropies over the whole set of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EntropySummary {
    /// Mean entropy in nats.
    pub mean_nats: f64,
    /// Standard deviation in nats, unbiased (divided by n - 1), as the reference's library call has it.
    pub std_nats: f64,
}

impl EntropySummary {
    /// Reads the summary off an accumulator of entropies; `None` with fewer than two.
    #[must_use]
    pub fn of(entropies: &Running) -> Option<Self> {
        Some(Self { mean_nats: entropies.mean()?, std_nats: entropies.std_unbiased()? })
    }
}

/// DaWin's offset: shrinks every coefficient toward the whole set's balance of the two models (code).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DawinOffset {
    /// `b`, half the sum of the two coefficients of variation; not negative.
    pub bias: f64,
    /// `w = (mean H_pt + mean H_ft) / mean H_pt`; at least 1.
    pub divisor: f64,
}

impl DawinOffset {
    /// `b = (std H_pt / mean H_pt + std H_ft / mean H_ft) / 2` and `w = (mean H_pt + mean H_ft) / mean H_pt`.
    ///
    /// # Errors
    /// [`ZeroEntropy`] when a mean is not positive, where the reference would divide by zero.
    pub fn of(pretrained: EntropySummary, expert: EntropySummary) -> Result<Self, ZeroEntropy> {
        // Written so that a NaN mean fails too.
        if !(pretrained.mean_nats > 0.0 && expert.mean_nats > 0.0) {
            return Err(ZeroEntropy { pt_mean_nats: pretrained.mean_nats, ft_mean_nats: expert.mean_nats });
        }
        let variation = |s: EntropySummary| s.std_nats / s.mean_nats;
        Ok(Self {
            bias: (variation(pretrained) + variation(expert)) / 2.0,
            divisor: (pretrained.mean_nats + expert.mean_nats) / pretrained.mean_nats,
        })
    }

    /// Weight on the expert: `(e^-H_ft + b/w) / (e^-H_pt + e^-H_ft + b)`, in `[0, 1]`.
    ///
    /// With `b = 0` this is [`entropy_ratio`] up to rounding.
    #[must_use]
    pub fn coefficient(&self, pt_entropy_nats: f64, ft_entropy_nats: f64) -> f64 {
        let pretrained = (-pt_entropy_nats).exp();
        let expert = (-ft_entropy_nats).exp();
        (expert + self.bias / self.divisor) / (pretrained + expert + self.bias)
    }
}

/// A model whose mean entropy over the set is not positive has no coefficient of variation.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("mean entropies must be positive, got {pt_mean_nats} (pretrained) and {ft_mean_nats} (expert) nats")]
pub struct ZeroEntropy {
    /// The pretrained model's mean entropy.
    pub pt_mean_nats: f64,
    /// The expert's mean entropy.
    pub ft_mean_nats: f64,
}
