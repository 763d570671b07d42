"""How modules would be spread over devices, as descriptions; none can be applied: rules of funnn.sharding do that."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from funnn.torch._unsupported import watch

_WAY = "parameters are spread over devices by rules of funnn.sharding, on the module's functional form (funnn.torch.to_functional)"


class ParallelStyle:
    """How a module would be spread; a description."""

    src_data_rank: int | None = 0

    def _apply(self, module: Any, device_mesh: Any) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} can't be applied: {_WAY}")


class _Layouts(ParallelStyle):
    def __init__(self, *, input_layouts: Any = None, output_layouts: Any = None, use_local_output: bool = True):
        super().__init__()
        self.input_layouts, self.output_layouts, self.use_local_output = input_layouts, output_layouts, use_local_output


class ColwiseParallel(_Layouts):
    """A Linear or Embedding split by columns."""


class RowwiseParallel(_Layouts):
    """A Linear or Embedding split by rows."""


class SequenceParallel(ParallelStyle):
    """A normalisation or dropout on a sequence that is split."""

    def __init__(self, *, sequence_dim: int = 1, use_local_output: bool = False):
        super().__init__()
        self.sequence_dim, self.use_local_output = sequence_dim, use_local_output


class _Prepared(ParallelStyle):
    def __init__(self, **layouts: Any):
        super().__init__()
        vars(self).update(layouts)


class PrepareModuleInput(_Prepared):
    """How inputs would be laid out."""


class PrepareModuleOutput(_Prepared):
    """How outputs would be laid out."""


class PrepareModuleInputOutput(_Prepared):
    """How inputs and outputs would be laid out."""


def parallelize_module(module: Any, device_mesh: Any = None, parallelize_plan: Any = None, *, src_data_rank: int | None = 0) -> NoReturn:
    """Raises NotImplementedError."""
    raise NotImplementedError(f"torch.distributed.tensor.parallel.parallelize_module is not supported: {_WAY}")


watch(sys.modules[__name__])
