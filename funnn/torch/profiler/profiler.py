"""A profile that a schedule switches on and off from step to step."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any

from funnn.torch.autograd import profiler as _autograd
from funnn.torch.autograd.profiler import record_function


class ProfilerActivity(enum.Enum):
    """What is measured; here always what the program waits for."""

    CPU, XPU, MTIA, CUDA, HPU, PrivateUse1 = range(6)


class ProfilerAction(enum.Enum):
    """What a profile does in a step."""

    NONE, WARMUP, RECORD, RECORD_AND_SAVE = range(4)


def kineto_available() -> bool:
    """False: times are taken by Python's clock."""
    return False


def supported_activities() -> set[ProfilerActivity]:
    """What can be measured."""
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """A function from the number of a step to the action: after ``skip_first`` steps, rounds of waiting, warming up and recording.

    Args:
      repeat: how many rounds; 0 for as many as there are.
      skip_first_wait: if not 0, the first round does not wait.

    Raises:
      AssertionError: a negative number, or no active step.
    """
    numbers = {"wait": wait, "warmup": warmup, "active": active, "repeat": repeat, "skip_first": skip_first}
    if min(numbers.values()) < 0 or active == 0:
        got = ", ".join(f"{name}={value} (need {'>' if name == 'active' else '>='} 0)" for name, value in numbers.items())
        raise AssertionError(f"Invalid profiler schedule arguments. Got {got}.")

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        length = wait + warmup + active
        if repeat and step // length >= repeat:
            return ProfilerAction.NONE
        place = step % length
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def _default_schedule_fn(_: int) -> ProfilerAction:
    """Record everything."""
    return ProfilerAction.RECORD


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable[[profile], None]:
    """Raises NotImplementedError: jax.profiler.trace(folder) writes files that TensorBoard shows."""
    raise NotImplementedError(
        "torch.profiler.tensorboard_trace_handler is not supported; use `with jax.profiler.trace(folder):`, whose files TensorBoard shows"
    )


class profile:
    """Times operations, as ``torch.autograd.profiler.profile`` does, in the steps that ``schedule`` chooses; ``step()`` tells where one ends.

    Args:
      activities, record_shapes, profile_memory, with_stack, with_flops, with_modules and the others: torch's, without effect.
      schedule: the action of each step; None records all between the beginning and the end.
      on_trace_ready: called with this object when a round of recording is over, and at the end.
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None,
        **ignored: Any,
    ):
        self.schedule, self.on_trace_ready = schedule or _default_schedule_fn, on_trace_ready
        self.record_steps = schedule is not None
        self.step_num = 0
        self.profiler: _autograd.profile | None = None
        self._running = False
        self._part: record_function | None = None

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Begin."""
        self.current_action = self.schedule(self.step_num)
        self._switch(None, self.current_action)
        self._begin_step()

    def stop(self) -> None:
        """End."""
        self._end_step()
        self._switch(self.current_action, None)

    def step(self) -> None:
        """A step is over, and the next begins."""
        self._end_step()
        before, self.step_num = self.current_action, self.step_num + 1
        self.current_action = self.schedule(self.step_num)
        self._switch(before, self.current_action)
        self._begin_step()

    def _begin_step(self) -> None:
        if self.record_steps and self._running:
            self._part = record_function(f"ProfilerStep#{self.step_num}")
            self._part.__enter__()

    def _end_step(self) -> None:
        if self._part is not None:
            self._part.__exit__()
            self._part = None

    def _switch(self, before: ProfilerAction | None, after: ProfilerAction | None) -> None:
        """Begin to record, end, or end a round and hand it over."""
        recording = after in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        over = before is ProfilerAction.RECORD_AND_SAVE or not recording
        if self._running and over:
            assert self.profiler is not None
            self.profiler.__exit__()
            self._running = False
            if self.on_trace_ready is not None and (before is ProfilerAction.RECORD_AND_SAVE or after is None):
                self.on_trace_ready(self)
        if recording and not self._running:
            self.profiler = _autograd.profile().__enter__()
            self._running = True

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> _autograd.profile:
        """What was recorded last, by name: ``print(p.key_averages().table(sort_by="cpu_time_total"))``."""
        return self.events()

    def events(self) -> _autograd.profile:
        """What was recorded last.

        Raises:
          AssertionError: nothing has been.
        """
        if self.profiler is None:
            raise AssertionError("Profiler must be initialized before accessing events")
        return self.profiler

    def export_chrome_trace(self, path: str) -> None:
        """Raises NotImplementedError: jax.profiler.trace(folder) writes such a file."""
        self.events().export_chrome_trace(path)

    def add_metadata(self, key: str, value: str) -> None:
        """Nothing: no file is written that could hold it."""

    add_metadata_json = add_metadata
