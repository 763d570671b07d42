"""torch.futures: a value that is not there yet, and what is done when it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")


class Future(Generic[T]):
    """A value, or an exception, that somebody sets later, in this thread or another.

    Args:
      devices: is checked to be a list and kept for nothing.
    """

    def __init__(self, *, devices: list[Any] | None = None):
        self._ready = threading.Condition()
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], Any]] = []

    def done(self) -> bool:
        """Whether the value or exception is there."""
        return self._done

    def wait(self) -> T:
        """The value, when it is there; the exception is raised."""
        with self._ready:
            self._ready.wait_for(lambda: self._done)
        if self._error is not None:
            raise self._error
        return self._value

    def value(self) -> T:
        """The value, which must be there.

        Raises:
          RuntimeError: it is not.
        """
        if not self._done:
            raise RuntimeError("the Future is not completed: call wait()")
        return self.wait()

    def set_result(self, result: T) -> None:
        """Set the value, and call the callbacks.

        Raises:
          RuntimeError: it has been set.
        """
        self._complete(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Set the exception that :meth:`wait` raises.

        Raises:
          AssertionError: it is none.
        """
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._complete(None, result)

    def _complete(self, value: Any, error: BaseException | None) -> None:
        with self._ready:
            if self._done:
                raise RuntimeError(
                    "Attempting to mark a completed Future as complete again. Note that a Future can only be marked completed once."
                )
            self._value, self._error, self._done = value, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._ready.notify_all()
        for callback in callbacks:
            callback(self)

    def _when_done(self, callback: Callable[[Future[T]], Any]) -> None:
        with self._ready:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future[T]], Any]) -> Future[Any]:
        """A Future of what ``callback(self)`` gives when this one is done."""
        result: Future[Any] = Future()

        def call(future: Future[T]) -> None:
            try:
                value = callback(future)
            except Exception as error:
                text = f"Got the following error when running the callback: {type(error).__name__}: {error}"
                result.set_exception(RuntimeError(text).with_traceback(error.__traceback__))
            else:
                result.set_result(value)

        self._when_done(call)
        return result

    def add_done_callback(self, callback: Callable[[Future[T]], Any]) -> None:
        """Call ``callback(self)`` when this one is done."""
        self._when_done(callback)


def collect_all(futures: list[Future[Any]]) -> Future[list[Future[Any]]]:
    """A Future of the list, which is done when all of them are."""
    result: Future[list[Future[Any]]] = Future()
    lock, missing = threading.Lock(), [len(futures)]

    def count(_: Future[Any]) -> None:
        with lock:
            missing[0] -= 1
            last = not missing[0]
        if last:
            result.set_result(futures)

    if not futures:
        result.set_result(futures)
    for future in futures:
        future._when_done(count)
    return result


def wait_all(futures: list[Future[Any]]) -> list[Any]:
    """The values of all, when they are there; the first exception is raised."""
    return [future.wait() for future in collect_all(futures).wait()]
