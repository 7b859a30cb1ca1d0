//! Initialisations that take a part out of the base's weight, which a merge must leave out too.
//!
//! PEFT computes that part from the base whenever an adapter is loaded. `PiSSA`'s is the best approximation of the adapter's
//! rank, `OLoRA`'s the projection on the first columns; both are unique, whatever signs a library gives its factors.

use candle_core::{Device, Tensor};
use serde_json::Value;

use super::{linear_algebra, refused::refused};
use crate::model::error::ModelError;

/// What `init_lora_weights` did to the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Initial {
    /// Nothing: the factors alone were initialised.
    Untouched,
    /// The best approximation of the adapter's rank was taken out.
    Pissa,
    /// The first columns of a QR decomposition were taken out, times the adapter's factor.
    Olora,
}

impl Initial {
    /// # Errors
    /// `W013` for one that cannot be repeated: from data (`corda`), from a quantised base (`loftq`), or drawn at random
    /// (`pissa_niter_N`).
    pub(super) fn named(found: Option<&Value>) -> Result<Self, ModelError> {
        match found {
            None | Some(Value::Null | Value::Bool(_)) => Ok(Self::Untouched),
            Some(value) => match value.as_str() {
                Some("gaussian" | "eva" | "orthogonal" | "mica") => Ok(Self::Untouched),
                Some("pissa") => Ok(Self::Pissa),
                Some(name) if name.eq_ignore_ascii_case("olora") => Ok(Self::Olora),
                _ => {
                    let allowed = "true, false, gaussian, eva, orthogonal, mica, pissa or olora; \
                                   PEFT's save_pretrained(path_initial_model_for_weight_conversion=...) writes the others plainly";
                    Err(refused("init_lora_weights", &value.to_string(), allowed))
                }
            },
        }
    }
}

/// `weight`, `[out, in]`, without the part that the initialisation took out: `PiSSA`'s as it is, `OLoRA`'s times the adapter's
/// `scale`, as PEFT has them.
pub(super) fn without(
    initial: Initial,
    weight: &Tensor,
    (rank, scale): (usize, f64),
    key: &str,
) -> Result<Tensor, ModelError> {
    let (outputs, inputs) = weight.dims2()?;
    let values = || {
        Ok::<Vec<f64>, ModelError>(
            weight.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect(),
        )
    };
    let part = match initial {
        Initial::Untouched => return Ok(weight.clone()),
        _ if rank > outputs.min(inputs) => {
            let allowed = format!("at most {}", outputs.min(inputs));
            return Err(refused(key, &format!("rank {rank}"), &allowed));
        }
        Initial::Pissa => linear_algebra::best_approximation(&values()?, outputs, rank)
            .ok_or_else(|| refused(key, "singular values that lie too close", "a gap behind the rank"))?,
        Initial::Olora => {
            let part = linear_algebra::on_first_columns(&values()?, outputs, rank);
            part.into_iter().map(|value| scale * value).collect()
        }
    };
    let part: Vec<f32> = part.into_iter().map(|value| value as f32).collect();
    Ok((weight - Tensor::from_vec(part, (outputs, inputs), &Device::Cpu)?)?)
}
