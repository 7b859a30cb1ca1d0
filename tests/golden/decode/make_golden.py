"""Makes files/ and golden.json for tests/it/exact/decode.rs.

    pip install pillow==13.0.0 numpy==2.4.6 torch==2.15.0 torchvision==0.29.2
    python make_golden.py [SHARED]        SHARED holds bccd/ and bccd_smears/; default ../../../../shared/data

Pillow 13.0.0 brings libjpeg-turbo 3.2.0. Every hash is the sha256 of the RGB bytes, row by row. Seeds are fixed, so
running it again changes nothing. Files of SHARED are named, hashed and never copied.
"""
import hashlib
import io
import json
import pathlib
import struct
import sys
import warnings
import zlib

import numpy as np
import PIL
import torchvision
from PIL import Image, features
from torchvision import transforms
from torchvision.transforms import InterpolationMode

HERE = pathlib.Path(__file__).parent
FILES = HERE / "files"
SHARED = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "../../../../shared/data"
warnings.filterwarnings("ignore", message="Palette images")

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def entry(file, image, **more):
    return {"file": file, "width": image.width, "height": image.height, "sha256": digest(image), **more}


# --- PNG, written by hand, because Pillow writes neither every depth nor interlace ------------------------------------
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_rows(samples, depth, channels):
    """Samples of shape [h, w, channels] as filtered rows, the five filters in turn."""
    pixel_len = max(1, depth * channels // 8)
    before, out = None, b""
    for y, row in enumerate(samples):
        flat = row.reshape(-1)
        if depth == 16:
            raw = flat.astype(">u2").tobytes()
        elif depth == 8:
            raw = flat.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(value), f"0{depth}b") for value in flat)
            bits += "0" * (-len(bits) % 8)
            raw = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        raw = np.frombuffer(raw, np.uint8).astype(int)
        up = np.zeros_like(raw) if before is None else before
        left = np.concatenate([np.zeros(pixel_len, int), raw])[: len(raw)]
        corner = np.concatenate([np.zeros(pixel_len, int), up])[: len(raw)]
        estimate = left + up - corner
        distance = [abs(estimate - other) for other in (left, up, corner)]
        paeth = np.where((distance[0] <= distance[1]) & (distance[0] <= distance[2]), left, np.where(distance[1] <= distance[2], up, corner))
        predicted = [0, left, up, (left + up) // 2, paeth][y % 5]
        out += bytes([y % 5]) + ((raw - predicted) % 256).astype(np.uint8).tobytes()
        before = raw
    return out


def png(samples, depth, color, interlaced=False, extra=b""):
    height, width, channels = samples.shape
    if interlaced:
        raw = b""
        for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
            part = samples[y0::dy, x0::dx]
            if part.size:
                raw += pack_rows(part, depth, channels)
    else:
        raw = pack_rows(samples, depth, channels)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def make_pngs(rng):
    """One file for each colour type, depth and interlace, then the special cases."""
    made = []
    palette = bytes(rng.integers(0, 256, 3 * 256, dtype=np.uint8))
    for color, depths in DEPTHS.items():
        for depth in depths:
            plte = chunk(b"PLTE", palette[: 3 << depth]) if color == PALETTE else b""
            for interlaced in (False, True):
                samples = rng.integers(0, 1 << depth, (11, 13, CHANNELS[color]))
                name = f"color{color}_depth{depth}{'_interlaced' if interlaced else ''}.png"
                made.append((name, png(samples, depth, color, interlaced, plte), samples if (color, depth) == (GREY, 16) else None))
    byte = rng.integers(0, 256, (5, 6, 3))
    made += [
        ("trns_grey.png", png(byte[..., :1], 8, GREY, extra=chunk(b"tRNS", struct.pack(">H", int(byte[0, 0, 0])))), None),
        ("trns_rgb.png", png(byte, 8, RGB, extra=chunk(b"tRNS", struct.pack(">3H", *map(int, byte[0, 0])))), None),
        ("trns_palette.png", png(byte[..., :1], 8, PALETTE, extra=chunk(b"PLTE", palette) + chunk(b"tRNS", bytes(range(256)))), None),
        ("palette_short.png", png(byte[..., :1], 8, PALETTE, extra=chunk(b"PLTE", palette[: 3 * 100])), None),
        ("gamma_ignored.png", png(byte, 8, RGB, extra=chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sRGB", b"\0")), None),
    ]
    entries = []
    for name, data, grey16 in made:
        (FILES / name).write_bytes(data)
        pillow = Image.open(io.BytesIO(data)).convert("RGB")
        if grey16 is None:
            entries.append(entry(name, pillow))
        else:
            high = (grey16 >> 8).astype(np.uint8).repeat(3, axis=2)
            entries.append(entry(name, Image.fromarray(high), pillow_sha256=digest(pillow)))
    return entries


# --- JPEG --------------------------------------------------------------------------------------------------------------
def smooth(rng, width, height):
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([3 * x + y, 255 - 2 * x - y, x * y // 3], -1) % 256 + rng.integers(0, 30, (height, width, 3))
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def transposed_sampling(data):
    """A 4:2:2 file relabelled 4:4:0: as many blocks in as many MCUs, so it stays valid."""
    data = bytearray(data)
    at = 2
    while data[at + 1] not in (0xC0, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    data[at + 5 : at + 7], data[at + 7 : at + 9] = data[at + 7 : at + 9], data[at + 5 : at + 7]
    data[at + 11] = 0x12
    return bytes(data)


def with_exif_rotation(image):
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    image.save(out, "JPEG", quality=80, exif=exif)
    return out.getvalue()


def make_jpegs(rng):
    made = []
    for width, height in ((8, 8), (17, 33), (33, 9), (64, 48), (3, 40)):
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            for progressive in (False, True):
                out = io.BytesIO()
                smooth(rng, width, height).save(out, "JPEG", quality=int(rng.integers(20, 100)), subsampling=subsampling, progressive=progressive)
                name = f"jpeg_{width}x{height}_{subsampling.replace(':', '')}{'_progressive' if progressive else ''}.jpg"
                made.append((name, out.getvalue()))
    for name, mode, more in (
        ("jpeg_grey", "L", {}),
        ("jpeg_grey_progressive", "L", {"progressive": True}),
        ("jpeg_restarts", "RGB", {"restart_marker_blocks": 2}),
        ("jpeg_restarts_progressive", "RGB", {"restart_marker_rows": 1, "progressive": True}),
        ("jpeg_rgb", "RGB", {"keep_rgb": True}),
        ("jpeg_quality_100", "RGB", {"quality": 100}),
        ("jpeg_quality_1", "RGB", {"quality": 1}),
    ):
        out = io.BytesIO()
        smooth(rng, 45, 31).convert(mode).save(out, "JPEG", **{"quality": 75, **more})
        made.append((f"{name}.jpg", out.getvalue()))
    noise = Image.fromarray(rng.integers(0, 256, (20, 27, 3), dtype=np.uint8))
    for name, options in (("jpeg_noise", {}), ("jpeg_noise_progressive", {"progressive": True})):
        out = io.BytesIO()
        noise.save(out, "JPEG", quality=90, **options)
        made.append((f"{name}.jpg", out.getvalue()))
    for name, progressive in (("jpeg_440", False), ("jpeg_440_progressive", True)):
        out = io.BytesIO()
        smooth(rng, 38, 27).save(out, "JPEG", quality=85, subsampling="4:2:2", progressive=progressive)
        made.append((f"{name}.jpg", transposed_sampling(out.getvalue())))
    made.append(("jpeg_exif_rotation.jpg", with_exif_rotation(smooth(rng, 24, 16))))
    entries = []
    for name, data in made:
        (FILES / name).write_bytes(data)
        entries.append(entry(name, Image.open(io.BytesIO(data)).convert("RGB")))
    return entries


# --- resize and crop ---------------------------------------------------------------------------------------------------
def sources(rng):
    checker = (np.indices((33, 33)).sum(0) % 2 * 255).astype(np.uint8)
    noise = rng.integers(0, 256, (41, 64, 3), dtype=np.uint8)
    return {
        "resize_noise_64x41.png": Image.fromarray(noise),
        "resize_checker_33x33.png": Image.fromarray(checker).convert("RGB"),
        "resize_smooth_37x29.png": smooth(rng, 37, 29),
        "resize_wide_120x3.png": Image.fromarray(rng.integers(0, 256, (3, 120, 3), dtype=np.uint8)),
        "resize_tall_3x120.png": Image.fromarray(rng.integers(0, 256, (120, 3, 3), dtype=np.uint8)),
        "resize_row_50x1.png": Image.fromarray(rng.integers(0, 256, (1, 50, 3), dtype=np.uint8)),
        "resize_column_1x50.png": Image.fromarray(rng.integers(0, 256, (50, 1, 3), dtype=np.uint8)),
        "resize_pixel_1x1.png": Image.fromarray(np.array([[[7, 130, 251]]], np.uint8)),
        "resize_tiny_2x2.png": Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)),
    }


def crop(image, size, rule):
    resized = transforms.Resize(size, interpolation=InterpolationMode.BICUBIC)(image)
    if rule == "half_to_even":
        return transforms.CenterCrop(size)(resized)
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    return resized.crop((left, top, left + size, top + size))


def make_resizes(rng):
    resizes, crops = [], []
    for name, image in sources(rng).items():
        image.save(FILES / name, optimize=True)
        own = image.size
        for size in {own, (own[0], 9), (9, own[1]), (1, 1), (224, 224), (32, 32), (31, 77), (100, 5), (5, 100), (13, 11), (own[0] + 1, own[1] + 1)}:
            resizes.append(entry(name, image.resize(size, Image.Resampling.BICUBIC)))
        for size in (1, 2, 7, 23, 32, 224):
            if size * max(own) // min(own) <= 12000:
                for rule in ("half_to_even", "floor"):
                    crops.append(entry(name, crop(image, size, rule), rule=rule))
    return sorted(resizes, key=str), crops


def make_shared():
    files = []
    for label in ("rbc", "wbc", "platelet", "background"):
        files += sorted((SHARED / "bccd/test" / label).glob("*.png"))[:5]
        files += sorted((SHARED / "bccd/train" / label).glob("*.jpg"))[:5]
    files += sorted((SHARED / "bccd_smears").glob("*.jpg"))[:8]
    entries = []
    for file in files:
        image = Image.open(file).convert("RGB")
        crops = {f"crop{size}_sha256": digest(crop(image, size, "half_to_even")) for size in (224, 32)}
        entries.append(entry(file.relative_to(SHARED).as_posix(), image, **crops))
    return entries


def main():
    FILES.mkdir(exist_ok=True)
    rng = np.random.default_rng(20260401)
    decode = make_pngs(rng) + make_jpegs(rng)
    resize, crops = make_resizes(rng)
    made_with = {"pillow": PIL.__version__, "libjpeg_turbo": features.version("libjpeg_turbo"), "torchvision": torchvision.__version__.split("+")[0]}
    golden = {"made_with": made_with, "decode": decode, "resize": resize, "crop": crops, "shared": make_shared()}
    lines = [f' "{key}": ' + ("[\n" + ",\n".join("  " + json.dumps(e) for e in value) + "\n ]" if isinstance(value, list) else json.dumps(value)) for key, value in golden.items()]
    (HERE / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print({key: len(value) for key, value in golden.items()})


if __name__ == "__main__":
    main()
