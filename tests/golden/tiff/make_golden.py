"""Makes files/ and golden.json for tests/it/exact/decode/tiff.rs: small TIFF files and what Pillow makes of them.

    pip install pillow==13.0.0 numpy==2.4.6 tifffile imagecodecs
    python make_golden.py

Files come from Pillow or tifffile; every golden is `PIL.Image.open(f).convert("RGB")`, with two exceptions that the
entry names in `rule`: `high byte` for plain 16-bit grey, which Pillow clips at 255, and `array` for what it does not
open: there the high bytes of the array that was written. Seeds are fixed.
"""
import hashlib
import json
import pathlib
import struct

import numpy as np
import tifffile
from PIL import Image

HERE = pathlib.Path(__file__).parent
FILES = HERE / "files"
FILES.mkdir(exist_ok=True)
rng = np.random.default_rng(6)


def smooth(h, w, c, bits=8):
    y, x = np.mgrid[0:h, 0:w]
    base = np.stack([(np.sin(x / (3 + i)) + np.cos(y / (4 + i)) + 2) / 4 for i in range(c)], axis=2)
    noise = rng.random((h, w, c)) * 0.1
    values = np.clip((base + noise) * (2**bits - 1), 0, 2**bits - 1)
    values = values.astype(np.uint8 if bits <= 8 else np.uint16)
    return values[..., 0] if c == 1 else values


table = []


def add(name, page=None, array=None, rule="pillow"):
    if array is None:
        image = Image.open(FILES / name)
        if page is not None:
            image.seek(page)
        rgb = np.asarray(image.convert("RGB"))
    else:
        rgb = (array >> 8 if array.itemsize == 2 else array).astype(np.uint8)
        rgb = np.repeat(rgb[..., None], 3, axis=2) if rgb.ndim == 2 else rgb[..., :3]
    table.append({"file": name, "frame": page, "rule": rule, "width": rgb.shape[1], "height": rgb.shape[0],
                  "sha256": hashlib.sha256(np.ascontiguousarray(rgb).tobytes()).hexdigest()})


def tif(name, array, **options):
    photometric = options.pop("photometric", "rgb" if array.ndim == 3 else "minisblack")
    rule = options.pop("rule", None)
    tifffile.imwrite(FILES / name, array, photometric=photometric, metadata=None, **options)
    add(name, array=array if rule else None, rule=rule or "pillow")


for compression in (None, "lzw", "adobe_deflate", "packbits"):
    tag = compression or "raw"
    tif(f"grey8_{tag}.tif", smooth(21, 35, 1), compression=compression, rowsperstrip=10)
    tif(f"rgb8_{tag}.tif", smooth(21, 35, 3), compression=compression, rowsperstrip=10)
    if compression != "packbits":
        tif(f"grey16_{tag}.tif", smooth(21, 35, 1, 16), compression=compression, rule="high byte")
        tif(f"rgb16_{tag}.tif", smooth(19, 23, 3, 16), compression=compression)
        tif(f"tiles_{tag}.tif", smooth(21, 35, 3), compression=compression, tile=(16, 16))
for byteorder in "<>":
    tag = "le" if byteorder == "<" else "be"
    tif(f"rgb16_{tag}_predictor.tif", smooth(19, 23, 3, 16), compression="lzw", predictor=True, byteorder=byteorder)
    tif(f"rgb8_{tag}_predictor.tif", smooth(19, 23, 3), compression="adobe_deflate", predictor=True, byteorder=byteorder)
    tif(f"grey16_{tag}.tif", smooth(19, 23, 1, 16), byteorder=byteorder, rule="high byte")
    tif(f"big_{tag}.tif", smooth(19, 23, 3), bigtiff=True, byteorder=byteorder, rule="array")
tif("planes8.tif", np.moveaxis(smooth(19, 23, 3), 2, 0), planarconfig="separate", photometric="rgb")
tif("planes8_lzw.tif", np.moveaxis(smooth(19, 23, 3), 2, 0), planarconfig="separate", photometric="rgb", compression="lzw")
tif("white_is_zero.tif", smooth(19, 23, 1), photometric="miniswhite")
tif("tiles_predictor.tif", smooth(21, 35, 3), compression="lzw", predictor=True, tile=(16, 16))
tif("rgba_straight.tif", smooth(19, 23, 4), extrasamples=["unassalpha"])
tif("rgba_premultiplied.tif", smooth(19, 23, 4), extrasamples=["assocalpha"])
tif("rgb_extra.tif", smooth(19, 23, 4), extrasamples=["unspecified"])
tif("rgba16_premultiplied.tif", smooth(19, 23, 4, 16), extrasamples=["assocalpha"])
tif("grey_alpha.tif", smooth(19, 23, 2), photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
for bits in (2, 4):
    tif(f"grey{bits}.tif", (smooth(19, 23, 1) >> (8 - bits)), bitspersample=bits)
tif("jpeg_tiles.tif", smooth(32, 48, 3), compression="jpeg", tile=(16, 16))
tif("jpeg_grey.tif", smooth(32, 48, 1), compression="jpeg")

Image.fromarray(smooth(19, 23, 1) > 128).save(FILES / "bits1.tif")
add("bits1.tif")
for colors in (16, 256):
    Image.fromarray(smooth(19, 23, 3)).quantize(colors).save(FILES / f"palette{colors}.tif", compression="tiff_lzw")
    add(f"palette{colors}.tif")
for quality in (75, 95):
    Image.fromarray(smooth(32, 48, 3)).save(FILES / f"jpeg_ycbcr_{quality}.tif", compression="jpeg", quality=quality)
    add(f"jpeg_ycbcr_{quality}.tif")
for orientation in range(2, 9):
    Image.fromarray(smooth(11, 17, 3)).save(FILES / f"orientation{orientation}.tif", tiffinfo={274: orientation})
    add(f"orientation{orientation}.tif")
pages = [Image.fromarray(smooth(11, 17, 3)), Image.fromarray(smooth(13, 9, 1)), Image.fromarray(smooth(10, 10, 3))]
pages[0].save(FILES / "pages.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
for page in range(3):
    add("pages.tif", page)

lines = ",\n".join(json.dumps(entry) for entry in table)
(HERE / "golden.json").write_text(f"[\n{lines}\n]\n")
print(len(table), "goldens", sum(path.stat().st_size for path in FILES.iterdir()), "bytes")
