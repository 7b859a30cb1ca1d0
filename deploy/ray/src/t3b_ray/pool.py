"""Sends the partitions of a run to actors until each has a receipt."""

from __future__ import annotations

import json
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, WorkerCrashedError

from .worker import IN_HAND, Ended, Worker

# How Ray tells that an actor, its process or its node is gone.
GONE = (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError)


@dataclass(frozen=True)
class Pool:
    """What is asked of the cluster: actors, and what each of them takes; a GPU may be shared by a fraction.

    At most `max_workers` actors are asked for at once, never more than there are partitions left. One without work is ended, above
    `min_workers`, so that an autoscaler can take its machine back; those that are kept publish together.
    """

    min_workers: int = 1
    max_workers: int = 2
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 5
    program: str = "t3b"


@dataclass
class Told:
    """What became of the partitions of one call, and of its workers: processes and actors that ended before their work did."""

    committed: int = 0
    lost: int = 0
    found: int = 0
    restarts: int = 0
    # Actors that are there now; those that the cluster has no room for are not.
    workers: int = 0
    tries: dict[int, int] = field(default_factory=dict)


class Fatal(RuntimeError):
    """A partition that trying again cannot help, or that was tried too often."""


def run(
    pipeline: str,
    *,
    run_id: str,
    output: str,
    pool: Pool = Pool(),
    run_date: str | None = None,
    more: tuple[str, ...] = (),
    progress: Callable[[Told, int], None] | None = None,
) -> Told:
    """Finishes a run on the cluster that this process is connected to, and publishes it.

    `more` are further arguments of `t3b worker`, in pairs, such as `("--set", "threads.score=4")`. Raises `Fatal`.
    """
    settings = [pipeline, "--output", output, *more]
    named = ["--run-id", run_id, *(["--run-date", run_date] if run_date else [])]
    on_worker = {"num_cpus": pool.cpus, "num_gpus": pool.gpus}
    planned = _told_by([pool.program, "plan", *settings, "--json"], pool, on_worker)
    n_partitions = json.loads(planned)["n_partitions"]
    uri, of_run = f"{output.rstrip('/')}/_t3b/runs/{run_id}", _of_run(more)
    if _n_committed([pool.program, "status", uri, "--json", *of_run], on_worker) == n_partitions:
        # Nobody has to load a model, nor to wait for whoever was lost while it published.
        told = Told(found=n_partitions)
    else:
        command = [pool.program, "worker", *settings, *named]
        told = _Crew(command, pool, on_worker, n_partitions, progress).work()
    # Whoever published first, this looks whether all is there, and publishes what a lost worker did not.
    _told_by([pool.program, "finalize", uri, *of_run], pool, on_worker)
    return told


def _of_run(more: tuple[str, ...]) -> list[str]:
    """Those of a worker's further arguments that commands about a run take too: config files, and where the store is."""
    pairs = zip(more[::2], more[1::2])
    return [word for flag, value in pairs if flag == "--config" or value.startswith("store.") for word in (flag, value)]


def _n_committed(command: list[str], on_worker: dict[str, float]) -> int:
    """Partitions of a run that have receipts; 0 where it is not begun, or cannot be looked at, which a worker says better."""
    ended, said = ray.get(_call.options(**on_worker).remote(command))
    return json.loads(said)["n_committed"] if ended.code == 0 else 0


def _told_by(command: list[str], pool: Pool, on_worker: dict[str, float]) -> str:
    """What a command prints on some node; it is called again after ends that this mends. Raises `Fatal`."""
    for _ in range(max(1, pool.retries)):
        ended, said = ray.get(_call.options(**on_worker).remote(command))
        if ended.is_done:
            return said
        if ended.is_fatal:
            break
    raise Fatal(f"t3b {command[1]} ended with {ended.code}: {ended.words}")


@ray.remote(max_retries=3)
def _call(command: list[str]) -> tuple[Ended, str]:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ended(said.returncode, said.stderr), said.stdout


class _Crew:
    """The actors of one call and the partitions that each has in hand."""

    def __init__(self, command, pool, on_worker, n_partitions, progress):
        self._make = lambda: Worker.options(**on_worker).remote(command)
        self._pool, self._progress, self._n_partitions = pool, progress, n_partitions
        self._todo = deque(range(n_partitions))
        self._told = Told()
        # What is waited for: an actor's answer about a partition, or, with none, that the cluster has found room for it.
        self._asked: dict[ray.ObjectRef, tuple[object, int | None]] = {}
        self._ready: list[object] = []
        self._gone: list[object] = []
        self._ends: set[tuple[object, int]] = set()
        self._n_open, self._n_lost_in_a_row = 0, 0
        for _ in range(min(pool.max_workers, max(1, n_partitions))):
            self._begin()

    def work(self) -> Told:
        """Asks until every partition has an answer."""
        while self._todo or self._n_open:
            done, _ = ray.wait(list(self._asked), num_returns=1)
            self._take(done[0])
            for actor in list(self._ready):
                self._fill(actor)
            self._told.workers = len(self._ready)
            if self._progress:
                self._progress(self._told, self._n_partitions)
        self._end()
        return self._told

    def _begin(self) -> None:
        """Asks for one more actor; no number is given to it before it is there."""
        actor = self._make()
        self._asked[actor.pid.remote()] = (actor, None)

    def _fill(self, actor) -> None:
        """Gives an actor numbers while it has room; one that has nothing to do is ended where more are there than are to be kept."""
        in_hand = sum(1 for of, _ in self._asked.values() if of is actor)
        while self._todo and in_hand < IN_HAND:
            partition = self._todo.popleft()
            self._asked[actor.score.remote(partition)] = (actor, partition)
            self._n_open += 1
            in_hand += 1
        if in_hand == 0 and len(self._ready) > self._pool.min_workers and self._n_open:
            self._ready.remove(actor)
            self._gone.append(actor)
            ray.kill(actor)

    def _take(self, answer) -> None:
        actor, partition = self._asked.pop(answer)
        self._n_open -= partition is not None
        try:
            said = ray.get(answer)
        except GONE:
            if partition is not None:
                self._again(partition, Ended(-9, "the actor or its node is gone"))
            self._lose(actor)
            return
        if partition is None:
            self._ready.append(actor)
        elif isinstance(said, Ended) and said.is_done:
            self._told.found += 1
        elif isinstance(said, Ended):
            if (actor, said.pid) not in self._ends:
                self._ends.add((actor, said.pid))
                self._told.restarts += 1
            self._again(partition, said)
        else:
            self._n_lost_in_a_row = 0
            setattr(self._told, said["state"], getattr(self._told, said["state"]) + 1)

    def _again(self, partition: int, ended: Ended) -> None:
        tries = self._told.tries[partition] = self._told.tries.get(partition, 1) + 1
        if ended.is_fatal or tries > self._pool.retries:
            raise Fatal(f"partition {partition}, try {tries - 1}: the worker ended with {ended.code}: {ended.words}")
        self._todo.appendleft(partition)

    def _lose(self, actor) -> None:
        """Asks for an actor in the place of one that is gone, once: each of its answers says that it is."""
        if actor in self._gone:
            return
        self._gone.append(actor)
        if actor in self._ready:
            self._ready.remove(actor)
        self._told.restarts += 1
        # Machines may be taken away as often as they are given as long as partitions are answered in between.
        self._n_lost_in_a_row += 1
        if self._n_lost_in_a_row > self._pool.max_workers * self._pool.retries:
            raise Fatal(f"{self._n_lost_in_a_row} workers were lost one after the other")
        self._begin()

    def _end(self) -> None:
        """Ends the actors, which publish together; those that the cluster never had room for are not asked for any longer.

        Nobody waits for one that is lost on the way: the others would, until its claim on publishing is old. What follows publishes the rest.
        """
        closing = {actor.close.remote(): actor for actor in self._ready}
        try:
            while closing:
                done, _ = ray.wait(list(closing), num_returns=1)
                del closing[done[0]]
                ended = ray.get(done[0])
                if ended and ended.is_fatal:
                    raise Fatal(f"a worker ended with {ended.code}: {ended.words}")
                if ended and not ended.is_done:
                    break
        except GONE:
            pass
        finally:
            for actor in [*self._ready, *(actor for actor, _ in self._asked.values())]:
                ray.kill(actor)
