#!/usr/bin/env python3
"""What a run costs beside its model: starting, a manifest's length, small objects far away, writing.

usage: tests/bench/figures.py T3B [FIGURE ...] [--sizes 1000 10000 100000] [--objects 10000] [--delay-ms 50] [--rounds 3]

T3B is the release program. Figures, each a row of tables that are printed as Markdown; all by default:

start   `t3b --help` and runs with the shipped pair of tiny models, from the start of the process to its end, beside a process of `true`,
        which is what starting one costs anyway
flat    runs over manifests of three lengths, which name the images of `t3b demo` again and again, in partitions of 96, so that the shortest
        too has written several before it ends: CPU time an image, what memory is resident while a run goes on (in the median of what is
        looked up every hundredth of a second in its second half), and the most there was, which is larger the longer one looks
far     many small objects in a folder, and the same in a store on this machine that answers each request after 50 ms; the store has a core
        of its own, and runs over either have the others

Seconds of CPU are those of the whole process. Runs of one table take turns.
"""

import argparse
import asyncio
import email.utils
import json
import multiprocessing
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PIPELINE = """
[run]
name = "figures"
partition_size = {partition}
[input]
root = "{root}"
manifest = "{manifest}"
[labels]
names = ["red blood cell", "white blood cell", "platelet", "plasma background"]
[models]
pretrained = "demo/models/generalist"
expert = "demo/models/expert"
[merge]
methods = ["pretrained", "expert", "t3_b"]
[output]
root = "out"
"""
FIGURES = ("start", "flat", "far")


class Resident(threading.Thread):
    """Looks up the resident memory of a process every hundredth of a second until it ends."""

    def __init__(self, pid):
        super().__init__()
        self.statm, self.ended, self.pages = f"/proc/{pid}/statm", threading.Event(), []
        self.start()

    def run(self):
        while not self.ended.wait(0.01):
            try:
                self.pages.append(int(pathlib.Path(self.statm).read_text().split()[1]))
            except (OSError, IndexError):
                return

    def median_of_second_half(self):
        self.ended.set()
        self.join()
        pages = [n for n in self.pages if n]  # a process that has ended and is not waited for yet has none
        return statistics.median(pages[len(pages) // 2 :] or [0]) * resource.getpagesize() / 2**20


class Took:
    """A process that ended well: wall and CPU seconds, peak of memory in MiB, and what it said; if it was watched, the resident MiB of its
    second half. Processes of milliseconds are not, for a look costs them time."""

    def __init__(self, command, folder, watched=False):
        environment = dict(os.environ, T3B_PSEUDONYM_KEY="a key of this bench alone, of no worth", RUST_LOG="error")
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
            started = time.perf_counter()
            child = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
            resident = Resident(child.pid) if watched else None
            _, status, usage = os.wait4(child.pid, 0)
            self.wall_s = time.perf_counter() - started
            self.resident_mib = resident and resident.median_of_second_half()
            child.returncode = os.waitstatus_to_exitcode(status)
            for file in (out, log):
                file.seek(0)
            self.said = out.read().decode()
            if child.returncode:
                sys.exit(f"{command}: {child.returncode}\n{log.read().decode()}")
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.peak_mib = usage.ru_maxrss / 1024


class Bench:
    """A folder with the archive of `t3b demo`, and runs in it."""

    def __init__(self, t3b, folder):
        self.t3b, self.folder, self.n_runs = t3b, folder, 0
        Took([t3b, "demo", "--out", "demo"], folder)
        self.images = sorted((folder / "demo/archive").rglob("*.png")) + sorted((folder / "demo/archive").rglob("*.jpg"))

    def manifest(self, n_rows, **rule):
        """A manifest of this many rows, whose images lie in the archive of the demo."""
        path = self.folder / f"{n_rows}.csv"
        names = [str(image.relative_to(self.folder / "demo/archive")) for image in self.images]
        with open(path, "w", encoding="utf-8") as file:
            file.write("uri,sample_id,label_idx\n")
            file.writelines(f"{names[n % len(names)]},s{n:07},{n % 4}\n" for n in range(n_rows))
        return self.pipeline(f"rows-{n_rows}", "demo/archive", path, **rule)

    def pipeline(self, name, root, manifest, partition='"auto"'):
        text = PIPELINE.format(root=root, manifest=manifest, partition=partition)
        (self.folder / f"{name}.toml").write_text(text)
        return f"{name}.toml"

    def mean_bytes(self):
        return sum(image.stat().st_size for image in self.images) // len(self.images)

    def run(self, pipeline, *more, run_id=None, watched=False):
        self.n_runs += 1
        run_id = run_id or f"r{self.n_runs}"
        took = Took([self.t3b, "run", pipeline, "--run-id", run_id, "--json", "--profile", *more], self.folder, watched)
        took.profile = json.loads(took.said)["process"]["profile"]
        return took


def load():
    return f"load {os.getloadavg()[0]:.1f}"


def start(bench, arguments):
    pipeline = bench.manifest(8)
    bench.run(pipeline, run_id="first")  # the look at a new output root, once in its life
    rows = {
        "`true`": lambda: Took(["true"], bench.folder),
        "`t3b --help`": lambda: Took([bench.t3b, "--help"], bench.folder),
        "`t3b check`": lambda: Took([bench.t3b, "check", pipeline], bench.folder),
        "`t3b run`, 8 images": lambda: bench.run(pipeline),
        "`t3b run`, all is done": lambda: bench.run(pipeline, run_id="first"),
    }
    takes = {name: [] for name in rows}
    for _ in range(max(20, arguments.rounds)):
        for name, take in rows.items():
            takes[name].append(take())
    print(f"| start to end, {load()} | best ms | median ms | CPU ms, median | MiB |\n|---|---|---|---|---|")
    for name, all_takes in takes.items():
        wall, cpu = ([getattr(took, key) * 1e3 for took in all_takes] for key in ("wall_s", "cpu_s"))
        peak = statistics.median(took.peak_mib for took in all_takes)
        print(f"| {name} | {min(wall):.1f} | {statistics.median(wall):.1f} | {statistics.median(cpu):.1f} | {peak:.0f} |")
    flowed = statistics.median(took.profile["flowed_s"] * 1e3 for took in takes["`t3b run`, 8 images"])
    print(f"\nOf the run with 8 images {flowed:.1f} ms lie between the first read and the last commit.")


def flat(bench, arguments):
    pipelines = {n: bench.manifest(n, partition=96) for n in arguments.sizes}
    takes = {n: [] for n in pipelines}
    for _ in range(arguments.rounds):
        for n, pipeline in pipelines.items():
            takes[n].append(bench.run(pipeline, watched=True))
    print(f"| images, {load()} | CPU ms an image, median | images/s, best | resident MiB, median (least to most) | most MiB, the same |")
    print("|---|---|---|---|---|")
    for n, all_takes in takes.items():
        cpu_ms = statistics.median(took.cpu_s * 1e3 / n for took in all_takes)
        rate = max(n / took.wall_s for took in all_takes)
        columns = ([getattr(took, key) for took in all_takes] for key in ("resident_mib", "peak_mib"))
        memory = " | ".join(f"{statistics.median(mib):.1f} ({min(mib):.1f}-{max(mib):.1f})" for mib in columns)
        print(f"| {n:,} | {cpu_ms:.3f} | {rate:.0f} | {memory} |")


class Store(asyncio.Protocol):
    """One connection of a store that only reads: every answer comes `delay_s` after its request."""

    def __init__(self, root, delay_s):
        self.root, self.delay_s, self.buffer = root, delay_s, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            asyncio.get_running_loop().call_later(self.delay_s, self.answer, head.decode())

    def answer(self, head):
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        asked = re.search(r"(?im)^range: *bytes=(\d+)-(\d*)", head)
        try:
            path = self.root / target.lstrip("/")
            body, changed = path.read_bytes(), path.stat().st_mtime
        except OSError:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        size, status, lines = len(body), "200 OK", []
        if asked:
            first = int(asked[1])
            last = min(int(asked[2] or size), size - 1)
            status, body = "206 Partial Content", body[first : last + 1]
            lines.append(f"Content-Range: bytes {first}-{last}/{size}")
        lines += [f"Content-Length: {len(body)}", f'ETag: "{size}-{changed}"', "Accept-Ranges: bytes"]
        lines.append(f"Last-Modified: {email.utils.formatdate(changed, usegmt=True)}")
        answer = "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()
        self.transport.write(answer + (b"" if method == "HEAD" else body))


def serve(root, delay_s, told, cores):
    async def listen():
        server = await asyncio.get_running_loop().create_server(lambda: Store(root, delay_s), "127.0.0.1", 0)
        told.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    os.sched_setaffinity(0, cores)
    asyncio.run(listen())


def far(bench, arguments):
    n_objects, folder = arguments.objects, bench.folder / "small"
    folder.mkdir()
    with open(bench.folder / "small.csv", "w", encoding="utf-8") as file:
        file.write("uri,sample_id,label_idx\n")
        for n in range(n_objects):
            image = bench.images[n % len(bench.images)]
            shutil.copyfile(image, folder / f"{n:06}{image.suffix}")
            file.write(f"{n:06}{image.suffix},s{n:07},{n % 4}\n")
    *own, last = sorted(os.sched_getaffinity(0))
    if not own:
        sys.exit("far: the store takes a core, and there is one")
    told = multiprocessing.Queue()
    store = multiprocessing.Process(target=serve, args=(folder, arguments.delay_ms / 1e3, told, {last}), daemon=True)
    store.start()
    os.sched_setaffinity(0, own)  # what is started from here on inherits it
    url = f"http://127.0.0.1:{told.get()}"
    manifest = bench.folder / "small.csv"
    pipelines = {"near": bench.pipeline("near", folder, manifest), "far": bench.pipeline("far", url, manifest)}
    takes = {name: [] for name in pipelines}
    for _ in range(arguments.rounds):
        for name, pipeline in pipelines.items():
            takes[name].append(bench.run(pipeline, "--set", "store.allow_http=true"))
    stat = pathlib.Path(f"/proc/{store.pid}/stat").read_text().rsplit(")", 1)[1].split()
    store_ms = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") * 1e3 / (n_objects * arguments.rounds)
    store.terminate()
    os.sched_setaffinity(0, [*own, last])
    ratios = [near.profile["flowed_s"] / far.profile["flowed_s"] for near, far in zip(takes["near"], takes["far"])]
    print(f"| {n_objects:,} objects of {bench.mean_bytes()} bytes, {load()} | images/s, best | CPU ms an image | held up by |\n|---|---|---|---|")
    for name, all_takes in takes.items():
        where = "a folder" if name == "near" else f"a store {arguments.delay_ms:.0f} ms away"
        rate = max(n_objects / took.profile["flowed_s"] for took in all_takes)
        cpu_ms = statistics.median(took.cpu_s * 1e3 / n_objects for took in all_takes)
        print(f"| {where} | {rate:.0f} | {cpu_ms:.2f} | {all_takes[-1].profile['bottleneck']} |")
    print(f"\nThe far store gives {statistics.median(ratios):.2f} of the folder's rate ({min(ratios):.2f}-{max(ratios):.2f}). Runs had {len(own)} of the cores, the store")
    print(f"the last one, where it took {store_ms:.2f} ms an object.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("figures", nargs="*", default=FIGURES)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--delay-ms", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if unknown := set(arguments.figures) - set(FIGURES):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(str(arguments.program.resolve()), pathlib.Path(folder))
        for name in arguments.figures:
            globals()[name](bench, arguments)
            print(flush=True)


if __name__ == "__main__":
    main()
