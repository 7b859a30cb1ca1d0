#!/usr/bin/env python3
"""Golden checksums of ImageNet-C corruptions, from the authors' own script.

usage: imagenet_c.py MAKE_IMAGENET_C.py OUT.json [BLOB_DIR]

MAKE_IMAGENET_C.py is ImageNet-C/create_c/make_imagenet_c.py of the authors' repository. Only its "Distortions" part
is run. Two names have moved since it was written and are put back: `multichannel` of scikit-image and
`scipy.ndimage.interpolation`. Before every output the global stream is seeded with 0, and impulse noise, which the
script leaves unseeded, gets `default_rng(0)`. NumPy's vector code is off, because its `exp` differs in the last bits
from processor to processor, and the truncation of flat regions to levels shows it.

Pins that were used: python 3.11, numpy 1.26.4, pillow 10.3.0, opencv-python 4.10.0.84, scipy 1.13.1,
scikit-image 0.23.2, wand 0.6.13, ImageMagick 6.9.11-60 Q16. One checksum covers the five inputs in order (ramp, cells, flat,
noise, gray). With BLOB_DIR the outputs are stored too.
"""
import hashlib
import json
import os
import sys
import types

os.environ["MAGICK_THREAD_LIMIT"] = "1"
os.environ["NPY_DISABLE_CPU_FEATURES"] = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
import cv2
import numpy as np
import scipy.ndimage
import skimage.color
import skimage.filters
import skimage.util
from PIL import Image

from inputs import inputs

NAMES = (
    "gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow fog brightness "
    "contrast elastic_transform pixelate jpeg_compression speckle_noise gaussian_blur saturate"
).split()


def load(path):
    source = open(path).read()
    start, end = source.index("# /////////////// Distortion Helpers"), source.index("# /////////////// End Distortions")
    moved = types.ModuleType("scipy.ndimage.interpolation")
    moved.map_coordinates = scipy.ndimage.map_coordinates
    sys.modules["scipy.ndimage.interpolation"] = moved
    space = {"np": np}
    exec(compile(source[start:end], path, "exec"), space)

    def gaussian(image, sigma, multichannel=False, **more):
        return skimage.filters.gaussian(image, sigma, channel_axis=-1 if multichannel else None, **more)

    space["gaussian"] = gaussian
    return space


def main(script, out, blobs):
    cv2.setNumThreads(1)
    space, result, keep = load(script), {}, {}
    noise = skimage.util.random_noise
    skimage.util.random_noise = lambda *args, **more: noise(*args, rng=np.random.default_rng(0), **more)
    for name in NAMES:
        for severity in range(1, 6):
            digest = hashlib.sha256()
            for input_name, array in inputs().items():
                np.random.seed(0)
                array_out = np.uint8(space[name](Image.fromarray(array), severity))
                assert array_out.shape == array.shape
                digest.update(np.ascontiguousarray(array_out).tobytes())
                keep[f"{name}_{severity}_{input_name}"] = array_out
            result[f"{name}/{severity}"] = digest.hexdigest()
        print(name, flush=True)
    with open(out, "w") as file:
        json.dump(result, file, indent=0)
        file.write("\n")
    if blobs:
        np.savez_compressed(os.path.join(blobs, "imagenet_c.npz"), **keep)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
