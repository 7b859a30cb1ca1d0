//! The task vector, expert minus generalist, layer by layer.

use std::collections::BTreeMap;

use super::{
    checkpoint::Checkpoint,
    error::ModelError,
    layout::{self, LOGIT_SCALE, is_vision},
};

/// How far a layer of the expert is from the generalist's.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerDistance {
    /// `vision embeddings`, `vision block 0`, ..., `vision head`, the same for `text`, and `logit_scale`.
    pub layer: String,
    /// Tensors of the layer.
    pub n_tensors: usize,
    /// Those that differ in at least one bit.
    pub n_differing: usize,
    /// Euclidean length of the layer's part of the task vector.
    pub norm: f64,
    /// `norm` over the length of the generalist's layer; 0 when both are 0.
    pub relative: f64,
}

/// Every layer in the order of the forward pass, image tower first.
///
/// # Errors
/// `N002` when a tensor cannot be read.
pub fn by_layer(pretrained: &Checkpoint, expert: &Checkpoint) -> Result<Vec<LayerDistance>, ModelError> {
    let mut layers = BTreeMap::<(usize, usize), (String, [usize; 2], [f64; 2])>::new();
    for spec in layout::tensors(pretrained.config()) {
        let (order, layer) = layer_of(&spec.name);
        let values = |of: &Checkpoint| of.tensors()[&spec.name].flatten_all()?.to_vec1::<f32>();
        let (pt, ft) = (values(pretrained)?, values(expert)?);
        let square = |value: f64| value * value;
        let moved: f64 = pt.iter().zip(&ft).map(|(pt, ft)| square(f64::from(*ft) - f64::from(*pt))).sum();
        let whole: f64 = pt.iter().map(|pt| square(f64::from(*pt))).sum();
        let differs = pt.iter().zip(&ft).any(|(pt, ft)| pt.to_bits() != ft.to_bits());
        let (_, counts, squares) = layers.entry(order).or_insert((layer, [0; 2], [0.0; 2]));
        *counts = [counts[0] + 1, counts[1] + usize::from(differs)];
        *squares = [squares[0] + moved, squares[1] + whole];
    }
    let distances = layers.into_values().map(|(layer, [n_tensors, n_differing], [moved, whole])| {
        let relative = if moved == 0.0 { 0.0 } else { (moved / whole).sqrt() };
        LayerDistance { layer, n_tensors, n_differing, norm: moved.sqrt(), relative }
    });
    Ok(distances.collect())
}

/// The layer of a tensor and its place in the forward pass.
fn layer_of(name: &str) -> ((usize, usize), String) {
    if name == LOGIT_SCALE {
        return ((2, 0), name.to_owned());
    }
    let (tower, first) = if is_vision(name) { ("vision", 0) } else { ("text", 1) };
    let block = name
        .split_once(".encoder.layers.")
        .and_then(|(_, rest)| rest.split('.').next()?.parse::<usize>().ok());
    match block {
        Some(block) => ((first, 1 + block), format!("{tower} block {block}")),
        None if name.contains(".embeddings.") || name.contains("pre_layrnorm") => {
            ((first, 0), format!("{tower} embeddings"))
        }
        None => ((first, usize::MAX), format!("{tower} head")),
    }
}
