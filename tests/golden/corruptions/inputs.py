"""The five golden inputs, 224x224 RGB; integer arithmetic only, so that any language rebuilds the same bytes."""
import numpy as np


def lcg(n, seed):
    out = np.empty(n, np.uint8)
    for i in range(n):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = seed >> 24
    return out


def inputs(n=224):
    y, x = np.mgrid[:n, :n].astype(np.int64)
    ramp = np.stack([x * 255 // (n - 1), y * 255 // (n - 1), (x + y) * 255 // (2 * n - 2)], -1)
    d2 = (x - n // 2) ** 2 + (y - n // 2) ** 2
    cells = np.where(((x // 16 + y // 16) % 2)[..., None] == 0, [230, 190, 210], [120, 60, 140])
    cells = np.where((d2 < 60**2)[..., None], [90, 30, 120], cells)
    cells = np.where((d2 < 20**2)[..., None], [255, 255, 255], cells)
    flat = np.zeros((n, n, 3), np.int64)
    flat[:, : n // 2] = 200
    flat[60:120, 60:160] = (255, 3, 77)
    flat[150:] = 255
    noise = lcg(n * n * 3, 12345).reshape(n, n, 3)
    gray = np.stack([(ramp[..., 2] * 3 + noise[..., 0].astype(np.int64)) // 4] * 3, -1)
    arrays = dict(ramp=ramp, cells=cells, flat=flat, noise=noise, gray=gray)
    return {name: array.astype(np.uint8) for name, array in arrays.items()}
