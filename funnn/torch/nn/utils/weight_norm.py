"""Weight normalisation by a hook, as torch had it before parametrizations: ``w = g·v/‖v‖``, computed before every forward."""

from __future__ import annotations

import warnings
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter, is_lazy

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]


class WeightNorm:
    """The hook of one parameter; ``dim`` is the dimension whose slices have a length each, −1 or None for one length of the whole."""

    def __init__(self, name: str, dim: int | None):
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """``g·v/‖v‖`` of the module's present parameters."""
        return ops["_weight_norm"](getattr(module, f"{self.name}_v"), getattr(module, f"{self.name}_g"), self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Replace the parameter by its length and direction, and register the hook."""
        warnings.warn(
            "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.",
            FutureWarning,
            stacklevel=3,
        )
        if find_hook(module._forward_pre_hooks, WeightNorm, name) is not None:
            raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        hook, weight = WeightNorm(name, dim), getattr(module, name)
        if is_lazy(weight):
            raise ValueError("The module passed to `WeightNorm` can't have uninitialized parameters. Call it with an example input first")
        length = ops["norm_except_dim"](weight, 2, hook.dim).data
        del module._parameters[name]
        module.register_parameter(f"{name}_g", Parameter(length))
        module.register_parameter(f"{name}_v", Parameter(weight.data))
        hook(module, None)
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Put an ordinary parameter of the present value back."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[f"{self.name}_g"], module._parameters[f"{self.name}_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def find_hook(hooks: Any, kind: type, name: str) -> int | None:
    """The number of the hook of this class for the parameter ``name``."""
    return next((number for number, hook in hooks.items() if isinstance(hook, kind) and hook.name == name), None)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replace a parameter by ``name_g``, the lengths of its slices along ``dim``, and ``name_v``, its direction; returns the module.

    Deprecated by torch for :func:`torch.nn.utils.parametrizations.weight_norm`, which loads this one's state_dicts.

    Raises:
      RuntimeError: it has one already.
      ValueError: a parameter without a shape yet.
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo :func:`weight_norm`, keeping the present value; returns the module."""
    number = find_hook(module._forward_pre_hooks, WeightNorm, name)
    if number is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    module._forward_pre_hooks.pop(number).remove(module)
    return module
