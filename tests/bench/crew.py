#!/usr/bin/env python3
"""Workers of different speed finish one run: how long they take against the ideal for their speeds, and whether the bytes are one worker's.

usage: crew.py PROGRAM [--sizes 1,2,3,5] [--seeds N] [--partitions N] [--images N] [--image-ms MS] [--slow F] [--at-once N] [--no-static]

A worker's speed is its source's: each worker reads the archive from an S3 server of its own on a loopback port, which gives out one image
after the other, each after MS milliseconds (F times that for the slow worker). Scoring costs far less, so speeds hold on a machine of
any number of cores as long as it is not busy, and nothing in the program knows of them. Images are those of `t3b demo`, under several names.

A crew of 1 is one steady worker; of 2, a steady and a slow one; of 3, one more that is killed (SIGKILL) on the way and one that joins after
it; of 5, two steady, a slow one, one that is killed, one that joins late. The seed draws the order, the names, which decide where a worker
begins, and the times of the kill and of joining. The ideal is the time in which the speeds of those that live come to the number of images:
no start, no end, nothing lost. Static shards are `t3b run --shard k/n` of the same number of workers, one of them slow, none killed.

Only the standard library is needed; with duckdb in the Python that runs it the rows of `attempts` are counted too.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

try:
    import duckdb
except ImportError:
    duckdb = None

PIPELINE = """[run]
name = "crew"
partition_size = {size}
batch_size = {batch}
[input]
root = "s3://archive"
manifest = "manifest.csv"
[labels]
names = ["red blood cell", "white blood cell", "platelet", "plasma background"]
[models]
pretrained = "{models}/generalist"
expert = "{models}/expert"
[output]
root = "out"
"""
ROLES = {
    1: ["steady"],
    2: ["steady", "slow"],
    3: ["steady", "slow", "killed", "late"],
    5: ["steady", "steady", "slow", "killed", "late"],
}
# A look whether an object is there asks for its first byte; only whole images are given out slowly.
LOOK = "bytes=0-0"


class Server(ThreadingHTTPServer):
    """The archive, read at one worker's speed."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, files, seconds):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.seconds, self.lock, self.free_at, self.n_images = files, seconds, threading.Lock(), 0.0, 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def take_turn(self):
        """Waits until this image is the next and has taken its time."""
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + self.seconds
            until, self.n_images = self.free_at, self.n_images + 1
        time.sleep(max(0.0, until - time.monotonic()))

    def handle_error(self, request, client_address):
        """A client that was killed is no fault."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        body = self.server.files.get(self.path.split("?")[0])
        if body is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        total, wanted = len(body), self.headers.get("Range")
        if wanted != LOOK and "/images/" in self.path and self.command == "GET":
            self.server.take_turn()
        self.send_response(206 if wanted else 200)
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            first, last = int(first), min(int(last or total - 1), total - 1)
            body = body[first : last + 1]
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"one"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Archive:
    """The drawn images under as many names as are asked for, in memory, and the pair beside them."""

    def __init__(self, program, folder, n_images):
        subprocess.run([program, "demo", "--out", folder], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        drawn, rows, self.files = Path(folder, "archive"), [], {}
        with open(drawn / "manifest.csv", newline="") as file:
            known = list(csv.DictReader(file))
        for n in range(n_images):
            row = dict(known[n % len(known)])
            name = f"images/{n // len(known)}-{Path(row['uri']).name}"
            self.files[f"/archive/{name}"] = (drawn / row["uri"]).read_bytes()
            rows.append({**row, "uri": name, "sample_id": f"crew-{n:06}"})
        text = [",".join(known[0])] + [",".join(row.values()) for row in rows]
        self.files["/archive/manifest.csv"] = ("\n".join(text) + "\n").encode()
        self.models, self.n_images = Path(folder, "models"), n_images


def sha256(output):
    """One hash of every published table below an output but `attempts` and `runs`, which tell who worked and when."""
    tables, digest = Path(output, "tables"), hashlib.sha256()
    for path in sorted(path for path in tables.rglob("*") if path.is_file()):
        name = path.relative_to(tables).as_posix()
        if not name.startswith(("attempts/", "runs/")):
            digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class Run:
    """One run: its folder, the servers and the processes that work on it."""

    def __init__(self, args, archive, folder):
        self.args, self.archive, self.folder, self.servers, self.processes = args, archive, Path(folder), [], []
        self.folder.mkdir(parents=True)
        text = PIPELINE.format(size=args.images, batch=args.images, models=archive.models.resolve())
        (self.folder / "pipeline.toml").write_text(text)
        self.began = time.monotonic()

    def start(self, name, slow=1.0, shard=None):
        """Starts a worker, or a static shard, that reads from a server of its own."""
        seconds = self.args.image_ms / 1000 * slow
        server = Server(self.archive.files, seconds)
        self.servers.append(server)
        kind = ["run", "pipeline.toml", "--shard", shard] if shard else ["worker", "pipeline.toml", "--name", name]
        more = ["--run-id", "crew", "--run-date", "2026-01-02", "--set", "store.allow_http=true"]
        more += ["--set", f"store.endpoint=http://127.0.0.1:{server.server_address[1]}"]
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "crew", "AWS_SECRET_ACCESS_KEY": "crew", "AWS_REGION": "us-east-1"}
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [self.args.program, *kind, *more], cwd=self.folder, env=environment, stdout=log, stderr=log
            )
        self.processes.append((name, process))
        return process

    def sleep_until(self, seconds):
        """Until that long after the beginning of the run, or until it is published."""
        while time.monotonic() < self.began + seconds and not self.is_published():
            time.sleep(0.02)

    def is_published(self):
        return (self.folder / "out/_t3b/runs/crew/completed.json").exists()

    def finish(self, killed=()):
        """Seconds to the publication and to the end of the last process; every process but the killed ones ends well."""
        published = None
        while any(process.poll() is None for _, process in self.processes):
            if published is None and self.is_published():
                published = time.monotonic() - self.began
            time.sleep(0.02)
        published, ended = published or time.monotonic() - self.began, time.monotonic() - self.began
        for name, process in self.processes:
            if name not in killed and process.returncode != 0:
                raise SystemExit(f"{self.folder}: {name} ended with {process.returncode}: {(self.folder / f'{name}.log').read_text()}")
        return published, ended

    def close(self):
        for _, process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def last_receipt_s(self, began_at):
        """Seconds from the beginning to the last receipt."""
        receipts = (self.folder / "out/_t3b/runs/crew/receipts").glob("*.json")
        return max(path.stat().st_mtime for path in receipts) - began_at

    def counts(self):
        """What was begun again, and what of it was lost, as the run itself tells."""
        told = subprocess.run(
            [self.args.program, "status", "out/_t3b/runs/crew", "--json"], cwd=self.folder, capture_output=True, text=True, check=True
        )
        counts = {"reissued": json.loads(told.stdout)["n_reissued"]}
        if duckdb:
            query = "select sum(n_partitions)::bigint, sum(n_lost)::bigint, sum(wasted_s) from read_parquet(?)"
            row = duckdb.connect().execute(query, [f"{self.folder}/out/tables/attempts/**/*.parquet"]).fetchone()
            counts |= {"executed": row[0], "lost": row[1], "wasted_s": round(row[2], 1)}
        return counts


def ideal_s(n_images, image_s, lives):
    """When the speeds of those that live, each `(from, until, slow)`, come to the number of images."""
    edges = sorted({edge for begins, ends, _ in lives for edge in (begins, ends) if edge is not None})
    left = float(n_images)
    for now, after in zip(edges, [*edges[1:], None]):
        speed = sum(1 / (image_s * slow) for begins, ends, slow in lives if begins <= now and (ends is None or ends > now))
        if after is None or left <= speed * (after - now):
            return now + left / speed
        left -= speed * (after - now)
    raise AssertionError("somebody lives to the end")


def crew(args, archive, folder, size, seed):
    """One run of one crew: a row of figures."""
    dice, image_s, run = random.Random(f"{size}/{seed}"), args.image_ms / 1000, Run(args, archive, folder)
    whole_s = archive.n_images * image_s / max(1, size - 1)
    kill_s = dice.uniform(0.15, 0.6) * whole_s
    # A crew of three stays one of three: whoever joins takes the place of the one that was killed.
    late_s = kill_s + dice.uniform(0.02, 0.2) * whole_s if size == 3 else dice.uniform(0.1, 0.5) * whole_s
    roles, lives, named = list(ROLES[size]), [], {}
    dice.shuffle(roles)
    began_at = time.time()
    try:
        names = {n: f"{role}-{dice.randrange(10**6)}" for n, role in enumerate(roles)}
        for n, role in enumerate(roles):
            if role != "late":
                begins = time.monotonic() - run.began
                named[role] = run.start(names[n], args.slow if role == "slow" else 1.0)
                lives.append([begins, None, args.slow if role == "slow" else 1.0])
                life = lives[-1]
                if role == "killed":
                    killed_life = life
        events = [(kill_s, "killed"), (late_s, "late")] if size >= 3 else []
        killed = []
        for at, role in sorted(events):
            run.sleep_until(at)
            if run.is_published():
                raise SystemExit(f"{folder}: published before {role}: fewer images, or earlier")
            now = time.monotonic() - run.began
            if role == "killed":
                named["killed"].send_signal(signal.SIGKILL)
                killed_life[1] = now
                killed.append(names[roles.index("killed")])
            else:
                run.start(names[roles.index("late")])
                lives.append([now, None, 1.0])
        published, ended = run.finish(killed)
        ideal = ideal_s(archive.n_images, image_s, lives)
        return {
            "size": size, "seed": seed, "ideal_s": ideal, "scored_s": run.last_receipt_s(began_at), "published_s": published,
            "ended_s": ended, "ratio": published / ideal, "sha256": sha256(run.folder / "out"), **run.counts(),
        }
    finally:
        run.close()


def shards(args, archive, folder, size):
    """The same number of static shards, one of them slow."""
    run = Run(args, archive, folder)
    try:
        for k in range(size):
            run.start(f"shard-{k}", args.slow if size > 1 and k == 1 else 1.0, f"{k}/{size}")
        published, _ = run.finish()
        lives = [[0.0, None, args.slow if size > 1 and k == 1 else 1.0] for k in range(size)]
        return {"size": size, "published_s": published, "ideal_s": ideal_s(archive.n_images, args.image_ms / 1000, lives), "sha256": sha256(run.folder / "out")}
    finally:
        run.close()


def table(rows, static, reference):
    """The printed table: a line a crew."""
    print("\n| workers | runs | same bytes | ideal, s | wall over ideal: median, most | last receipt over ideal: median, most "
          "| static shards over ideal | passed over | executed, lost twice, seconds of it |")
    print("|" + "---|" * 9)
    for size in sorted({row["size"] for row in rows}):
        ours = [row for row in rows if row["size"] == size]
        ratios, scored = [row["ratio"] for row in ours], [row["scored_s"] / row["ideal_s"] for row in ours]
        shard = static.get(size)
        beside = f"{shard['published_s'] / shard['ideal_s']:.2f}" if shard else ""
        executed = "" if not duckdb else ", ".join(
            f"{statistics.mean(row[key] for row in ours):.1f}" for key in ("executed", "lost", "wasted_s"))
        print(f"| {size} | {len(ours)} | {sum(row['sha256'] == reference for row in ours)} "
              f"| {statistics.mean(row['ideal_s'] for row in ours):.1f} | {statistics.median(ratios):.3f}, {max(ratios):.3f} "
              f"| {statistics.median(scored):.3f}, {max(scored):.3f} | {beside} "
              f"| {statistics.mean(row['reissued'] for row in ours):.1f} | {executed} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda name: str(Path(shutil.which(name) or name).resolve()))
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[1, 2, 3, 5])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=80)
    parser.add_argument("--images", type=int, default=16, help="of a partition")
    parser.add_argument("--image-ms", type=float, default=60.0)
    parser.add_argument("--slow", type=float, default=10.0)
    parser.add_argument("--at-once", type=int, default=4, help="runs side by side")
    parser.add_argument("--no-static", action="store_true")
    parser.add_argument("--keep", help="folder for the runs, instead of a scratch one")
    args = parser.parse_args()
    folder = args.keep or tempfile.mkdtemp(prefix="t3b-crew-")
    archive = Archive(args.program, f"{folder}/demo", args.partitions * args.images)
    quick = argparse.Namespace(**{**vars(args), "image_ms": 0.0})
    one = Run(quick, archive, f"{folder}/reference")
    one.start("one")
    one.finish()
    one.close()
    reference, rows, static = sha256(one.folder / "out"), [], {}
    print(f"{args.partitions} partitions of {args.images} images, {args.image_ms:g} ms an image; load {os.getloadavg()[0]:.1f}; tables {reference[:16]}")
    with ThreadPoolExecutor(args.at_once) as pool:
        asked = [pool.submit(shards, args, archive, f"{folder}/static-{size}", size) for size in args.sizes if not args.no_static]
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        jobs = [pool.submit(crew, args, archive, f"{folder}/{size}-{seed}", size, seed) for seed in seeds for size in args.sizes]
        for job in jobs:
            row = job.result()
            rows.append(row)
            print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()} | {"sha256": row["sha256"][:16]}), flush=True)
        for job in asked:
            shard = job.result()
            static[shard["size"]] = shard
            assert shard["sha256"] == reference, shard
    table(rows, static, reference)
    if not args.keep:
        shutil.rmtree(folder)
    different = [row for row in rows if row["sha256"] != reference]
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
