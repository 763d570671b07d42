"""Where a program's time goes: clocks around operations, put in while a profile wants them and taken out afterwards.

Nothing on the way of an operation asks whether somebody measures, so measuring costs nothing when it is off.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from funnn.engine.backward import walk
from funnn.engine.dispatch import call as _call
from funnn.engine.program.region import Region
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tensor.overrides import TorchFunctionMode
from funnn.engine.tensor.questions import is_question
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform import differentiate
from funnn.torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from funnn.torch.utils.data import dataloader


class Event:
    """The calls of one name; times in seconds.

    Attributes:
      key: the name.
      count: of calls.
      total: the time between their beginnings and ends.
      own: the same without what is counted under other names inside.
      compiling: the part of ``total`` in which JAX traced and XLA compiled.
    """

    def __init__(self, key: str):
        self.key, self.count, self.total, self.own, self.compiling = key, 0, 0.0, 0.0, 0.0

    def add(self, total: float, own: float, compiling: float) -> None:
        """Count one more call, which took these seconds."""
        self.count += 1
        self.total, self.own, self.compiling = self.total + total, self.own + own, self.compiling + compiling

    @property
    def cpu_time_total(self) -> float:
        """``total`` in microseconds."""
        return self.total * 1e6

    @property
    def self_cpu_time_total(self) -> float:
        """``own`` in microseconds."""
        return self.own * 1e6

    @property
    def cpu_time(self) -> float:
        """Microseconds of a call."""
        return self.cpu_time_total / self.count


Events = dict[str, Event]
_recorders: list[Events] = []  # of the profiles in progress


class _Frame:
    """A call in progress."""

    __slots__ = ("inside", "name", "spans", "start")

    def __init__(self, name: str, spans: int):
        self.name, self.spans, self.inside, self.start = name, spans, 0.0, time.perf_counter()


class _Thread(threading.local):
    def __init__(self) -> None:
        self.frames: list[_Frame] = []
        self.spans: list[tuple[float, float]] = []  # in which something was compiled, since the outermost frame began


_thread = _Thread()


def begin(name: str) -> _Frame:
    """A call begins."""
    frame = _Frame(name, len(_thread.spans))
    _thread.frames.append(frame)
    return frame


def end(frame: _Frame) -> None:
    """The call is over, and with it those inside that an exception left."""
    elapsed = time.perf_counter() - frame.start
    frames, spans = _thread.frames, _thread.spans
    while frames and frames.pop() is not frame:
        pass
    compiling = min(_covered(spans[frame.spans :]), elapsed)
    if frames:
        frames[-1].inside += elapsed
    else:
        spans.clear()
    for events in _recorders:
        events.setdefault(frame.name, Event(frame.name)).add(elapsed, elapsed - frame.inside, compiling)


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """How much time lies in at least one of the spans."""
    total, reached = 0.0, 0.0
    for start, stop in sorted(spans):
        total += max(stop - max(start, reached), 0.0)
        reached = max(reached, stop)
    return total


def record_into(events: Events) -> None:
    """Measure from now on."""
    if not _recorders:
        _put_in()
    _recorders.append(events)


def stop_recording(events: Events) -> None:
    """No longer measure for ``events``."""
    _recorders[:] = [other for other in _recorders if other is not events]
    if not _recorders:
        _take_out()


# -- the probes


def measure(name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
    """``function(*args, **kwargs)`` as one event, to the end of which the arrays that it returns are there."""
    frame = begin(name)
    try:
        result = function(*args, **kwargs)
        jax.block_until_ready(_arrays(result))
        return result
    finally:
        end(frame)


def _inside() -> bool:
    """Whether operations only are noted, to run later: in a transformation, or as a part of one program."""
    return thread.tracing is not None or thread.region is not None


def _timed(function: Callable, name: Callable[..., str]) -> Callable:
    """The function with a clock; while a program is traced, as it is."""

    @functools.wraps(function)
    def call_and_time(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs) if _inside() else measure(name(*args), function, args, kwargs)

    return call_and_time


def _arrays(result: Any) -> Any:
    """The arrays of the Tensors and Values in a result, which are computed now; other things are no matter."""
    leaves = jax.tree.leaves(result)
    return [leaf._storage.array if isinstance(leaf, Tensor) else leaf.known() if isinstance(leaf, Value) else leaf for leaf in leaves]


def _compiled_span(event: str, start: float, stop: float, **kwargs: Any) -> None:
    if event.startswith("/jax/core/compile/") and _thread.frames:
        _thread.spans.append((start, stop))


class _Clock(TorchFunctionMode):
    """A mode that measures the functions of torch that a program calls; what they call themselves does not ask it."""

    def __torch_function__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> Any:
        if _inside() or is_question(func):
            return NotImplemented
        return measure(func.__name__.strip("_"), func, args, kwargs or {})


def _patches() -> dict[tuple[Any, str], Callable[[Callable], Callable]]:
    """What to change: an owner's attribute, and how."""
    return {
        (differentiate, "pull_gradients"): lambda run: _timed(run, lambda *args: "backward"),
        (walk, "begin"): lambda begin: lambda *args: (None, None),  # each operation is walked to
        (_call.Recording, "pull"): lambda pull: _timed(pull, lambda node, *args: node.name()),
        (Region, "run"): lambda run: _timed(run, lambda region, *args: f"torch.compile: {region.name}"),
        (dataloader._Epoch, "__next__"): lambda run: _timed(run, lambda *args: "enumerate(DataLoader)"),
    }


def _before_step(optimizer: Any, args: tuple, kwargs: dict) -> None:
    if not _inside():
        begin(_step_name(optimizer))


def _after_step(optimizer: Any, args: tuple, kwargs: dict) -> None:
    name = _step_name(optimizer)
    frame = next((frame for frame in reversed(_thread.frames) if frame.name == name), None)
    if not _inside() and frame is not None:
        jax.block_until_ready([tensor._storage.array for group in optimizer.param_groups for tensor in group["params"]])
        end(frame)


def _step_name(optimizer: Any) -> str:
    return f"Optimizer.step#{type(optimizer).__name__}.step"


_undo: list[Callable[[], Any]] = []


def _put_in() -> None:
    for (owner, name), change in _patches().items():
        before = getattr(owner, name)
        setattr(owner, name, change(before))
        _undo.append(functools.partial(setattr, owner, name, before))
    clock = _Clock()
    clock.__enter__()
    _undo.append(lambda: setattr(thread, "function_modes", tuple(mode for mode in thread.function_modes if mode is not clock)))
    _undo.extend(hook.remove for hook in (register_optimizer_step_pre_hook(_before_step), register_optimizer_step_post_hook(_after_step)))
    jax.monitoring.register_event_time_span_listener(_compiled_span)


def _take_out() -> None:
    jax.monitoring.unregister_event_time_span_listener(_compiled_span)
    for undo in _undo:
        undo()
    _undo.clear()
