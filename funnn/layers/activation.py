"""Activations as layers."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Self

import jax

from funnn import functional as F
from funnn import init
from funnn.errors import ShapeValueError
from funnn.layers._layer import Layer, Param, Spec


def _inplace(layer: Any) -> str:
    return "inplace=True" if layer.inplace else ""


def _with_inplace(layer: Any, text: str) -> str:
    return f"{text}, inplace=True" if layer.inplace else text


class _Inplace(Layer):
    """``inplace`` has a meaning only in funnn.torch, where it writes into the input; arrays of the core are immutable."""

    inplace: bool = False

    def extra_repr(self) -> str:
        return _inplace(self)


class _Dim(Layer):
    """``dim`` None is torch's implicit choice, with its warning."""

    dim: int | None = None

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class ReLU(_Inplace):
    """y = max(0, x), element by element. Source: torch.nn.ReLU."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.relu(input, self.inplace)


class ReLU6(_Inplace):
    """y = min(max(0, x), 6), element by element. Source: torch.nn.ReLU6."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.relu6(input, self.inplace)


class SELU(_Inplace):
    """y = s·(x if x > 0 else α·(eˣ − 1)), element by element. Source: torch.nn.SELU."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.selu(input, self.inplace)


class SiLU(_Inplace):
    """y = x/(1 + e⁻ˣ), element by element. Source: torch.nn.SiLU."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.silu(input, self.inplace)


class Mish(_Inplace):
    """y = x·tanh(log(1 + eˣ)), element by element. Source: torch.nn.Mish."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.mish(input, self.inplace)


class Hardsigmoid(Layer):
    """y = min(max(x + 3, 0), 6)/6, element by element. Source: torch.nn.Hardsigmoid."""

    inplace: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return F.hardsigmoid(input, self.inplace)


class Hardswish(Layer):
    """y = x·min(max(x + 3, 0), 6)/6, element by element. Source: torch.nn.Hardswish."""

    inplace: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return F.hardswish(input, self.inplace)


class Threshold(Layer):
    """y = x if x > threshold else value, element by element. Source: torch.nn.Threshold."""

    threshold: float
    value: float
    inplace: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return _with_inplace(self, f"threshold={self.threshold}, value={self.value}")


class ELU(Layer):
    """y = x if x > 0 else alpha·(eˣ − 1), element by element. Source: torch.nn.ELU."""

    alpha: float = 1.0
    inplace: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return _with_inplace(self, f"alpha={self.alpha}")


class CELU(Layer):
    """y = x if x > 0 else alpha·(e^(x/alpha) − 1), element by element. Source: torch.nn.CELU."""

    alpha: float = 1.0
    inplace: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return _with_inplace(self, f"alpha={self.alpha}")


class LeakyReLU(Layer):
    """y = x if x > 0 else negative_slope·x, element by element. Source: torch.nn.LeakyReLU."""

    negative_slope: float = 0.01
    inplace: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return _with_inplace(self, f"negative_slope={self.negative_slope}")


class PReLU(Layer):
    """y = x if x > 0 else weight·x, with one learned slope, or one for each channel (axis 1).

    Parameter: ``weight`` (num_parameters,), which starts at the constructor's ``init``; the layer keeps that as ``initial``, for ``init`` is the
    method that draws. He et al., 2015; source: torch.nn.PReLU.
    """

    num_parameters: int
    initial: float

    def __init__(self, num_parameters: int = 1, init: float = 0.25):
        self.num_parameters, self.initial = num_parameters, init

    def spec(self) -> Spec:
        return {"weight": Param((self.num_parameters,), partial(init.constant, val=self.initial))}

    def forward(self, input: jax.Array) -> jax.Array:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"

    def replace(self, **changes: Any) -> Self:
        """A copy with other ``num_parameters`` or ``init``."""
        return type(self)(**{"num_parameters": self.num_parameters, "init": self.initial, **changes})


class RReLU(Layer):
    """y = x if x > 0 else a·x, with a drawn from U(lower, upper) for each element in training and their mean otherwise.

    ``apply`` needs ``key`` in training. Xu et al., 2015; source: torch.nn.RReLU.
    """

    lower: float = 1.0 / 8
    upper: float = 1.0 / 3
    inplace: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace, key=self.make_key())

    def extra_repr(self) -> str:
        return _with_inplace(self, f"lower={self.lower}, upper={self.upper}")


class Hardtanh(Layer):
    """y = min(max(x, min_val), max_val), element by element.

    ``min_value`` and ``max_value`` are torch's deprecated names of the limits. Source: torch.nn.Hardtanh.

    Raises:
      ValueError: max_val is not greater than min_val.
    """

    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False
    min_value: float | None = None
    max_value: float | None = None

    def __post_init__(self) -> None:
        for limit in ("min", "max"):
            given = getattr(self, f"{limit}_value")
            if given is not None:
                warnings.warn(f"keyword argument `{limit}_value` is deprecated and renamed to `{limit}_val`", FutureWarning, stacklevel=5)
                setattr(self, f"{limit}_val", given)
                setattr(self, f"{limit}_value", None)
        if not self.max_val > self.min_val:
            raise ValueError(f"Hardtanh: max_val must exceed min_val, but got min_val={self.min_val} and max_val={self.max_val}")

    def forward(self, input: jax.Array) -> jax.Array:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return _with_inplace(self, f"min_val={self.min_val}, max_val={self.max_val}")


class GLU(Layer):
    """y = a·σ(b), where a and b are the halves of x along ``dim``. Source: torch.nn.GLU."""

    dim: int = -1

    def forward(self, input: jax.Array) -> jax.Array:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class GELU(Layer):
    """y = x·Φ(x), element by element; ``approximate`` is 'none' or 'tanh'. Source: torch.nn.GELU."""

    approximate: str = "none"

    def forward(self, input: jax.Array) -> jax.Array:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Tanh(Layer):
    """y = (eˣ − e⁻ˣ)/(eˣ + e⁻ˣ), element by element. Source: torch.nn.Tanh."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.tanh(input)


class Sigmoid(Layer):
    """y = 1/(1 + e⁻ˣ), element by element. Source: torch.nn.Sigmoid."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.sigmoid(input)


class LogSigmoid(Layer):
    """y = −log(1 + e⁻ˣ), element by element. Source: torch.nn.LogSigmoid."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.logsigmoid(input)


class Tanhshrink(Layer):
    """y = x − tanh(x), element by element. Source: torch.nn.Tanhshrink."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.tanhshrink(input)


class Softsign(Layer):
    """y = x/(1 + |x|), element by element. Source: torch.nn.Softsign."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.softsign(input)


class Hardshrink(Layer):
    """y = x if |x| > lambd else 0, element by element. Source: torch.nn.Hardshrink."""

    lambd: float = 0.5

    def forward(self, input: jax.Array) -> jax.Array:
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softshrink(Layer):
    """y = sign(x)·max(|x| − lambd, 0), element by element. Source: torch.nn.Softshrink."""

    lambd: float = 0.5

    def forward(self, input: jax.Array) -> jax.Array:
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softplus(Layer):
    """y = log(1 + e^(beta·x))/beta, element by element; x itself where beta·x exceeds ``threshold``. Source: torch.nn.Softplus."""

    beta: float = 1.0
    threshold: float = 20.0

    def forward(self, input: jax.Array) -> jax.Array:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(_Dim):
    """yᵢ = exp(xᵢ)/Σⱼ exp(xⱼ) along ``dim``. Source: torch.nn.Softmax."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.softmax(input, self.dim, _stacklevel=5)


class LogSoftmax(_Dim):
    """yᵢ = xᵢ − log Σⱼ exp(xⱼ) along ``dim``. Source: torch.nn.LogSoftmax."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.log_softmax(input, self.dim, _stacklevel=5)


class Softmin(_Dim):
    """yᵢ = exp(−xᵢ)/Σⱼ exp(−xⱼ) along ``dim``. Source: torch.nn.Softmin."""

    def forward(self, input: jax.Array) -> jax.Array:
        return F.softmin(input, self.dim, _stacklevel=5)


class Softmax2d(Layer):
    """Softmax over the channels at each position of (N, C, H, W) or (C, H, W). Source: torch.nn.Softmax2d."""

    def forward(self, input: jax.Array) -> jax.Array:
        if input.ndim not in (3, 4):
            raise ShapeValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3, _stacklevel=5)
