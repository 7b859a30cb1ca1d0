"""One actor: a process `t3b worker --stdin` and the two ends of its pipes."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import dataclass

import ray

# Exit codes that the same command mends: the store gave up, a signal came.
AGAIN = (74, 75)  # exit codes: again
# A run that is published, and one of which more was left out than its pipeline allows.
DONE = (0, 3)
# Most bytes of a process's own words that are repeated.
WORDS_BYTES = 4000
# Numbers in hand of one worker: one that is scored and one that is read ahead.
IN_HAND = 2


@dataclass(frozen=True)
class Ended:
    """How a process ended; a negative code is the signal that ended it."""

    code: int
    words: str
    # Of the process: several partitions are answered by one end.
    pid: int = 0

    @property
    def is_fatal(self) -> bool:
        """Whether trying again cannot help: neither a signal, nor a code that resumes, nor the end of a run."""
        return self.code > 0 and self.code not in AGAIN and not self.is_done

    @property
    def is_done(self) -> bool:
        """Whether the run is published, be it with more left out than is allowed: whoever begins then reads no number."""
        return self.code in DONE


class Process:
    """One life of the program: numbers go in, answers come out in any order, its end answers all that are open."""

    def __init__(self, command: list[str]):
        self._words = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, text=True
        )
        self._lock, self._open, self.ended = threading.Lock(), {}, None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, partition: int) -> Future:
        """What becomes of a partition: an answer, or how the process ended."""
        answer = Future()
        with self._lock:
            if self.ended:
                answer.set_result(self.ended)
                return answer
            self._open[partition] = answer
            try:
                self._process.stdin.write(f"{partition}\n")
                self._process.stdin.flush()
            except OSError:
                # The reader finds the end of the other pipe, and answers.
                pass
        return answer

    def close(self) -> Ended:
        """Ends the lines, after which the program finishes what is open, publishes if it can, and ends."""
        with self._lock:
            try:
                self._process.stdin.close()
            except OSError:
                # It has ended already.
                pass
        self._reader.join()
        return self.ended

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        for line in self._process.stdout:
            said = json.loads(line)
            with self._lock:
                answer = self._open.pop(said["partition"], None)
            if answer:
                answer.set_result(said)
        code = self._process.wait()
        size = self._words.seek(0, 2)
        self._words.seek(max(0, size - WORDS_BYTES))
        ended = Ended(code, self._words.read().decode(errors="replace"), self.pid)
        with self._lock:
            self.ended, unanswered = ended, list(self._open.values())
        for answer in unanswered:
            answer.set_result(ended)


@ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=IN_HAND + 1)
class Worker:
    """Scores partitions; its process is started again after it ended."""

    def __init__(self, command: list[str]):
        # The name that claims, receipts and `t3b status` show: the node tells one machine of the cluster from another.
        name = f"ray-{ray.get_runtime_context().get_node_id()[:8]}-{os.getpid()}"
        self._command, self._process, self._lock = [*command, "--stdin", "--name", name], None, threading.Lock()

    def score(self, partition: int) -> dict | Ended:
        """The process's answer about a partition, or how it ended."""
        return self._running().ask(partition).result()

    def pid(self) -> int:
        """The process, for those who watch it."""
        return self._running().pid

    def close(self) -> Ended | None:
        """Ends the process; how it ended where that was with a fault."""
        ended = self._process.close() if self._process else None
        return ended if ended and ended.code != 0 else None

    def _running(self) -> Process:
        with self._lock:
            if self._process is None or self._process.ended:
                self._process = Process(self._command)
            return self._process
