"""Runs on a Ray cluster of three nodes on this machine; at every phase of a run a worker, a node and the driver are killed.

usage: ray_cluster.py PROGRAM [PHASE ...]; prints a table, phase by victim, and one JSON object; ends with 1 where a run is not one machine's.

The driver is the command `t3b-ray` in a process of its own; the head holds no worker, as under KubeRay. The archive is read from an S3
server on loopback that gives out one image after the other, so that each phase lasts long enough to be met. A phase is met by what the
store shows: receipts, published parts, the completion. A node is killed as a machine is: with everything that runs on it.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = str(ROOT / "deploy/ray/src")
sys.path[:0] = [PACKAGE, str(ROOT / "tests/bench")]
# The nodes' processes inherit these; the second keeps Ray on the loopback address, which it else takes for the machine's own.
os.environ["PYTHONPATH"] = PACKAGE
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_DEDUP_LOGS"] = "0"
os.environ |= {"AWS_ACCESS_KEY_ID": "ray", "AWS_SECRET_ACCESS_KEY": "ray", "AWS_REGION": "us-east-1"}

import ray
from ray.cluster_utils import Cluster

import crew

PHASES = ("before", "scoring", "between", "publishing", "published")
SAID = {
    "before": "before the first receipt",
    "scoring": "while scoring",
    "between": "right after a receipt",
    "publishing": "while publishing",
    "published": "published, before the driver's end",
}
VICTIMS = ("worker", "node", "driver")
N_PARTITIONS, IMAGES, IMAGE_S = 16, 4, 0.02
LOOPBACK = {"node_ip_address": "127.0.0.1"}
TOLD = re.compile(r"committed (\d+), lost (\d+), found (\d+), restarts (\d+)")


class Nodes:
    """The cluster: a head without room for workers, and two nodes for one worker each."""

    def __init__(self):
        self.cluster = Cluster(initialize_head=True, head_node_args={**LOOPBACK, "num_cpus": 0, "include_dashboard": False})
        self.of = {}
        for _ in range(2):
            self.add()

    def add(self):
        """One more node; Ray gives up on one whose helpers have not started within its own time, as on a busy machine."""
        for tries in reversed(range(4)):
            try:
                node = self.cluster.add_node(**LOOPBACK, num_cpus=1)
                break
            except Exception as error:
                if tries == 0 or "timed out" not in str(error):
                    raise
        self.of[node.node_id[:8]] = node

    def kill(self, name):
        """Ends a node and everything on it."""
        for pid in processes(f"ray-{name}-"):
            os.kill(pid, signal.SIGKILL)
        self.cluster.remove_node(self.of.pop(name), allow_graceful=False)


def processes(*words):
    """Processes of the program whose command line holds all of the words, the youngest last."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            born = int((entry.parent / "stat").read_text().rsplit(")", 1)[1].split()[19])
        except OSError:
            continue
        if line.split(" ")[0].endswith("t3b") and all(word in line for word in words):
            found.append((born, int(entry.parent.name)))
    return [pid for _, pid in sorted(found)]


def node_of(pid):
    """The node in the name of a worker's process; `None` of another, or of one that is gone."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return None
    named = re.search(r"ray-([0-9a-f]{8})-", line)
    return named and named.group(1)


class Scene:
    """One run and the one kill in it."""

    def __init__(self, folder, nodes, phase, victim):
        self.folder, self.nodes, self.phase, self.victim = Path(folder), nodes, phase, victim
        self.folder.mkdir()
        self.output = self.folder / "out"
        self.run = self.output / "_t3b/runs/crew"

    def driver(self):
        """The command, as a person calls it."""
        command = [sys.executable, "-m", "t3b_ray", str(PIPELINE), "--run-id", "crew", "--output", str(self.output)]
        command += ["--run-date", "2026-01-02", "--max-workers", "2", "--min-workers", "2", "--address", self.nodes.cluster.address]
        for pair in SETTINGS:
            command += ["--set", pair]
        log = open(self.folder / "driver.log", "ab")
        return subprocess.Popen(command, stdout=log, stderr=log)

    def n_receipts(self):
        return sum(1 for _ in self.run.glob("receipts/[0-9]*.json"))

    def is_met(self):
        """Whether the run is in the phase; for the middle of scoring, some receipts and then half a partition's time."""
        n_receipts = self.n_receipts()
        if self.phase == "before":
            return bool(processes("--stdin", str(self.output))) and n_receipts == 0
        if self.phase in ("scoring", "between"):
            met = 0 < n_receipts < N_PARTITIONS - 2
            if met and self.phase == "scoring":
                time.sleep(IMAGES * IMAGE_S / 2)
            return met
        parts = next(self.output.glob("tables/*/*/*/part-*"), None)
        is_completed = (self.run / "completed.json").exists()
        return is_completed if self.phase == "published" else parts is not None and not is_completed

    def at_work(self):
        """The process to be killed: who publishes, else the youngest; last of all the one that looks whether all is there."""
        found = processes("--stdin", str(self.output)) or processes(str(self.output))
        claims = sorted(self.run.glob("publishing/*.json")) if self.phase == "publishing" else []
        if claims:
            found = processes(str(self.output), json.loads(claims[-1].read_text())["worker"]) or found
        return found[-1] if found else None

    def kill(self, driver):
        """Kills the victim; what there was to kill."""
        pid = self.at_work()
        if self.victim == "driver":
            driver.kill()
            return "driver"
        if self.victim == "worker":
            try:
                os.kill(pid, signal.SIGKILL)
            except (TypeError, ProcessLookupError):
                # There is none, or none any more.
                return None
            return "worker"
        self.nodes.kill(node_of(pid) or next(iter(self.nodes.of)))
        return "node"

    def n_parts(self):
        return sum(1 for _ in self.output.glob("tables/*/*/*/part-*"))

    def go(self):
        """The run; what was killed and when, and what the driver told."""
        began, driver, killed, at = time.monotonic(), self.driver(), None, None
        while driver.poll() is None:
            if killed is None and self.is_met():
                state = (self.n_receipts(), (self.run / "completed.json").exists())
                killed, at = self.kill(driver), (*state, self.n_parts())
                if killed == "node":
                    self.nodes.add()
            time.sleep(0.001 if self.phase in ("publishing", "published") else 0.01)
            if time.monotonic() - began > 240:
                driver.kill()
                raise SystemExit(f"{self.phase}, {self.victim}: the driver hangs: {(self.folder / 'driver.log').read_text()[-4000:]}")
        calls = 1
        while driver.returncode != 0 and killed == "driver" and calls < 3:
            # What KubeRay does with a driver that was lost.
            driver, calls = self.driver(), calls + 1
            driver.wait(240)
        said = (self.folder / "driver.log").read_text()
        if driver.returncode == 0 and killed is None:
            return None
        if driver.returncode != 0:
            raise SystemExit(f"{self.phase}, {self.victim}: killed {killed}, the driver ended with {driver.returncode}: {said[-4000:]}")
        if processes(str(self.output)):
            time.sleep(1)
        committed, lost, found, restarts = (int(number) for number in TOLD.findall(said)[-1])
        return {
            "phase": self.phase, "victim": killed, "receipts": at[0], "was_published": at[1], "parts": at[2], "calls": calls,
            "committed": committed, "lost": lost, "found": found, "restarts": restarts, "seconds": round(time.monotonic() - began, 1),
            "progress": len(re.findall(r"\d+ of \d+ partitions, \d+ workers", said)), "same": crew.sha256(self.output) == REFERENCE,
        }


def shared_gpus(nodes, folder):
    """Four actors on one GPU: what their processes are told of it. The GPU is a number that Ray counts; nothing computes on it."""
    node = nodes.cluster.add_node(**LOOPBACK, num_cpus=4, num_gpus=1)
    code = (
        "import ray, t3b_ray; ray.init(address='auto', log_to_driver=False);"
        f"told = t3b_ray.run({str(PIPELINE)!r}, run_id='crew', output={str(folder)!r}, run_date='2026-01-02', more={tuple(w for s in SETTINGS for w in ('--set', s))!r},"
        " pool=t3b_ray.Pool(min_workers=4, max_workers=4, cpus=0.5, gpus=0.25)); print(told)"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "RAY_ADDRESS": nodes.cluster.address})
    seen = {}
    while driver.poll() is None:
        for pid in processes("--stdin", str(folder)):
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            told = [one.decode().partition("=")[2] for one in environment if one.startswith(b"CUDA_VISIBLE_DEVICES=")]
            seen[pid] = told[0] if told else None
        time.sleep(0.05)
    nodes.cluster.remove_node(node, allow_graceful=False)
    assert driver.returncode == 0, driver.returncode
    return sorted(seen.values(), key=str), crew.sha256(folder) == REFERENCE


def exit_codes(nodes, folder, bin_folder):
    """A worker that ends with 75 is started again; one that ends with 77 ends the driver, with the program's words."""
    program, real = Path(bin_folder, "t3b"), Path(bin_folder, "t3b").resolve()
    told = {}
    for code in (75, 77):
        count, out = folder / f"count-{code}", folder / f"codes-{code}"
        scene = Scene(out, nodes, "before", "worker")
        program.unlink()
        program.write_text(
            f'#!/bin/sh\nif [ "$1" = worker ] && [ "$(cat {count} 2>/dev/null | wc -c)" -lt 2 ]; then\n'
            f'  printf x >> {count}\n  read -r _number\n  echo "error[T000] made for the test" >&2\n  exit {code}\nfi\nexec {real} "$@"\n'
        )
        program.chmod(0o755)
        driver = scene.driver()
        driver.wait(240)
        program.unlink()
        program.symlink_to(real)
        said = (scene.folder / "driver.log").read_text()
        told[code] = (driver.returncode, TOLD.findall(said)[-1:] if driver.returncode == 0 else "ended with 77" in said and "T000" in said)
    return told


def main():
    global PIPELINE, SETTINGS, REFERENCE
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda path: Path(path).resolve())
    parser.add_argument("phases", nargs="*", default=list(PHASES))
    args = parser.parse_args()
    # Whatever hangs, hangs no test.
    signal.alarm(2400)
    with tempfile.TemporaryDirectory(prefix="t3b-ray-") as scratch:
        folder = Path(scratch)
        (folder / "bin").mkdir()
        (folder / "bin/t3b").symlink_to(args.program)
        os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
        archive = crew.Archive(str(args.program), f"{folder}/demo", N_PARTITIONS * IMAGES)
        server = crew.Server(archive.files, IMAGE_S)
        PIPELINE = folder / "pipeline.toml"
        PIPELINE.write_text(crew.PIPELINE.format(size=IMAGES, batch=IMAGES, models=archive.models))
        SETTINGS = [f"store.endpoint=http://127.0.0.1:{server.server_address[1]}", "store.allow_http=true"]
        one = ["t3b", "run", str(PIPELINE), "--run-id", "crew", "--run-date", "2026-01-02", "--output", f"{folder}/reference"]
        one += [word for pair in SETTINGS for word in ("--set", pair)]
        subprocess.run(one, check=True, capture_output=True)
        REFERENCE = crew.sha256(folder / "reference")
        nodes, rows = Nodes(), []
        try:
            for phase in args.phases:
                for victim in VICTIMS:
                    # A phase may be over before its victim is found: then the run is one that nothing happened to.
                    tries = (Scene(folder / f"{phase}-{victim}-{n}", nodes, phase, victim).go() for n in range(5))
                    rows.append(next(row for row in tries if row))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            gpus, same = shared_gpus(nodes, folder / "gpus")
            codes = exit_codes(nodes, folder, folder / "bin")
        finally:
            ray.shutdown()
            nodes.cluster.shutdown()
    print("| phase | victim | receipts, published parts at the kill | committed, lost, found by the last call | calls | restarts | rows and bytes |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {SAID[row['phase']]} | {row['victim']} | {row['receipts']}, {row['parts']} | {row['committed']}, {row['lost']}, {row['found']} "
              f"| {row['calls']} | {row['restarts']} | {'one machine' if row['same'] else 'OTHERS'} |")
    print(json.dumps({"rows": rows, "n_partitions": N_PARTITIONS, "cuda_visible_devices": gpus, "gpus_same": same, "codes": codes}))
    return 0 if same and all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
