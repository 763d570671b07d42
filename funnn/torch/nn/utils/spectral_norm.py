"""Spectral normalisation by a hook, ``w = w_orig/σ`` with σ the largest singular value, found by power iteration; and that iteration."""

from __future__ import annotations

from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.functional import normalize
from funnn.torch.nn.modules.convolutions import _ConvTransposeNd
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter, is_lazy
from funnn.torch.nn.utils.weight_norm import find_hook

__all__ = ["SpectralNorm", "SpectralNormLoadStateDictPreHook", "SpectralNormStateDictHook", "remove_spectral_norm", "spectral_norm"]


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with ``dim`` first and all other dimensions as one."""
    if dim != 0:
        weight = weight.permute(dim, *(axis for axis in range(weight.dim()) if axis != dim))
    return weight.reshape(weight.size(0), -1)


def power_iterations(matrix: Tensor, first: Tensor, second: Tensor, eps: float, count: int) -> None:
    """``first ← A·second`` and ``second ← Aᴴ·first``, each scaled to length 1, ``count`` times and in place."""
    with no_grad():
        for _ in range(count):
            first.copy_(normalize(ops["mv"](matrix, second), dim=0, eps=eps))
            second.copy_(normalize(ops["mv"](matrix.mH, first), dim=0, eps=eps))


def unit_vectors(matrix: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Random vectors of length 1 for the power iteration: as long as the matrix is high, and as it is wide."""
    drawn = [matrix.new_empty(size).normal_(0, 1) for size in matrix.shape]
    return normalize(drawn[0], dim=0, eps=eps), normalize(drawn[1], dim=0, eps=eps)


def output_dim(module: Module) -> int:
    """The dimension of a module's weight that counts its outputs."""
    return 1 if isinstance(module, _ConvTransposeNd) else 0


class SpectralNorm:
    """The hook of one parameter."""

    _version = 1

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def reshape_weight_to_matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix with a row for each output."""
        return as_matrix(weight, self.dim)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight over its largest singular value ``u·(W v)``; u and v are improved first, in place, if ``do_power_iteration``."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            power_iterations(matrix.t(), v, u, self.eps, self.n_power_iterations)
            u, v = u.clone(), v.clone()  # so that a later forward may change the buffers before this one's backward
        return weight / ops["dot"](u, ops["mv"](matrix, v))

    def remove(self, module: Module) -> None:
        """Put an ordinary parameter of the present value back."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for name in (self.name, f"{self.name}_u", f"{self.name}_v", f"{self.name}_orig"):
            delattr(module, name)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Replace the parameter by its original and two singular vectors, and register the hooks."""
        if find_hook(module._forward_pre_hooks, SpectralNorm, name) is not None:
            raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        hook, weight = SpectralNorm(name, n_power_iterations, dim, eps), module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        if is_lazy(weight):
            raise ValueError("The module passed to `SpectralNorm` can't have uninitialized parameters. Call it with an example input first")
        with no_grad():
            u, v = unit_vectors(as_matrix(weight, dim), eps)
        delattr(module, name)
        module.register_parameter(f"{name}_orig", weight)
        setattr(module, name, weight.data)
        module.register_buffer(f"{name}_u", u)
        module.register_buffer(f"{name}_v", v)
        module.register_forward_pre_hook(hook)
        module._register_state_dict_hook(SpectralNormStateDictHook(hook))
        module._register_load_state_dict_pre_hook(SpectralNormLoadStateDictPreHook(hook))
        return hook


class SpectralNormStateDictHook:
    """Notes in a state_dict's metadata how it was written."""

    def __init__(self, fn: SpectralNorm):
        self.fn, self.name = fn, fn.name

    def __call__(self, module: Module, state_dict: dict, prefix: str, local_metadata: dict) -> None:
        noted, key = local_metadata.setdefault("spectral_norm", {}), f"{self.name}.version"
        if key in noted:
            raise RuntimeError(f"Unexpected key in metadata['spectral_norm']: {key}")
        noted[key] = self.fn._version


class SpectralNormLoadStateDictPreHook:
    """Makes the vector v of a state_dict that was written before there was one: it holds ``name``, ``name_orig`` and ``name_u``."""

    def __init__(self, fn: SpectralNorm):
        self.fn, self.name = fn, fn.name

    def __call__(
        self, state: dict, prefix: str, metadata: dict, strict: bool, missing_keys: list, unexpected_keys: list, error_msgs: list
    ) -> None:
        version = metadata.get("spectral_norm", {}).get(f"{self.name}.version")
        key = prefix + self.name
        if (version or 0) >= 1 or (version is None and key not in state and all(f"{key}_{part}" in state for part in ("orig", "u", "v"))):
            return
        missing = [name for name in (f"{key}_orig", key, f"{key}_u") if name not in state]
        if missing:
            missing_keys += missing if strict else []
            return
        with no_grad():
            original, weight, u = state[f"{key}_orig"], state.pop(key), state[f"{key}_u"]
            sigma = (original / weight).mean()
            matrix = as_matrix(original, self.fn.dim)
            v = ops["mv"](ops["mm"](ops["pinverse"](ops["mm"](matrix.t(), matrix)), matrix.t()), u)
            state[f"{key}_v"] = v * (sigma / ops["dot"](u, ops["mv"](matrix, v)))


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Replace a parameter by ``name_orig`` and the buffers ``name_u`` and ``name_v``; ``name`` becomes ``name_orig/σ``. Returns the module.

    In training, every forward improves u and v by ``n_power_iterations`` steps. ``dim`` counts the outputs: 0, but 1 for transposed
    convolutions. Source: Miyato et al. (2018); torch.nn.utils.spectral_norm.

    Raises:
      RuntimeError: it has one already.
      ValueError: no or a lazy parameter, or no positive number of iterations.
    """
    SpectralNorm.apply(module, name, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo :func:`spectral_norm`, keeping the present value; returns the module."""
    number = find_hook(module._forward_pre_hooks, SpectralNorm, name)
    if number is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    module._forward_pre_hooks.pop(number).remove(module)
    for hooks, kind in (
        (module._state_dict_hooks, SpectralNormStateDictHook),
        (module._load_state_dict_pre_hooks, SpectralNormLoadStateDictPreHook),
    ):
        del hooks[find_hook(hooks, kind, name)]
    return module
