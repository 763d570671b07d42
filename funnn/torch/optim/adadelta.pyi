# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from collections.abc import Iterable
from funnn.engine.tensor.tensor import Tensor as _Tensor
from funnn.torch.optim.optimizer import Optimizer as _Optimizer
from typing import Any



class Adadelta(_Optimizer):
    def __init__(self, params: Iterable[_Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, _Tensor]], lr: float | _Tensor = 1.0, rho: Any = 0.9, eps: float = 1e-06, weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False, differentiable: bool = False) -> None: ...
