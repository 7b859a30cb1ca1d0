//! The names of the metrics: a contract with every dashboard that reads a summary.

/// One figure of a summary. Values are fractions where the metric is a share, never percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Share of rows whose predicted class is the label.
    Top1,
    /// 1 - top-1.
    Error,
    /// Mean recall over the classes that have rows.
    BalancedAccuracy,
    /// Mean F1 over the classes that are a label or a prediction of some row.
    MacroF1,
    /// Area under the ROC curve, one class against the rest, mean over classes; with two classes that of class 1.
    Auc,
    /// Cohen's kappa with quadratic weights, for ordinal classes.
    KappaQuadratic,
    /// Expected calibration error over 15 equal bins of confidence.
    Ece,
    /// Expected calibration error over 15 bins of equal size.
    EceAdaptive,
    /// Mean squared distance between probabilities and the one-hot label, summed over classes: 0 to 2.
    Brier,
    /// Mean negative logarithm of the label's probability, in nats.
    Nll,
    /// Mean error over the severities of each corruption, then over corruptions; `clean` is not among them.
    MeanErr,
    /// Mean over corruptions of summed errors relative to a reference method's.
    Mce,
    /// Balanced error relative to MedMNIST-C's AlexNet figures, mean over corruptions.
    MceMedmnistc,
    /// The same beyond the clean error (relative balanced error).
    RelativeMceMedmnistc,
    /// [`Self::Mce`] with the pretrained CLIP as the reference.
    MceClip,
    /// [`Self::Mce`] of the errors beyond the clean error.
    RelativeMce,
}

impl Metric {
    /// Every metric, in the order of a summary.
    pub const ALL: [Self; 16] = [
        Self::Top1,
        Self::Error,
        Self::BalancedAccuracy,
        Self::MacroF1,
        Self::Auc,
        Self::KappaQuadratic,
        Self::Ece,
        Self::EceAdaptive,
        Self::Brier,
        Self::Nll,
        Self::MeanErr,
        Self::Mce,
        Self::MceMedmnistc,
        Self::RelativeMceMedmnistc,
        Self::MceClip,
        Self::RelativeMce,
    ];

    /// The name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Top1 => "top1",
            Self::Error => "error",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::MacroF1 => "macro_f1",
            Self::Auc => "auc",
            Self::KappaQuadratic => "kappa_quadratic",
            Self::Ece => "ece",
            Self::EceAdaptive => "ece_adaptive",
            Self::Brier => "brier",
            Self::Nll => "nll",
            Self::MeanErr => "mean_err",
            Self::Mce => "mce",
            Self::MceMedmnistc => "mce_medmnistc",
            Self::RelativeMceMedmnistc => "mce_medmnistc_relative",
            Self::MceClip => "mce_clip",
            Self::RelativeMce => "mce_relative",
        }
    }

    /// The lowest and highest value it can have.
    #[must_use]
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::KappaQuadratic => (-1.0, 1.0),
            Self::Brier => (0.0, 2.0),
            Self::Nll | Self::Mce | Self::MceMedmnistc | Self::MceClip => (0.0, f64::INFINITY),
            Self::RelativeMceMedmnistc | Self::RelativeMce => (f64::NEG_INFINITY, f64::INFINITY),
            _ => (0.0, 1.0),
        }
    }
}
