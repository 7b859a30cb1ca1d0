#!/usr/bin/env python3
"""Times medmnistc on one core: milliseconds per image, fastest repeat, for every distinct cell.

usage: taskset -c 1 medmnistc_bench.py OUT.json [REPEATS]     (default 15)

Timed is `corruption.apply(image, severity)` on a 224x224 PIL RGB image, which is what the reference does per
image before the conversion to grey. Library threads are held to one. Cells whose parameters an earlier data set
has already are left out, as in the golden manifest.

The entry "bloodmnist" is the processor time per image of that whole suite, over 100 images.
"""
import os
for name in ("OMP_NUM_THREADS", "MAGICK_THREAD_LIMIT", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
import json
import random
import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")
import cv2
import torch
from PIL import Image
from medmnistc.corruptions import registry

cv2.setNumThreads(1)
torch.set_num_threads(1)


SUITE, SUITE_IMAGES = "bloodmnist", 100


def lcg(seed, n):
    """Top bytes of a linear congruential generator."""
    noise, state = np.empty(n, np.int64), seed
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        noise[i] = state >> 24
    return noise


def image(i=0, n=224):
    """Three parts ramp, one part noise, per channel; integers only."""
    y, x = np.mgrid[:n, :n].astype(np.int64)
    ramp = np.stack([x * 255 // (n - 1), y * 255 // (n - 1), (x + y) * 255 // (2 * n - 2)], -1)
    noise = lcg(12345 + i, n * n * 3).reshape(n, n, 3)
    return Image.fromarray(((3 * ramp + noise) // 4).astype(np.uint8))


def suite_ms():
    """Milliseconds per image of every corruption at every severity."""
    pictures = [image(i) for i in range(SUITE_IMAGES)]
    random.seed(0)
    np.random.seed(0)
    start = time.thread_time()
    for corruption in registry.CORRUPTIONS_DS[SUITE].values():
        for severity in range(5):
            for picture in pictures:
                corruption.apply(picture, severity)
    return (time.thread_time() - start) * 1e3 / SUITE_IMAGES


def main(out, repeats):
    picture, seen, result = image(), set(), {}
    for dataset, corruptions in registry.CORRUPTIONS_DS.items():
        for name, corruption in corruptions.items():
            key = (name, repr(corruption.severity_params))
            if key in seen:
                continue
            seen.add(key)
            for severity in range(5):
                random.seed(0)
                np.random.seed(0)
                corruption.rng = np.random.default_rng(0)
                corruption.apply(picture, severity)
                times = []
                for _ in range(repeats):
                    start = time.perf_counter()
                    corruption.apply(picture, severity)
                    times.append((time.perf_counter() - start) * 1e3)
                result[f"{dataset}/{name}/{severity + 1}"] = round(min(times), 4)
            print(dataset, name, [result[f"{dataset}/{name}/{s}"] for s in range(1, 6)], flush=True)
    result[SUITE] = round(suite_ms(), 2)
    print(SUITE, "ms per image:", result[SUITE])
    with open(out, "w") as file:
        json.dump(result, file, indent=0, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 15)
