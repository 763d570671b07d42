"""One stage of a pipeline: its module, what parts of a batch have left there for backward, and its messages to its neighbours."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Sequence
from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.torch import distributed as dist
from funnn.torch.autograd import backward
from funnn.torch.distributed._operands import array_of, tensor_of
from funnn.torch.distributed.p2p import Expected, post
from funnn.torch.nn.modules.module import Module

__all__ = ["PipelineStage"]

_TAGS = -1000  # those of messages between stages begin below it


class PipelineStage:
    """A part of a model, in one of several processes.

    Shapes and types go with each message, so that no examples of inputs and outputs are needed.

    Args:
      submodule: the part; it is called with the outputs of the stage before.
      stage_index: its number, from 0; stage i is in the process i mod the size of the group.
      num_stages: how many there are.
      device: where it computes.
      group: the processes; all by default.
      input_args, output_args, output_grads, input_grads, dw_builder, get_mesh: accepted and not needed.

    Raises:
      ValueError: there is no such stage, or it belongs to another process.
      RuntimeError: there are fewer stages than processes.

    Source: torch.distributed.pipelining.PipelineStage.
    """

    def __init__(
        self,
        submodule: Module,
        stage_index: int,
        num_stages: int,
        device: Any,
        input_args: Any = None,
        output_args: Any = None,
        output_grads: Any = None,
        input_grads: Any = None,
        group: Any = None,
        dw_builder: Any = None,
        get_mesh: Any = None,
    ):
        self.group = dist.of_group(group)
        self.submod, self.stage_index, self.num_stages, self.device = submodule.to(device), stage_index, num_stages, device
        self.group_rank, self.group_size = self.group.rank(), self.group.size()
        if not 0 <= stage_index < num_stages:
            raise ValueError(f"Stage index {stage_index} is out of range of {num_stages}")
        if self.group_size > num_stages:
            raise RuntimeError(f"Pipeline group size {self.group_size} cannot be larger than number of stages {num_stages}")
        if stage_index % self.group_size != self.group_rank:
            raise ValueError(
                f"stage_index: stage {stage_index} belongs to the process of rank {stage_index % self.group_size} of the group, but this is {self.group_rank}"
            )
        self.output_chunks: list[Any] = []
        self._kept: dict[int, tuple[Any, list[Tensor]]] = {}  # by the number of the part: outputs, and inputs that have gradients

    @property
    def is_first(self) -> bool:
        """Whether it is the first stage."""
        return self.stage_index == 0

    @property
    def is_last(self) -> bool:
        """Whether it is the last stage."""
        return self.stage_index == self.num_stages - 1

    def clear(self) -> None:
        """Forget what parts of the last batch left."""
        self.output_chunks.clear()
        self._kept.clear()

    # -- messages

    def _send(self, tensors: Sequence[Any], stage: int, is_backward: bool, mail: Any) -> None:
        tag = _TAGS - 2 * max(stage, self.stage_index) - is_backward
        arrays = [None if one is None else array_of(one) for one in tensors]
        rank = stage % self.group_size
        if rank == self.group_rank:
            mail[tag].append(arrays)
        else:
            post(self.group, pickle.dumps(arrays), rank, tag)

    def _receive(self, stage: int, is_backward: bool, mail: Any) -> list[Any]:
        tag = _TAGS - 2 * max(stage, self.stage_index) - is_backward
        rank = stage % self.group_size
        if rank == self.group_rank:
            arrays = mail[tag].popleft()
        else:
            what = f"stage {self.stage_index} of a pipeline, which waits for stage {stage}"
            arrays = pickle.loads(Expected(self.group, rank, tag, what).read(self.group.timeout))
        return [None if one is None else tensor_of(one) for one in arrays]

    # -- parts of a batch

    def forward_one_chunk(self, number: int, args: tuple, kwargs: dict[str, Any], mail: Any, has_backward: bool) -> Any:
        """Compute a part forward: of arguments in the first stage, else of what the stage before sends; and send it on.

        Args:
          number: of the part.
          args, kwargs: of the part; positional ones are those of the first stage.
          mail: messages between stages of this process.
          has_backward: whether gradients will come.

        Raises:
          TypeError: what it computed for the next stage are no tensors.
        """
        if not self.is_first:
            args = tuple(self._receive(self.stage_index - 1, False, mail))
        inputs = [one for one in args if isinstance(one, Tensor)]
        if not self.is_first and has_backward:
            for one in inputs:
                if one.is_floating_point():
                    one.requires_grad_()
        with self._without_reduction(has_backward):
            output = self.submod(*args, **kwargs)
        if self.is_last:
            self.output_chunks.append(output)
        else:
            outputs = output if isinstance(output, (tuple, list)) else (output,)
            if not all(isinstance(one, Tensor) for one in outputs):
                raise TypeError(
                    f"stage {self.stage_index}: expected a tensor or a tuple of tensors for the next stage, got {[type(one).__name__ for one in outputs]}"
                )
            self._send(outputs, self.stage_index + 1, False, mail)
            output = tuple(outputs)
        if has_backward:
            self._kept[number] = output, inputs
        return output

    def backward_one_chunk(self, number: int, loss: Tensor | None, mail: Any, is_last_chunk: bool) -> None:
        """Compute a part's gradients: of its loss in the last stage, else of the gradients that the next stage sends; and send those of its inputs.

        Args:
          number: of the part.
          loss: of the part, in the last stage.
          mail: messages between stages of this process.
          is_last_chunk: whether it is the last one, after which processes that share the stage average.
        """
        output, inputs = self._kept.pop(number)
        if is_last_chunk:
            self._expect_reduction()
        if self.is_last:
            backward(loss)
        else:
            grads = self._receive(self.stage_index + 1, True, mail)
            pairs = [(one, grad) for one, grad in zip(output, grads, strict=True) if one.requires_grad and grad is not None]
            if pairs:
                backward([one for one, _ in pairs], [grad for _, grad in pairs])
        if not self.is_first:
            self._send([one.grad for one in inputs], self.stage_index - 1, True, mail)

    def scale_grads(self, factor: int) -> None:
        """Divide the gradients of the parameters."""
        if factor != 1:
            for parameter in self.submod.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(factor)

    # -- a module that several processes share

    def _without_reduction(self, has_backward: bool) -> Any:
        """A context for forward in which a DistributedDataParallel will not average."""
        no_sync = getattr(self.submod, "no_sync", None)
        for_parts = getattr(self.submod, "set_requires_gradient_sync", None)
        if has_backward and for_parts is not None:
            for_parts(False)
        return no_sync() if has_backward and no_sync is not None else contextlib.nullcontext()

    def _expect_reduction(self) -> None:
        for name, arguments in (("expect_reduction", ()), ("set_requires_gradient_sync", (True,))):
            method = getattr(self.submod, name, None)
            if method is not None:
                method(*arguments)
