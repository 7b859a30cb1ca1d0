#!/usr/bin/env python3
"""Golden checksums at other sizes than 224x224, from medmnistc.

usage: sizes.py OUT.json

One checksum covers the five severities, every stream freshly seeded with 0 before each. Cells where the reference
raises are left out, and so are bubbles on oblong images, where it swaps the axes. Pins as in end_to_end.py.
"""
import hashlib
import json
import os
import random
import sys
import warnings

for name in ("OMP_NUM_THREADS", "MAGICK_THREAD_LIMIT"):
    os.environ[name] = "1"
warnings.simplefilter("ignore")
import cv2
import numpy as np
from medmnistc.corruptions.registry import CORRUPTIONS_DS
from PIL import Image

from inputs import lcg

SIZES = [(28, 28), (64, 64), (128, 128), (300, 200), (97, 231), (512, 512), (3, 5), (1, 1)]
ENTRIES = [("dermamnist", name) for name in CORRUPTIONS_DS["dermamnist"]] + [
    ("pathmnist", "saturate"),
    ("pathmnist", "stain_deposit"),
    ("pathmnist", "bubble"),
    ("octmnist", "defocus_blur"),
    ("chestmnist", "gamma_corr_up"),
    ("chestmnist", "gamma_corr_down"),
]


def image(width, height):
    """Three parts ramp, one part noise."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    ramp = np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) % 256], -1)
    noise = lcg(width * height * 3, 12345).reshape(height, width, 3).astype(np.int64)
    return Image.fromarray(((3 * ramp + noise) // 4).astype(np.uint8))


def checksum(corruption, picture):
    digest = hashlib.sha256()
    for severity in range(5):
        random.seed(0)
        np.random.seed(0)
        corruption.rng = np.random.default_rng(0)
        out = np.ascontiguousarray(np.asarray(corruption.apply(picture.copy(), severity)))
        assert out.shape == (picture.height, picture.width, 3)
        digest.update(out.tobytes())
    return digest.hexdigest()


def main(out):
    cv2.setNumThreads(1)
    result = {}
    for width, height in SIZES:
        picture = image(width, height)
        for dataset, name in ENTRIES:
            if name == "bubble" and width != height:
                continue
            try:
                result[f"{dataset}/{name}/{width}x{height}"] = checksum(CORRUPTIONS_DS[dataset][name], picture)
            except Exception as error:
                print("left out:", dataset, name, f"{width}x{height}", type(error).__name__, flush=True)
    with open(out, "w") as file:
        json.dump(result, file, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
