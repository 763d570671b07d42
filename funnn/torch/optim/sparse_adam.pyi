# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from collections.abc import Iterable
from funnn.engine.tensor.tensor import Tensor as _Tensor
from funnn.torch.optim.optimizer import Optimizer as _Optimizer
from typing import Any



class SparseAdam(_Optimizer):
    def __init__(self, params: Iterable[_Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, _Tensor]], lr: float | _Tensor = 0.001, betas: tuple[float | _Tensor, float | _Tensor] = (0.9, 0.999), eps: float = 1e-08, maximize: bool = False) -> None: ...
    def _made(self) -> None: ...
    def _saved(self, entries: dict[str, Any]) -> dict[str, Any]: ...
