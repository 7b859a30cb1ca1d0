"""A merged model for every sample in plain PyTorch: the peer of tests/bench/factored.rs, which starts it.

    python sample_wise.py FOLDER --patch 32 --threads 2 --rounds 3

FOLDER/pt.safetensors and ft.safetensors hold two image towers under Hugging Face's names, input.safetensors the pixels and a coefficient
for each. Prints the least seconds of both parents over the whole batch and of the merged models one by one, each merged in place into
memory that is there already, and writes the features of the merged models to FOLDER/features.safetensors.
"""

import argparse
import copy
import pathlib
import time

import torch
from safetensors.torch import load_file, save_file

from vision import Features, model


def merge(merged, pt, ft, weight):
    """`merged = pt + weight * (ft - pt)`, reading each parent once."""
    for out, a, b in zip(merged, pt, ft):
        torch.lerp(a, b, weight, out=out)


def timed(work):
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--patch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = arguments.folder
    nets = [Features(model(arguments.patch, load_file(folder / f"{name}.safetensors"))) for name in ("pt", "ft")]
    one = copy.deepcopy(nets[0])
    pt, ft, merged = ([p.data for p in net.parameters()] for net in (*nets, one))
    given = load_file(folder / "input.safetensors")
    pixels, weights = given["pixels"], given["lambda"].tolist()

    def parents():
        return [net(pixels) for net in nets]

    def one_by_one():
        rows = []
        for image, weight in zip(pixels.split(1), weights):
            merge(merged, pt, ft, weight)
            rows.append(one(image))
        return torch.cat(rows)

    with torch.inference_mode():
        of_parents, of_merged = [], []
        for _ in range(arguments.rounds):
            of_parents.append(timed(parents)[0])
            seconds, features = timed(one_by_one)
            of_merged.append(seconds)
    save_file({"features": features.contiguous()}, folder / "features.safetensors")
    print(min(of_parents), min(of_merged))


if __name__ == "__main__":
    main()
