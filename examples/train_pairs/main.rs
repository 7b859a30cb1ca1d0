//! Trains the pairs of the four-modality protocol: `cargo run --release --example train_pairs [DATA] [OUT]`.
//!
//! One small generalist from random weights on a few images of every set, damaged by other kinds than those tested, and
//! one expert per modality: the generalist's image tower fine-tuned on all clean training images of its set. Every
//! number is in `sets.rs`; seeded, so the same machine writes the same files. Toy models of 32 pixels, for nothing but
//! running the protocol end to end on real images.

use std::{env, error::Error, fs, path::PathBuf, process::Command};

use t3b::model::Role;
use t3b::model::pair::PairReport;
use t3b::model::prompts::{Prompts, Tokens};
use t3b::model::vocabulary::Vocabulary;

use clip::Clip;
use data::Crop;
use dice::Dice;

#[path = "../train_demo/augment.rs"]
mod augment;
#[path = "../train_demo/clip.rs"]
mod clip;
#[path = "../train_demo/dice.rs"]
mod dice;
#[path = "../train_demo/measure.rs"]
#[expect(dead_code, reason = "shared with train_demo, which uses all of it")]
mod measure;
#[path = "../train_demo/recipe.rs"]
#[expect(dead_code, reason = "shared with train_demo, which uses all of it")]
mod recipe;
#[path = "../train_demo/save.rs"]
mod save;
#[path = "../train_demo/train.rs"]
mod train;

#[path = "../train_demo/data.rs"]
#[expect(dead_code, reason = "shared with train_demo, which uses all of it")]
mod data;
mod sets;

/// The vocabulary of the tiny models.
const MERGES: &str = include_str!("../../models/tiny/generalist/merges.txt");

fn main() -> Result<(), Box<dyn Error>> {
    // As in train_demo: the matrices are too small to share between threads.
    if env::var_os("RAYON_NUM_THREADS").is_some() {
        return run();
    }
    let status = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env("RAYON_NUM_THREADS", "1")
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("the training ended with {status}").into()) }
}

fn run() -> Result<(), Box<dyn Error>> {
    let argument =
        |n: usize, default: &str| env::args_os().nth(n).map_or_else(|| PathBuf::from(default), PathBuf::from);
    let (folder, output) = (argument(1, "../shared/data"), argument(2, "out/pairs"));
    let config = recipe::architecture();
    let sets = sets::load(&folder, config.image_px as u32)?;
    let names: Vec<String> = sets.iter().flat_map(|set| set.names.clone()).collect();
    let broad: Vec<&Crop> = sets.iter().flat_map(|set| set.crops.iter().take(set.n_generalist)).collect();
    let prompts = tokens(&names)?;
    let generalist = Clip::random(config, recipe::LOGIT_SCALE, &mut Dice::new(sets::SEED, "weights"))?;
    println!("generalist: {} images of {} classes", broad.len(), names.len());
    train::train(&generalist, &broad, &prompts, &sets::generalist())?;
    save::write(&output.join("generalist"), &generalist, MERGES)?;
    let few: Vec<Crop> = sets[0].crops.iter().take(32).map(copied).collect();
    let mut card = sets::card_head(&sets);
    let read =
        save::read_checked(&output.join("generalist"), Role::Pretrained, &generalist, &prompts[0], &few)?;
    card += &format!("| generalist | all | `{}` |\n", read.sha256());
    for set in sets.iter().filter(|set| set.expert_epochs > 0) {
        let expert = generalist.copied()?;
        // The set's own class prompts, as it will be scored; its labels count from 0 again.
        let own: Vec<Crop> = set
            .crops
            .iter()
            .map(|crop| Crop { label: crop.label - set.first_label, ..copied(crop) })
            .collect();
        let clean: Vec<&Crop> = own.iter().collect();
        println!("expert of {}: {} images", set.name, clean.len());
        let prompts = tokens(&set.names)?;
        train::train(&expert, &clean, &prompts, &sets::expert(set))?;
        let place = output.join(set.name);
        save::write(&place, &expert, MERGES)?;
        let checked = save::read_checked(&place, Role::Expert, &expert, &prompts[0], &few)?;
        assert!(
            PairReport::compare(&read, &checked)?.text_towers_equal(),
            "the expert's text tower was trained"
        );
        card += &format!("| expert | {} | `{}` |\n", set.name, checked.sha256());
    }
    fs::write(output.join("README.md"), card)?;
    Ok(())
}

fn copied(crop: &Crop) -> Crop {
    Crop { id: crop.id.clone(), pixels: crop.pixels.clone(), label: crop.label }
}

/// One set of class prompts per template.
fn tokens(names: &[String]) -> Result<Vec<Tokens>, Box<dyn Error>> {
    let config = recipe::architecture();
    let vocabulary = Vocabulary::from_merges(MERGES.as_bytes(), config.vocab_size)?;
    let of = |template: &&str| -> Result<Tokens, Box<dyn Error>> {
        Ok(Prompts::new(&[(*template).to_owned()], names)?.tokenize(&vocabulary, config.context_tokens)?)
    };
    sets::TEMPLATES.iter().map(of).collect()
}
