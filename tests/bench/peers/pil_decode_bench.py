"""The peer of tests/bench/decode.rs: PIL + torchvision, decode + Resize(224, bicubic) + CenterCrop(224).

python pil_decode_bench.py [FOLDER]      FOLDER holds bccd/ and bccd_smears/; default ../shared/data
Needs pillow, torch, torchvision. Prints, for each data set, images a second of
  inline      the transforms alone, in this process, on one thread, from bytes already in memory; an image's time is the
              fastest of its rounds, as in the bench
  dataloader  the same in a DataLoader with one worker and batches of 64 uint8 tensors, as a scoring job would run it;
              the fastest of several passes
"""
import io
import pathlib
import sys
import time

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import InterpolationMode

TRANSFORM = transforms.Compose(
    [transforms.Resize(224, interpolation=InterpolationMode.BICUBIC), transforms.CenterCrop(224)]
)
N_ROUNDS = 15
N_PASSES = 5


class Objects(Dataset):
    def __init__(self, objects, as_tensor):
        self.objects = objects
        self.as_tensor = as_tensor

    def __len__(self):
        return len(self.objects)

    def __getitem__(self, i):
        image = TRANSFORM(Image.open(io.BytesIO(self.objects[i])).convert("RGB"))
        return transforms.functional.pil_to_tensor(image) if self.as_tensor else image


def inline(objects):
    data = Objects(objects, as_tensor=False)
    fastest = [float("inf")] * len(data)
    for _ in range(N_ROUNDS):
        for i in range(len(data)):
            start = time.perf_counter()
            data[i]
            fastest[i] = min(fastest[i], time.perf_counter() - start)
    return sum(fastest)


def dataloader(loader):
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def main():
    torch.set_num_threads(1)
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[3] / "../shared/data")
    for name, folder in [("png crops", "bccd/test"), ("jpeg crops", "bccd/train"), ("jpeg smears", "bccd_smears")]:
        files = sorted(p for p in (root / folder).rglob("*") if p.suffix in (".png", ".jpg"))
        if not files:
            print(f"{name}: skipped, no files under {folder}")
            continue
        objects = [p.read_bytes() for p in files]
        loader = DataLoader(Objects(objects, as_tensor=True), batch_size=64, num_workers=1, persistent_workers=True)
        dataloader(loader)  # starts the worker
        fastest = inline(objects)
        fed = min(dataloader(loader) for _ in range(N_PASSES))
        n = len(objects)
        print(f"{name}: inline {n / fastest:.0f} images/s, dataloader {n / fed:.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
