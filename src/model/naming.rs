//! Whose names a weights file uses, and where each tensor of the architecture stands in it.
//!
//! References: `convert_clip_original_pytorch_to_hf.py` and `convert_siglip_to_hf.py` of `transformers`, read backwards, and
//! timm's `vision_transformer.py`; `tests/it/checkpoints_as_found/layouts.rs` and `tests/it/checkpoints_as_found/families.rs` compare names, shapes and logits with
//! `open_clip`.

use super::{
    config::{ClipConfig, TextKind, VisionKind},
    layout::{BUFFERS, LOGIT_BIAS, LOGIT_SCALE, TensorSpec, VISUAL_PROJECTION},
};

/// Values that OpenAI's and open_clip's files hold beside the weights: sizes, the causal mask, BERT's positions.
const OPENAI_BUFFERS: [&str; 6] = [
    "attn_mask",
    "context_length",
    "input_resolution",
    "text.attn_mask",
    "text.transformer.embeddings.position_ids",
    "vocab_size",
];

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
    /// Some of the rows: part `index` of `parts` of equal size. Of three parts 0 is the query, 1 the key, 2 the value.
    Rows {
        /// Which part.
        index: usize,
        /// Of how many.
        parts: usize,
    },
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
        let text = match self {
            Self::HuggingFace => return hugging_face(spec),
            Self::OpenAi => "",
            Self::OpenClip => "text.",
        };
        if spec.name == LOGIT_SCALE || spec.name == LOGIT_BIAS {
            return whole(spec, spec.name.clone());
        }
        let Some(rest) = spec.name.strip_prefix("vision_model.") else {
            return match (spec.name == VISUAL_PROJECTION, config.vision_kind, &config.text_kind) {
                (true, VisionKind::Clip, _) => transposed(spec, "visual.proj".to_owned()),
                (true, _, _) => whole(spec, "visual.head.proj.weight".to_owned()),
                (false, _, TextKind::Bert(_)) => bert(spec, text),
                (false, _, _) => in_text(spec, text),
            };
        };
        match config.vision_kind {
            VisionKind::Clip => in_tower(spec, "visual.", rest),
            VisionKind::Timm | VisionKind::Siglip => timm(spec, rest),
        }
    }
}

fn whole(spec: &TensorSpec, name: String) -> Origin {
    Origin { name, shape: spec.shape.clone(), take: Take::Whole }
}

fn transposed(spec: &TensorSpec, name: String) -> Origin {
    Origin { name, shape: spec.shape.iter().rev().copied().collect(), take: Take::Transposed }
}

/// One of `parts` tensors of equal shape that stand in one, one behind the other.
fn rows(spec: &TensorSpec, name: String, index: usize, parts: usize) -> Origin {
    let mut shape = spec.shape.clone();
    shape[0] *= parts;
    Origin { name, shape, take: Take::Rows { index, parts } }
}

/// Which of query, key and value a module is.
fn third(module: &str) -> Option<usize> {
    ["q_proj", "k_proj", "v_proj"].iter().position(|name| module.ends_with(name))
}

/// transformers' own names are ours, but for the attention of SigLIP's head.
fn hugging_face(spec: &TensorSpec) -> Origin {
    let attention = "vision_model.head.attention.";
    let parts = spec.name.strip_prefix(attention).and_then(|rest| rest.rsplit_once('.'));
    match parts.and_then(|(module, kind)| Some((third(module)?, kind))) {
        Some((index, kind)) => rows(spec, format!("{attention}in_proj_{kind}"), index, 3),
        None => whole(spec, spec.name.clone()),
    }
}

/// A tensor of CLIP's or SigLIP's text tower in open_clip's files.
fn in_text(spec: &TensorSpec, text: &str) -> Origin {
    match spec.name.strip_prefix("text_model.") {
        None => transposed(spec, format!("{text}text_projection")),
        Some(rest) => match rest.strip_prefix("head.") {
            Some(kind) => whole(spec, format!("{text}text_projection.{kind}")),
            None => in_tower(spec, text, rest),
        },
    }
}

/// A tensor of a BERT text tower: transformers' own names below `transformer.`.
fn bert(spec: &TensorSpec, text: &str) -> Origin {
    let name = match spec.name.strip_prefix("text_model.") {
        Some(rest) => format!("{text}transformer.{rest}"),
        None => spec.name.replacen("text_projection.", &format!("{text}proj."), 1),
    };
    whole(spec, name)
}

/// A tensor of a transformer of OpenAI's, `rest` as in `encoder.layers.3.layer_norm1.bias`.
fn in_tower(spec: &TensorSpec, tower: &str, rest: &str) -> Origin {
    match rest.strip_prefix("encoder.layers.") {
        Some(block) => in_block(spec, tower, block),
        None => whole(spec, format!("{tower}{}", outside_blocks(rest))),
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
fn in_block(spec: &TensorSpec, tower: &str, block: &str) -> Origin {
    let (index, module, kind) = parts(block);
    let at = |name: &str| format!("{tower}transformer.resblocks.{index}.{name}");
    if let Some(third) = third(module) {
        return rows(spec, at(&format!("attn.in_proj_{kind}")), third, 3);
    }
    let module = match module {
        "self_attn.out_proj" => "attn.out_proj",
        "mlp.fc1" => "mlp.c_fc",
        "mlp.fc2" => "mlp.c_proj",
        "layer_norm1" => "ln_1",
        _ => "ln_2",
    };
    whole(spec, at(&format!("{module}.{kind}")))
}

/// The number, the module and weight or bias of `3.self_attn.q_proj.bias`.
fn parts(block: &str) -> (&str, &str, &str) {
    let (index, inner) = block.split_once('.').expect("a block has a number");
    let (module, kind) = inner.rsplit_once('.').expect("weight or bias");
    (index, module, kind)
}

/// A tensor of timm's ViT as open_clip wraps it.
fn timm(spec: &TensorSpec, rest: &str) -> Origin {
    let at = |name: &str| format!("visual.trunk.{name}");
    let with_batch = |name: &str| {
        let mut shape = vec![1; 3 - spec.shape.len().min(2)];
        shape.extend(&spec.shape);
        Origin { name: at(name), shape, take: Take::Whole }
    };
    if let Some(block) = rest.strip_prefix("encoder.layers.") {
        let (index, module, kind) = parts(block);
        if let Some(third) = third(module) {
            return rows(spec, at(&format!("blocks.{index}.attn.qkv.{kind}")), third, 3);
        }
        let module = match module {
            "self_attn.out_proj" => "attn.proj",
            "layer_norm1" => "norm1",
            "layer_norm2" => "norm2",
            other => other,
        };
        return whole(spec, at(&format!("blocks.{index}.{module}.{kind}")));
    }
    if let Some(inner) = rest.strip_prefix("head.") {
        return attention_pool(spec, inner);
    }
    match rest {
        "embeddings.class_embedding" => with_batch("cls_token"),
        "embeddings.position_embedding.weight" => with_batch("pos_embed"),
        _ => match rest.strip_prefix("embeddings.patch_embedding.") {
            Some(kind) => whole(spec, at(&format!("patch_embed.proj.{kind}"))),
            None => whole(spec, at(&rest.replacen("post_layernorm", "norm", 1))),
        },
    }
}

/// A tensor of timm's `AttentionPoolLatent`, `inner` as in `attention.k_proj.bias`.
fn attention_pool(spec: &TensorSpec, inner: &str) -> Origin {
    let at = |name: &str| format!("visual.trunk.attn_pool.{name}");
    let Some((module, kind)) = inner.rsplit_once('.') else {
        return whole(spec, at("latent"));
    };
    match module {
        "attention.q_proj" => whole(spec, at(&format!("q.{kind}"))),
        "attention.k_proj" => rows(spec, at(&format!("kv.{kind}")), 0, 2),
        "attention.v_proj" => rows(spec, at(&format!("kv.{kind}")), 1, 2),
        "attention.out_proj" => whole(spec, at(&format!("proj.{kind}"))),
        "layernorm" => whole(spec, at(&format!("norm.{kind}"))),
        mlp => whole(spec, at(&format!("{mlp}.{kind}"))),
    }
}
