"""Threads that read the next picture and write the last, while the network works on this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager

from devotools.pipeline.outcome import Outcome

AHEAD = 2**25  # pixels that may wait to be labelled and written
WAITING = 16  # outcomes that may wait to be recorded
WRITERS = 2


class Workshop(AbstractContextManager):
    """One thread that reads, two that label and write; outcomes come in the order of the work."""

    def __init__(self) -> None:
        self.reader = ThreadPoolExecutor(1, "read")
        self._writers = ThreadPoolExecutor(WRITERS, "write")
        self._busy: deque[tuple[int, Future]] = deque()
        self._coming: deque[Future] = deque()

    def __exit__(self, *_: object) -> None:
        self.reader.shutdown(cancel_futures=True)
        self._writers.shutdown(cancel_futures=True)

    def submit(self, pixels: int, work: Callable[..., Outcome], *arguments: object) -> None:
        """Have ``work`` done that keeps so many ``pixels`` in memory; wait if that is too much."""
        while self._busy and sum(cost for cost, _ in self._busy) + pixels > AHEAD:
            self._busy.popleft()[1].exception()  # only waits: it is raised where it is collected
        self._busy = deque((cost, one) for cost, one in self._busy if not one.done())
        self._coming.append(self._writers.submit(work, *arguments))
        self._busy.append((pixels, self._coming[-1]))

    def take(self, outcome: Outcome) -> None:
        """Take an outcome that is there already, into the same order."""
        self._coming.append(Future())
        self._coming[-1].set_result(outcome)

    def finished(self, everything: bool = False) -> Iterator[Outcome]:
        """The outcomes that are ready; all of them, where too many wait or ``everything`` is said.

        Raises what the work raised.
        """
        while self._coming and (
            everything or len(self._coming) > WAITING or self._coming[0].done()
        ):
            yield self._coming.popleft().result()

    def rescued(self) -> Iterator[Outcome]:
        """After an error: what was finished all the same, or is being finished."""
        self._writers.shutdown(cancel_futures=True)
        for future in self._coming:
            if not future.cancelled() and future.exception() is None:
                yield future.result()
