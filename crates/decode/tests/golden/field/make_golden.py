"""Makes files/ and golden.json for tests/field.rs: pictures of formats that archives hold, 24 x 20 pixels each.

    pip install numpy==2.4.6 imagecodecs==2026.3.6 pillow==13.0.0 tifffile nibabel
    python make_golden.py

Every hash is of the RGB picture that the reference makes of the file: Pillow, tifffile, nibabel, OpenJPEG,
OpenJPH, libjxl, libjpeg-turbo, CharLS or zlib. Grey that is no level is scaled from black to white and rounded half up. Seeds are fixed.
"""
import hashlib
import io
import json
import pathlib
import struct
import zlib

import imagecodecs
import nibabel
import numpy as np
import tifffile
from PIL import Image

HERE = pathlib.Path(__file__).parent
OUT = HERE / "files"
OUT.mkdir(exist_ok=True)
for old in OUT.iterdir():
    old.unlink()
rng = np.random.default_rng(13)
H, W = 20, 24
golden = []


def picture(largest, channels=1):
    y, x = np.mgrid[0:H, 0:W]
    planes = [(np.sin(x / (2 + i)) * np.cos(y / (3 + i)) + 1) / 2 for i in range(channels)]
    values = np.clip(np.stack(planes, 2) + rng.random((H, W, channels)) * 0.02 - 0.01, 0, 1)
    values[3:7, 4:20] = values[3, 4]
    values = np.round(values * largest).astype(np.int64)
    return values[..., 0] if channels == 1 else values


def level(values, low, high):
    return np.floor(np.clip((np.asarray(values, float) - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def rgb(array):
    array = np.asarray(array)
    return np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array[..., :3]


def add(name, data, expected, **how):
    (OUT / name).write_bytes(data)
    expected = np.ascontiguousarray(rgb(expected).astype(np.uint8))
    golden.append({"file": name, "width": expected.shape[1], "height": expected.shape[0],
                   "sha256": hashlib.sha256(expected.tobytes()).hexdigest(), **how})


def pillow(name, data, **how):
    add(name, data, np.array(Image.open(io.BytesIO(data)).convert("RGB")), **how)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def element(group, number, vr, value):
    value += (b"\0" if vr in (b"UI", b"OB") else b" ") * (len(value) % 2)
    long = vr in (b"OB", b"OW")
    return struct.pack("<HH", group, number) + vr + struct.pack("<2xI" if long else "<H", len(value)) + value


def dicom(uid, frame, values, bits, allocated, signed=False, photometric="MONOCHROME2"):
    """A whole file, written here because pydicom writes no syntax that it does not know."""
    meta = element(2, 0x10, b"UI", uid.encode())
    meta = element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta
    n_samples = 1 if np.ndim(values) == 2 else 3
    words = [(2, n_samples), (0x10, H), (0x11, W), (0x100, allocated), (0x101, bits), (0x102, bits - 1),
             (0x103, int(signed))] + ([(6, 0)] if n_samples == 3 else [])
    parts = {number: element(0x28, number, b"US", struct.pack("<H", value)) for number, value in words}
    parts[4] = element(0x28, 4, b"CS", photometric.encode())
    frame += b"\0" * (len(frame) % 2)
    item = b"\xfe\xff\x00\xe0"
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + item + bytes(4) + item + struct.pack("<I", len(frame)) + frame
    data_set = b"".join(parts[number] for number in sorted(parts)) + pixels + b"\xfe\xff\xdd\xe0" + bytes(4)
    return bytes(128) + b"DICM" + meta + data_set


# Formats of the image crate, as Pillow reads them.
grey, color = Image.fromarray(picture(255).astype(np.uint8)), Image.fromarray(picture(255, 3).astype(np.uint8))
for mode in ("1", "L", "P", "RGB", "RGBA"):
    pillow(f"bmp_{mode}.bmp", saved(color.convert(mode), "BMP"))
pillow("rle8.bmp", imagecodecs.bmp_encode(np.array(color)))
pillow("lossless.webp", saved(color, "WEBP", lossless=True))
pillow("alpha.webp", saved(color.convert("RGBA"), "WEBP", lossless=True))
pillow("grey.gif", saved(grey, "GIF"))
pillow("palette.gif", saved(color.convert("P", palette=Image.ADAPTIVE), "GIF"))
pillow("interlaced.gif", saved(color.convert("P", palette=Image.ADAPTIVE), "GIF", interlace=1))
pillow("animated.gif", saved(grey, "GIF", save_all=True, append_images=[grey.rotate(90), grey.rotate(180)]))
for name, image in (("p4.pbm", color.convert("1")), ("p5.pgm", grey), ("p6.ppm", color)):
    pillow(name, saved(image, "PPM"))
pillow("p2.pgm", f"P2\n# a comment\n{W} {H}\n255\n".encode() + " ".join(map(str, np.array(grey).ravel())).encode() + b"\n")
wide = picture(65535)
add("p5_16.pgm", f"P5\n{W} {H}\n65535\n".encode() + wide.astype(">u2").tobytes(), wide >> 8)

# 16-bit grey with fewer bits in it.
twelve = picture(4095)
data = saved(Image.fromarray(twelve.astype(np.uint16)), "PNG")
add("twelve.png", data, twelve >> 8, warning=True)
add("twelve.png", data, level(twelve, twelve.min(), twelve.max()), window="minmax")
add("twelve.png", data, level(twelve, 1000 - 0.5 - 999.5, 1000 - 0.5 + 999.5), window=[1000.0, 2000.0])
sbit = b"sBIT" + bytes([12])
sbit = struct.pack(">I", 1) + sbit + struct.pack(">I", zlib.crc32(sbit))
add("sbit.png", data[:33] + sbit + data[33:], level(twelve, 0, 4095))
full = picture(65535)
data = saved(Image.fromarray(full.astype(np.uint16)), "PNG")
add("sbit_spread.png", data[:33] + sbit + data[33:], full >> 8)


def tiff(name, array, expected, how=None, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, array, metadata=None, **options)
    add(name, out.getvalue(), expected, **(how or {}))


# TIFF: tifffile gives the values, and the levels are from the smallest to the largest unless named.
unit = picture(1000) / 1000
for dtype in ("f4", "f8", "i1", "i2", "i4", "u4"):
    values = (unit if dtype[0] == "f" else picture(100) - (50 if dtype[0] == "i" else 0)).astype(dtype)
    tiff(f"{dtype}.tif", values, level(values, values.min(), values.max()), photometric="minisblack")
    tiff(f"{dtype}_be.tif", values, level(values, values.min(), values.max()), photometric="minisblack", byteorder=">")
signed = (picture(4000) - 1024).astype("i2")
tiff("ct.tif", signed, level(signed, 40 - 0.5 - 199.5, 40 - 0.5 + 199.5), {"window": [40.0, 400.0]},
     photometric="minisblack")
tiff("white.tif", signed, 255 - level(signed, signed.min(), signed.max()), photometric="miniswhite")
for dtype in ("f4", "f8"):
    values = unit.astype(dtype)
    for order in "<>":
        tiff(f"{dtype}_predictor_{'lb'[order == '>']}.tif", values, level(values, values.min(), values.max()),
             photometric="minisblack", compression="deflate", predictor=3, byteorder=order)
values = picture(70000).astype("u4")
tiff("u4_predictor.tif", values, level(values, values.min(), values.max()), photometric="minisblack",
     compression="lzw", predictor=2)
eight = picture(255, 3).astype(np.uint8)
tiff("zstd.tif", eight, eight, photometric="rgb", compression="zstd")
tiff("zstd_predictor.tif", eight, eight, photometric="rgb", compression="zstd", predictor=2, rowsperstrip=7)
tiff("j2k.tif", eight, eight, photometric="rgb", compression="jpeg2000", tile=(32, 32))
tiff("aperio.tif", eight, eight, photometric="rgb", compression=33005, tile=(32, 32))
for bits in (10, 12, 14):
    values = picture((1 << bits) - 1)
    rows = [int("".join(f"{v:0{bits}b}" for v in row), 2).to_bytes(W * bits // 8, "big") for row in values]
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((H, W), np.uint16), metadata=None, photometric="minisblack")
    raw = bytearray(out.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(raw))) as file:
        page = file.pages[0]
        at, tags = page.dataoffsets[0], page.tags
        raw[tags[258].valueoffset:tags[258].valueoffset + 2] = struct.pack("<H", bits)
        raw[tags[279].valueoffset:tags[279].valueoffset + 4] = struct.pack("<I", sum(map(len, rows)))
        raw[at:at + sum(map(len, rows))] = b"".join(rows)
    packed = tifffile.imread(io.BytesIO(bytes(raw)))
    assert (packed == values).all()
    add(f"packed{bits}.tif", bytes(raw), level(values, 0, (1 << bits) - 1))
tiff("max_sample.tif", twelve.astype(np.uint16), level(twelve, 0, 4095), photometric="minisblack",
     extratags=[(281, "H", 1, 4095, True)])
ones = (picture(1) > 0)
out = io.BytesIO()
tifffile.imwrite(out, ones, metadata=None, photometric="minisblack", extratags=[(65000, "H", 1, 2, True)])
raw = bytearray(out.getvalue().replace(struct.pack("<HHI", 65000, 3, 1), struct.pack("<HHI", 266, 3, 1)))
with tifffile.TiffFile(io.BytesIO(bytes(raw))) as file:
    at, n = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    raw[at:at + n] = bytes(int(f"{byte:08b}"[::-1], 2) for byte in np.packbits(ones, axis=1).tobytes())
pillow("fill_order.tif", bytes(raw))
out = io.BytesIO()
with tifffile.TiffWriter(out) as writer:
    writer.write(eight, photometric="rgb", metadata=None)
    writer.write(eight[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)
    writer.write(eight[::-1].copy(), photometric="rgb", metadata=None)
add("thumbnail.tif", out.getvalue(), eight, frame=0)
add("thumbnail.tif", out.getvalue(), eight[::-1], frame=1)

# NIfTI, as nibabel reads it.
volume = rng.integers(0, 90, (6, 7, 5))
for kind, image_type in ((1, nibabel.Nifti1Image), (2, nibabel.Nifti2Image)):
    for dtype in ("i1", "u4", "i8", "u8", "i2", "f8"):
        image = image_type(volume.astype(dtype), np.eye(4), dtype=np.dtype(dtype))
        plane = np.rot90(np.take(np.asanyarray(image.dataobj), 3, 2)).astype(float)
        data = image.to_bytes()
        add(f"n{kind}_{dtype}.nii", data, level(plane, plane.min(), plane.max()), axis=2, index=3)
colors = rng.integers(0, 256, (6, 7, 5, 3), dtype=np.uint8)
triples = np.ascontiguousarray(colors).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
add("rgb24.nii", nibabel.Nifti1Image(triples, np.eye(4)).to_bytes(), np.rot90(colors[:, 2]), axis=1, index=2)

# DICOM codecs: values of the encoder's own decoder, grey scaled from the smallest to the largest where over 8 bits.
BASE = "1.2.840.10008.1.2."
extended = np.clip(twelve, 0, 4095).astype(np.uint16)
frame = imagecodecs.jpeg8_encode(extended, level=95, bitspersample=12)
decoded = imagecodecs.jpeg8_decode(frame).astype(int)
add("extended12.dcm", dicom(BASE + "4.51", frame, decoded, 12, 16), level(decoded, decoded.min(), decoded.max()))
for name, values, bits, allocated in (("8", picture(255), 8, 8), ("12", twelve, 12, 16), ("16", full, 16, 16)):
    values = values.astype(np.uint8 if allocated == 8 else np.uint16)
    low, high = (0, 255) if bits == 8 else (values.min(), values.max())
    expected = level(values, low, high)
    frame = imagecodecs.htj2k_encode(values, reversible=True)
    add(f"htj2k{name}.dcm", dicom(BASE + "4.201", frame, values, bits, allocated), expected)
    frame = imagecodecs.jpegxl_encode(values, lossless=True, bitspersample=bits, usecontainer=False)
    add(f"jpegxl{name}.dcm", dicom(BASE + "4.110", frame, values, bits, allocated), expected)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    frame = packer.compress(values.tobytes()) + packer.flush()
    add(f"deflated{name}.dcm", dicom(BASE + "8.1", frame, values, bits, allocated), expected)
    add(f"encapsulated{name}.dcm", dicom(BASE + "1.98", values.tobytes(), values, bits, allocated), expected)
frame = imagecodecs.jpegxl_encode(eight, lossless=True, usecontainer=False)
add("jpegxl_rgb.dcm", dicom(BASE + "4.110", frame, eight, 8, 8, photometric="RGB"), eight)
frame = imagecodecs.htj2k_encode(eight, reversible=True, rgb=True)
add("htj2k_rgb.dcm", dicom(BASE + "4.202", frame, eight, 8, 8, photometric="YBR_RCT"), eight)

# E23: an irreversible codestream of 16 bits overshoots 12 stored ones beside a white area; clamped as pydicom clamps.
white = twelve.copy()
white[2:12, 5:18] = 4095
for name, values, signed in (("u", white, False), ("s", white - 2048, True)):
    dtype = np.int16 if signed else np.uint16
    frame = imagecodecs.jpeg2k_encode(values.astype(dtype), level=38, reversible=False, codecformat="j2k")
    decoded = imagecodecs.jpeg2k_decode(frame).astype(int)
    low, high = (-2048, 2047) if signed else (0, 4095)
    assert decoded.max() > high, (name, decoded.max())
    clamped = np.clip(decoded, low, high)
    add(f"overshoot_{name}.dcm", dicom(BASE + "4.91", frame, values, 12, 16, signed),
        level(clamped, clamped.min(), clamped.max()))

# D20: CharLS undoes the transforms that its APP8 segment names.
plain = imagecodecs.jpegls_encode(eight, level=0)
for number in (1, 2, 3):
    marked = plain[:2] + b"\xff\xe8\x00\x07mrfx" + bytes([number]) + plain[2:]
    decoded = imagecodecs.jpegls_decode(marked)
    assert (decoded != eight).any()
    add(f"hp{number}.dcm", dicom(BASE + "4.80", marked, eight, 8, 8, photometric="RGB"), decoded)

# D37b, D38: YCbCr whose attributes say RGB, with a JFIF marker and with none; libjpeg gives the picture.
jfif = saved(color, "JPEG", quality=90, subsampling=0)
bare = jfif[:2] + jfif[20:]
expected = np.array(Image.open(io.BytesIO(jfif)).convert("RGB"))
add("jfif_rgb.dcm", dicom(BASE + "4.50", jfif, eight, 8, 8, photometric="RGB"), expected)
add("bare_rgb.dcm", dicom(BASE + "4.50", bare, eight, 8, 8, photometric="RGB"), expected)

# J19, J04b: no Huffman tables; zeros before the end marker.
at, kept = 2, jfif[:2]
while jfif[at + 1] != 0xda:
    end = at + 2 + int.from_bytes(jfif[at + 2:at + 4], "big")
    kept += b"" if jfif[at + 1] == 0xc4 else jfif[at:end]
    at = end
pillow("no_tables.jpg", kept + jfif[at:])
pillow("zeros_before_end.jpg", jfif[:-2] + bytes(4) + jfif[-2:])

(HERE / "golden.json").write_text(json.dumps(golden, indent=0) + "\n")
print(len(golden), "entries,", sum(path.stat().st_size for path in OUT.iterdir()), "bytes")
