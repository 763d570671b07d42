"""In which order the stages of a process compute the parts of a batch forward and backward.

A sender does not wait, so that a process is a list of steps: each waits for what it needs. Gradients come the same in every order.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from funnn.engine.state import thread
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.torch.distributed.pipelining.microbatch import merge_chunks, split_args_kwargs_into_chunks, split_tensor
from funnn.torch.distributed.pipelining.stage import PipelineStage

__all__ = ["Schedule1F1B", "ScheduleGPipe", "ScheduleInterleaved1F1B", "ScheduleLoopedBFS", "get_schedule_class"]


class _Step(NamedTuple):
    """A part of a batch in a stage, forward or backward."""

    stage: int
    part: int
    is_backward: bool


class _Schedule:
    """A batch through the stages of a pipeline, in parts.

    Args:
      stages: of this process.
      n_microbatches: in how many parts.
      loss_fn: ``loss_fn(output, target)`` of a part, in the last stage; without it there are no gradients.
      args_chunk_spec, kwargs_chunk_spec: how arguments are split; tensors along dimension 0 by default.
      output_merge_spec: how outputs are put together; along dimension 0 by default.
      scale_grads: whether gradients are divided by ``n_microbatches``, as fits a loss that is a mean.

    Raises:
      ValueError: n_microbatches is no positive number.
    """

    def __init__(
        self,
        stages: list[PipelineStage],
        n_microbatches: int,
        loss_fn: Callable[..., Tensor] | None,
        args_chunk_spec: Any,
        kwargs_chunk_spec: Any,
        output_merge_spec: Any,
        scale_grads: bool,
    ):
        if not isinstance(n_microbatches, int) or n_microbatches < 1:
            raise ValueError(f"n_microbatches: expected a whole number of at least 1, got {n_microbatches!r}")
        self._stages, self._n_microbatches, self._loss_fn = {stage.stage_index: stage for stage in stages}, n_microbatches, loss_fn
        self._specs, self._output_merge_spec, self.scale_grads = (args_chunk_spec, kwargs_chunk_spec), output_merge_spec, scale_grads
        self._has_backward = loss_fn is not None

    def _steps(self) -> Iterator[_Step]:
        """What this process does, in order."""
        raise NotImplementedError

    def step(
        self,
        *args: Any,
        target: Tensor | None = None,
        losses: list[Tensor] | None = None,
        return_outputs: bool = True,
        loss_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """One batch forward and backward; all processes call it.

        Args:
          args: of the first stage.
          target: of the loss, in the last stage.
          losses: a list that gets the losses of the parts, in the last stage.
          return_outputs: whether the last stage's outputs are put together.
          loss_kwargs: for ``loss_fn``.
          kwargs: of the stages of this process.

        Returns:
          The outputs of the whole batch in the process of the last stage, and None in the others.

        Raises:
          RuntimeError: gradients are switched off.
          AssertionError: the batch is smaller than n_microbatches.
        """
        if self._has_backward and not thread.grad:
            raise RuntimeError(
                "step() requires gradients to be enabled for backward computation; it should not be used under torch.no_grad() context. Please call eval() "
                "instead."
            )
        return self._run(args, kwargs, target, losses, return_outputs, loss_kwargs or {}, self._has_backward)

    def eval(self, *args: Any, target: Tensor | None = None, losses: list[Tensor] | None = None, **kwargs: Any) -> Any:
        """One batch forward; as :meth:`step`, without gradients."""
        with no_grad():
            return self._run(args, kwargs, target, losses, True, {}, False)

    def _run(
        self,
        args: tuple,
        kwargs: dict[str, Any],
        target: Any,
        losses: Any,
        return_outputs: bool,
        loss_kwargs: dict[str, Any],
        has_backward: bool,
    ) -> Any:
        if losses is not None and not isinstance(losses, list):
            raise TypeError(f"losses must be a list but got a {type(losses)}")
        count = self._n_microbatches
        parts, named = split_args_kwargs_into_chunks(args, kwargs, count, *self._specs) if args or kwargs else ([()] * count, [{}] * count)
        targets = None if target is None else split_tensor(target, 0, count)
        mail: dict[int, Any] = collections.defaultdict(collections.deque)
        found: dict[int, Any] = {}
        for stage in self._stages.values():
            stage.clear()
        for index, part, is_backward in self._steps():
            stage = self._stages[index]
            if is_backward:
                if has_backward:
                    stage.backward_one_chunk(part, found.get(part), mail, part == count - 1)
                continue
            output = stage.forward_one_chunk(part, parts[part], named[part], mail, has_backward)
            if stage.is_last and self._loss_fn is not None and (has_backward or targets is not None):
                found[part] = self._loss_fn(output, None if targets is None else targets[part], **loss_kwargs)
        if has_backward and self.scale_grads:
            for stage in self._stages.values():
                stage.scale_grads(count)
        last = next((stage for stage in self._stages.values() if stage.is_last), None)
        if last is None:
            return None
        if losses is not None:
            losses[:] = [found[part] for part in sorted(found)]
        outputs = (
            map_items(lambda one: one.detach() if isinstance(one, Tensor) else one, last.output_chunks)
            if has_backward
            else last.output_chunks
        )
        return merge_chunks(outputs, self._output_merge_spec) if return_outputs else None


class _Single(_Schedule):
    """A schedule of one stage in each process."""

    def __init__(
        self,
        stage: PipelineStage,
        n_microbatches: int,
        loss_fn: Callable[..., Tensor] | None = None,
        args_chunk_spec: Any = None,
        kwargs_chunk_spec: Any = None,
        output_merge_spec: Any = None,
        scale_grads: bool = True,
    ):
        super().__init__([stage], n_microbatches, loss_fn, args_chunk_spec, kwargs_chunk_spec, output_merge_spec, scale_grads)
        if stage.num_stages != stage.group_size:
            raise ValueError(
                f"{type(self).__name__}: expected one stage in each of {stage.group_size} processes, got {stage.num_stages} stages"
            )
        self._stage = stage


class ScheduleGPipe(_Single):
    """All parts forward, and then all backward; one stage in each process.

    Source: torch.distributed.pipelining.ScheduleGPipe; Huang et al., GPipe, 2019.
    """

    def _steps(self) -> Iterator[_Step]:
        index = self._stage.stage_index
        for is_backward in (False, True):
            for part in range(self._n_microbatches):
                yield _Step(index, part, is_backward)


class Schedule1F1B(_Single):
    """One part forward and one backward in turns, so that few wait for their backward pass; one stage in each process.

    Source: torch.distributed.pipelining.Schedule1F1B; Narayanan et al., PipeDream, 2019.
    """

    def _steps(self) -> Iterator[_Step]:
        stage, count = self._stage, self._n_microbatches
        ahead = min(count, stage.num_stages - stage.stage_index)
        for part in range(ahead):
            yield _Step(stage.stage_index, part, False)
        for part in range(count):
            yield _Step(stage.stage_index, part, True)
            if part + ahead < count:
                yield _Step(stage.stage_index, part + ahead, False)


class _Multi(_Schedule):
    """A schedule of several stages in each process."""

    def __init__(
        self,
        stages: list[PipelineStage],
        n_microbatches: int,
        loss_fn: Callable[..., Tensor] | None = None,
        args_chunk_spec: Any = None,
        kwargs_chunk_spec: Any = None,
        output_merge_spec: Any = None,
        scale_grads: bool = True,
    ):
        super().__init__(stages, n_microbatches, loss_fn, args_chunk_spec, kwargs_chunk_spec, output_merge_spec, scale_grads)
        first = stages[0]
        self._size, self._rank = first.group_size, first.group_rank
        expected = list(range(self._rank, first.num_stages, self._size))
        if sorted(self._stages) != expected or len(stages) != len(expected):
            raise ValueError(
                f"{type(self).__name__}: expected the stages {expected} in this process, got {[stage.stage_index for stage in stages]}"
            )
        if first.num_stages % self._size:
            raise ValueError(
                f"{type(self).__name__}: the number of stages, {first.num_stages}, must be divisible by that of processes, {self._size}"
            )


class ScheduleLoopedBFS(_Multi):
    """Stage by stage all parts forward, and then from the last stage all backward; several stages in each process.

    Source: torch.distributed.pipelining.ScheduleLoopedBFS; Lamy-Poirier, Breadth-First Pipeline Parallelism, 2022.
    """

    def _steps(self) -> Iterator[_Step]:
        order = sorted(self._stages)
        for is_backward, indices in ((False, order), (True, order[::-1])):
            for index in indices:
                for part in range(self._n_microbatches):
                    yield _Step(index, part, is_backward)


class ScheduleInterleaved1F1B(_Multi):
    """One part forward and one backward in turns, over several stages in each process.

    Source: torch.distributed.pipelining.ScheduleInterleaved1F1B; Narayanan et al., Efficient Large-Scale Language Model Training, 2021.

    Raises:
      ValueError: n_microbatches is not divisible by the number of rounds, that of parts over that of processes.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        rounds = max(1, self._n_microbatches // self._size)
        self._in_round = self._n_microbatches // rounds
        if self._n_microbatches % rounds:
            raise ValueError(
                f"Interleaved 1F1B requires the number of microbatches to be a multiple of the number of rounds ({rounds}), but got {self._n_microbatches}."
            )

    def _steps(self) -> Iterator[_Step]:
        local = len(self._stages)
        total = local * self._n_microbatches
        ahead = min((local - 1) * self._in_round + 2 * (self._size - 1 - self._rank), total)
        counts: dict[tuple[int, bool], int] = collections.Counter()
        for number in range(ahead + total):
            if number < total:
                yield self._next((number // self._in_round) % local, False, counts)
            if number >= ahead:
                yield self._next(local - 1 - ((number - ahead) // self._in_round) % local, True, counts)

    def _next(self, local: int, is_backward: bool, counts: dict[tuple[int, bool], int]) -> _Step:
        index = local * self._size + self._rank
        part = counts[index, is_backward]
        counts[index, is_backward] += 1
        return _Step(index, part, is_backward)


def get_schedule_class(schedule_name: str) -> type:
    """The schedule of a name, in capital or small letters.

    Raises:
      ValueError: there is none.
    """
    known = {"1F1B": Schedule1F1B, "GPipe": ScheduleGPipe, "Interleaved1F1B": ScheduleInterleaved1F1B, "LoopedBFS": ScheduleLoopedBFS}
    found = {name.lower(): schedule for name, schedule in known.items()}.get(schedule_name.lower().removeprefix("schedule"))
    if found is None:
        raise ValueError(f"Unknown schedule name: {schedule_name}. Valid options are {list(known)}")
    return found
