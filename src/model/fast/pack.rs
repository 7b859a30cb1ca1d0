//! From named tensors to the flat buffer.

use super::aligned::Aligned;
use super::packing::{Head, Layer, Linear, Norm, Packing};

impl Packing {
    /// Packs an image tower.
    ///
    /// `tensor` returns the values of a tensor, row-major, by its Hugging Face name, such as `visual_projection.weight`.
    ///
    /// # Panics
    /// When a tensor has another number of values than the architecture's.
    #[must_use]
    pub fn pack<'a>(&self, tensor: impl Fn(&str) -> &'a [f32]) -> Aligned {
        let mut buffer = self.pack_outside(&tensor);
        (0..self.layers.len()).for_each(|index| self.pack_matrices(index, &mut buffer, &tensor));
        buffer
    }

    /// Packs the matrices of a block to their places in a packed tower. `tensor` is asked for nothing else.
    ///
    /// # Panics
    /// As [`pack`](Self::pack), and when there is no such block.
    pub fn pack_matrices<'a>(&self, index: usize, buffer: &mut [f32], tensor: impl Fn(&str) -> &'a [f32]) {
        let mut packer = Packer { packing: self, tensor, buffer };
        packer.matrices(&self.layers[index], &in_block(index, "self_attn"), &in_block(index, "mlp"));
    }

    /// Packs an image tower without the matrices of its blocks. `tensor` is not asked for them; their places are never touched, and take
    /// memory when they are.
    ///
    /// # Panics
    /// As [`pack`](Self::pack).
    #[must_use]
    pub fn pack_outside<'a>(&self, tensor: impl Fn(&str) -> &'a [f32]) -> Aligned {
        let mut buffer = Aligned::zeros(self.len());
        let mut packer = Packer { packing: self, tensor, buffer: &mut buffer };
        let embedding = |name: &str| format!("vision_model.embeddings.{name}");
        if let Some(class) = self.class {
            packer.rows(class, 1, &embedding("class_embedding"));
        }
        packer.rows(self.positions, self.tokens, &embedding("position_embedding.weight"));
        packer.matrix(&self.patches, 0, self.width, &embedding("patch_embedding.weight"));
        packer.bias(&self.patches, 0, self.width, &embedding("patch_embedding"));
        if let Some(norm) = self.pre_norm {
            // The missing `e` is the name under which the weights were published.
            packer.norm(norm, "vision_model.pre_layrnorm");
        }
        for (index, layer) in self.layers.iter().enumerate() {
            packer.norm(layer.attention_norm, &in_block(index, "layer_norm1"));
            packer.norm(layer.mlp_norm, &in_block(index, "layer_norm2"));
            packer.biases(layer, &in_block(index, "self_attn"), &in_block(index, "mlp"));
        }
        packer.norm(self.post_norm, "vision_model.post_layernorm");
        match &self.head {
            Head::Projection(projection) => {
                packer.matrix(projection, 0, self.projection_width, "visual_projection.weight");
            }
            Head::Attention { probe, layer } => {
                packer.rows(*probe, 1, "vision_model.head.probe");
                packer.norm(layer.mlp_norm, "vision_model.head.layernorm");
                let [attention, mlp] = ["vision_model.head.attention", "vision_model.head.mlp"];
                packer.matrices(layer, attention, mlp);
                packer.biases(layer, attention, mlp);
            }
        }
        buffer
    }
}

/// The name of a part of a block.
fn in_block(index: usize, part: &str) -> String {
    format!("vision_model.encoder.layers.{index}.{part}")
}

struct Packer<'p, F> {
    packing: &'p Packing,
    tensor: F,
    buffer: &'p mut [f32],
}

impl<'a, F: Fn(&str) -> &'a [f32]> Packer<'_, F> {
    /// The linear layers of a block, below these names: each with its first output, how many, and its name.
    fn linears(&self, layer: &Layer, attention: &str, mlp: &str) -> [(Linear, usize, usize, String); 6] {
        let Packing { row, width, mlp_width, .. } = *self.packing;
        [
            (layer.qkv, 0, width, format!("{attention}.q_proj")),
            (layer.qkv, row, width, format!("{attention}.k_proj")),
            (layer.qkv, 2 * row, width, format!("{attention}.v_proj")),
            (layer.out, 0, width, format!("{attention}.out_proj")),
            (layer.rise, 0, mlp_width, format!("{mlp}.fc1")),
            (layer.fall, 0, width, format!("{mlp}.fc2")),
        ]
    }

    fn matrices(&mut self, layer: &Layer, attention: &str, mlp: &str) {
        for (linear, first, outputs, name) in self.linears(layer, attention, mlp) {
            self.matrix(&linear, first, outputs, &format!("{name}.weight"));
        }
    }

    fn biases(&mut self, layer: &Layer, attention: &str, mlp: &str) {
        for (linear, first, outputs, name) in self.linears(layer, attention, mlp) {
            self.bias(&linear, first, outputs, &name);
        }
    }

    /// The biases, where the layer has some.
    fn bias(&mut self, linear: &Linear, first: usize, outputs: usize, name: &str) {
        if let Some(start) = linear.bias {
            let bias = (self.tensor)(&format!("{name}.bias"));
            assert_eq!(bias.len(), outputs, "biases of {name}");
            self.buffer[start + first..][..outputs].copy_from_slice(bias);
        }
    }

    fn matrix(&mut self, linear: &Linear, first: usize, outputs: usize, name: &str) {
        let values = (self.tensor)(name);
        let inputs = values.len() / outputs;
        let fits = values.len() == inputs * outputs
            && inputs.next_multiple_of(super::packing::LANES) == linear.inputs;
        assert!(fits, "{name} has {} values", values.len());
        for (output, values) in values.chunks_exact(inputs).enumerate() {
            linear.put_output(self.buffer, first + output, values);
        }
    }

    fn norm(&mut self, norm: Norm, name: &str) {
        self.rows(norm.gain, 1, &format!("{name}.weight"));
        self.rows(norm.bias, 1, &format!("{name}.bias"));
    }

    /// `n_rows` rows of the residual width from `start` on.
    fn rows(&mut self, start: usize, n_rows: usize, name: &str) {
        let values = (self.tensor)(name);
        assert_eq!(values.len(), n_rows * self.packing.width, "values of {name}");
        let rows = self.buffer[start..].chunks_exact_mut(self.packing.row);
        for (row, values) in rows.zip(values.chunks_exact(self.packing.width)) {
            row[..values.len()].copy_from_slice(values);
        }
    }
}
