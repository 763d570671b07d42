"""Timer: runs a statement again and again. A run ends when all that it computes is computed."""

from __future__ import annotations

import ast
import enum
import sys
import textwrap
import time
import timeit
from collections.abc import Callable
from typing import Any, NoReturn

import jax

from funnn.engine.program.graph import flush
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import flatten
from funnn.torch.utils.benchmark.utils.common import Measurement, TaskSpec

timer = time.perf_counter


class Language(enum.Enum):
    """Of the statement."""

    PYTHON = 0
    CPP = 1


def _wait(result: Any = None) -> None:
    """Until what has been recorded is computed, and the tensors in a result are there."""
    flush()
    jax.block_until_ready([leaf._operand().known() for leaf in flatten(result)[0] if isinstance(leaf, Tensor)])


class Timer:
    """How long a statement takes.

    Args:
      stmt: the statement, as text.
      setup: runs once before each measurement, with the statement's names.
      global_setup: for C++ alone.
      timer: a clock, in seconds.
      globals: names that the statement knows; ``torch`` is there anyway.
      label, sub_label, description, env: what reports call it.
      num_threads: is kept for reports; XLA has its own threads.
      language: "python".

    Raises:
      NotImplementedError: the language is C++.

    Example:
      >>> t = Timer("x + 1", setup="x = torch.ones(3)")
      >>> t.timeit(10).number_per_run
      10
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: Language | str = Language.PYTHON,
    ):
        if language not in (Language.PYTHON, "py", "python"):
            raise NotImplementedError("torch.utils.benchmark.Timer times Python; C++ has no funnn.torch to call")
        if global_setup:
            raise TypeError(f"global_setup is C++ only, got `{global_setup}`. Most likely this code can simply be moved to `setup`.")
        if stmt == "":
            stmt = "pass"
        stmt, setup = (textwrap.dedent(text).strip("\n") if "\n" in text else text for text in (stmt, setup))
        self._task_spec = TaskSpec(stmt, setup, global_setup, label, sub_label, description, env, num_threads)
        names = {"torch": sys.modules["funnn.torch"], **(globals or {}), "_wait_for": _wait}
        self._timer = timeit.Timer(_waiting(stmt), setup, timer, names)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """Run it ``number`` times, after a hundredth of that to warm up."""
        self._timer.timeit(max(number // 100, 2))
        return Measurement(number, [self._timer.timeit(number)], self._task_spec)

    def blocked_autorange(self, callback: Callable[[int, float], NoReturn] | None = None, min_run_time: float = 0.2) -> Measurement:
        """Blocks of runs until they took ``min_run_time`` seconds in all. A block is so long that the clock costs no more than a thousandth of it."""
        number = self._block(min_run_time)
        times: list[float] = []
        while sum(times) < min_run_time:
            times.append(self._timer.timeit(number))
            if callback is not None:
                callback(number, times[-1])
        return Measurement(number, times, self._task_spec)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Callable[[int, float], NoReturn] | None = None,
    ) -> Measurement:
        """Blocks of runs until the middle half of their times lies within ``threshold`` of the median, or they took ``max_run_time`` seconds."""
        number = self._block(min_run_time)
        times: list[float] = []
        while True:
            times.append(self._timer.timeit(number))
            if callback is not None:
                callback(number, times[-1])
            measured = Measurement(number, times, self._task_spec)
            if sum(times) > max_run_time or (len(times) > 3 and sum(times) > min_run_time and measured.meets_confidence(threshold)):
                return measured

    def _block(self, min_run_time: float) -> int:
        """How many runs make a block."""
        self._timer.timeit(2)
        overhead = min(timeit.Timer("pass").timeit(1) for _ in range(5))
        number = 1
        while (taken := self._timer.timeit(number)) < min_run_time and not (overhead / taken <= 1e-4 and taken >= min_run_time / 1000):
            number *= 10
        return number

    def collect_callgrind(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there.

        Raises:
          NotImplementedError: always.
        """
        raise NotImplementedError(
            "torch.utils.benchmark.Timer.collect_callgrind counts instructions of PyTorch's binary; use jax.profiler.trace"
        )


def _waiting(stmt: str) -> str:
    """The statement, at whose end its value is waited for."""
    body = ast.parse(stmt).body
    if body and isinstance(body[-1], ast.Expr):
        lines = stmt.splitlines()
        last = body[-1]
        head = [*lines[: last.lineno - 1], lines[last.lineno - 1].encode()[: last.col_offset].decode()]
        before = "\n".join(head).rstrip()
        return f"{before}{'' if before.endswith(';') or not before else chr(10)}_wait_for({ast.unparse(last.value)})"
    return f"{stmt}\n_wait_for()"
