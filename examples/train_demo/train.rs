//! The training loop: cross-entropy over the class prompts, as CLIP's zero-shot head sees them.

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss::cross_entropy};
use t3b::model::normalize::Normalizer;
use t3b::model::prompts::Tokens;
use t3b_corrupt::Scratch;

use crate::augment::{Damage, moved};
use crate::clip::Clip;
use crate::data::Crop;
use crate::dice::Dice;

/// Largest temperature, as a logarithm: where OpenAI clamps it.
const MAX_LOGIT_SCALE: f32 = 4.605_17;

/// One run of training.
pub(crate) struct Course {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    pub(crate) epochs: usize,
    pub(crate) batch: usize,
    /// Highest learning rate; it rises over the first tenth and falls to zero as a cosine.
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: f64,
    pub(crate) damage: Damage,
    /// False: text tower, its projection and the temperature stay as they are.
    pub(crate) trains_text: bool,
    /// Share of the target spread over the other classes; keeps the model from overconfidence.
    pub(crate) smoothing: f64,
}

/// Trains `clip` in place on `crops`. `prompts` holds one set of class prompts per template.
pub(crate) fn train(clip: &Clip, crops: &[&Crop], prompts: &[Tokens], course: &Course) -> Result<()> {
    let device = &Device::Cpu;
    let ids = prompts.iter().map(|tokens| tensor_of(tokens, device)).collect::<Result<Vec<_>>>()?;
    let banks = ids.iter().map(|ids| Ok(clip.text_features(ids)?.detach())).collect::<Result<Vec<_>>>()?;
    let mut optimizer = AdamW::new(trainable(clip, course), parameters(course, 0.0))?;
    let dice = &mut Dice::new(course.seed, course.name);
    let scratch = &mut Scratch::default();
    let mut order: Vec<usize> = (0..crops.len()).collect();
    let n_steps = course.epochs * crops.len().div_ceil(course.batch);
    let mut step = 0;
    for epoch in 0..course.epochs {
        dice.shuffle(&mut order);
        let mut losses = Vec::new();
        for chosen in order.chunks(course.batch) {
            let (pixels, labels) = batch_of(crops, chosen, course, clip.config.image_px, dice, scratch)?;
            let template = dice.below(ids.len());
            let text = if course.trains_text {
                clip.text_features(&ids[template])?
            } else {
                banks[template].clone()
            };
            let loss = smoothed_loss(&clip.logits(&pixels, &text)?, &labels, course.smoothing)?;
            step += 1;
            optimizer.set_params(parameters(course, step as f64 / n_steps as f64));
            optimizer.backward_step(&loss)?;
            clamp_scale(clip, course)?;
            losses.push(loss.to_scalar::<f32>()?);
        }
        let mean = losses.iter().sum::<f32>() / losses.len() as f32;
        println!("{} {:>3}/{}: loss {mean:.4}", course.name, epoch + 1, course.epochs);
    }
    Ok(())
}

fn trainable(clip: &Clip, course: &Course) -> Vec<Var> {
    let in_vision = |name: &str| name.starts_with("vision_model.") || name.starts_with("visual_projection.");
    let chosen = clip.weights.iter().filter(|(name, _)| course.trains_text || in_vision(name));
    chosen.map(|(_, var)| var.clone()).collect()
}

/// The optimiser's settings after `progress` (0 to 1) of the course.
fn parameters(course: &Course, progress: f64) -> ParamsAdamW {
    let warm = (progress / 0.1).min(1.0);
    let fall = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
    ParamsAdamW {
        lr: course.learning_rate * warm * fall,
        weight_decay: course.weight_decay,
        ..ParamsAdamW::default()
    }
}

fn batch_of(
    crops: &[&Crop],
    chosen: &[usize],
    course: &Course,
    side_px: usize,
    dice: &mut Dice,
    scratch: &mut Scratch,
) -> Result<(Tensor, Tensor)> {
    let mut bytes = Vec::with_capacity(chosen.len() * side_px * side_px * 3);
    for index in chosen {
        let crop = crops[*index];
        let image = moved(crop, dice);
        bytes.extend_from_slice(course.damage.roll(image, &crop.id, dice, scratch).as_bytes());
    }
    let pixels = Normalizer::new().batch(&bytes, side_px, &Device::Cpu).map_err(candle_core::Error::wrap)?;
    let labels: Vec<u32> = chosen.iter().map(|index| crops[*index].label as u32).collect();
    Ok((pixels, Tensor::new(labels, &Device::Cpu)?))
}

/// Cross-entropy against targets of `1 - smoothing` on the label and the rest spread evenly.
fn smoothed_loss(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let exact = cross_entropy(logits, labels)?;
    let spread = candle_nn::ops::log_softmax(logits, 1)?.mean_all()?.neg()?;
    (exact * (1.0 - smoothing))? + (spread * smoothing)?
}

fn clamp_scale(clip: &Clip, course: &Course) -> Result<()> {
    if !course.trains_text {
        return Ok(());
    }
    let scale = &clip.weights["logit_scale"];
    scale.set(&scale.as_detached_tensor().clamp(0f32, MAX_LOGIT_SCALE)?)
}

fn tensor_of(tokens: &Tokens, device: &Device) -> Result<Tensor> {
    tokens.to_tensor(device).map_err(candle_core::Error::wrap)
}
