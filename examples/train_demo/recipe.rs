//! Every number of the training that was chosen.

use t3b::demo;
use t3b::model::config::{ClipConfig, TowerConfig};

use crate::augment::Damage;
use crate::data::Drawn;
use crate::train::Course;

/// Seed of weights, order and damage.
pub(crate) const SEED: u64 = 1;

/// Temperature that the training starts from, as a logarithm.
pub(crate) const LOGIT_SCALE: f64 = 2.5;

/// The drawn crops. The test seed is that of the documented demo archive; the training's differs.
pub(crate) const DRAWN: Drawn =
    Drawn { train_seed: 1, n_train: 800, test_seed: demo::DEFAULT_SEED, n_test: demo::DEFAULT_IMAGES };

/// Prompts of the training, one template a step; the first is the one that is measured.
pub(crate) const TEMPLATES: [&str; 4] =
    ["a photo of a {}.", "a microscope image of a {}.", "a {} in a blood smear.", "{}"];

/// The kinds that damage the generalist's crops, each with the suite its strengths come from.
pub(crate) const TRAINED_KINDS: [(&str, &str); 3] = [
    ("dermamnist", "shot_noise"),
    ("dermamnist", "speckle_noise"),
    ("dermamnist", "impulse_noise"),
];

/// CLIP in miniature.
pub(crate) fn architecture() -> ClipConfig {
    ClipConfig {
        vision: TowerConfig::quick_gelu(64, 4, 4),
        text: TowerConfig { mlp_width: 128, ..TowerConfig::quick_gelu(64, 2, 4) },
        image_px: 32,
        patch_px: 8,
        context_tokens: 77,
        vocab_size: 1024,
        projection: 64,
    }
}

/// From random weights; most crops are damaged.
pub(crate) fn generalist() -> Course {
    Course {
        name: "generalist",
        seed: SEED,
        epochs: 12,
        batch: 64,
        learning_rate: 1e-3,
        weight_decay: 0.01,
        damage: Damage::new(0.6, &TRAINED_KINDS),
        trains_text: true,
        smoothing: 0.05,
    }
}

/// From the generalist, mildly, so that the weights between the two stay good models.
pub(crate) fn expert() -> Course {
    Course {
        name: "expert",
        seed: SEED,
        epochs: 8,
        batch: 64,
        learning_rate: 5e-4,
        weight_decay: 0.01,
        damage: Damage::new(0.0, &[]),
        trains_text: false,
        smoothing: 0.05,
    }
}
