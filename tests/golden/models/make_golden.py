"""Writes what tests/it/checkpoints_as_found/families.rs and tests/it/checkpoints_as_found/field.rs compare src/model with: the references' own probabilities.

    python make_golden.py

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, transformers 5.24.0, open_clip_torch 3.3.0, timm 1.0.31, peft 0.21.2,
tokenizers 0.23.3, Pillow 13.0.0; CPU, f32. No network, no downloaded weights. The weights of every model are those that
src/model/random.rs describes, under the names of src/model/layout.rs; `stored` says where each stands in a reference.
"""

import hashlib
import io
import json
import math
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import torch
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clip"))
import make_golden as clip  # noqa: E402

import open_clip  # noqa: E402
import open_clip.model  # noqa: E402
from open_clip.transform import PreprocessCfg, image_transform_v2  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig, BertTokenizerFast, CLIPModel, CLIPConfig, CLIPVisionConfig, CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast, SiglipConfig, SiglipModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil  # noqa: E402

SEEDS = {"vision": 7, "text": 11}
SIZES = [(40, 32), (33, 61), (97, 35), (32, 32), (51, 50), (120, 31), (29, 87), (64, 47),
         (35, 32), (39, 32), (43, 200), (31, 31), (77, 78), (210, 33), (36, 99), (58, 41)]
NAMES = ["basophil", "eosinophil", "lymphocyte"]
TINY = clip.TINY


def range_of(name, shape):
    """Centre and reach of `random.rs`, by what a tensor does."""
    if name == "logit_scale":
        return np.float32(math.log(10)) * np.float32(2), np.float32(0)
    if name == "logit_bias" or name.endswith(".bias"):
        return np.float32(0), np.float32(0.1)
    if "norm" in name.lower() or "layrnorm" in name:
        return np.float32(1), np.float32(0.25)
    table = "embeddings." in name and "patch" not in name
    if table or name.endswith(("class_embedding", "probe")):
        return np.float32(0), np.float32(0.05)
    return np.float32(0), np.float32(math.sqrt(3.0 / math.prod(shape[1:])))


def random_tensor(name, shape):
    centre, reach = range_of(name, shape)
    vision = name.startswith(("vision_model.", "visual_projection."))
    seed = SEEDS["vision" if vision else "text"] ^ clip.fnv1a64(name)
    bits = clip.splitmix64(seed, math.prod(shape))
    unit = ((bits >> np.uint64(40)).astype(np.int64) - 2**23).astype(np.float32) / np.float32(2**23)
    return torch.from_numpy((centre + reach * unit).reshape(shape))


def stored(name, shape):
    """The tensor of a reference that is called `name`: our names whose tensors it joins, and whether it is turned."""
    shape = tuple(shape)
    turned = False

    def join(names):
        rows = shape[0] // len(names)
        return torch.cat([random_tensor(n, (rows, *shape[1:])) for n in names])

    if name in ("logit_scale", "logit_bias"):
        return random_tensor(name, ()).reshape(shape)
    if name.startswith("vision_model.head.attention.in_proj_"):
        kind = name.rsplit("_", 1)[1]
        return join([f"vision_model.head.attention.{q}_proj.{kind}" for q in "qkv"])
    if name.startswith("visual.trunk."):
        rest = name.removeprefix("visual.trunk.")
        if rest.startswith("blocks."):
            _, index, module, kind = rest.split(".", 3)[0], *rest.split(".", 2)[1:2], *rest.split(".", 2)[2].rsplit(".", 1)
            base = f"vision_model.encoder.layers.{index}"
            if module == "attn.qkv":
                return join([f"{base}.self_attn.{q}_proj.{kind}" for q in "qkv"])
            module = {"attn.proj": "self_attn.out_proj", "norm1": "layer_norm1", "norm2": "layer_norm2"}.get(module, module)
            return random_tensor(f"{base}.{module}.{kind}", shape)
        if rest == "cls_token":
            return random_tensor("vision_model.embeddings.class_embedding", shape[-1:]).reshape(shape)
        if rest == "pos_embed":
            return random_tensor("vision_model.embeddings.position_embedding.weight", shape[1:]).reshape(shape)
        if rest.startswith("patch_embed.proj."):
            return random_tensor("vision_model.embeddings.patch_embedding." + rest.rsplit(".", 1)[1], shape)
        if rest.startswith("attn_pool."):
            inner = rest.removeprefix("attn_pool.")
            head = "vision_model.head"
            if inner == "latent":
                return random_tensor(f"{head}.probe", shape)
            module, kind = inner.rsplit(".", 1)
            if module == "kv":
                return join([f"{head}.attention.k_proj.{kind}", f"{head}.attention.v_proj.{kind}"])
            module = {"q": "attention.q_proj", "proj": "attention.out_proj", "norm": "layernorm"}.get(module, module)
            return random_tensor(f"{head}.{module}.{kind}", shape)
        return random_tensor("vision_model.post_layernorm." + rest.rsplit(".", 1)[1], shape)
    if name == "visual.head.proj.weight":
        return random_tensor("visual_projection.weight", shape)
    if name.startswith("text.proj."):
        return random_tensor(name.replace("text.proj.", "text_projection."), shape)
    if name.startswith("text.transformer.") and ".resblocks." not in name:
        return random_tensor(name.replace("text.transformer.", "text_model."), shape)
    if name.startswith("text.text_projection."):
        return random_tensor(name.replace("text.text_projection.", "text_model.head."), shape)
    if name == "visual.proj" or name.endswith("text_projection") and "." not in name.removeprefix("text."):
        ours = "visual_projection.weight" if name == "visual.proj" else "text_projection.weight"
        return random_tensor(ours, shape[::-1]).T.contiguous()
    if name.startswith(("visual.", "text.", "transformer.", "token_embedding", "positional_embedding", "ln_final")):
        vision = name.startswith("visual.")
        model = "vision_model" if vision else "text_model"
        rest = name.removeprefix("visual.").removeprefix("text.")
        if ".resblocks." in f".{rest}":
            index, inner = rest.removeprefix("transformer.resblocks.").split(".", 1)
            base = f"{model}.encoder.layers.{index}"
            if inner.startswith("attn.in_proj_"):
                kind = inner.removeprefix("attn.in_proj_")
                return join([f"{base}.self_attn.{q}_proj.{kind}" for q in "qkv"])
            module, kind = inner.rsplit(".", 1)
            module = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2",
                      "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}[module]
            return random_tensor(f"{base}.{module}.{kind}", shape)
        outside = {"class_embedding": "embeddings.class_embedding", "conv1.weight": "embeddings.patch_embedding.weight",
                   "positional_embedding": "embeddings.position_embedding.weight",
                   "token_embedding.weight": "embeddings.token_embedding.weight"}
        if rest in outside:
            return random_tensor(f"{model}.{outside[rest]}", shape)
        module, kind = rest.rsplit(".", 1)
        module = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm", "ln_final": "final_layer_norm"}[module]
        return random_tensor(f"{model}.{module}.{kind}", shape)
    assert not turned
    return random_tensor(name, shape)


def filled(model):
    state = {name: t if t.dtype == torch.int64 else stored(name, t.shape) for name, t in model.state_dict().items()}
    model.load_state_dict(state, strict=True)
    return model.eval()


def pictures():
    state, out = 1, []
    for width, height in SIZES:
        data = bytearray()
        for _ in range(width * height * 3):
            state = (1664525 * state + 1013904223) % 2**32
            data.append(state >> 24)
        # Noise alone would make every filter's output alike: a ramp under it.
        noise = np.frombuffer(bytes(data), np.uint8).reshape(height, width, 3).astype(np.int64)
        ramp = (np.arange(width)[None, :, None] * 5 + np.arange(height)[:, None, None] * 3) % 256
        out.append(Image.fromarray(((noise + 3 * ramp) // 4).astype(np.uint8)))
    return out


def probabilities(logits):
    return [[float(f"{p:.9g}") for p in row] for row in logits.double().softmax(-1).tolist()]


def cosines(image, text):
    return image / image.norm(dim=-1, keepdim=True) @ (text / text.norm(dim=-1, keepdim=True)).T


def sha256_of(pixels):
    return hashlib.sha256(pixels.numpy().astype("<f4").tobytes()).hexdigest()


def hugging_face_clip(cases, images):
    """Every resize mode and filter of an image processor, on one model."""
    model = CLIPModel._from_config(CLIPConfig(**TINY), attn_implementation="eager")
    model = filled(model)
    ids = torch.tensor([[598, 5, 6, 7, 599], [598, 300, 599, 0, 0], [598, 1, 2, 3, 599]])
    with torch.inference_mode():
        text = model.get_text_features(input_ids=ids, attention_mask=torch.ones_like(ids))
        text = getattr(text, "pooler_output", text)
    base = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    ways = {
        "shortest": {}, "half": half, "bilinear": {"resample": 2}, "lanczos": {"resample": 1}, "nearest": {"resample": 0},
        "box": {"resample": 4}, "hamming": {"resample": 5}, "larger": {"size": {"shortest_edge": 37}},
        "squash": {"size": {"height": 32, "width": 32}, "do_center_crop": False},
        "squash_bilinear_half": {"size": {"height": 32, "width": 32}, "resample": 2, **half},
        "squash_then_crop": {"size": {"height": 40, "width": 40}},
        "not_normalised": {"do_normalize": False}, "not_rescaled": {"do_rescale": False, **half},
        "other_factor": {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
        "legacy": {"size": 32, "crop_size": 32},
    }
    for name, keys in ways.items():
        config = {**base, **keys}
        processor = CLIPImageProcessorPil(**{k: v for k, v in config.items() if k != "image_processor_type"})
        pixels = torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in images])
        with torch.inference_mode():
            features = model.get_image_features(pixel_values=pixels)
            features = getattr(features, "pooler_output", features)
            logits = model.logit_scale.exp() * cosines(features, text)
        cases.append({"name": f"hugging_face_{name}", "naming": "hugging_face", "ids": ids.tolist(),
                      "files": {"config.json": TINY, "preprocessor_config.json": config}, "probabilities": probabilities(logits)})


def open_clip_config():
    import make_layouts
    return make_layouts.open_clip_config("gelu")


def open_clip_clip(cases, images):
    config = open_clip_config()
    model = filled(open_clip.model.CLIP(**config))
    context = TINY["text_config"]["max_position_embeddings"]
    ids = torch.tensor([[598, 5, 6, 7, 599], [598, 300, 599, 0, 0], [598, 1, 2, 3, 599]])
    padded = torch.nn.functional.pad(ids, (0, context - ids.shape[1]))
    for mode in ("shortest", "longest", "squash"):
        for interpolation in ("bicubic", "bilinear"):
            for half in (False, True):
                cfg = {"size": 32, "mode": "RGB", "interpolation": interpolation, "resize_mode": mode, "fill_color": 0}
                cfg.update({"mean": [0.5] * 3, "std": [0.5] * 3} if half else
                           {"mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD)})
                if mode == "longest" and half:
                    cfg["fill_color"] = 114
                transform = image_transform_v2(PreprocessCfg(**cfg), is_train=False)
                pixels = torch.stack([transform(image) for image in images])
                with torch.inference_mode():
                    logits = model.logit_scale.exp() * model.encode_image(pixels, True) @ model.encode_text(padded, True).T
                cases.append({"name": f"open_clip_{mode}_{interpolation}{'_half' if half else ''}", "naming": "openai",
                              "ids": ids.tolist(), "probabilities": probabilities(logits),
                              "files": {"open_clip_config.json": {"model_cfg": config, "preprocess_cfg": cfg}}})


def resized_positions(cases, images):
    """The same models on pictures of another size."""
    ids = torch.tensor([[598, 5, 6, 7, 599], [598, 300, 599, 0, 0], [598, 1, 2, 3, 599]])
    context = TINY["text_config"]["max_position_embeddings"]
    for px in (24, 48, 56):
        model = filled(CLIPModel._from_config(CLIPConfig(**TINY), attn_implementation="eager"))
        processor = CLIPImageProcessorPil(size={"shortest_edge": px}, crop_size={"height": px, "width": px})
        pixels = torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in images])
        with torch.inference_mode():
            text = model.get_text_features(input_ids=ids, attention_mask=torch.ones_like(ids))
            text = getattr(text, "pooler_output", text)
            features = model.get_image_features(pixel_values=pixels, interpolate_pos_encoding=True)
            features = getattr(features, "pooler_output", features)
            logits = model.logit_scale.exp() * cosines(features, text)
        native = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        cases.append({"name": f"hugging_face_at_{px}", "naming": "hugging_face", "image_px": px, "ids": ids.tolist(),
                      "files": {"config.json": TINY, "preprocessor_config.json": native}, "probabilities": probabilities(logits)})
        config = open_clip_config()
        native_model = filled(open_clip.model.CLIP(**config))
        state = native_model.state_dict()
        config["vision_cfg"]["image_size"] = px
        larger = open_clip.model.CLIP(**config).eval()
        open_clip.model.resize_pos_embed(state, larger)
        larger.load_state_dict(state, strict=True)
        transform = image_transform_v2(PreprocessCfg(size=px), is_train=False)
        pixels = torch.stack([transform(image) for image in images])
        padded = torch.nn.functional.pad(ids, (0, context - ids.shape[1]))
        with torch.inference_mode():
            logits = larger.logit_scale.exp() * larger.encode_image(pixels, True) @ larger.encode_text(padded, True).T
        cases.append({"name": f"open_clip_at_{px}", "naming": "openai", "image_px": px, "ids": ids.tolist(),
                      "files": {"open_clip_config.json": {"model_cfg": open_clip_config()}}, "probabilities": probabilities(logits)})


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "the", ".", ",", "lymph", "##ocyte", "bas", "##ophil",
         "eosin", "##o", "ch", "##est", "x", "-", "ray", "##s", "cell", "##ular", "image"]
TEMPLATE = "a photo of a {}."


def biomed_clip(cases, images):
    bert = {"model_type": "bert", "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": len(WORDS), "max_position_embeddings": 40, "type_vocab_size": 2, "pad_token_id": 0, "hidden_act": "gelu"}
    for projection in ("mlp", "linear"):
        with tempfile.TemporaryDirectory() as folder:
            BertConfig(**{k: v for k, v in bert.items() if k != "model_type"}).save_pretrained(folder)
            pathlib.Path(folder, "vocab.txt").write_text("\n".join(WORDS) + "\n")
            config = {"embed_dim": 32, "vision_cfg": {"timm_model_name": "vit_tiny_patch16_224", "timm_model_pretrained": False,
                                                       "timm_pool": "", "timm_proj": "linear", "image_size": 224},
                      "text_cfg": {"hf_model_name": folder, "hf_model_pretrained": False, "hf_proj_type": projection,
                                   "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 24}}
            model = filled(open_clip.model.CustomTextCLIP(**config))
            tokenizer = BertTokenizerFast(vocab_file=str(pathlib.Path(folder, "vocab.txt")), vocab={w: i for i, w in enumerate(WORDS)}, do_lower_case=True)
            texts = [TEMPLATE.format(name) for name in NAMES]
            ids = tokenizer(texts, return_tensors="pt", max_length=24, padding="max_length", truncation=True).input_ids
        cfg = {"size": 224, "mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD),
               "interpolation": "bicubic", "resize_mode": "shortest"}
        transform = image_transform_v2(PreprocessCfg(**cfg), is_train=False)
        pixels = torch.stack([transform(image) for image in images])
        with torch.inference_mode():
            logits = model.logit_scale.exp() * model.encode_image(pixels, True) @ model.encode_text(ids, True).T
        config["text_cfg"]["hf_model_name"] = "microsoft/a-small-BERT"
        shapes = {n: list(t.shape) for n, t in sorted(model.state_dict().items()) if t.dtype != torch.int64}
        cases.append({"name": f"biomed_clip_{projection}", "naming": "open_clip", "names": NAMES, "template": TEMPLATE,
                      "ids": [[i for i in row if i] for row in ids.tolist()], "probabilities": probabilities(logits), "shapes": shapes,
                      "files": {"open_clip_config.json": {"model_cfg": config, "preprocess_cfg": cfg}, "config.json": bert,
                                "vocab.txt": "\n".join(WORDS) + "\n"}})


def siglip_tokenizer(kind):
    """A small tokenizer of the kind: SigLIP's is a unigram model, SigLIP 2's Gemma's byte-pair encoding."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    if kind == "siglip":
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁a", -3.0), ("▁photo", -4.0), ("▁of", -4.0)]
        pieces += [(letter, -6.0) for letter in "abcdefghijklmnopqrstuvwxyz."] + [("▁baso", -5.0), ("phil", -5.0), ("cyte", -5.0)]
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        eos = ("</s>", 1)
        pad = "</s>"
    else:
        letters = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyzABC.", "ph", "▁a", "ot"]
        tokenizer = Tokenizer(models.BPE({w: i for i, w in enumerate(letters)}, [("p", "h"), ("▁", "a"), ("o", "t")], unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        eos = ("<eos>", 1)
        pad = "<pad>"
    tokenizer.add_special_tokens([pad, eos[0]])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {eos[0]}", special_tokens=[eos])
    return tokenizer, pad


def siglip(cases, images):
    for name, kind, act, resample, px in (("siglip", "siglip", "gelu_pytorch_tanh", 3, 32), ("siglip_2", "gemma", "gelu_pytorch_tanh", 2, 32),
                                          ("siglip_ragged", "siglip", "gelu", 3, 36), ("siglip_at_48", "siglip", "gelu_pytorch_tanh", 3, 32)):
        tokenizer, pad = siglip_tokenizer(kind)
        vocab = tokenizer.get_vocab_size()
        tower = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 3, "hidden_act": act}
        config = {"model_type": "siglip", "vision_config": {**tower, "image_size": px, "patch_size": 8},
                  "text_config": {**tower, "hidden_size": 32, "num_attention_heads": 4, "vocab_size": vocab,
                                  "max_position_embeddings": 16, "projection_size": 48}}
        settings = {k: v for k, v in config.items() if k != "model_type"}
        model = filled(SiglipModel._from_config(SiglipConfig(**settings), attn_implementation="eager"))
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, eos_token="</s>" if kind == "siglip" else "<eos>")
        texts = [TEMPLATE.format(n) for n in NAMES]
        if kind == "siglip":
            import re
            import string
            texts = [re.sub(r"\s+", " ", t.lower().translate(str.maketrans("", "", string.punctuation))).strip() for t in texts]
        else:
            texts = [t.lower() for t in texts]
        ids = fast(texts, padding="max_length", truncation=True, max_length=16, return_tensors="pt").input_ids
        keys = {"image_processor_type": "SiglipImageProcessor", "size": {"height": px, "width": px}, "resample": resample}
        at = 48 if name.endswith("at_48") else px
        processor = SiglipImageProcessorPil(size={"height": at, "width": at}, resample=resample)
        pixels = torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in images])
        with torch.inference_mode():
            image = model.get_image_features(pixel_values=pixels, interpolate_pos_encoding=at != px)
            text = model.get_text_features(input_ids=ids)
            image, text = getattr(image, "pooler_output", image), getattr(text, "pooler_output", text)
            logits = cosines(image, text) * model.logit_scale.exp() + model.logit_bias
        shapes = {n: list(t.shape) for n, t in sorted(model.state_dict().items()) if t.dtype != torch.int64}
        case = {"name": name, "naming": "hugging_face", "names": NAMES, "template": TEMPLATE, "ids": ids.tolist(),
                "probabilities": probabilities(logits), "logits": [[float(f"{z:.9g}") for z in row] for row in logits.tolist()][:2],
                "shapes": shapes,
                "files": {"config.json": config, "preprocessor_config.json": keys, "tokenizer.json": json.loads(tokenizer.to_str()),
                          "tokenizer_config.json": {"tokenizer_class": "SiglipTokenizer" if kind == "siglip" else "Siglip2Tokenizer",
                                                    "pad_token": pad, "padding_side": "right"}}}
        if at != px:
            case["image_px"] = at
        cases.append(case)


def open_clip_siglip(images):
    """SigLIP as open_clip has it: timm's tower with an attention pool. The tower is of real size, the texts are not."""
    tokenizer, pad = siglip_tokenizer("siglip")
    config = {"embed_dim": 768, "init_logit_bias": -10, "custom_text": True,
              "vision_cfg": {"image_size": 224, "timm_model_name": "vit_base_patch16_siglip_224", "timm_model_pretrained": False,
                             "timm_pool": "map", "timm_proj": "none"},
              "text_cfg": {"context_length": 16, "vocab_size": tokenizer.get_vocab_size(), "hf_tokenizer_name": "a/tokenizer",
                           "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 32, "heads": 4, "layers": 1, "no_causal_mask": True,
                           "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"}}}
    model = filled(open_clip.model.CustomTextCLIP(**{k: v for k, v in config.items() if k != "custom_text"}))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad)
    ids = fast(["a photo of a basophil", "a lymphocyte"], padding="max_length", truncation=True, max_length=16, return_tensors="pt").input_ids
    cfg = {"size": 224, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    transform = image_transform_v2(PreprocessCfg(**cfg), is_train=False)
    pixels = torch.stack([transform(image) for image in images[:2]])
    with torch.inference_mode():
        logits = model.logit_scale.exp() * model.encode_image(pixels, True) @ model.encode_text(ids, True).T + model.logit_bias
    shapes = {n: list(t.shape) for n, t in sorted(model.state_dict().items()) if t.dtype != torch.int64}
    return {"name": "open_clip_siglip", "naming": "open_clip", "ids": ids.tolist(), "probabilities": probabilities(logits), "shapes": shapes,
            "names": ["a photo of a basophil", "a lymphocyte"], "template": "{}",
            "files": {"open_clip_config.json": {"model_cfg": config, "preprocess_cfg": cfg}, "tokenizer.json": json.loads(tokenizer.to_str()),
                      "tokenizer_config.json": {"pad_token": pad}}}


def adapters():
    """Variants of LoRA, with the weights that PEFT merges them to."""
    vision = CLIPVisionConfig(**TINY["vision_config"], projection_dim=TINY["projection_dim"])
    out = HERE / "adapters"
    shutil.rmtree(out, ignore_errors=True)
    qv = ["layers.0.self_attn.q_proj", "layers.1.mlp.fc1"]
    for name, options in (
        ("pissa", {"r": 3, "lora_alpha": 6, "init_lora_weights": "pissa", "target_modules": qv}),
        ("olora", {"r": 3, "lora_alpha": 6, "init_lora_weights": "olora", "target_modules": qv}),
        ("dora", {"r": 2, "lora_alpha": 5, "use_dora": True, "target_modules": qv}),
        ("bias", {"r": 2, "lora_alpha": 2, "bias": "all", "lora_bias": False, "target_modules": qv}),
        ("lora_bias", {"r": 2, "lora_alpha": 2, "lora_bias": True, "target_modules": qv}),
        ("saved", {"r": 2, "lora_alpha": 2, "target_modules": qv, "modules_to_save": ["visual_projection", "post_layernorm"]}),
        ("kernel", {"r": 2, "lora_alpha": 4, "target_modules": ["patch_embedding", "position_embedding"]}),
        ("mica", {"r": 2, "lora_alpha": 4, "init_lora_weights": "mica", "target_modules": qv}),
    ):
        base = CLIPVisionModelWithProjection(vision)
        base.load_state_dict({n: t if t.dtype == torch.int64 else random_tensor(n, tuple(t.shape)) for n, t in base.state_dict().items()})
        before = {n: t.clone() for n, t in base.state_dict().items()}
        model = get_peft_model(base, LoraConfig(**options))
        for n, parameter in model.named_parameters():
            trained = "lora_" in n or "modules_to_save" in n or (options.get("bias") == "all" and n.endswith("bias"))
            if trained and "magnitude" in n:
                parameter.data = parameter.data * (1 + 0.1 * random_tensor(n + ".bias", tuple(parameter.shape)))
            elif trained:
                parameter.data = parameter.data + 0.5 * random_tensor(n + ".bias", tuple(parameter.shape)).reshape(parameter.shape)
        model.save_pretrained(out / name)
        (out / name / "README.md").unlink(missing_ok=True)
        after = model.merge_and_unload().state_dict()
        changed = {n: t.contiguous() for n, t in after.items() if not torch.equal(t, before[n])}
        save_file(changed, out / name / "merged.safetensors")
    # As older versions save it, and with the adapter's name left in.
    from safetensors.torch import load_file
    weights = load_file(out / "dora" / "adapter_model.safetensors")
    (out / "pickled").mkdir()
    shutil.copy(out / "dora" / "adapter_config.json", out / "pickled")
    torch.save(weights, out / "pickled" / "adapter_model.bin")


class Holder(torch.nn.Module):
    """A module that holds tensors under dotted names, as OpenAI's models do."""

    def __init__(self, tensors):
        super().__init__()
        below = {}
        for name, tensor in tensors.items():
            head, _, rest = name.partition(".")
            if rest:
                below.setdefault(head, {})[rest] = tensor
            elif tensor.dtype.is_floating_point:
                self.register_parameter(head, torch.nn.Parameter(tensor))
            else:
                self.register_buffer(head, tensor)
        for name, tensors in below.items():
            self.add_module(name, Holder(tensors))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def pickles():
    """One model as trainers, torch before 1.6 and torch.jit save it."""
    import make_layouts
    out = HERE / "pickles"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    micro = make_layouts.MICRO
    model = filled(CLIPModel(CLIPConfig(**micro)))
    state = {n: t for n, t in model.state_dict().items() if t.dtype != torch.int64}
    (out / "config.json").write_text(json.dumps(micro) + "\n")
    layers = {"vision_model.": 1, "text_model.": 1}
    openai = make_layouts.renamed(state, "visual.", "", layers)
    sizes = {"input_resolution": torch.tensor(16), "context_length": torch.tensor(8), "vocab_size": torch.tensor(520)}
    torch.jit.script(Holder({**openai, **sizes}).half()).save(str(out / "torchscript.pt"))
    torch.save(state, out / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"model": state, "rng": torch.zeros(4), "loss": torch.tensor(0.5)}, out / "beside.pth")
    torch.save({"net": {f"_orig_mod.{n}": t for n, t in openai.items()}, "epoch": 3}, out / "net.ckpt")
    vision = {n: t for n, t in state.items() if n.startswith("vis")}
    torch.save({"state_dict": {f"image_encoder.{n}": t for n, t in vision.items()}, "val_result": 0.5}, out / "half.pth.tar-5")
    torch.save({"ema": state, "teacher": state}, out / "two.pt")
    torch.save({"ctx": torch.zeros(4, 8)}, out / "prompts.pt")


def main():
    torch.manual_seed(0)
    images = pictures()
    cases = []
    hugging_face_clip(cases, images)
    open_clip_clip(cases, images)
    resized_positions(cases, images)
    biomed_clip(cases, images)
    siglip(cases, images)
    cases.append(open_clip_siglip(images))
    document = {"sizes": SIZES, "cases": cases, "picture_sha256": [hashlib.sha256(i.tobytes()).hexdigest() for i in images]}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace('},{"name"', '},\n{"name"')
    (HERE / "families.json").write_text(text + "\n", encoding="utf-8")
    adapters()
    pickles()


if __name__ == "__main__":
    main()
