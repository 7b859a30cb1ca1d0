"""The same towers and the same method in PyTorch, with SDPA and torch.compile in bf16: the peer of crates/gpu/examples/card.

    python tests/gpu/peer.py [--dry]

`--dry` runs tiny towers on the CPU without torch.compile and prints no rates.
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

DRY = "--dry" in sys.argv
DEVICE = "cpu" if DRY else "cuda"
TYPE = torch.float32 if DRY else torch.bfloat16
SIZES = {"B/32": (32, 768, 12, 12), "B/16": (16, 768, 12, 12), "L/14": (14, 1024, 16, 24)}
TOWERS = {"tiny": (56, 64, 2, 2)} if DRY else SIZES
BATCHES = [2] if DRY else [1, 8, 32, 256]
METHOD_BATCHES = [2] if DRY else [8, 32, 128]
CLASSES = 8


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rise, self.fall = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        qkv = self.qkv(self.norm_1(x)).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        x = x + self.out(mixed.transpose(1, 2).reshape(n, tokens, width))
        inner = self.rise(self.norm_2(x))
        return x + self.fall(inner * torch.sigmoid(1.702 * inner))


class Tower(nn.Module):
    def __init__(self, patch, width, heads, layers):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_token = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((224 // patch) ** 2 + 1, width) * 0.02)
        self.pre_norm, self.post_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.projection = nn.Linear(width, 512 if width < 1024 else 768, bias=False)

    def forward(self, pixels):
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), 1, -1), x], 1) + self.positions
        x = self.pre_norm(x)
        for block in self.blocks:
            x = block(x)
        return F.normalize(self.projection(self.post_norm(x[:, 0])).float(), dim=-1)


def wait():
    if not DRY:
        torch.cuda.synchronize()


def seconds(call):
    """Median of five rounds, each of as many calls as make up a fifth of a second, warm."""

    def one_round(n_calls):
        wait()
        started = time.perf_counter()
        for _ in range(n_calls):
            call()
        wait()
        return (time.perf_counter() - started) / n_calls

    one_round(1 if DRY else 3)
    n_calls = 1 if DRY else min(2000, max(1, int(0.2 / one_round(2))))
    return statistics.median(one_round(n_calls) for _ in range(1 if DRY else 5))


def ready(tower):
    return tower if DRY else torch.compile(tower, dynamic=False)


def normalised(batch_of_bytes):
    pixels = batch_of_bytes.to(DEVICE, non_blocking=True).permute(0, 3, 1, 2).to(TYPE)
    return (pixels / 255 - 0.45) / 0.27


@torch.inference_mode()
def main():
    print("\n## PyTorch", torch.__version__, "bf16, SDPA, torch.compile\n\n| tower | batch | images/s |\n|---|---|---|")
    for name, sizes in TOWERS.items():
        tower = Tower(*sizes).to(DEVICE, TYPE).eval()
        run = ready(tower)
        for batch in BATCHES:
            pixels = torch.rand(batch, 3, 224, 224, device=DEVICE, dtype=TYPE)
            print(f"| {name} | {batch} | {batch / seconds(lambda: run(pixels)):.0f} |", flush=True)
    print("\n| tower | batch | T3_B images/s |\n|---|---|---|")
    for name, sizes in TOWERS.items():
        pt, ft, merged = (Tower(*sizes).to(DEVICE, TYPE).eval() for _ in range(3))
        runs = [ready(tower) for tower in (pt, ft, merged)]
        masters = [[p.detach().float() for p in tower.parameters()] for tower in (pt, ft)]
        bank = F.normalize(torch.randn(CLASSES, pt.projection.out_features, device=DEVICE), dim=-1)
        for batch in METHOD_BATCHES:
            pixels = torch.randint(0, 256, (batch, 224, 224, 3), dtype=torch.uint8)
            pixels = pixels if DRY else pixels.pin_memory()

            def method():
                images = normalised(pixels)
                p, q = (F.log_softmax(100 * run(images) @ bank.T, -1) for run in runs[:2])
                mean = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0))
                js = 0.5 * (p.exp() * (p - mean) + q.exp() * (q - mean)).sum(-1)
                weight = torch.sigmoid(0.5 * js.clamp(min=0)).mean().item()
                torch._foreach_copy_(list(merged.parameters()), torch._foreach_lerp(*masters, weight))
                return F.softmax(100 * runs[2](images) @ bank.T, -1).cpu()

            print(f"| {name} | {batch} | {batch / seconds(method):.0f} |", flush=True)


main()
