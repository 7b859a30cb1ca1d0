#!/usr/bin/env python3
"""Lists where our gaussian blurs are one level off the reference's.

usage: gaussian_blur_ties.py DUMP_DIR GOLDEN_DIR OUT.json

DUMP_DIR holds our outputs: T3B_GOLDEN_DUMP=DUMP_DIR cargo test --test it medmnistc_outputs (fails while the
list is out of date).
GOLDEN_DIR holds the reference's: <dataset>__gaussian_blur.npz beside manifest.json.
"""
import json
import os
import sys

import numpy as np


def main(dump, golden, out):
    result = {}
    for name in sorted(os.listdir(dump)):
        dataset, corruption, severity, image = name.split("__")
        theirs = np.load(os.path.join(golden, f"{dataset}__{corruption}.npz"))[f"{image}_{severity}"].ravel()
        ours = np.fromfile(os.path.join(dump, name), np.uint8)
        by = theirs.astype(int) - ours
        assert abs(by).max() <= 1 and np.count_nonzero(by) <= 1e-4 * by.size, name
        if by.any():
            result[name.replace("__", "/")] = [[int(i), int(by[i])] for i in np.flatnonzero(by)]
    lines = ",\n".join(f'"{key}":{json.dumps(ties, separators=(",", ":"))}' for key, ties in sorted(result.items()))
    with open(out, "w") as file:
        file.write("{" + lines + "}\n")
    print(sum(map(len, result.values())), "near-ties in", len(result), "outputs")


if __name__ == "__main__":
    main(*sys.argv[1:])
