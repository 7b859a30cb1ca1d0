"""A run on a Ray cluster of three nodes on this machine: the driver, a worker's process and a node are killed on the way.

usage: ray_cluster.py PROGRAM PIPELINE OUTPUT [SETTING ...]; prints what became of the partitions as one JSON object.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PACKAGE = str(Path("deploy/ray/src").resolve())
sys.path.insert(0, PACKAGE)
# The nodes' processes inherit both; the second keeps Ray on the loopback address, which it else takes for the machine's own.
os.environ["PYTHONPATH"] = PACKAGE
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

import ray
from ray.cluster_utils import Cluster

import t3b_ray

PROGRAM, PIPELINE, OUTPUT, *SETTINGS = sys.argv[1:]
MORE = tuple(word for setting in SETTINGS for word in ("--set", setting))
RUN = {"run_id": "r", "run_date": "2026-01-02", "output": OUTPUT, "more": MORE}


def n_receipts():
    return len(list(Path(OUTPUT, "_t3b/runs/r/receipts").glob("[0-9]*.json")))


def workers():
    """Our own workers' processes: those that write to this output."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"worker" in words and OUTPUT.encode() in words:
            found.append(int(entry.parent.name))
    return found


def main():
    # Whatever hangs, hangs no test.
    signal.alarm(300)
    here = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**here, "include_dashboard": False})
    nodes = [cluster.add_node(**here) for _ in range(2)]
    command = [sys.executable, "-c", DRIVER, cluster.address]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while n_receipts() < 2 and driver.poll() is None:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    n_before = n_receipts()
    ray.init(address=cluster.address, log_to_driver=False)
    killed = []

    def progress(told, _):
        if told.committed == 1 and "worker" not in killed and (pids := workers()):
            os.kill(pids[0], signal.SIGKILL)
            killed.append("worker")
        if told.committed >= 3 and "node" not in killed:
            cluster.remove_node(nodes.pop())
            killed.append("node")

    told = t3b_ray.run(PIPELINE, pool=t3b_ray.Pool(workers=3, program=PROGRAM), progress=progress, **RUN)
    answer = {"n_before": n_before, "killed": killed, "committed": told.committed, "lost": told.lost}
    print(json.dumps({**answer, "found": told.found, "restarts": told.restarts}))
    ray.shutdown()
    cluster.shutdown()


DRIVER = f"""
import sys, ray, t3b_ray
ray.init(address=sys.argv[1], log_to_driver=False)
t3b_ray.run({PIPELINE!r}, pool=t3b_ray.Pool(workers=2, program={PROGRAM!r}), **{RUN!r})
"""

if __name__ == "__main__":
    main()
