//! Every number of the training that was chosen.

use t3b::demo;
use t3b::model::config::{ClipConfig, TextKind, TowerConfig, VisionKind};

use crate::augment::Damage;
use crate::data::Drawn;
use crate::train::Course;

/// Seed of weights, order and damage.
pub(crate) const SEED: u64 = 2;

/// Temperature that the training starts from, as a logarithm.
pub(crate) const LOGIT_SCALE: f64 = 2.5;

/// Real crops that the generalist sees: the first of the training split, which is shuffled. Few, so that it
/// knows the drawn world well and the real one a little, as a generalist does; the expert then sees them all.
pub(crate) const N_REAL_GENERALIST: usize = 150;

/// Drawn crops that the expert sees: enough not to forget them.
pub(crate) const N_DRAWN_EXPERT: usize = 60;

/// The drawn crops. The test seed is that of the documented demo archive; the training's differs.
pub(crate) const DRAWN: Drawn =
    Drawn { train_seed: 1, n_train: 800, test_seed: demo::DEFAULT_SEED, n_test: demo::DEFAULT_IMAGES };

/// Prompts of the training, one template a step; the first is the one that is measured.
pub(crate) const TEMPLATES: [&str; 4] =
    ["a photo of a {}.", "a microscope image of a {}.", "a {} in a blood smear.", "{}"];

/// The kinds that damage the generalist's crops, each with the suite its strengths come from. Of the scored
/// kinds, Gaussian noise and pixelation are not among them: those it meets for the first time when scored.
pub(crate) const TRAINED_KINDS: [(&str, &str); 7] = [
    ("dermamnist", "shot_noise"),
    ("dermamnist", "speckle_noise"),
    ("dermamnist", "impulse_noise"),
    ("bloodmnist", "brightness_up"),
    ("bloodmnist", "brightness_down"),
    ("bloodmnist", "contrast_up"),
    ("bloodmnist", "contrast_down"),
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
        vision_kind: VisionKind::Clip,
        text_kind: TextKind::Clip,
        logit_bias: false,
    }
}

/// From random weights; nine crops of ten are damaged.
pub(crate) fn generalist() -> Course {
    Course {
        name: "generalist",
        seed: SEED,
        epochs: 50,
        batch: 64,
        learning_rate: 1e-3,
        weight_decay: 0.01,
        damage: Damage::new(0.9, &TRAINED_KINDS),
        trains_text: true,
        smoothing: 0.05,
    }
}

/// From the generalist, on clean crops, mildly, so that the weights between the two stay good models.
pub(crate) fn expert() -> Course {
    Course {
        name: "expert",
        seed: SEED,
        epochs: 20,
        batch: 64,
        learning_rate: 2e-3,
        weight_decay: 0.01,
        damage: Damage::none(),
        trains_text: false,
        smoothing: 0.0,
    }
}
