#!/usr/bin/env python3
"""Golden checksums of whole data sets: medmnistc's DatasetManager on two images, seed 0.

usage: end_to_end.py OUT.json

This fixes the order in which the sequential random streams are consumed: corruption by corruption, severity by
severity, image by image, seeded once per data set. Only the loader of the images (the package medmnist) and the
progress bar are replaced. Stored per corruption: SHA-256 of the array `test_images`, ten images.

Pins that were used: python 3.11, medmnistc 0.1.0, numpy 1.26.4, pillow 10.3.0, opencv-python 4.10.0.84,
scipy 1.13.1, scikit-image 0.23.2, torch 2.3.1, torchvision 0.18.1, wand 0.6.13, ImageMagick 6.9.11-60 Q16.
"""
import hashlib
import json
import os
import sys
import tempfile
import types
import warnings

for name in ("OMP_NUM_THREADS", "MAGICK_THREAD_LIMIT"):
    os.environ[name] = "1"
warnings.simplefilter("ignore")
import numpy as np

from inputs import inputs

DATASETS = {"dermamnist": False, "pneumoniamnist": True, "octmnist": True}


def fake_medmnist():
    """A package with one data set class per name, holding two images."""
    arrays = inputs()
    module = types.ModuleType("medmnist")
    module.INFO = {}
    for name, grey in DATASETS.items():
        images = np.stack([arrays["cells"], arrays["gray" if grey else "ramp"]])
        images = images[..., 0] if grey else images

        def init(self, images=images, **_):
            self.imgs, self.labels = images, np.zeros((len(images), 1), np.int64)

        setattr(module, name, type(name, (), {"__init__": init}))
        module.INFO[name] = {"python_class": name}
    sys.modules["medmnist"] = module
    progress = types.ModuleType("tqdm")
    progress.tqdm = lambda items, *_: items
    sys.modules["tqdm"] = progress


def main(out):
    # After the libraries, which look at an installed progress bar more closely than the stand-in allows.
    import cv2
    import torch
    import torchvision

    fake_medmnist()
    from medmnistc.dataset_manager import DatasetManager

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in DATASETS:
            DatasetManager(medmnist_path=folder, output_path=folder).create_dataset(name)
            for file in sorted(os.listdir(os.path.join(folder, name))):
                images = np.load(os.path.join(folder, name, file))["test_images"]
                assert images.dtype == np.uint8 and len(images) == 10
                key = f"{name}/{file.removesuffix('.npz')}"
                result[key] = hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
    with open(out, "w") as file:
        json.dump(result, file, indent=0, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
