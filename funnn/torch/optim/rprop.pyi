# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from collections.abc import Iterable
from funnn.engine.tensor.tensor import Tensor as _Tensor
from funnn.torch.optim.optimizer import Optimizer as _Optimizer
from typing import Any



class Rprop(_Optimizer):
    def __init__(self, params: Iterable[_Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, _Tensor]], lr: float | _Tensor = 0.01, etas: Any = (0.5, 1.2), step_sizes: Any = (1e-06, 50), *, capturable: bool = False, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False) -> None: ...
