//! Trains the shipped tiny CLIP pair: `cargo run --release --example train_demo`.
//!
//! Order:
//! 1. crops: BCCD's from `../shared/data/bccd` (or the folder given as first argument) and drawn ones;
//! 2. the generalist, from random weights, on crops of which many are damaged;
//! 3. the expert: its image tower fine-tuned on clean crops, its text tower untouched;
//! 4. both written under `models/tiny`, read back, and compared with the training's own forward pass;
//! 5. the accuracy table, printed, and the model card `models/tiny/README.md`.
//!
//! Every random number is seeded, so the same class of machine gives the same files.

mod augment;
mod card;
mod clip;
mod data;
mod dice;
mod measure;
mod recipe;
mod save;
mod train;

use std::path::{Path, PathBuf};
use std::{env, error::Error, process::Command};

use t3b::demo::CellClass;
use t3b::model::Role;
use t3b::model::pair::PairReport;
use t3b::model::prompts::{Prompts, Tokens};
use t3b::model::vocabulary::Vocabulary;

use clip::Clip;
use data::{Crop, Data};
use dice::Dice;

/// The first merges of OpenAI's byte-pair vocabulary; an input of the training, kept beside its output.
const MERGES: &str = include_str!("../../models/tiny/generalist/merges.txt");

/// Number of threads for candle and for its matrix products.
const THREADS: &str = "RAYON_NUM_THREADS";

fn main() -> Result<(), Box<dyn Error>> {
    // The matrices are so small that handing them between threads costs far more than it saves: candle's workers
    // spin while they wait. It reads their number from the environment, once, so the work is done by a child.
    if env::var_os(THREADS).is_some() {
        return run();
    }
    let status = Command::new(env::current_exe()?).args(env::args_os().skip(1)).env(THREADS, "1").status()?;
    if status.success() { Ok(()) } else { Err(format!("the training ended with {status}").into()) }
}

fn run() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1).map_or_else(|| PathBuf::from("../shared/data/bccd"), PathBuf::from);
    let output = Path::new("models/tiny");
    let config = recipe::architecture();
    let data = Data::load(&folder, &recipe::DRAWN, config.image_px as u32)?;
    let prompts = recipe::TEMPLATES.iter().map(|template| tokens(template)).collect::<Result<Vec<_>, _>>()?;

    let generalist = Clip::random(config, recipe::LOGIT_SCALE, &mut Dice::new(recipe::SEED, "weights"))?;
    let broad = mixed(&data.drawn_train, data.real_train.iter().take(recipe::N_REAL_GENERALIST));
    train::train(&generalist, &broad, &prompts, &recipe::generalist())?;
    let expert = generalist.copied()?;
    // Without real crops the drawn ones are all there is to become an expert on.
    let n_drawn = if data.real_train.is_empty() { data.drawn_train.len() } else { recipe::N_DRAWN_EXPERT };
    let narrow = mixed(&data.drawn_train[..n_drawn], data.real_train.iter());
    train::train(&expert, &narrow, &prompts, &recipe::expert())?;

    let mut checkpoints = Vec::new();
    for (name, role, clip) in
        [("generalist", Role::Pretrained, &generalist), ("expert", Role::Expert, &expert)]
    {
        save::write(&output.join(name), clip, MERGES)?;
        checkpoints.push(save::read_checked(&output.join(name), role, clip, &prompts[0], &data.drawn_test)?);
    }
    let report = PairReport::compare(&checkpoints[0], &checkpoints[1])?;
    assert!(report.text_towers_equal(), "the expert's text tower was trained");
    card::write(&output.join("README.md"), &checkpoints, &prompts[0], &data)
}

/// Drawn and real crops, one behind the other.
fn mixed<'a>(drawn: &'a [Crop], real: impl Iterator<Item = &'a Crop>) -> Vec<&'a Crop> {
    drawn.iter().chain(real).collect()
}

/// The class prompts of one template.
fn tokens(template: &str) -> Result<Tokens, Box<dyn Error>> {
    let config = recipe::architecture();
    let names: Vec<String> = CellClass::ALL.iter().map(|class| class.name().to_owned()).collect();
    let vocabulary = Vocabulary::from_merges(MERGES.as_bytes(), config.vocab_size)?;
    Ok(Prompts::new(&[template.to_owned()], &names)?.tokenize(&vocabulary, config.context_tokens)?)
}
