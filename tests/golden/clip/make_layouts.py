"""Writes what tests/it/checkpoints_as_found/layouts.rs compares src/model with: open_clip's own models and PEFT's own adapters.

    python make_layouts.py

Made with Python 3.11, torch 2.15.0, transformers 5.23.0, open_clip_torch 3.3.0, peft 0.21.2; CPU, f32. The weights are those of
make_golden.py, given to open_clip's classes under the names of open_clip. No network, no downloaded weights.
"""

import hashlib
import json
import shutil

import open_clip.model
import torch
from make_golden import HERE, TINY, images, normalised, random_model, random_tensor
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

IDS = [[598, 5, 6, 7, 599, 0], [598, 300, 599, 0, 0, 0], [598, 1, 2, 3, 4, 599]]  # 599 ends a text
MICRO = {
    "model_type": "clip", "projection_dim": 8,
    "text_config": {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                    "max_position_embeddings": 8, "vocab_size": 520, "bos_token_id": 518, "eos_token_id": 519, "pad_token_id": 519},
    "vision_config": {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                      "image_size": 16, "patch_size": 8},
}
B16 = {"model_type": "clip", "projection_dim": 512, "text_config": {}, "vision_config": {"patch_size": 16}}


def renamed(state, vision, text, layers):
    """The tensors of transformers' CLIPModel under open_clip's names; `text` is the prefix of the text half."""
    out = {"logit_scale": state["logit_scale"]}
    for theirs, ours in (("vision_model.", vision), ("text_model.", text)):
        for index in range(layers[theirs]):
            source, target = f"{theirs}encoder.layers.{index}.", f"{ours}transformer.resblocks.{index}."
            for kind in ("weight", "bias"):
                qkv = [state[f"{source}self_attn.{which}_proj.{kind}"] for which in "qkv"]
                out[f"{target}attn.in_proj_{kind}"] = torch.cat(qkv)
                for a, b in (("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                             ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                    out[f"{target}{b}.{kind}"] = state[f"{source}{a}.{kind}"]
    for kind in ("weight", "bias"):
        out[f"{vision}ln_pre.{kind}"] = state[f"vision_model.pre_layrnorm.{kind}"]
        out[f"{vision}ln_post.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
        out[f"{text}ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
    out[f"{vision}class_embedding"] = state["vision_model.embeddings.class_embedding"]
    out[f"{vision}conv1.weight"] = state["vision_model.embeddings.patch_embedding.weight"]
    out[f"{vision}positional_embedding"] = state["vision_model.embeddings.position_embedding.weight"]
    out[f"{vision}proj"] = state["visual_projection.weight"].T.contiguous()
    out[f"{text}token_embedding.weight"] = state["text_model.embeddings.token_embedding.weight"]
    out[f"{text}positional_embedding"] = state["text_model.embeddings.position_embedding.weight"]
    out[f"{text}text_projection"] = state["text_projection.weight"].T.contiguous()
    return out


def open_clip_config(activation):
    vision, text = TINY["vision_config"], TINY["text_config"]
    return {
        "embed_dim": TINY["projection_dim"],
        "quick_gelu": activation == "quick_gelu",
        "vision_cfg": {
            "image_size": vision["image_size"], "layers": vision["num_hidden_layers"], "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"], "patch_size": vision["patch_size"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"], "vocab_size": text["vocab_size"], "width": text["hidden_size"],
            "heads": text["num_attention_heads"], "layers": text["num_hidden_layers"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
        },
    }


def logits_of(model, pixels):
    ids = torch.tensor([row + [0] * (TINY["text_config"]["max_position_embeddings"] - len(row)) for row in IDS])
    with torch.inference_mode():
        image, text = model.encode_image(pixels, normalize=True), model.encode_text(ids, normalize=True)
        return (model.logit_scale.exp() * image @ text.T).tolist()


def open_clip_models():
    state = random_model(TINY).state_dict()
    pixels = normalised(images(2, TINY["vision_config"]["image_size"]))
    layers = {"vision_model.": 3, "text_model.": 2}
    out = {"ids": IDS, "images": 2}
    for activation in ("quick_gelu", "gelu"):
        config = open_clip_config(activation)
        for name, kind, prefix in (("openai", open_clip.model.CLIP, ""), ("open_clip", open_clip.model.CustomTextCLIP, "text.")):
            model = kind(**config).eval()
            model.load_state_dict(renamed(state, "visual.", prefix, layers), strict=True)
            tensors = {
                name: [list(t.shape), hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest()]
                for name, t in sorted(model.state_dict().items())
            }
            out.setdefault(name, {})[activation] = {"config": config, "tensors": tensors, "logits": logits_of(model, pixels)}
    (HERE / "open_clip.json").write_text(json.dumps(out) + "\n")


def vit_b_16():
    model = random_model(B16)
    pixels = normalised(images(2, 224))
    with torch.inference_mode():
        features = model.get_image_features(pixel_values=pixels)
        features = getattr(features, "pooler_output", features)
        features = features / features.norm(dim=-1, keepdim=True)
    (HERE / "vit_b_16.json").write_text(json.dumps({"config": B16, "images": 2, "image_features": features.tolist()}) + "\n")


def adapters():
    vision = CLIPVisionConfig(**TINY["vision_config"], projection_dim=TINY["projection_dim"])
    for name, options in (
        ("lora", {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "out_proj"]}),
        ("lora_patterns", {"r": 2, "lora_alpha": 3, "use_rslora": True, "target_modules": ["fc1", "fc2", "visual_projection"],
                           "rank_pattern": {"layers.1.mlp.fc1": 3}, "alpha_pattern": {"visual_projection": 7}}),
    ):
        base = CLIPVisionModelWithProjection(vision)
        base.load_state_dict({n: torch.from_numpy(random_tensor(n, tuple(t.shape))) for n, t in base.state_dict().items()})
        before = {n: t.clone() for n, t in base.state_dict().items()}
        model = get_peft_model(base, LoraConfig(**options))
        for n, parameter in model.named_parameters():
            if "lora_" in n:
                parameter.data = torch.from_numpy(random_tensor(n, tuple(parameter.shape)))
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        after = model.merge_and_unload().state_dict()
        changed = {n: t.contiguous() for n, t in after.items() if not torch.equal(t, before[n])}
        save_file(changed, folder / "merged.safetensors")


def pickle():
    """What a distributed trainer saves: half precision, wrapped names, an optimizer beside the weights."""
    state = {f"module.{name}": t.half() for name, t in random_model(MICRO).state_dict().items()}
    (HERE / "micro").mkdir(exist_ok=True)
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1, "steps": [1, 2]}}, HERE / "micro" / "epoch_3.pt")
    (HERE / "micro" / "config.json").write_text(json.dumps(MICRO) + "\n")


if __name__ == "__main__":
    open_clip_models()
    vit_b_16()
    adapters()
    pickle()
