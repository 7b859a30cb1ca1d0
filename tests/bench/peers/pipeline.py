"""T3_B in plain PyTorch, the way a researcher would write it: the peer of tests/bench/peers/end_to_end.py.

    python pipeline.py FOLDER --workers 1 --threads 2 [--compile]

FOLDER holds images/ (JPEG), generalist/ and expert/ (transformers' CLIP) and bank.safetensors, the class vectors that
`t3b models encode` wrote. Every image is scored as it is and under three corruptions of MedMNIST-C's kinds, in batches of 32 of one cell:
both parents, the divergence, the batch's coefficient, the merged weights, the merged model. Prints one JSON object: seconds from the
first read to the last row, seconds of loading, pairs, and the mean coefficient, which must be ours. `engines.py` runs the same on Ray Data
and on Daft.
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


def pixels_of(file):
    """An image at model resolution in every cell: u8, [cells, 3, side, side]."""
    image = Image.open(file).convert("RGB")
    width, height = image.size
    scale = SIDE_PX / min(width, height)
    image = image.resize((max(SIDE_PX, int(width * scale)), max(SIDE_PX, int(height * scale))), Image.BICUBIC)
    left, top = (image.width - SIDE_PX) // 2, (image.height - SIDE_PX) // 2
    image = image.crop((left, top, left + SIDE_PX, top + SIDE_PX))
    return np.stack([np.array(corrupt(image)).transpose(2, 0, 1) for corrupt in CELLS.values()])


class Cells(Dataset):
    """One image to its pixels in every cell."""

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return index, torch.from_numpy(pixels_of(self.files[index]))


def entropy(p):
    return -(p * p.clamp_min(1e-45).log()).sum(-1)


class Scorer:
    """Both parents, the memory of their merge and the class vectors."""

    def __init__(self, folder, threads, compiles=False, device="cpu", dtype=torch.float32):
        torch.set_num_threads(threads)
        self.device, self.dtype = device, dtype
        self.parents = [
            CLIPVisionModelWithProjection.from_pretrained(folder / name, attn_implementation="sdpa").eval().to(device, dtype)
            for name in ("generalist", "expert")
        ]
        self.merged = copy.deepcopy(self.parents[0])
        self.mean, self.std = MEAN.to(device), STD.to(device)
        self.bank = next(iter(load_file(folder / "bank.safetensors").values())).float().to(device)
        self.scale = load_file(folder / "generalist" / "model.safetensors")["logit_scale"].exp().to(device)
        nets = (*self.parents, self.merged)
        self.weights = [dict(net.named_parameters()) for net in nets]
        if compiles:
            with torch.inference_mode():
                for net in nets:
                    net.compile()
                    net(pixel_values=torch.zeros(BATCH, 3, SIDE_PX, SIDE_PX, device=device, dtype=dtype))

    def logits(self, net, pixels):
        features = net(pixel_values=pixels).image_embeds.float()
        return self.scale * (features / features.norm(dim=-1, keepdim=True)) @ self.bank.T

    @torch.inference_mode()
    def rows(self, index, images):
        """Rows of some images in all cells, a batch a cell: image, cell, the batch's coefficient, class, its probability."""
        rows = []
        for n, cell in enumerate(CELLS):
            pixels = images[:, n].to(self.device).float()
            pixels = ((pixels / 255 - self.mean) / self.std).to(self.dtype)
            p, q = (self.logits(net, pixels).double().softmax(-1) for net in self.parents)
            js = entropy((p + q) / 2) - entropy(p) / 2 - entropy(q) / 2
            coefficient = torch.sigmoid(GAMMA * js).mean().item()
            pt, ft, merged = self.weights
            for name, target in merged.items():
                torch.lerp(pt[name], ft[name], coefficient, out=target)
            said = self.logits(self.merged, pixels).softmax(-1).max(-1)
            for row, prob, pred in zip(index, said.values.tolist(), said.indices.tolist()):
                rows.append([row, cell, coefficient, pred, prob])
        return rows


def report(folder, rows, load_s, began):
    """Writes the rows, and prints what tests/bench/peers/end_to_end.py reads; seconds of scoring count from `began`."""
    with open(folder / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    score_s, mean = time.perf_counter() - began, sum(row[2] for row in rows) / len(rows)
    print(json.dumps({"load_s": load_s, "score_s": score_s, "n_pairs": len(rows), "lambda_mean": mean}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compute", default="f32", choices=["f32", "bf16"])
    arguments = parser.parse_args()
    started = time.perf_counter()
    dtype = torch.bfloat16 if arguments.compute == "bf16" else torch.float32
    scorer = Scorer(arguments.folder, arguments.threads, arguments.compile, arguments.device, dtype)
    loaded = time.perf_counter()
    loader = DataLoader(Cells(sorted((arguments.folder / "images").iterdir())), BATCH, num_workers=arguments.workers)
    rows = [row for index, images in loader for row in scorer.rows(index.tolist(), images)]
    report(arguments.folder, rows, loaded - started, loaded)


if __name__ == "__main__":
    main()
