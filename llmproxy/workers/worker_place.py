"""One of the places for workers: the process that fills it now, its restarts, and how both are shown."""

from __future__ import annotations

from llmproxy.server.peers import WorkerRow
from llmproxy.workers.process import WorkerProcess

STEADY_S = 10.0
"""How long a worker must have lived to be started again at once."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0


class WorkerPlace:
    """The place of one worker, which has one process after another."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: WorkerProcess | None = None
        self.restarts = 0
        self.fault = ""
        self.pause_s = 0.0

    @property
    def serving(self) -> WorkerProcess | None:
        """Return its process while that serves."""
        return self.process if self.process is not None and self.process.serving else None

    def next_pause_s(self, lived_s: float) -> float:
        """Return how long to wait before it is started again: longer and longer while it ends at once."""
        if lived_s >= STEADY_S:
            self.pause_s = 0.0
            return 0.0
        self.pause_s = min(max(2 * self.pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        return self.pause_s

    def row(self) -> WorkerRow:
        """Return it as `/health` shows it."""
        process = self.process
        if process is None or process.ended.done():
            state = "restarting"
        else:
            state = "silent" if process.answering.silent else "serving" if process.serving else "starting"
        return WorkerRow(
            worker=self.number,
            pid=None if process is None or process.ended.done() else process.pid,
            state=state,
            restarts=self.restarts,
            connections=process.channel.open if process is not None and process.serving else 0,
        )

    def describe_fault(self) -> str:
        """Return a sentence when it does not serve."""
        process = self.process
        if process is not None and process.serving:
            return f"worker {self.number} does not answer" if process.answering.silent else ""
        return f"worker {self.number} does not serve" + (f": {self.fault}" if self.fault else "")
