# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from collections.abc import Iterable
from funnn.engine.tensor.tensor import Tensor as _Tensor
from funnn.torch.optim.optimizer import Optimizer as _Optimizer
from typing import Any



class SGD(_Optimizer):
    hidden: tuple[Any, ...]
    def __init__(self, params: Iterable[_Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, _Tensor]], lr: float | _Tensor = 0.001, momentum: float = 0, dampening: float = 0, weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None) -> None: ...
    def _completed(self, entries: dict[str, Any]) -> dict[str, Any]: ...
