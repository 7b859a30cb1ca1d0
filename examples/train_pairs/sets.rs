//! The sets of the protocol and every number of the training that was chosen.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use t3b_decode::{Limits, decode};
use t3b_image::resize::Resizer;

use crate::augment::Damage;
use crate::data::Crop;
use crate::train::Course;

/// Seed of weights, order and damage.
pub(crate) const SEED: u64 = 17;

/// Prompts of the training; the first is the one that is scored.
pub(crate) const TEMPLATES: [&str; 2] = ["a photo of a {}.", "a medical image of {}."];

/// One set.
pub(crate) struct Set {
    /// Folder below the data root.
    pub(crate) name: &'static str,
    /// Class names in label order.
    pub(crate) names: Vec<String>,
    /// Its training images; labels are places among all classes of all sets.
    pub(crate) crops: Vec<Crop>,
    /// Place of its first class among all classes.
    pub(crate) first_label: usize,
    /// How many of its images the generalist sees.
    pub(crate) n_generalist: usize,
    /// Epochs of its expert; 0: no expert (the set is another's novel one).
    pub(crate) expert_epochs: usize,
}

/// Folder, images for the generalist, epochs of the expert.
const SETS: [(&str, usize, usize); 5] = [
    ("bccd", 200, 4),
    ("blood_pbc", 240, 0),
    ("breast_busi", 198, 12),
    ("xray_pneumonia", 200, 4),
    ("oct_neh3", 273, 10),
];

/// Reads the training images of all sets; images keep the order of their manifests, which are shuffled.
pub(crate) fn load(root: &Path, side_px: u32) -> Result<Vec<Set>, Box<dyn Error>> {
    let resizer = &mut Resizer::default();
    let mut sets = Vec::new();
    let mut first_label = 0;
    for (name, n_generalist, expert_epochs) in SETS {
        let folder = root.join(name);
        let text = fs::read_to_string(folder.join("manifest.csv"))?;
        let heading: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
        let place = |column: &str| {
            heading.iter().position(|found| *found == column).ok_or(format!("no column {column}"))
        };
        let (uri, label, label_idx, split) =
            (place("uri")?, place("label")?, place("label_idx")?, place("split")?);
        let (mut names, mut crops) = (BTreeMap::new(), Vec::new());
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let index: usize = fields[label_idx].parse()?;
            names.insert(index, fields[label].to_owned());
            if fields[split] != "train" {
                continue;
            }
            let image = decode(&fs::read(folder.join(fields[uri]))?, &Limits::default())?;
            let pixels = resizer.short_side_then_center_crop(&image, side_px);
            crops.push(Crop { id: fields[uri].to_owned(), pixels, label: first_label + index });
        }
        let names: Vec<String> = names.into_values().collect();
        let n_names = names.len();
        sets.push(Set { name, names, crops, first_label, n_generalist, expert_epochs });
        first_label += n_names;
    }
    Ok(sets)
}

/// The kinds that damage the generalist's images: the two kinds of MedMNIST-C that no tested set's suite has.
const TRAINED_KINDS: [(&str, &str); 2] = [("dermamnist", "zoom_blur"), ("dermamnist", "black_corner")];

/// From random weights; half of the images are damaged.
pub(crate) fn generalist() -> Course {
    Course {
        name: "generalist",
        seed: SEED,
        epochs: 14,
        batch: 32,
        learning_rate: 1.2e-3,
        weight_decay: 0.01,
        damage: Damage::new(0.5, &TRAINED_KINDS),
        trains_text: true,
        smoothing: 0.05,
    }
}

/// From the generalist, on clean images.
pub(crate) fn expert(set: &Set) -> Course {
    Course {
        name: set.name,
        seed: SEED,
        epochs: set.expert_epochs,
        batch: 64,
        learning_rate: 1.5e-3,
        weight_decay: 0.01,
        damage: Damage::none(),
        trains_text: false,
        smoothing: 0.0,
    }
}

/// The card's text up to its table of files.
pub(crate) fn card_head(sets: &[Set]) -> String {
    let mut text = String::from(
        "# The pairs of the protocol\n\nToy CLIP models of 32 x 32 pixels (338 k values), trained by `examples/train_pairs` to run the protocol on real\nimages. Not for clinical use; their accuracies say nothing about models of real size.\n\n| set | training images | seen by the generalist | classes | expert's epochs |\n|---|---|---|---|---|\n",
    );
    for set in sets {
        text += &format!(
            "| {} | {} | {} | {} | {} |\n",
            set.name,
            set.crops.len(),
            set.n_generalist.min(set.crops.len()),
            set.names.join("; "),
            set.expert_epochs
        );
    }
    text + "\nThe generalist's images are half damaged: "
        + &TRAINED_KINDS.map(|(_, kind)| kind).join(", ")
        + ".\nLabels of oct_neh3 are for research only and carry no licence text: its weights are not published.\n\n| model | set | sha256 |\n|---|---|---|\n"
}
