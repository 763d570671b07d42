"""The parts of torch's compiled module that the code of graphs names: ``torch._C._nn.gelu``, ``torch._C._linalg.linalg_norm``."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.torch import special
from funnn.torch.nn import functional

_OF_NN = [
    "avg_pool2d",
    "avg_pool3d",
    "elu_",
    "gelu",
    "hardtanh_",
    "leaky_relu_",
    "linear",
    "one_hot",
    "scaled_dot_product_attention",
    "softplus",
    "softshrink",
]


def _wing(name: str) -> dict[str, Callable]:
    return {key.replace(".", "_"): function for key, function in FUNCTIONS.items() if key.startswith(f"{name}.")}


#: Each part's functions by torch's names of them.
PARTS: dict[str, dict[str, Callable]] = {
    "_nn": {"log_sigmoid": functional.logsigmoid, **{name: getattr(functional, name) for name in _OF_NN}},
    "_fft": _wing("fft"),
    "_linalg": _wing("linalg"),
    "_special": {f"special_{name}": getattr(special, name) for name in special.__all__},
}


def _part(name: str) -> ModuleType:
    made = ModuleType(f"{__package__}._C.{name}", f"Functions that torch has in torch._C.{name}.")
    vars(made).update(PARTS[name])
    return made


_fft, _linalg, _special = map(_part, ("_fft", "_linalg", "_special"))
