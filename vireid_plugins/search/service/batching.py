"""Answer together what is asked at the same time."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class BusyError(Exception):
    """So many questions wait that no more are taken."""


@dataclass(frozen=True)
class _Waiting(Generic[Asked, Answer]):
    asked: Asked
    future: "Future[Answer]"


class Batcher(Generic[Asked, Answer]):
    """One thread that answers everything that waits at once, at most `largest` questions; to be closed.

    Nothing waits for others to come: while a batch is answered, the next one gathers.

    Args:
        answer: answers questions, in their order. If it raises an error for several, each is asked alone.
        largest: questions that are answered together.
        waiting: questions that wait at a time.
    """

    def __init__(self, answer: Callable[[Sequence[Asked]], Sequence[Answer]], largest: int, waiting: int) -> None:
        self._answer, self._largest = answer, largest
        self._queue: queue.Queue[_Waiting[Asked, Answer] | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._run, name="vireid-search", daemon=True)
        self._thread.start()

    def ask(self, asked: Asked) -> "Future[Answer]":
        """Return the future answer; a future that is canceled before its turn costs nothing.

        Raises:
            BusyError: too many wait.
        """
        future: Future[Answer] = Future()
        try:
            self._queue.put_nowait(_Waiting(asked, future))
        except queue.Full:
            raise BusyError from None
        return future

    def close(self) -> None:
        """Answer what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ended = [first], False
            while len(batch) < self._largest and not ended:
                try:
                    one = self._queue.get_nowait()
                except queue.Empty:
                    break
                ended = one is None
                batch += [] if one is None else [one]
            self._settle([one for one in batch if one.future.set_running_or_notify_cancel()])
            if ended:
                return

    def _settle(self, batch: Sequence[_Waiting[Asked, Answer]]) -> None:
        try:
            answers = self._answer([one.asked for one in batch]) if batch else []
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for alone in batch:
                self._settle([alone])
            return
        for one, found in zip(batch, answers, strict=True):
            one.future.set_result(found)
