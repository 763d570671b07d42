"""The old place of torch.func.functional_call."""

from __future__ import annotations

import warnings
from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.utils._functional_call import functional_call as _functional_call

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """The old name of torch.func.functional_call, which has the same arguments."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0. Please use `torch.func.functional_call` instead.",
        FutureWarning,
        stacklevel=2,
    )
    return _functional_call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)
