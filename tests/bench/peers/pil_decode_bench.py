"""The peer of tests/bench/decode.rs: PIL + torchvision, decode + Resize(224, bicubic) + CenterCrop(224), and with one
corruption of medmnistc behind it.

python pil_decode_bench.py [FOLDER]      FOLDER holds bccd/ and bccd_smears/; default ../shared/data
Needs pillow, torch, torchvision, and for the corruptions medmnistc. Prints, for each data set, images a second of
  inline      the transforms alone, in this process, on one thread, from bytes already in memory; an image's time is the
              fastest of its rounds, as in the bench
  dataloader  the same in a DataLoader with one worker and batches of 64 uint8 tensors, as a scoring job would run it;
              the fastest of several passes
"""
import os
for name in ("OMP_NUM_THREADS", "MAGICK_THREAD_LIMIT", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
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
SUITE, SEVERITY = "bloodmnist", 2
try:
    import cv2
    from medmnistc.corruptions.registry import CORRUPTIONS_DS

    cv2.setNumThreads(1)
    CORRUPTIONS = [CORRUPTIONS_DS[SUITE][name] for name in sorted(CORRUPTIONS_DS[SUITE])]
except ImportError:
    CORRUPTIONS = None


class Objects(Dataset):
    def __init__(self, objects, as_tensor, corrupt=False):
        self.objects = objects
        self.as_tensor = as_tensor
        self.corrupt = corrupt

    def __len__(self):
        return len(self.objects)

    def __getitem__(self, i):
        image = TRANSFORM(Image.open(io.BytesIO(self.objects[i])).convert("RGB"))
        if self.corrupt:
            image = CORRUPTIONS[i % len(CORRUPTIONS)].apply(image, SEVERITY)
            image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        return transforms.functional.pil_to_tensor(image) if self.as_tensor else image


def inline(objects, corrupt):
    data = Objects(objects, False, corrupt)
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
        for corrupt in (False, True) if CORRUPTIONS else (False,):
            loader = DataLoader(
                Objects(objects, True, corrupt), batch_size=64, num_workers=1, persistent_workers=True
            )
            dataloader(loader)  # starts the worker
            fastest = inline(objects, corrupt)
            fed = min(dataloader(loader) for _ in range(N_PASSES))
            n, what = len(objects), " corrupted" if corrupt else ""
            print(f"{name}{what}: inline {n / fastest:.0f} images/s, dataloader {n / fed:.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
