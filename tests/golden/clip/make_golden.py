"""Writes the values that tests/it/exact/clip.rs compares src/model with, computed by PyTorch and transformers.

    python make_golden.py --merges bpe_simple_vocab_16e6.txt          # all but the folders
    python make_golden.py --dir NAME=FOLDER                           # folder_NAME.json for a checkpoint folder

bpe_simple_vocab_16e6.txt is OpenAI's file; the crate instant-clip-tokenizer 0.1.0 ships it. FOLDER is given relative to the
root of the repository and holds config.json, model.safetensors and, unless the vocabulary is OpenAI's, merges.txt.

Made with Python 3.11, numpy 2.4.6, torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, safetensors 0.8.0; CPU, f32, eager
attention. No network, no downloaded weights: the weights come from the generator that src/model/random.rs describes.
"""

import argparse
import hashlib
import json
import math
import pathlib

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SEEDS = {"vision": 7, "text": 11}
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
NAMES = ["basophil", "eosinophil", "lymphocyte"]
TEMPLATE = "a photo of a {}."

TINY = {
    "model_type": "clip",
    "projection_dim": 16,
    "text_config": {
        "hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 24, "vocab_size": 600, "bos_token_id": 598, "eos_token_id": 599, "pad_token_id": 599,
    },
    "vision_config": {
        "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3,
        "image_size": 32, "patch_size": 8,
    },
}

TEXTS = [
    "", "a", "a photo of a basophil.", "A Photo of a LYMPHOCYTE.", "diabetic retinopathy, grade 3 (NPDR)",
    "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)", "normal, benign", "choroidal neovascularization",
    "1234567890", "H&E stain @ 40x -- 0.25 um/px", "it's the patient's scan; they've, we'll, I'd, can't, I'm, you're",
    "tabs\tand\nnewlines   and  spaces ", "dotted.ident_ifier/with\\slashes", "!!!???...", "émigré naïve Zürich ß",
    "ΑΣ ΟΔΟΣ final sigma", "İstanbul", "细胞 图像", "μm ½ Ⅳ ²", "🙂🔬 emoji", "x" * 120, "blood " * 40, "lymphocyte " * 90,
]


def splitmix64(seed, count):
    """The first `count` outputs of splitmix64."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fnv1a64(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


def centre_and_reach(name, shape):
    if name == "logit_scale":
        return np.float32(math.log(10)) * np.float32(2), np.float32(0)
    if "embedding" in name and "patch" not in name:
        return np.float32(0), np.float32(0.05)
    if name.endswith(".bias"):
        return np.float32(0), np.float32(0.1)
    if "norm" in name or "layrnorm" in name:
        return np.float32(1), np.float32(0.25)
    return np.float32(0), np.float32(math.sqrt(3.0 / math.prod(shape[1:])))


def random_tensor(name, shape):
    """See src/model/random.rs."""
    centre, reach = centre_and_reach(name, shape)
    vision = name.startswith(("vision_model.", "visual_projection."))
    seed = SEEDS["vision" if vision else "text"] ^ fnv1a64(name)
    bits = splitmix64(seed, math.prod(shape))
    unit = ((bits >> np.uint64(40)).astype(np.int64) - 2**23).astype(np.float32) / np.float32(2**23)
    return (centre + reach * unit).reshape(shape)


def random_model(config):
    model = CLIPModel._from_config(CLIPConfig(**config), attn_implementation="eager")
    state = {name: torch.from_numpy(random_tensor(name, tuple(t.shape))) for name, t in model.state_dict().items()}
    model.load_state_dict(state, strict=True)
    return model.eval()


def images(count, side):
    """Bytes of images [count, side, side, 3] from a linear congruential generator."""
    state, out = 1, bytearray()
    for _ in range(count * side * side * 3):
        state = (1664525 * state + 1013904223) % 2**32
        out.append(state >> 24)
    return np.frombuffer(bytes(out), np.uint8).reshape(count, side, side, 3)


def normalised(hwc):
    chw = hwc.astype(np.float32) / np.float32(255)
    return torch.from_numpy(((chw - MEAN) / STD).transpose(0, 3, 1, 2).copy())


def tokenizer(merges_file, size):
    """CLIPTokenizer over the first `size - 514` merges, ids in OpenAI's order."""
    lines = merges_file.read_text(encoding="utf-8").split("\n")[1 : size - 514 + 1]
    merges = [tuple(line.split()) for line in lines]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    assert len(words) == size, (len(words), size)
    return CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=merges)


def rounded(array, digits=9):
    return [[float(f"{value:.{digits}g}") for value in row] for row in array]


def outputs(model, tokens, names, count, keep):
    """What the test compares; `keep` values of each feature."""
    side = model.config.vision_config.image_size
    prompts = [TEMPLATE.format(name) for name in names]
    length = model.config.text_config.max_position_embeddings
    batch = tokens(prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    pixels = normalised(images(count, side))
    with torch.no_grad():
        out = model(pixel_values=pixels, **batch)
        exact = model.double()(pixel_values=pixels.double(), **batch)
    error = (out.logits_per_image - exact.logits_per_image).abs().max().item()
    return {
        "template": TEMPLATE, "names": names, "images": count,
        "logit_scale": model.logit_scale.item(), "logits": rounded(out.logits_per_image.numpy()),
        "logits_f64": rounded(exact.logits_per_image.numpy(), 12), "torch_f32_error": float(f"{error:.2g}"),
        "image_features": rounded(out.image_embeds.numpy()[:, :keep]),
        "text_features": rounded(out.text_embeds.numpy()[:, :keep]),
    }


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("],[", "],\n[").replace("},{", "},\n{")
    (HERE / name).write_text(text + "\n", encoding="utf-8")
    print(name, value.get("torch_f32_error", ""))


def random_models(merges):
    tiny = random_model(TINY)
    shapes = {name: list(tensor.shape) for name, tensor in tiny.state_dict().items()}
    out = outputs(tiny, tokenizer(merges, 600), NAMES, 3, 16)
    write("tiny.json", {"config": TINY, "seeds": SEEDS, "tensors": shapes, **out})
    base = {"model_type": "clip"}
    out = outputs(random_model(base), tokenizer(merges, 49408), NAMES, 2, 12)
    write("vit_b_32.json", {"config": base, "seeds": SEEDS, **out})
    sample = ["logit_scale", "visual_projection.weight", "text_model.final_layer_norm.weight"]
    shapes = [(), (16, 48), (32,)]
    values = {name: random_tensor(name, shape).reshape(-1)[:8].tolist() for name, shape in zip(sample, shapes)}
    write("random.json", {"seeds": SEEDS, "first_values": values})


def token_ids(merges):
    cases = []
    for size, length in [(49408, 77), (600, 24)]:
        tokens = tokenizer(merges, size)
        for text in TEXTS:
            cases.append({"size": size, "length": length, "text": text,
                          "ids": tokens(text, truncation=True, max_length=length)["input_ids"],
                          "uncut": len(tokens(text)["input_ids"])})
    write("tokens.json", {"cases": cases})
    lines = merges.read_text(encoding="utf-8").split("\n")[1 : 600 - 514 + 1]
    (HERE / "tiny_merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")


def normalisation():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    processor = CLIPImageProcessorPil(do_resize=False, do_center_crop=False)
    values = np.asarray(processor(every, return_tensors="np", input_data_format="channels_last")["pixel_values"][0])
    assert values.dtype == np.float32, values.dtype
    write("normalise.json", {"channels": rounded(values.reshape(3, 256))})


def folder(name, path):
    model = CLIPModel.from_pretrained(ROOT / path, attn_implementation="eager", dtype=torch.float32).eval()
    merges = ROOT / path / "merges.txt"
    tokens = tokenizer(merges, model.config.text_config.vocab_size)
    sha256 = hashlib.sha256((ROOT / path / "model.safetensors").read_bytes()).hexdigest()
    write(f"folder_{name}.json", {"folder": path, "sha256": sha256, **outputs(model, tokens, NAMES, 3, 16)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=pathlib.Path)
    parser.add_argument("--dir", action="append", default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.merges:
        random_models(options.merges)
        token_ids(options.merges)
        normalisation()
    for pair in options.dir:
        folder(*pair.split("=", 1))


if __name__ == "__main__":
    main()
