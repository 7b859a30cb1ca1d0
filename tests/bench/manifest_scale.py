#!/usr/bin/env python3
"""Memory, bytes and start-up over manifests of many sizes.

usage: tests/bench/manifest_scale.py T3B [ROWS ...]      (by default 10000 1000000 10000000)

Draws the archive of `t3b demo`, writes manifests whose rows name its images again and again under other ids, and measures for each:
`t3b plan` of the CSV, `t3b manifest freeze`, `t3b plan` of what was frozen, a worker that scores partition 9,999 alone (the last whole one
of smaller manifests; each has the same images), and the start of one that finds it committed. Memory is the smallest ru_maxrss of three
calls, for what is read ahead differs from call to call. One line a size, as Markdown.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

PARTITION = 960  # three times the archive
CALLS = 3
PIPELINE = """
[run]
name = "scale"
batch_size = 8
partition_size = {partition}
[input]
root = "demo/archive"
manifest = "{manifest}"
[labels]
names = ["red blood cell", "white blood cell", "platelet", "plasma background"]
[models]
pretrained = "demo/models/generalist"
expert = "demo/models/expert"
[output]
root = "out-{rows}"
"""


def run(command, folder, stdin=None):
    """Wall seconds and peak MiB of a command that has to succeed."""
    env = dict(os.environ, T3B_PSEUDONYM_KEY="a key of this bench alone, of no worth", RUST_LOG="error")
    started = time.monotonic()
    child = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdin.write((stdin or "").encode())
    child.stdin.close()
    said, told = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    # With work left for others a worker that was asked for some partitions ends well.
    if child.returncode != 0:
        sys.exit(f"{command}: {child.returncode}\n{told.decode()}")
    return time.monotonic() - started, usage.ru_maxrss / 1024, said.decode()


def counted(folder):
    """Bytes that the last command read from stores."""
    for line in (folder / "metrics.prom").read_text().splitlines():
        if line.startswith("t3b_store_read_bytes_total"):
            return int(float(line.split()[-1]))
    sys.exit("no count of bytes")


def write_manifest(folder, rows):
    images = sorted(str(path.relative_to(folder / "demo/archive")) for path in (folder / "demo/archive").rglob("*.png"))
    with open(folder / f"{rows}.csv", "w", encoding="utf-8") as file:
        file.write("uri,sample_id,label_idx\n")
        for n in range(rows):
            file.write(f"{images[n % len(images)]},s{n:09},{n % 4}\n")


def measure(t3b, folder, rows):
    write_manifest(folder, rows)
    pipelines = {}
    for kind, manifest in [("csv", folder / f"{rows}.csv"), ("frozen", folder / f"{rows}.frozen")]:
        pipelines[kind] = folder / f"{kind}-{rows}.toml"
        pipelines[kind].write_text(PIPELINE.format(partition=PARTITION, manifest=manifest, rows=rows))
    number = f"{min(9_999, rows // PARTITION - 1)}\n"

    def worker(run_id):
        metrics = f"metrics.textfile={folder}/metrics.prom"
        return [t3b, "worker", pipelines["frozen"], "--run-id", run_id, "--stdin", "--set", metrics]

    def least(command, stdin=None):
        """Least seconds and MiB of some calls."""
        calls = [run(command(n), folder, stdin) for n in range(CALLS)]
        return min(call[0] for call in calls), min(call[1] for call in calls), calls[-1][2]

    plan_csv = least(lambda _: [t3b, "plan", pipelines["csv"]])
    freeze = least(lambda _: [t3b, "manifest", "freeze", pipelines["csv"], "-o", folder / f"{rows}.frozen"])
    plan_frozen = least(lambda _: [t3b, "plan", pipelines["frozen"]])
    for n in range(CALLS):
        run(worker(f"r{n}"), folder, "0\n")  # begins the run
    score = least(lambda n: worker(f"r{n}"), number)
    scored_bytes = counted(folder)
    if '"committed"' not in score[2]:
        sys.exit(f"the worker scored nothing: {score[2]}")
    start = least(lambda n: worker(f"r{n}"), number)
    return plan_csv, freeze, plan_frozen, score, scored_bytes, start[0]


def main():
    t3b, sizes = os.path.abspath(sys.argv[1]), [int(text) for text in sys.argv[2:]] or [10_000, 1_000_000, 10_000_000]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run([t3b, "demo", "--out", "demo"], folder)
        print("| rows | plan of a CSV | freeze | plan of the frozen | worker, one partition | its bytes read | start and end of a worker with nothing to do |")
        print("|---|---|---|---|---|---|---|")
        for rows in sizes:
            plan_csv, freeze, plan_frozen, score, scored_bytes, start = measure(t3b, folder, rows)
            cells = [f"{one[1]:.1f} MiB, {one[0]:.1f} s" for one in (plan_csv, freeze, plan_frozen, score)]
            print(f"| {rows:,} | " + " | ".join(cells) + f" | {scored_bytes:,} | {start:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
