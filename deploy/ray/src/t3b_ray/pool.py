"""Sends the partitions of a run to actors until each has a receipt."""

from __future__ import annotations

import json
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import ray
from ray.exceptions import RayActorError

from .worker import IN_HAND, Ended, Worker


@dataclass(frozen=True)
class Pool:
    """What is asked of the cluster: actors, and what each of them takes; a GPU may be shared by a fraction."""

    workers: int = 2
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 5
    program: str = "t3b"


@dataclass
class Told:
    """What became of the partitions of one call, and of its workers."""

    committed: int = 0
    lost: int = 0
    found: int = 0
    restarts: int = 0
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

    `more` are further arguments of `t3b worker`, such as `("--set", "threads.score=4")`. Raises `Fatal`.
    """
    settings = [pipeline, "--output", output, *more]
    named = ["--run-id", run_id, *(["--run-date", run_date] if run_date else [])]
    on_worker = {"num_cpus": pool.cpus, "num_gpus": pool.gpus}
    n_partitions = ray.get(_n_partitions.options(**on_worker).remote([pool.program, "plan", *settings, "--json"]))
    command = [pool.program, "worker", *settings, *named]
    told = _Crew(command, pool, on_worker, n_partitions, progress).work()
    uri = f"{output.rstrip('/')}/_t3b/runs/{run_id}"
    ended = ray.get(_finalize.options(**on_worker).remote([pool.program, "finalize", uri]))
    if ended.code not in (0, 3):
        raise Fatal(f"t3b finalize ended with {ended.code}: {ended.words}")
    return told


@ray.remote(max_retries=3)
def _n_partitions(command: list[str]) -> int:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise Fatal(f"t3b plan ended with {said.returncode}: {said.stderr}")
    return json.loads(said.stdout)["n_partitions"]


@ray.remote(max_retries=3)
def _finalize(command: list[str]) -> Ended:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ended(said.returncode, said.stderr)


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
        self._lost: list[object] = []
        self._n_open = 0
        for _ in range(min(pool.workers, max(1, n_partitions))):
            self._begin()

    def work(self) -> Told:
        """Asks until every partition has an answer."""
        while self._todo or self._n_open:
            done, _ = ray.wait(list(self._asked), num_returns=1)
            self._take(done[0])
            for actor in self._ready:
                self._fill(actor)
            if self._progress:
                self._progress(self._told, self._n_partitions)
        self._end()
        return self._told

    def _begin(self) -> None:
        """Asks for one more actor; no number is given to it before it is there."""
        actor = self._make()
        self._asked[actor.pid.remote()] = (actor, None)

    def _fill(self, actor) -> None:
        """Gives an actor numbers while it has room."""
        in_hand = sum(1 for of, _ in self._asked.values() if of is actor)
        while self._todo and in_hand < IN_HAND:
            partition = self._todo.popleft()
            self._asked[actor.score.remote(partition)] = (actor, partition)
            self._n_open += 1
            in_hand += 1

    def _take(self, answer) -> None:
        actor, partition = self._asked.pop(answer)
        self._n_open -= partition is not None
        try:
            said = ray.get(answer)
        except RayActorError:
            if partition is not None:
                self._again(partition, Ended(-9, "the actor or its node is gone"))
            self._lose(actor)
            return
        if partition is None:
            self._ready.append(actor)
        elif isinstance(said, Ended):
            self._told.restarts += 1
            self._again(partition, said)
        else:
            setattr(self._told, said["state"], getattr(self._told, said["state"]) + 1)

    def _again(self, partition: int, ended: Ended) -> None:
        tries = self._told.tries[partition] = self._told.tries.get(partition, 1) + 1
        if ended.is_fatal or tries > self._pool.retries:
            raise Fatal(f"partition {partition}, try {tries - 1}: the worker ended with {ended.code}: {ended.words}")
        self._todo.appendleft(partition)

    def _lose(self, actor) -> None:
        """Asks for an actor in the place of one that is gone, once: each of its answers says that it is."""
        if actor in self._lost:
            return
        self._lost.append(actor)
        if actor in self._ready:
            self._ready.remove(actor)
        self._told.restarts += 1
        if self._told.restarts > self._pool.workers * self._pool.retries:
            raise Fatal(f"{self._told.restarts} workers were lost")
        self._begin()

    def _end(self) -> None:
        """Ends the actors; those that the cluster never had room for are not asked for any longer."""
        for actor, _ in self._asked.values():
            ray.kill(actor)
        for actor in self._ready:
            try:
                ended = ray.get(actor.close.remote())
            except RayActorError:
                # Everything is committed; whoever is gone has nothing left to do.
                continue
            ray.kill(actor)
            if ended and ended.is_fatal and ended.code != 3:
                raise Fatal(f"a worker ended with {ended.code}: {ended.words}")
