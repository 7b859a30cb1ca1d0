"""Makes files/*.nii(.gz) and golden.json with nibabel and numpy: small synthetic volumes and 8-bit hashes of slices.

python -m venv v && v/bin/pip install nibabel==5.4.2 && v/bin/python tests/golden/nifti/make_golden.py [ch2bet.nii.gz]
With a path to Debian's ch2bet.nii.gz (package mricron-data) its slices are added; the file itself is not kept.
"""
import hashlib, json, pathlib, sys
import nibabel, numpy as np

here = pathlib.Path(__file__).parent
(here / "files").mkdir(exist_ok=True)
rng = np.random.default_rng(7)
X, Y, Z = 9, 10, 11
ramp = np.arange(X * Y * Z, dtype=np.float64).reshape((X, Y, Z), order="F")

def save(name, data, dtype, slope=None, inter=None, cal=None, big=False, pairs=None):
    header = nibabel.Nifti1Header(endianness=">" if big else "<")
    header.set_data_dtype(np.dtype(dtype).newbyteorder(">" if big else "<"))
    image = nibabel.Nifti1Image(data.astype(dtype), np.eye(4), header)
    if cal:
        image.header["cal_min"], image.header["cal_max"] = cal
    if slope is not None:
        # Stored as they are; nibabel applies the scale when it reads.
        image.header.set_slope_inter(slope, inter)
    path = here / "files" / name
    nibabel.save(image, path)
    return path

def level(unit):
    return (np.clip(np.nan_to_num(unit, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255 + 0.5).astype(np.uint8)

def render(path, axis, index, window, volume):
    image = nibabel.load(path)
    data = np.asanyarray(image.dataobj, dtype=np.float64) if volume is None else \
        np.asanyarray(image.dataobj, dtype=np.float64)[..., volume]
    while data.ndim < 3:
        data = data[..., None]
    plane = np.rot90(np.take(data, index, axis))
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    finite = np.sort(plane[np.isfinite(plane)].ravel())
    if window == "percentile":
        rank = lambda q: finite[max(int(np.ceil(q * len(finite))), 1) - 1]
        low, high = rank(0.01), rank(0.99)
    elif window == "minmax" or not low < high:
        low, high = finite[0], finite[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = (plane - low) / (high - low) if high > low else np.zeros_like(plane)
    return level(unit)

entries = []
def golden(path, axis=None, index=None, window="file", volume=None, name=None):
    grey = render(path, 2 if axis is None else axis, index or 0, window, volume)
    entries.append(dict(
        file=name or path.name, axis=axis, index=index, window=window, frame=volume,
        width=grey.shape[1], height=grey.shape[0],
        sha256=hashlib.sha256(np.repeat(grey[..., None], 3, axis=-1).tobytes()).hexdigest()))

noise = rng.integers(0, 250, (X, Y, Z))
for kind in ["u1", "i2", "u2", "i4", "f4", "f8"]:
    data = noise * (1 if kind == "u1" else 77) - (0 if kind[0] == "u" else 5000)
    for big in [False, True]:
        for ending in [".nii", ".nii.gz"]:
            path = save(f"{kind}_{'be' if big else 'le'}{ending}", data, kind, big=big)
            for axis, index in [(0, 0), (0, X - 1), (1, 3), (1, Y - 1), (2, 0), (2, Z // 2)]:
                golden(path, axis, index)
path = save("scaled.nii.gz", noise * 3, "i2", slope=-0.37, inter=12.5)
for window in ["file", "minmax", "percentile"]:
    golden(path, 1, 5, window)
path = save("window.nii", ramp, "f4", cal=(100.0, 700.0))
for window in ["file", "minmax"]:
    golden(path, 0, 4, window)
holes = ramp.copy()
holes[::3, ::2], holes[1, 1], holes[2, 2] = np.nan, np.inf, -np.inf
path = save("not_finite.nii", holes, "f4")
for axis in range(3):
    golden(path, axis, 2)
path = save("flat.nii", np.full((8, 8, 8), 7), "u1")
golden(path, 2, 3)
path = save("plane.nii.gz", noise[:, :, 0], "u1")
golden(path)
path = save("series.nii.gz", np.stack([noise, 249 - noise], -1), "u1")
for volume in range(2):
    golden(path, 2, 4, volume=volume)
if len(sys.argv) > 1:
    brain = pathlib.Path(sys.argv[1])
    for axis, index in [(0, 90), (1, 108), (2, 90)]:
        golden(brain, axis, index, name="ch2bet.nii.gz")
(here / "golden.json").write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")
print(len(entries), "slices")
