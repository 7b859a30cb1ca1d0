"""T3_B end to end, from JPEG files to rows on disk: t3b, plain PyTorch, Ray Data and Daft in turns.

    python end_to_end.py T3B [--images 64] [--rounds 3] [--patch 32] [--workers 0 1 2] [--compile] [--engines ray daft] [--keep FOLDER]
                             [--device cpu|cuda] [--compute f32|bf16] [--int8 coefficients|all]

T3B is the release binary. All sides read the same JPEG files, make the same number of cells, use the same pair of random weights, the
same class vectors and two threads, and write one row a pair. Seconds run from the first read to the last row: loading the models is taken
off on all sides. CPU seconds are of all processes that a side starts, loading included. A ratio is theirs over ours.

Two more lines say what our pipeline costs beside the model, from the run's own profile.
"""

import argparse
import ctypes
import importlib.util
import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import pyarrow.parquet as parquet
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

PIPELINE = """
[run]
name = "end-to-end"
batch_size = 32
[input]
root = "images"
[labels]
names = ["basophil", "eosinophil", "erythroblast", "immature granulocyte", "lymphocyte", "monocyte", "neutrophil", "platelet"]
[models]
pretrained = "generalist"
expert = "expert"
[merge]
methods = ["pretrained", "expert", "t3_b"]
[corrupt]
suite = "bloodmnist"
corruptions = ["pixelate", "jpeg_compression", "brightness_up"]
severities = [3]
[output]
root = "out"
"""


def make(folder, n_images, patch_px):
    """Images of 360 x 360, and two models that differ in every weight."""
    generator = np.random.default_rng(7)
    (folder / "images").mkdir()
    for n in range(n_images):
        coarse = Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        coarse.resize((360, 360), Image.BICUBIC).save(folder / "images" / f"{n:06}.jpg", quality=90)
    torch.manual_seed(7)
    config = CLIPConfig()
    config.vision_config.patch_size = patch_px
    config.projection_dim = config.vision_config.projection_dim = config.text_config.projection_dim = 512
    net = CLIPModel(config).eval()
    net.save_pretrained(folder / "generalist")
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if name.startswith(("vision_model", "visual_projection")):
                weight.add_(torch.randn_like(weight) * 0.1 * weight.std())
    net.save_pretrained(folder / "expert")
    (folder / "pipeline.toml").write_text(PIPELINE)


def adopt():
    """Processes whose parent has ended become ours, so that the time of an engine's workers is counted too."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def timed(command, folder):
    """What a command says, as JSON, and the CPU seconds of all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    # What it left behind has nothing to do any more; a worker of Ray may outlive its cluster for ever.
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
    while left := children.read_text().split():
        for child in left:
            os.kill(int(child), signal.SIGKILL)
            os.waitpid(int(child), 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if said.returncode:
        sys.exit(f"{command} ended with {said.returncode}:\n{said.stderr}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(said.stdout), cpu_s


def ours(program, folder, run_id, threads, on):
    run = [program, "run", "pipeline.toml", "--run-id", run_id, "--json", "--profile"]
    run += ["--set", f"threads.score={threads}", "--set", "models.text_features=bank.safetensors"]
    run += [part for setting in on for part in ("--set", setting)]
    said, cpu_s = timed(run, folder)
    rows = parquet.read_table(next((folder / "out/tables/runs").glob(f"*/run_id={run_id}/run.parquet")))
    process = said["process"]
    return process["profile"], cpu_s, process["n_pairs"], rows["lambda_mean"][0].as_py()


def overhead(profiles, threads):
    """What the run cost beside the model: the lane's idle share, and the work of the other stages as a share of the cores."""
    idle, beside = [], []
    for profile in profiles:
        stages = {stage["stage"]: stage for stage in profile["stages"]}
        idle.append(1 - stages["score"]["busy_s"] / profile["flowed_s"])
        work_s = stages["decode"]["jobs_s"] + stages["corrupt"]["jobs_s"] + stages["sink"]["busy_s"]
        beside.append(work_s / (threads * profile["flowed_s"]))
    print(f"\nOf t3b's time the lane had no batch in hand for {100 * statistics.median(idle):.1f} %; decoding, corrupting and writing took")
    print(f"{100 * statistics.median(beside):.1f} % of the cores' time. Held up by: {profiles[-1]['bottleneck']}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patch", type=int, default=32, choices=[16, 32])
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--engines", nargs="*", default=[], choices=["ray", "daft"])
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--compute", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--int8", choices=["coefficients", "all"], help="our coefficients, or merges too, in 8-bit integers")
    arguments = parser.parse_args()
    program = str(arguments.program.resolve())

    scratch = tempfile.TemporaryDirectory()
    folder = arguments.keep or pathlib.Path(scratch.name)
    folder.mkdir(exist_ok=True)
    if not (folder / "pipeline.toml").exists():
        make(folder, arguments.images, arguments.patch)
        for command in (["manifest", "build", "images"], ["models", "encode", "pipeline.toml"]):
            out = "manifest.csv" if command[0] == "manifest" else "bank.safetensors"
            subprocess.run([program, *command, "-o", out], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    def script(name, *more):
        path = pathlib.Path(__file__).with_name(name)
        return [sys.executable, str(path), *more, str(folder), "--threads", str(arguments.threads)]

    peer = script("pipeline.py", "--device", arguments.device, "--compute", arguments.compute)
    on = [f'device.kind="{arguments.device}"', f'models.compute="{arguments.compute}"']
    if arguments.int8:
        on += ['models.coefficient_dtype="int8"', 'merge.methods=["t3_b"]']
        on += ['models.merged_dtype="int8"'] if arguments.int8 == "all" else []
    # bf16 keeps three digits of a coefficient, and int8 is held to as many.
    allowed = 1e-3 if arguments.compute == "f32" and not arguments.int8 else 5e-3
    peers = {f"PyTorch, {n} workers": [*peer, "--workers", str(n)] for n in arguments.workers}
    if arguments.compile:
        peers["PyTorch, compiled"] = [*peer, "--compile"]
    for engine in arguments.engines:
        if importlib.util.find_spec(engine):
            peers[{"ray": "Ray Data", "daft": "Daft"}[engine]] = script("engines.py", engine)
        else:
            print(f"skipped: {engine} is not installed", file=sys.stderr)

    adopt()
    times, profiles = {name: [] for name in ("t3b", *peers)}, []
    for n in range(arguments.rounds):
        profile, cpu_s, n_pairs, mean = ours(program, folder, f"r{os.getpid()}-{n}", arguments.threads, on)
        profiles.append(profile)
        times["t3b"].append((profile["flowed_s"], cpu_s))
        for name, command in peers.items():
            said, cpu_s = timed(command, folder)
            if said["n_pairs"] != n_pairs or abs(said["lambda_mean"] - mean) > allowed:
                sys.exit(f"{name} did something else: {said}, ours {n_pairs} pairs, lambda {mean}")
            times[name].append((said["score_s"], cpu_s))
    print(f"ViT-B/{arguments.patch}, {n_pairs} pairs, {arguments.threads} threads, {arguments.rounds} rounds, "
          f"load {os.getloadavg()[0]:.1f}; mean coefficient {mean:.5f}")
    print("| pipeline | pairs/s, best | theirs/ours, wall (least to most) | theirs/ours, CPU (least to most) |")
    print("|---|---|---|---|")
    for name, all_times in times.items():
        best = n_pairs / min(wall for wall, _ in all_times)
        ratios = [[t[i] / o[i] for t, o in zip(all_times, times["t3b"])] for i in (0, 1)]
        cells = [f"{statistics.median(r):.2f} ({min(r):.2f}-{max(r):.2f})" for r in ratios]
        print(f"| {name} | {best:.2f} | {cells[0]} | {cells[1]} |")
    overhead(profiles, arguments.threads)


if __name__ == "__main__":
    main()
