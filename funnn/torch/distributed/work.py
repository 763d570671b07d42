"""Operations that are under way: a thread for each group, which runs its operations in order, and what a program holds of one.

The thread only computes on arrays; what was computed is written into tensors by the thread that waits for it, where the tensors are used.
"""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from funnn.torch.distributed._cluster import busy, timeout_of
from funnn.torch.distributed.errors import DistBackendError, MismatchError, ProcessGoneError
from funnn.torch.futures import Future

_TICK = 1.0  # seconds between looks at whether the others are still there
_NEWS, _PAUSE = 2.0, 0.02  # seconds in which a process hears that another has ended, and between looks at it
_GRACE = 10.0  # seconds that an operation may go on after another process has left


class Worker:
    """A thread that runs functions in the order in which they come. It ends with the process, even where a function never returns."""

    def __init__(self, name: str):
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None

    def submit(self, function: Callable[[], Any]) -> concurrent.futures.Future[Any]:
        """Run a function after those before it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name=self._name)
            self._thread.start()
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._jobs.put((function, future))
        return future

    def stop(self) -> None:
        """End the thread after what has been submitted."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, future = job
            busy.add(threading.current_thread())
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            finally:
                busy.discard(threading.current_thread())
            del job, function, future


class Work:
    """An operation that is under way, or done.

    Args:
      what: its name, for errors.
      future: of what the group's thread computes; None where it is done already.
      finish: takes what was computed, writes it into the operation's tensors, and returns these.
      timeout: seconds that ``wait`` waits.
      check: called once a second while it waits; raises where there is no use in waiting on.
      failed: called with the error that makes waiting end without the operation having ended.
    """

    def __init__(
        self,
        what: str,
        future: Any = None,
        finish: Callable[[Any], list[Any]] = lambda found: found,
        timeout: float = 1800.0,
        check: Callable[[], None] = lambda: None,
        failed: Callable[[Exception], None] = lambda error: None,
    ):
        self._what, self._future, self._finish = what, future, finish
        self._timeout, self._check, self._failed = timeout, check, failed
        self._result: list[Any] = []
        self._error: Exception | None = None
        self._is_finished = False
        if future is None:
            self._settle(None)

    def _settle(self, found: Any) -> None:
        self._result, self._is_finished = self._finish(found), True

    def wait(self, timeout: Any = None) -> bool:
        """Wait until it is done and its tensors have what came; True.

        Args:
          timeout: a timedelta; by default the group's.

        Raises:
          DistBackendError: it failed, another process of the group has ended, or it took longer than the timeout.
        """
        if not self._is_finished:
            try:
                self._settle(self._await(timeout_of(timeout, self._timeout)))
            except Exception as error:
                self._error = error
                raise
        return True

    def _await(self, limit: float) -> Any:
        end = time.monotonic() + limit
        while not self._is_done(min(_TICK, end - time.monotonic())):
            try:
                self._check()
                if time.monotonic() >= end:
                    raise self._late(limit)
            except Exception as error:
                is_over = isinstance(error, ProcessGoneError) and not error.has_failed
                if is_over and self._is_done(_GRACE):  # it left after its own part, of which the last comes still
                    break
                self._failed(error)
                raise
        error = self._future.exception()
        if error is not None:
            self._explain(error)
            raise error
        return self._future.result()

    def _explain(self, error: BaseException) -> None:
        """Raise what says more than an error of XLA's, which comes first where the connection to another process closes: that it has ended, and why."""
        end = time.monotonic() + (0.0 if isinstance(error, MismatchError) else _NEWS)
        self._check()
        while time.monotonic() < end:
            time.sleep(_PAUSE)
            self._check()

    def _is_done(self, seconds: float) -> bool:
        """Whether it is done by then."""
        return bool(concurrent.futures.wait([self._future], max(0.0, seconds)).done)

    def _late(self, limit: float) -> Exception:
        return DistBackendError(
            f"{self._what} timed out after {limit:g} s, for not all processes of the group have come to it; see that each of them calls it, in the same "
            "order, or pass a longer timeout to init_process_group or new_group"
        )

    def is_completed(self) -> bool:
        """Whether it is done."""
        if not self._is_finished and self._future.done():
            self.wait()
        return self._is_finished

    def is_success(self) -> bool:
        """Whether it is done, and did not fail."""
        return self.is_completed() and self._error is None

    def exception(self) -> Exception | None:
        """What it failed of, if it did."""
        return self._error

    def synchronize(self) -> None:
        """The same as ``wait``."""
        self.wait()

    block_current_stream = synchronize

    def result(self) -> list[Any]:
        """The tensors that it wrote."""
        self.wait()
        return self._result

    def get_future(self) -> Future[Any]:
        """A Future of the tensors that it writes."""
        return _WorkFuture(self)


class _WorkFuture(Future[Any]):
    """The tensors of a Work; who asks for them waits for it."""

    def __init__(self, work: Work):
        super().__init__()
        self._work = work

    def _complete_now(self) -> None:
        if not self._done:
            try:
                self.set_result(self._work.result())
            except Exception as error:
                self.set_exception(error)

    def done(self) -> bool:
        if self._work.is_completed():
            self._complete_now()
        return super().done()

    def wait(self) -> Any:
        self._complete_now()
        return super().wait()

    def _when_done(self, callback: Callable[[Future[Any]], Any]) -> None:
        self._complete_now()
        super()._when_done(callback)
