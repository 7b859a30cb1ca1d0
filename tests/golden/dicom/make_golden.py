"""Makes golden.json for tests/it/exact/decode/dicom.rs: real DICOM files rendered to 8 bits by pydicom.

    pip install pydicom==3.0.2 numpy==2.4.6 pillow==13.0.0 pylibjpeg==2.1.0 pylibjpeg-libjpeg==2.5.0 \
        pylibjpeg-openjpeg==2.6.0
    python make_golden.py FOLDER [DUMP]     FOLDER holds pydicom/ and data_store/ (the unpacked wheels)

Rule, with pydicom's own functions where it has one:
  grey    modality LUT or rescale; VOI LUT, else first window, else up to 8 stored bits their full range, else the
          range of the frame without padding; to 0..255 rounded half up; MONOCHROME1 inverted last
  colour  the 8 high bits; YBR by pydicom's matrix; palette entries by their high byte
JPEG of 8 bits goes through Pillow (libjpeg-turbo), everything else through pydicom's or pylibjpeg's decoders.
pydicom 3.0.2 reads palettes of big-endian files in the wrong byte order, so none is in the list; the test compares them
with their little-endian twins.
Of each picture the table keeps the size, the sum of each channel and an 8 x 8 grid of pixels, never the picture.
DUMP, where given, is a folder for the whole pictures as raw RGB.
"""
import json
import pathlib
import sys
import warnings

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space, pixel_array

warnings.simplefilter("ignore")
ROOT = pathlib.Path(sys.argv[1])
DUMP = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
HERE = pathlib.Path(__file__).parent

# Name, frame, window. Every transfer syntax, photometric interpretation and rule at least once.
NAMES = [
    ("CT_small.dcm", None, "file"), ("MR_small.dcm", None, "file"), ("MR_small_RLE.dcm", None, "file"),
    ("MR_small_bigendian.dcm", None, "file"), ("MR_small_implicit.dcm", None, "file"),
    ("MR_small_padded.dcm", None, "file"), ("MR_small_jp2klossless.dcm", None, "file"),
    ("MR_small_jpeg_ls_lossless.dcm", None, "file"), ("MR2_UNCR.dcm", None, "file"),
    ("RG1_UNCR.dcm", None, "file"), ("RG3_UNCR.dcm", None, "file"), ("693_UNCR.dcm", None, "file"),
    ("693_J2KI.dcm", None, "file"), ("J2K_pixelrep_mismatch.dcm", None, "file"),
    ("MR-SIEMENS-DICOM-WithOverlays.dcm", None, "file"), ("examples_overlay.dcm", None, "file"),
    ("mlut_18.dcm", None, "file"), ("vlut_04.dcm", None, "file"), ("image_dfl.dcm", None, "file"),
    ("liver_1frame.dcm", None, "file"), ("liver_expb.dcm", 2, "file"), ("rtdose_1frame.dcm", None, "file"),
    ("rtdose_rle.dcm", 14, "file"), ("rtdose_expb.dcm", 7, "file"), ("eCT_Supplemental.dcm", 1, "file"),
    ("emri_small.dcm", 9, "file"), ("emri_small_jpeg_ls_lossless.dcm", 3, "file"),
    ("JPEG-LL.dcm", None, "file"), ("JPGLosslessP14SV1_1s_1f_8b.dcm", None, "file"),
    ("bad_sequence.dcm", None, "file"), ("JPEGLSNearLossless_08.dcm", None, "file"),
    ("JPEGLSNearLossless_16.dcm", None, "file"), ("SC_rgb_jls_lossy_sample.dcm", None, "file"),
    ("OBXXXX1A.dcm", None, "file"), ("OBXXXX1A_2frame.dcm", 1, "file"),
    ("OBXXXX1A_rle_2frame.dcm", 1, "file"), ("examples_palette.dcm", None, "file"),
    ("examples_rgb_color.dcm", None, "file"), ("color-pl.dcm", None, "file"),
    ("ExplVR_BigEnd.dcm", None, "file"), ("SC_rgb_rle_16bit_2frame.dcm", 1, "file"),
    ("SC_rgb_expb_32bit_2frame.dcm", 1, "file"), ("SC_ybr_full_uncompressed.dcm", None, "file"),
    ("SC_ybr_full_422_uncompressed.dcm", None, "file"), ("SC_rgb_jpeg_gdcm.dcm", None, "file"),
    ("SC_rgb_jpeg_dcmtk.dcm", None, "file"), ("SC_rgb_dcmtk_+eb+cr.dcm", None, "file"),
    ("SC_jpeg_no_color_transform.dcm", None, "file"), ("SC_jpeg_no_color_transform_2.dcm", None, "file"),
    ("SC_rgb_small_odd_jpeg.dcm", None, "file"), ("examples_ybr_color.dcm", 29, "file"),
    ("color3d_jpeg_baseline.dcm", 119, "file"), ("US1_J2KR.dcm", None, "file"),
    ("GDCMJ2K_TextGBR.dcm", None, "file"), ("explicit_VR-UN.dcm", None, "file"),
    ("SC_rgb_small_odd_big_endian.dcm", None, "file"),
    ("CT_small.dcm", None, [40, 400]), ("CT_small.dcm", None, "percentile"), ("RG1_UNCR.dcm", None, "minmax"),
    ("MR_small.dcm", None, "percentile"), ("693_UNCR.dcm", None, "minmax"), ("vlut_04.dcm", None, "minmax"),
    ("gdcm-US-ALOKA-16.dcm", None, "file"),
]
JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")


def grouped(ds, frame):
    """Copies window and rescale of the functional groups to where pydicom's functions look for them."""
    for name, item in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        for inner in ("FrameVOILUTSequence", "PixelValueTransformationSequence"):
            groups = ds.get(name)
            if groups and inner in groups[item]:
                for element in groups[item][inner][0]:
                    if element.keyword in ("WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope"):
                        ds.add(element)


def stored(ds, frame):
    uid = ds.file_meta.TransferSyntaxUID
    plugin = "pillow" if uid in JPEG else "pylibjpeg" if uid.is_encapsulated and uid != "1.2.840.10008.1.2.5" else ""
    return pixel_array(ds, index=frame, decoding_plugin=plugin)


def grey(ds, values, window):
    unit = apply_modality_lut(values, ds)
    low = high = None
    bits, signed = ds.BitsStored, ds.PixelRepresentation
    if window == "file" and "VOILUTSequence" in ds:
        out = apply_voi_lut(unit.astype(np.int64), ds).astype(np.float64)
        low, high = 0, 2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1
        unit = out
    elif window == "file" and ds.get("WindowCenter") is not None or isinstance(window, list):
        center, width = window if isinstance(window, list) else (ds.WindowCenter, ds.WindowWidth)
        first = lambda value: float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)
        copy = pydicom.Dataset()
        copy.PhotometricInterpretation = ds.PhotometricInterpretation
        copy.BitsStored, copy.PixelRepresentation = 16, 0
        copy.WindowCenter, copy.WindowWidth = (center, width) if isinstance(window, list) else (first(center), first(width))
        unit = apply_voi_lut(unit.astype(np.float64), copy)
        low, high = 0, 2**16 - 1
    elif window == "file" and bits <= 8 and "ModalityLUTSequence" not in ds:
        ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
        ends = apply_modality_lut(ends, ds)
        low, high = min(ends), max(ends)
    else:
        kept = unit[values != ds.PixelPaddingValue] if "PixelPaddingValue" in ds else unit.reshape(-1)
        kept = np.sort(kept.reshape(-1).astype(np.float64))
        at = lambda q: kept[max(int(np.ceil(q * kept.size)), 1) - 1]
        low, high = (at(0.01), at(0.99)) if window == "percentile" else (kept[0], kept[-1])
    scaled = (unit.astype(np.float64) - low) / (high - low)
    level = np.floor(np.clip(scaled, 0, 1) * 255 + 0.5).astype(np.uint8)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        level = 255 - level
    return np.repeat(level[..., None], 3, axis=2)


def render(ds, frame, window):
    index = frame or 0
    grouped(ds, index)
    values = stored(ds, index)
    kind = ds.PhotometricInterpretation
    if kind.startswith("MONOCHROME"):
        return grey(ds, values, window)
    if kind == "PALETTE COLOR":
        values = apply_color_lut(values, ds)
        return (values >> (8 * values.itemsize - 8)).astype(np.uint8)
    return (values >> (ds.BitsStored - 8)).astype(np.uint8)


def find(name):
    return next(path for path in sorted(ROOT.rglob("*")) if path.name == name)


table = []
for name, frame, window in NAMES:
    ds = pydicom.dcmread(find(name))
    image = render(ds, frame, window)
    h, w, _ = image.shape
    grid = image[np.ix_([(2 * i + 1) * h // 16 for i in range(8)], [(2 * i + 1) * w // 16 for i in range(8)])]
    table.append({
        "file": name, "syntax": str(ds.file_meta.TransferSyntaxUID), "frame": frame, "window": window,
        "width": w, "height": h, "sums": image.reshape(-1, 3).sum(axis=0, dtype=np.int64).tolist(),
        "grid": grid.tobytes().hex(),
    })
    if DUMP:
        (DUMP / f"{len(table) - 1}.rgb").write_bytes(image.tobytes())
lines = ",\n".join(json.dumps(entry) for entry in table)
(HERE / "golden.json").write_text(f"[\n{lines}\n]\n")
print(len(table), "pictures,", len({entry['file'] for entry in table}), "files,", len({entry['syntax'] for entry in table}), "syntaxes")
