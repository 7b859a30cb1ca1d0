"""Makes frames/ and frames.json for tests/it/exact/decode/dicom.rs: compressed frames of every codec, 24 x 20 pixels.

    pip install numpy==2.4.6 imagecodecs==2026.3.6
    python make_frames.py

The encoders are CharLS, OpenJPEG, libjpeg-turbo and liblj92. The hash is that of the picture the test must get: for
grey the range of the frame scaled to 8 bits and rounded half up, for colour the samples themselves. Lossy frames are
hashed by what the encoder's own decoder makes of them. Seeds are fixed.
"""
import hashlib
import json
import pathlib

import imagecodecs
import numpy as np

HERE = pathlib.Path(__file__).parent
OUT = HERE / "frames"
OUT.mkdir(exist_ok=True)
rng = np.random.default_rng(7)
H, W = 20, 24
table = []


def picture(bits, channels=1, low=0):
    y, x = np.mgrid[0:H, 0:W]
    planes = [(np.sin(x / (2 + i)) * np.cos(y / (3 + i)) + 1) / 2 for i in range(channels)]
    values = np.clip(np.stack(planes, 2) + rng.random((H, W, channels)) * 0.02 - 0.01, 0, 1)
    values[3:7, 4:20] = values[3, 4]  # a flat part, for runs
    values = np.round(values * (2**bits - 1)) + low
    values = values.astype(np.int16 if low < 0 else np.uint8 if bits <= 8 else np.uint16)
    return values[..., 0] if channels == 1 else values


def add(name, uid, data, array, bits):
    (OUT / name).write_bytes(data)
    if array.ndim == 2:
        value = array.astype(np.float64)
        low, high = (0, 255) if bits <= 8 else (value.min(), value.max())
        level = np.floor((value - low) / (high - low) * 255 + 0.5).astype(np.uint8)
        rgb = np.repeat(level[..., None], 3, axis=2)
    else:
        rgb = (array >> (bits - 8)).astype(np.uint8)
    table.append({"file": name, "syntax": uid, "samples": 1 if array.ndim == 2 else 3, "bits": bits,
                  "signed": bool(array.dtype == np.int16),
                  "sha256": hashlib.sha256(np.ascontiguousarray(rgb).tobytes()).hexdigest()})


for bits in (8, 10, 12, 16):
    array = picture(bits)
    add(f"ls{bits}.jls", "4.80", imagecodecs.jpegls_encode(array, level=0), array, bits if bits in (8, 16) else 16)
for near in (2, 5):
    data = imagecodecs.jpegls_encode(picture(12), level=near)
    add(f"ls_near{near}.jls", "4.81", data, imagecodecs.jpegls_decode(data), 16)
array = picture(8, 3)
add("ls_rgb.jls", "4.80", imagecodecs.jpegls_encode(array, level=0), array, 8)
for bits in (8, 12, 16):
    array = picture(bits)
    add(f"ll{bits}.jpg", "4.70", imagecodecs.ljpeg_encode(array, bitspersample=bits), array, bits)
array = picture(8, 3)
for predictor in range(1, 8):
    for kind, frame in (("grey", picture(8)), ("rgb", picture(8, 3))):
        try:
            data = imagecodecs.jpeg8_encode(frame, lossless=True, predictor=predictor, colorspace="rgb" if kind == "rgb" else None, outcolorspace="rgb" if kind == "rgb" else None)
        except Exception as error:
            print("skipped", predictor, kind, error)
            continue
        add(f"ll_{kind}{predictor}.jpg", "4.57", data, frame, 8)
for bits, low in ((8, 0), (12, 0), (16, 0), (12, -2048), (16, -32768)):
    array = picture(bits, 1, low)
    name = f"j2k{bits}{'s' if low else ''}.j2k"
    add(name, "4.90", imagecodecs.jpeg2k_encode(array, level=0, codecformat="j2k", reversible=True), array, 8 if bits == 8 else 16)
array = picture(8, 3)
add("j2k_rgb.j2k", "4.90", imagecodecs.jpeg2k_encode(array, level=0, codecformat="j2k", reversible=True), array, 8)
add("jp2_rgb.jp2", "4.90", imagecodecs.jpeg2k_encode(array, level=0, codecformat="jp2", reversible=True), array, 8)
data = imagecodecs.jpeg8_encode(picture(8), level=90)
add("grey.jpg", "4.50", data, imagecodecs.jpeg8_decode(data), 8)

lines = ",\n".join(json.dumps(entry) for entry in table)
(HERE / "frames.json").write_text(f"[\n{lines}\n]\n")
print(len(table), "frames", sum(path.stat().st_size for path in OUT.iterdir()), "bytes")
