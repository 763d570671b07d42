"""torch.fft: discrete Fourier transforms of one, two and more dimensions, and their frequencies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.ops.make.factories import tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.device import check_pinned
from funnn.engine.types.dtype import common

#: What a transform's factor is, of N points, without its own: by its name in the forward direction and in the inverse one.
_NORMS = (None, "backward", "ortho", "forward")
_INVERSE_NORM = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def _numbers(name: str, input: Any, real: bool = False) -> Any:
    """The input as floating-point or complex numbers of at least 32 bits."""
    (array,) = common(input, floating=True)
    kind = _dtype.dtype.of(array.dtype)
    if real and kind.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {kind.legacy}; use {name[:-3].replace('r', '')}fft")
    if kind.itemsize < 4:
        raise RuntimeError(f"Unsupported dtype {kind.legacy}; convert the tensor with .float()")
    return array


def _checked_norm(norm: str | None) -> str | None:
    if norm not in _NORMS:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"; it is one of backward, ortho, forward')
    return norm


def _plan(input: Any, s: Any, dim: Any, last_grows: bool) -> tuple[tuple, tuple]:
    """The number of points and the axis of each transform. ``last_grows``: by default the last gives 2·(n − 1) values."""
    s, dim = (value if value is None or isinstance(value, (tuple, list)) else (value,) for value in (s, dim))
    if s is not None and dim is not None and len(s) != len(dim):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    if dim is None:
        if s is not None and len(s) > input.ndim:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {input.ndim} dimensions.")
        dim = tuple(range(input.ndim - (input.ndim if s is None else len(s)), input.ndim))
    if not input.ndim and dim:
        raise IndexError(f"Dimension specified as {dim[0]} but tensor has no dimensions")
    axes = tuple(wrap_dim(axis, input.ndim) for axis in dim)
    if len(set(axes)) != len(axes):
        raise RuntimeError("FFT dims must be unique")
    default = [input.shape[axis] for axis in axes]
    if last_grows and default:
        default[-1] = 2 * (default[-1] - 1)
    sizes = tuple(default if s is None else (n if given == -1 else given for n, given in zip(default, s, strict=True)))
    for size in sizes:
        if size < 1:
            raise RuntimeError(f"Invalid number of data points ({size}) specified")
    return sizes, axes


def _nd(transform: Callable, input: Any, sizes: tuple, axes: tuple, norm: str | None) -> Any:
    """A transform over all axes; those of complex numbers go three at a time, which is what XLA takes."""
    if not axes:
        return input
    for start in range(0, len(axes), 3) if transform in (jnp.fft.fftn, jnp.fft.ifftn) else ():
        part = slice(start, start + 3)
        input = transform(input, sizes[part], axes[part], norm)
    if transform is jnp.fft.rfftn:  # the last axis first, while the numbers are real
        half = jnp.fft.rfft(input, sizes[-1], axes[-1], norm)
        return _nd(jnp.fft.fftn, half, sizes[:-1], axes[:-1], norm)
    if transform is jnp.fft.irfftn:
        return jnp.fft.irfft(_nd(jnp.fft.ifftn, input, sizes[:-1], axes[:-1], norm), sizes[-1], axes[-1], norm)
    return input


def _hermitian(input: Any, sizes: tuple, axes: tuple, norm: str | None) -> Any:
    """The transform of a signal whose half is given, the other half being its conjugate: real."""
    return _nd(jnp.fft.irfftn, jnp.conj(input), sizes, axes, _INVERSE_NORM[norm])


def _inverse_hermitian(input: Any, sizes: tuple, axes: tuple, norm: str | None) -> Any:
    return jnp.conj(_nd(jnp.fft.rfftn, input, sizes, axes, _INVERSE_NORM[norm]))


def _by(transform: Callable) -> Callable:
    return lambda *args: _nd(transform, *args)


#: name -> (what it does, torch's node, of real input, whether the last axis grows, whether complex numbers must come out).
_TRANSFORMS = {
    "fft": (_by(jnp.fft.fftn), "FftC2CBackward0", False, False),
    "ifft": (_by(jnp.fft.ifftn), "FftC2CBackward0", False, False),
    "rfft": (_by(jnp.fft.rfftn), "FftR2CBackward0", True, False),
    "irfft": (_by(jnp.fft.irfftn), "FftC2RBackward0", False, True),
    "hfft": (_hermitian, "FftC2RBackward0", False, True),
    "ihfft": (_inverse_hermitian, "FftR2CBackward0", True, False),
}
_WORDS = {
    "fft": "The discrete Fourier transform",
    "ifft": "The inverse of fft",
    "rfft": "The half of fft that determines it, of real numbers",
    "irfft": "The inverse of rfft",
    "hfft": "The transform of a signal that is its conjugate backwards, of which half is given",
    "ihfft": "The inverse of hfft",
}


#: The other nodes that torch has of a transform: along one axis of real input, along several axes.
_OTHER_NODES = {
    "fft": ("FftR2CBackward0", "FftC2CBackward0"),
    "ifft": ("ConjBackward0", "FftC2CBackward0"),
    "ihfft": ("ConjBackward0", "FftC2CBackward0"),
}


def _transform(kind: str) -> None:
    function, node, real, grows = _TRANSFORMS[kind]

    def one(input, n=None, dim=-1, norm=None):
        return several(input, None if n is None else (n,), (dim,), norm)

    def two(input, s=None, dim=(-2, -1), norm=None):
        return several(input, s, dim, norm)

    def several(input, s=None, dim=None, norm=None):
        array = _numbers(kind, input, real)
        if not real and not jnp.iscomplexobj(array):
            array = array.astype(_dtype.join(_dtype.dtype.of(array.dtype), _dtype.complex64).numpy)
        sizes, axes = _plan(array, s, dim, grows)
        if (real or grows) and not axes:
            raise RuntimeError(f"{kind}n must transform at least one axis")
        return function(array, sizes, axes, _checked_norm(norm))

    of_real, of_several = _OTHER_NODES.get(kind, (node, node))

    def grad(input, *rest, **others):
        return node if input.is_complex() else of_real

    def grad_of_several(input, s=None, dim=None, norm=None):
        axes = dim if dim is not None else s if s is not None else (1,) * input.dim()
        return of_several if not real or not (isinstance(axes, int) or len(axes) == 1) else of_real

    def grad_of_two(input, s=None, dim=(-2, -1), norm=None):
        return grad_of_several(input, s, dim)

    ways = (
        ("", one, grad, "one dimension"),
        ("2", two, grad_of_two, "two dimensions"),
        ("n", several, grad_of_several, "several dimensions"),
    )
    for suffix, pure, named, over in ways:
        pure.__name__ = f"{kind}{suffix}"
        pure.__doc__ = f"{_WORDS[kind]}, over {over}."
        row(
            f"fft.{kind}{suffix}",
            pure,
            named,
            exact_out=f"{kind}{suffix}" in ("ifft", "ihfft", "ihfftn"),
            autocast={"cpu": FLOAT32},
        )


for _kind in _TRANSFORMS:
    _transform(_kind)


# -- the order of frequencies


def _shifted(name: str, step: Callable[[int], int]) -> None:
    def shift(input, dim=None):
        axes = tuple(range(input.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        sizes = tuple(input.shape)
        return FUNCTIONS["roll"](input, tuple(step(sizes[wrap_dim(axis, len(sizes))]) for axis in axes), axes) if axes else input.clone()

    publish(f"fft.{name}", shift)


_shifted("fftshift", lambda size: size // 2)
_shifted("ifftshift", lambda size: -(size // 2))
FUNCTIONS["fft.fftshift"].__doc__ = "The frequencies' order with 0 in the middle."
FUNCTIONS["fft.ifftshift"].__doc__ = "The opposite of fftshift."


def _frequencies(name: str, numbers: Callable[[int], np.ndarray]) -> None:
    def frequencies(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
        check_pinned(pin_memory)
        kind = (_dtype.get_default_dtype() if dtype is None else _dtype.as_dtype(dtype)).numpy
        if n < 1:
            raise RuntimeError(f"{name}: n must be positive, got {n}")
        result = tensor(numbers(n).astype(kind) * np.asarray(1 / (n * d), kind), device=device, requires_grad=requires_grad)
        return result if out is None else write_out(out, result)

    frequencies.__doc__ = f"The frequencies of {name[:-4]}'s n results, in cycles per unit of the spacing d."
    publish(f"fft.{name}", frequencies)


_frequencies("fftfreq", lambda n: np.fft.ifftshift(np.arange(-(n // 2), (n + 1) // 2)))
_frequencies("rfftfreq", lambda n: np.arange(n // 2 + 1))
