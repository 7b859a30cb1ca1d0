//! Zero-shot classification: an image tower, a bank of class vectors and a temperature.

use candle_core::{D, DType, Tensor};
use candle_transformers::models::clip::div_l2_norm;

use super::{
    error::{CheckpointFault, ModelError},
    prompts::Tokens,
    tower::{TextTower, VisionTower},
};

/// How far the length of a bank's row may be from 1; normalising in f32 leaves about 1e-7.
const UNIT_TOLERANCE: f32 = 1e-4;
/// The same for rows that were rounded to 16 bits: bf16 keeps 8 bits of each value.
const ROUNDED_TOLERANCE: f32 = 5e-3;

/// Prompts encoded at a time; bounds the memory of the attention maps.
const PROMPTS_AT_ONCE: usize = 64;

/// One unit vector per class, `[classes, projection]` f32.
#[derive(Debug, Clone)]
pub struct TextBank(Tensor);

impl TextBank {
    /// Takes features computed elsewhere.
    ///
    /// # Errors
    /// `W010` when they are not `[classes, projection]`, or a row is not of length 1.
    pub fn new(features: Tensor, classes: usize, projection: usize) -> Result<Self, ModelError> {
        Self::within(UNIT_TOLERANCE, features, classes, projection)
    }

    /// Takes features that were stored in 16 bits, and brings them back to length 1.
    ///
    /// # Errors
    /// As [`new`](Self::new), where the rounding is allowed for.
    pub fn rounded(features: Tensor, classes: usize, projection: usize) -> Result<Self, ModelError> {
        let bank = Self::within(ROUNDED_TOLERANCE, features, classes, projection)?;
        Ok(Self(div_l2_norm(&bank.0)?))
    }

    fn within(
        tolerance: f32,
        features: Tensor,
        classes: usize,
        projection: usize,
    ) -> Result<Self, ModelError> {
        let refused = |what: String| Err(ModelError::from(CheckpointFault::Bank(what)));
        match *features.dims() {
            [rows, _] if rows != classes => {
                return refused(format!("found {rows} rows, allowed {classes} (classes)"));
            }
            [_, width] if width != projection => {
                return refused(format!("found width {width}, allowed {projection} (projection)"));
            }
            [_, _] => {}
            _ => return refused(format!("found {} dimensions, allowed 2", features.rank())),
        }
        let lengths = features.to_dtype(DType::F32)?.sqr()?.sum(D::Minus1)?.sqrt()?.to_vec1::<f32>()?;
        let off = |length: &f32| (length - 1.0).abs() > tolerance || length.is_nan();
        if let Some(row) = lengths.iter().position(off) {
            return refused(format!("found row {row} of length {:.4}, allowed 1", lengths[row]));
        }
        Ok(Self(features))
    }

    /// Encodes prompts on the tower's device.
    ///
    /// Several templates of a class: mean of the unit vectors, scaled to length 1 again, as in OpenAI's zero-shot notebook.
    /// The prompts are padded to the longest of them, so adding a longer one may change the others in the last bits.
    ///
    /// # Errors
    /// `N002` when the device refuses; `W010` when templates cancel out or the tower yields NaN.
    pub fn encode(tower: &TextTower, tokens: &Tokens) -> Result<Self, ModelError> {
        let ids = tokens.to_tensor(tower.device())?;
        let mut parts = Vec::new();
        for start in (0..tokens.rows()).step_by(PROMPTS_AT_ONCE) {
            let rows = PROMPTS_AT_ONCE.min(tokens.rows() - start);
            parts.push(tower.features(&ids.narrow(0, start, rows)?)?);
        }
        let mut features = Tensor::cat(&parts, 0)?;
        if tokens.templates() > 1 {
            let by_class = features.reshape((tokens.classes(), tokens.templates(), tower.projection()))?;
            features = div_l2_norm(&by_class.mean(1)?)?;
        }
        Self::new(features, tokens.classes(), tower.projection())
    }

    /// The vectors, `[classes, projection]` f32.
    #[must_use]
    pub fn features(&self) -> &Tensor {
        &self.0
    }

    /// The values, row-major.
    ///
    /// # Errors
    /// `N002` when the device refuses.
    pub fn values(&self) -> Result<Vec<f32>, ModelError> {
        Ok(self.0.flatten_all()?.to_vec1()?)
    }

    /// Cosines `[B, classes]` of unit features `[B, projection]` and the classes.
    ///
    /// Row by row: the order in which a matrix product adds depends on its size, and a sample's numbers must not depend on
    /// how many others are beside it.
    ///
    /// # Errors
    /// When there is no row, or the features have another width or are on another device.
    pub(crate) fn cosines(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        let classes = self.0.t()?;
        let row = |n| features.narrow(0, n, 1)?.matmul(&classes);
        Tensor::cat(&(0..features.dim(0)?).map(row).collect::<Result<Vec<_>, _>>()?, 0)
    }

    /// Classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.0.dims()[0]
    }
}

/// A CLIP model with its classes: what turns pixels into logits.
#[derive(Debug, Clone)]
pub struct ZeroShot {
    /// Image tower.
    pub vision: VisionTower,
    /// Class vectors on the tower's device.
    pub bank: TextBank,
    /// Temperature as a logarithm; logits are `exp(logit_scale) * cos + logit_bias`.
    pub logit_scale: f64,
    /// What is added to every logit: SigLIP's bias, which no softmax over classes sees, and 0 for other models.
    pub logit_bias: f64,
}

impl ZeroShot {
    /// Logits over the bank's classes, `[B, classes]` f32 on the model's device.
    ///
    /// `pixels`: `[B, 3, image_px, image_px]` f32, normalised. Reference: `logits_per_image` of `CLIPModel`
    /// and `SiglipModel`.
    ///
    /// # Errors
    /// `N002` for another shape, or when the device refuses.
    pub fn logits(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        self.logits_of(&self.vision.features(pixels)?)
    }

    /// The second half of [`logits`](Self::logits), for unit features `[B, projection]` that are already there.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn logits_of(&self, features: &Tensor) -> Result<Tensor, ModelError> {
        Ok(logits_of_cosines(&self.bank.cosines(features)?, self.logit_scale, self.logit_bias)?)
    }
}

/// `exp(logit_scale) * cos + logit_bias` of every value.
pub(crate) fn logits_of_cosines(
    cosines: &Tensor,
    logit_scale: f64,
    logit_bias: f64,
) -> candle_core::Result<Tensor> {
    cosines.affine(logit_scale.exp(), logit_bias)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Unit rows of numbers in no simple order.
    fn unit_rows(rows: usize, width: usize, salt: usize) -> Tensor {
        let value = |n: usize| ((n + salt).wrapping_mul(0x9e37_79b1) >> 7 & 0xffff) as f32 / 65536.0 - 0.5;
        let values: Vec<f32> = (0..rows * width).map(value).collect();
        div_l2_norm(&Tensor::from_vec(values, (rows, width), &Device::Cpu).unwrap()).unwrap()
    }

    /// On a card both parents see whatever batches wait, so how many rows come at once is a matter of time.
    #[test]
    fn a_row_has_the_same_logits_however_many_are_beside_it() {
        for (projection, classes) in [(64, 4), (512, 2), (512, 11), (768, 100)] {
            let bank = TextBank::new(unit_rows(classes, projection, 7), classes, projection).unwrap();
            let features = unit_rows(200, projection, 77_777);
            let bits = |from: usize, n: usize| {
                let cosines = bank.cosines(&features.narrow(0, from, n).unwrap()).unwrap();
                let values = cosines.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let all = bits(0, 200);
            for (from, n) in [(0, 1), (3, 2), (0, 12), (100, 64), (72, 128)] {
                assert!(bits(from, n) == all[from * classes..][..n * classes], "{n} of {projection}");
            }
        }
    }
}
