"""T3_B in plain PyTorch, the way a researcher would write it: the peer of tests/bench/peers/end_to_end.py.

    python pipeline.py FOLDER --workers 1 --threads 2 [--compile]

FOLDER holds images/ (JPEG), generalist/ and expert/ (transformers' CLIP) and bank.safetensors, the class vectors that
`t3b models encode` wrote. Every image is scored as it is and under three corruptions of MedMNIST-C's kinds, in batches of 32 of one cell:
both parents, the divergence, the batch's coefficient, the merged weights, the merged model. Prints one JSON object: seconds from the
first read to the last row, seconds of loading, pairs, and the mean coefficient, which must be ours.
"""

import argparse
import copy
import csv
import io
import json
import pathlib
import time

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPVisionModelWithProjection

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
SIDE_PX, BATCH, GAMMA = 224, 32, 0.5


def pixelate(image):
    small = image.resize((int(SIDE_PX * 0.5), int(SIDE_PX * 0.5)), Image.BOX)
    return small.resize((SIDE_PX, SIDE_PX), Image.NEAREST)


def jpeg(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=30)
    return Image.open(stream).convert("RGB")


def brightness(image):
    return Image.fromarray(np.clip(np.asarray(image).astype(np.float32) * 1.3, 0, 255).astype(np.uint8))


CELLS = {"clean": lambda image: image, "pixelate": pixelate, "jpeg": jpeg, "brightness": brightness}


class Cells(Dataset):
    """One image to its pixels in every cell."""

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        image = Image.open(self.files[index]).convert("RGB")
        width, height = image.size
        scale = SIDE_PX / min(width, height)
        image = image.resize((max(SIDE_PX, int(width * scale)), max(SIDE_PX, int(height * scale))), Image.BICUBIC)
        left, top = (image.width - SIDE_PX) // 2, (image.height - SIDE_PX) // 2
        image = image.crop((left, top, left + SIDE_PX, top + SIDE_PX))
        pixels = [torch.from_numpy(np.array(corrupt(image))).permute(2, 0, 1) for corrupt in CELLS.values()]
        return index, torch.stack(pixels)


def entropy(p):
    return -(p * p.clamp_min(1e-45).log()).sum(-1)


def score(loader, parents, merged, bank, scale, writer):
    """Scores every batch; the coefficients of the batches."""
    weights = [dict(net.named_parameters()) for net in (*parents, merged)]
    coefficients = []

    def logits(net, pixels):
        features = net(pixel_values=pixels).image_embeds.float()
        return scale * (features / features.norm(dim=-1, keepdim=True)) @ bank.T

    for index, images in loader:
        for n, cell in enumerate(CELLS):
            pixels = images[:, n].to(bank.device).float()
            pixels = ((pixels / 255 - MEAN.to(bank.device)) / STD.to(bank.device)).to(parents[0].dtype)
            p, q = (logits(net, pixels).double().softmax(-1) for net in parents)
            js = entropy((p + q) / 2) - entropy(p) / 2 - entropy(q) / 2
            coefficient = torch.sigmoid(GAMMA * js).mean().item()
            for name, target in weights[2].items():
                torch.lerp(weights[0][name], weights[1][name], coefficient, out=target)
            said = logits(merged, pixels).softmax(-1).max(-1)
            for row, prob, pred in zip(index.tolist(), said.values.tolist(), said.indices.tolist()):
                writer.writerow([row, cell, coefficient, pred, prob])
            coefficients.append(coefficient)
    return coefficients


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compute", default="f32", choices=["f32", "bf16"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    started = time.perf_counter()
    dtype = torch.bfloat16 if arguments.compute == "bf16" else torch.float32
    parents = [
        CLIPVisionModelWithProjection.from_pretrained(arguments.folder / name, attn_implementation="sdpa").eval()
        .to(arguments.device, dtype)
        for name in ("generalist", "expert")
    ]
    merged = copy.deepcopy(parents[0])
    bank = next(iter(load_file(arguments.folder / "bank.safetensors").values())).float().to(arguments.device)
    scale = load_file(arguments.folder / "generalist" / "model.safetensors")["logit_scale"].exp().to(arguments.device)
    if arguments.compile:
        for net in (*parents, merged):
            net.compile()
    files = sorted((arguments.folder / "images").iterdir())
    loader = DataLoader(Cells(files), batch_size=BATCH, num_workers=arguments.workers)
    with torch.inference_mode():
        if arguments.compile:
            for net in (*parents, merged):
                net(pixel_values=torch.zeros(BATCH, 3, SIDE_PX, SIDE_PX, device=arguments.device, dtype=dtype))
        loaded = time.perf_counter()
        with open(arguments.folder / "rows.csv", "w", newline="") as file:
            coefficients = score(loader, parents, merged, bank, scale, csv.writer(file))
    took = {
        "load_s": loaded - started,
        "score_s": time.perf_counter() - loaded,
        "n_pairs": len(files) * len(CELLS),
        "lambda_mean": sum(coefficients) / len(coefficients),
    }
    print(json.dumps(took))


if __name__ == "__main__":
    main()
