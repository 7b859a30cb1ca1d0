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
            let name = |part: &str| format!("vision_model.encoder.layers.{index}.{part}");
            packer.norm(layer.attention_norm, &name("layer_norm1"));
            packer.norm(layer.mlp_norm, &name("layer_norm2"));
            packer.layer(layer, &name("self_attn"), &name("mlp"));
        }
        packer.norm(self.post_norm, "vision_model.post_layernorm");
        match &self.head {
            Head::Projection(projection) => {
                packer.matrix(projection, 0, self.projection_width, "visual_projection.weight");
            }
            Head::Attention { probe, layer } => {
                packer.rows(*probe, 1, "vision_model.head.probe");
                packer.norm(layer.mlp_norm, "vision_model.head.layernorm");
                packer.layer(layer, "vision_model.head.attention", "vision_model.head.mlp");
            }
        }
        buffer
    }
}

struct Packer<'p, F> {
    packing: &'p Packing,
    tensor: F,
    buffer: &'p mut [f32],
}

impl<'a, F: Fn(&str) -> &'a [f32]> Packer<'_, F> {
    /// The linear layers of a block, below these names.
    fn layer(&mut self, layer: &Layer, attention: &str, mlp: &str) {
        let packing = self.packing;
        for (third, projection) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
            self.linear(&layer.qkv, third * packing.row, packing.width, &format!("{attention}.{projection}"));
        }
        self.linear(&layer.out, 0, packing.width, &format!("{attention}.out_proj"));
        self.linear(&layer.rise, 0, packing.mlp_width, &format!("{mlp}.fc1"));
        self.linear(&layer.fall, 0, packing.width, &format!("{mlp}.fc2"));
    }

    /// Weight and bias of `outputs` outputs from number `first` on.
    fn linear(&mut self, linear: &Linear, first: usize, outputs: usize, name: &str) {
        self.matrix(linear, first, outputs, &format!("{name}.weight"));
        self.bias(linear, first, outputs, name);
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
