//! Every method a run can score, by name, and the kind of work each one asks of the scorer.

/// What a method needs done, so that the scorer can dispatch without knowing each method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One of the two given models, unmerged.
    Parent,
    /// Both parents' outputs averaged; no weights are merged.
    Ensemble,
    /// Weights merged once per run, whatever the images are.
    StaticMerge,
    /// A coefficient per sample.
    SampleMerge,
    /// A coefficient per batch: the mean of the per-sample ones.
    BatchMerge,
    /// A coefficient per cluster of per-sample ones (a Beta mixture).
    ClusterMerge,
}

/// One row of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// The pretrained model alone.
    Pretrained,
    /// The expert alone.
    Expert,
    /// Mean of the two probability vectors.
    Ensemble,
    /// Mean of the two logit vectors.
    EnsembleLogits,
    /// Linear merge at a fixed coefficient (WiSE-FT, model soup).
    WiseFt,
    /// The pretrained model plus a scaled difference; with one expert the same as [`Method::WiseFt`] at that scale.
    TaskArithmetic,
    /// Task arithmetic on the largest differences only (TIES-Merging with one expert).
    Ties,
    /// Differences dropped at random and rescaled.
    Dare,
    /// Spherical interpolation, tensor by tensor.
    Slerp,
    /// Linear merge at one random coefficient per run (M3).
    M3,
    /// Ratio of exponentiated negative entropies, per sample (DaWin), with temperatures per backbone.
    Dawin,
    /// [`Method::Dawin`] with the offset from whole-set statistics.
    DawinOffset,
    /// [`Method::Dawin`] with the coefficients clustered by a Beta mixture.
    DawinClusters,
    /// The entropy ratio without temperatures, per sample: the paper's ablation of its coefficient.
    EntropyRatio,
    /// [`Method::EntropyRatio`], mean per batch.
    EntropyRatioB,
    /// T3: the Jensen-Shannon coefficient per sample.
    T3,
    /// T3_B: the mean of T3's coefficients per batch.
    T3B,
    /// T3's coefficients clustered by a Beta mixture.
    T3Clusters,
    /// Linear merge at a given coefficient, the control at T3's own mean.
    Constant,
    /// Beyond the expert: linear merge at a coefficient above 1 (ExPO).
    Expo,
    /// [`Method::T3`] with the guard.
    T3Guard,
    /// [`Method::T3B`] with the guard applied per sample before the mean.
    T3BGuard,
    /// [`Method::T3Clusters`] with the guard applied per sample before clustering.
    T3ClustersGuard,
    /// A point of `merge.grid`: linear merge at this weight on the expert, in per cent. Not in [`Self::ALL`]: the grid adds
    /// its points, nobody names them.
    Line(u8),
}

/// Names of [`Method::Line`].
const LINES: [&str; 101] = [
    "line_000", "line_001", "line_002", "line_003", "line_004", "line_005", "line_006", "line_007",
    "line_008", "line_009", "line_010", "line_011", "line_012", "line_013", "line_014", "line_015",
    "line_016", "line_017", "line_018", "line_019", "line_020", "line_021", "line_022", "line_023",
    "line_024", "line_025", "line_026", "line_027", "line_028", "line_029", "line_030", "line_031",
    "line_032", "line_033", "line_034", "line_035", "line_036", "line_037", "line_038", "line_039",
    "line_040", "line_041", "line_042", "line_043", "line_044", "line_045", "line_046", "line_047",
    "line_048", "line_049", "line_050", "line_051", "line_052", "line_053", "line_054", "line_055",
    "line_056", "line_057", "line_058", "line_059", "line_060", "line_061", "line_062", "line_063",
    "line_064", "line_065", "line_066", "line_067", "line_068", "line_069", "line_070", "line_071",
    "line_072", "line_073", "line_074", "line_075", "line_076", "line_077", "line_078", "line_079",
    "line_080", "line_081", "line_082", "line_083", "line_084", "line_085", "line_086", "line_087",
    "line_088", "line_089", "line_090", "line_091", "line_092", "line_093", "line_094", "line_095",
    "line_096", "line_097", "line_098", "line_099", "line_100",
];

impl Method {
    /// Every method, in the order of a report's rows.
    pub const ALL: [Self; 23] = [
        Self::Pretrained,
        Self::Expert,
        Self::Ensemble,
        Self::EnsembleLogits,
        Self::WiseFt,
        Self::TaskArithmetic,
        Self::Ties,
        Self::Dare,
        Self::Slerp,
        Self::M3,
        Self::Dawin,
        Self::DawinOffset,
        Self::DawinClusters,
        Self::EntropyRatio,
        Self::EntropyRatioB,
        Self::T3,
        Self::T3B,
        Self::T3Clusters,
        Self::Constant,
        Self::Expo,
        Self::T3Guard,
        Self::T3BGuard,
        Self::T3ClustersGuard,
    ];

    /// The names of [`Self::ALL`], in its order.
    pub const NAMES: [&'static str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut i = 0;
        while i < names.len() {
            names[i] = Self::ALL[i].name();
            i += 1;
        }
        names
    };

    /// The name in pipeline files and output columns.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pretrained => "pretrained",
            Self::Expert => "expert",
            Self::Ensemble => "ensemble",
            Self::EnsembleLogits => "ensemble_logits",
            Self::WiseFt => "wise_ft",
            Self::TaskArithmetic => "task_arithmetic",
            Self::Ties => "ties",
            Self::Dare => "dare",
            Self::Slerp => "slerp",
            Self::M3 => "m3",
            Self::Dawin => "dawin",
            Self::DawinOffset => "dawin_offset",
            Self::DawinClusters => "dawin_clusters",
            Self::EntropyRatio => "entropy_ratio",
            Self::EntropyRatioB => "entropy_ratio_b",
            Self::T3 => "t3",
            Self::T3B => "t3_b",
            Self::T3Clusters => "t3_clusters",
            Self::Constant => "constant",
            Self::Expo => "expo",
            Self::T3Guard => "t3_guard",
            Self::T3BGuard => "t3_b_guard",
            Self::T3ClustersGuard => "t3_clusters_guard",
            Self::Line(percent) => LINES[if percent > 100 { 100 } else { percent as usize }],
        }
    }

    /// The method of exactly this name (lower case, as [`Self::name`] writes it), or `None`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// What the scorer has to do for this method.
    #[must_use]
    pub const fn kind(self) -> MethodKind {
        match self {
            Self::Pretrained | Self::Expert => MethodKind::Parent,
            Self::Ensemble | Self::EnsembleLogits => MethodKind::Ensemble,
            Self::WiseFt
            | Self::TaskArithmetic
            | Self::Ties
            | Self::Dare
            | Self::Slerp
            | Self::M3
            | Self::Constant
            | Self::Expo
            | Self::Line(_) => MethodKind::StaticMerge,
            Self::Dawin | Self::DawinOffset | Self::EntropyRatio | Self::T3 | Self::T3Guard => {
                MethodKind::SampleMerge
            }
            Self::EntropyRatioB | Self::T3B | Self::T3BGuard => MethodKind::BatchMerge,
            Self::DawinClusters | Self::T3Clusters | Self::T3ClustersGuard => MethodKind::ClusterMerge,
        }
    }

    /// Whether the guard is applied to each sample's coefficient.
    #[must_use]
    pub const fn is_guarded(self) -> bool {
        matches!(self, Self::T3Guard | Self::T3BGuard | Self::T3ClustersGuard)
    }

    /// Whether the method needs a number from a first pass over the whole set before any sample can be merged:
    /// the offset's statistics, the mixture of the clusters, or T3's mean for the control.
    #[must_use]
    pub const fn needs_first_pass(self) -> bool {
        matches!(self, Self::DawinOffset | Self::Constant) || matches!(self.kind(), MethodKind::ClusterMerge)
    }
}
