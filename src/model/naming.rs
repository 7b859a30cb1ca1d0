//! Whose names a weights file uses, and where each tensor of the architecture stands in it.
//!
//! Reference: `convert_clip_original_pytorch_to_hf.py` of `transformers`, read backwards; `tests/it/layouts.rs` compares
//! names, shapes and logits with `open_clip`.

use super::{
    config::ClipConfig,
    layout::{BUFFERS, LOGIT_SCALE, TensorSpec},
};

/// Values that OpenAI's and open_clip's files hold beside the weights: sizes, and the causal mask.
const OPENAI_BUFFERS: [&str; 5] =
    ["attn_mask", "context_length", "input_resolution", "text.attn_mask", "vocab_size"];

/// The name givers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// `transformers`: `vision_model.*`, `text_model.*`, separate query, key and value.
    HuggingFace,
    /// OpenAI and open_clip: `visual.*`, `transformer.*`, query, key and value in one tensor.
    OpenAi,
    /// open_clip's newer models: as [`OpenAi`](Self::OpenAi), with the text tower below `text.`.
    OpenClip,
}

/// Where a tensor of the architecture stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name in the file.
    pub name: String,
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Which of its values are meant.
    pub take: Take,
}

/// Which values of a tensor in the file are the wanted tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// All, in their order.
    Whole,
    /// One third of the rows: 0 query, 1 key, 2 value.
    Third(usize),
    /// All, rows and columns exchanged.
    Transposed,
}

impl Naming {
    /// The naming of a file with these tensors.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Self::HuggingFace;
        for name in names {
            match name.split_once('.') {
                Some(("vision_model" | "text_model", _)) => return Self::HuggingFace,
                Some(("text", _)) => found = Self::OpenClip,
                Some(("visual", _)) if found == Self::HuggingFace => found = Self::OpenAi,
                _ => {}
            }
        }
        found
    }

    /// `Hugging Face`, `OpenAI` or `open_clip`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "Hugging Face",
            Self::OpenAi => "OpenAI",
            Self::OpenClip => "open_clip",
        }
    }

    /// Whether files of this naming may hold `name` without it being a weight.
    #[must_use]
    pub fn is_buffer(self, name: &str) -> bool {
        match self {
            Self::HuggingFace => BUFFERS.contains(&name),
            Self::OpenAi | Self::OpenClip => OPENAI_BUFFERS.contains(&name),
        }
    }

    /// Where `spec`, a tensor of [`tensors`](super::layout::tensors), stands in a file of this naming.
    #[must_use]
    pub fn origin(self, spec: &TensorSpec, config: &ClipConfig) -> Origin {
        let whole = |name: String| Origin { name, shape: spec.shape.clone(), take: Take::Whole };
        let text = match self {
            Self::HuggingFace => return whole(spec.name.clone()),
            Self::OpenAi => "",
            Self::OpenClip => "text.",
        };
        if spec.name == LOGIT_SCALE {
            return whole(spec.name.clone());
        }
        let transposed = |name: String| Origin {
            name,
            shape: spec.shape.iter().rev().copied().collect(),
            take: Take::Transposed,
        };
        let (tower, rest, width) = match spec.name.split_once('.') {
            Some(("vision_model", rest)) => ("visual.", rest, config.vision.width),
            Some(("text_model", rest)) => (text, rest, config.text.width),
            Some(("visual_projection", _)) => return transposed("visual.proj".to_owned()),
            _ => return transposed(format!("{text}text_projection")),
        };
        match rest.strip_prefix("encoder.layers.") {
            Some(block) => in_block(spec, tower, block, width),
            None => whole(format!("{tower}{}", outside_blocks(rest))),
        }
    }
}

/// OpenAI's name of a tensor of a tower that is in no block.
fn outside_blocks(rest: &str) -> String {
    let renamed = [
        ("embeddings.class_embedding", "class_embedding"),
        ("embeddings.patch_embedding.weight", "conv1.weight"),
        ("embeddings.position_embedding.weight", "positional_embedding"),
        ("embeddings.token_embedding.weight", "token_embedding.weight"),
        ("pre_layrnorm", "ln_pre"),
        ("post_layernorm", "ln_post"),
        ("final_layer_norm", "ln_final"),
    ];
    let found = renamed.into_iter().find_map(|(theirs, ours)| Some((ours, rest.strip_prefix(theirs)?)));
    let (ours, tail) = found.expect("the layout has no other names outside blocks");
    format!("{ours}{tail}")
}

/// The origin of a tensor of a block, `block` as in `3.self_attn.q_proj.bias`.
fn in_block(spec: &TensorSpec, tower: &str, block: &str, width: usize) -> Origin {
    let (index, inner) = block.split_once('.').expect("a block has a number");
    let (module, kind) = inner.rsplit_once('.').expect("weight or bias");
    let at = |name: &str| format!("{tower}transformer.resblocks.{index}.{name}");
    let third =
        ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].iter().position(|m| *m == module);
    if let Some(third) = third {
        let mut shape = spec.shape.clone();
        shape[0] = 3 * width;
        return Origin { name: at(&format!("attn.in_proj_{kind}")), shape, take: Take::Third(third) };
    }
    let module = match module {
        "self_attn.out_proj" => "attn.out_proj",
        "mlp.fc1" => "mlp.c_fc",
        "mlp.fc2" => "mlp.c_proj",
        "layer_norm1" => "ln_1",
        _ => "ln_2",
    };
    Origin { name: at(&format!("{module}.{kind}")), shape: spec.shape.clone(), take: Take::Whole }
}
