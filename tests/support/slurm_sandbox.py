"""Slurm on loopback, for one machine and one test: runs deploy/slurm's array, and has a task requeued after exit 75.

usage: slurm_sandbox.py PROGRAM; needs root, and Debian's munge, slurmctld, slurmd and slurm-client. Prints one JSON object.

A munged, a slurmctld and a slurmd with settings, keys, sockets and state of their own in a scratch folder, on free ports of 127.0.0.1; they are
ended by their ids. The first attempt of one task is sent SIGTERM while it works, as a machine that is taken away does, so that the program
drains and ends with 75; the script asks for the requeue itself. What nobody could start is said with the daemons' own words.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/bench"))

import crew

N_PARTITIONS, IMAGES, IMAGE_S, N_TASKS = 24, 4, 0.05, 3
CONF = """ClusterName=sandbox
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=30
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=65536 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# A worker's first attempt of task 0 is interrupted once it has begun; every other call is the program itself.
WRAPPER = """#!/bin/bash
if [ "$1" = worker ] && [ "${{SLURM_ARRAY_TASK_ID:-}}" = 0 ] && [ "${{SLURM_RESTART_COUNT:-0}}" = 0 ]; then
    {program} "$@" {more} &
    worker=$!
    until ls {run}/claims/*.json >/dev/null 2>&1; do sleep 0.1; done
    kill -TERM "$worker"
    wait "$worker"
    code=$?
    echo "$code" >> {folder}/interrupted
    exit "$code"
fi
exec {program} "$@" {more}
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Slurm:
    """The daemons, and commands that speak to them."""

    def __init__(self, folder):
        self.folder, self.daemons = folder, []
        host = socket.gethostname().split(".")[0]
        self.conf = folder / "slurm.conf"
        self.conf.write_text(CONF.format(host=host, folder=folder, ctld=free_port(), slurmd=free_port()))
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": f"{folder}/bin:/usr/sbin:{os.environ['PATH']}"}

    def start(self):
        places = [f"--{what}={self.folder}/munge.{what.split('-')[0]}" for what in ("key-file", "socket", "pid-file", "log-file", "seed-file")]
        self.daemon("munged", "--foreground", "--force", *places)
        self.wait("munge's socket", (self.folder / "munge.socket").exists)
        self.daemon("slurmctld", "-D", "-i", "-f", str(self.conf))
        self.daemon("slurmd", "-D", "-f", str(self.conf))
        self.wait("an idle node", lambda: "idle" in self.call("sinfo", "-h", "-o", "%T", check=False))

    def daemon(self, *command):
        log = open(self.folder / f"{command[0]}.out", "wb")
        self.daemons.append((command[0], subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)))

    def call(self, *command, check=True, **more):
        said = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, **more)
        if check and said.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: {said.stdout} {said.stderr}\n{self.logs()}")
        return said.stdout + said.stderr

    def wait(self, what, is_there, seconds=60):
        until = time.monotonic() + seconds
        while not is_there():
            ended = [(name, process.returncode) for name, process in self.daemons if process.poll() is not None]
            if ended or time.monotonic() > until:
                raise SystemExit(f"no {what}; ended: {ended}\n{self.logs()}")
            time.sleep(0.2)

    def logs(self):
        texts = [f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in sorted(self.folder.glob("*.out"))]
        return "\n".join(texts + [f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in sorted(self.folder.glob("*.log"))])

    def stop(self):
        for _, process in reversed(self.daemons):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def prepare(program, folder):
    """Archive, pipeline, reference and the wrapper; the arguments that every call gets."""
    archive = crew.Archive(program, f"{folder}/demo", N_PARTITIONS * IMAGES)
    server = crew.Server(archive.files, IMAGE_S / N_TASKS)
    pipeline = folder / "pipeline.toml"
    pipeline.write_text(crew.PIPELINE.format(size=IMAGES, batch=IMAGES, models=archive.models))
    os.environ |= {"AWS_ACCESS_KEY_ID": "slurm", "AWS_SECRET_ACCESS_KEY": "slurm", "AWS_REGION": "us-east-1"}
    more = ["--run-date", "2026-01-02", "--set", "store.allow_http=true"]
    more += ["--set", f"store.endpoint=http://127.0.0.1:{server.server_address[1]}"]
    one = [program, "run", str(pipeline), "--run-id", "r", "--output", f"{folder}/reference", *more]
    subprocess.run(one, check=True, capture_output=True)
    (folder / "bin").mkdir()
    wrapper = folder / "bin/t3b"
    words = " ".join([*more, "--output", f"{folder}/out"])
    wrapper.write_text(WRAPPER.format(program=program, folder=folder, run=f"{folder}/out/_t3b/runs/r", more=words))
    wrapper.chmod(0o755)
    return pipeline


def main():
    program = str(Path(sys.argv[1]).resolve())
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name, path=f"/usr/sbin:{os.environ['PATH']}")]
    if missing or os.geteuid() != 0:
        print(f"skipped: {f'no {missing}' if missing else 'slurmd needs root'}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="t3b-slurm-"))
    folder.chmod(0o755)
    pipeline = prepare(program, folder)
    slurm = Slurm(folder)
    script = str(ROOT / "deploy/slurm/t3b-workers.sbatch")
    try:
        slurm.start()
        array = [f"--array=0-{N_TASKS - 1}", f"--export=ALL,PIPELINE={pipeline},RUN=r"]
        tested = slurm.call("sbatch", "--test-only", *array, script, cwd=folder).strip()
        job = re.search(r"\d+", slurm.call("sbatch", *array, script, cwd=folder)).group()
        slurm.wait("end of the array", lambda: not slurm.call("squeue", "-h", "-t", "all", "-o", "%T").replace("COMPLETED", "").strip(), 180)
        tasks = {}
        for line in slurm.call("scontrol", "show", "job", "-o", job).splitlines():
            word = dict(pair.split("=", 1) for pair in line.split() if "=" in pair)
            tasks[word["ArrayTaskId"]] = {key: word[key] for key in ("JobState", "Restarts", "ExitCode")}
        interrupted = (folder / "interrupted").read_text().split()
        same = crew.sha256(folder / "out") == crew.sha256(folder / "reference")
        version = slurm.call("slurmctld", "-V").strip()
        print(json.dumps({"version": version, "test_only": tested, "tasks": tasks, "interrupted_with": interrupted, "same": same}))
        good = same and interrupted == ["75"] and tasks["0"]["Restarts"] == "1" and all(one["JobState"] == "COMPLETED" for one in tasks.values())
        if not good:
            print("\n".join(path.read_text() for path in folder.glob("slurm-*.out")), slurm.logs(), file=sys.stderr)
        return 0 if good else 1
    finally:
        slurm.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
