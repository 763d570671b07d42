"""Torch's spelling on an array: what an error says of ``x.view(-1, 2)`` in a layer's forward, which gets arrays of JAX."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp

from funnn import functional as F

_LIBRARIES = tuple(str(Path(module.__file__ or "").parent) for module in (jax, F)) + ("<",)
_AS_TYPE = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bfloat16": "bfloat16",
    "int": "int32",
    "long": "int32",
    "bool": "bool_",
}
#: Method of torch -> how JAX spells it.
_SPELT = {
    **{name: f"x.astype(jnp.{kind})" for name, kind in _AS_TYPE.items()},
    "view": "x.reshape(shape)",
    "view_as": "x.reshape(y.shape)",
    "reshape_as": "x.reshape(y.shape)",
    "unsqueeze": "jnp.expand_dims(x, dim), or x[:, None]",
    "permute": "x.transpose(dims)",
    "t": "x.T",
    "contiguous": "nothing: leave it out",
    "clone": "nothing: arrays never change",
    "expand": "jnp.broadcast_to(x, shape)",
    "expand_as": "jnp.broadcast_to(x, y.shape)",
    "to": "x.astype(dtype); arrays are where they were put (jax.device_put)",
    "type": "x.astype(dtype)",
    "type_as": "x.astype(y.dtype)",
    "cuda": "nothing: arrays are where they were put (jax.device_put)",
    "cpu": "nothing: arrays are where they were put (jax.device_put)",
    "dim": "x.ndim",
    "numel": "x.size",
    "detach": "jax.lax.stop_gradient(x)",
    "requires_grad": "jax.grad of a function of x",
    "requires_grad_": "jax.grad of a function of x",
    "grad": "jax.grad of a function of x",
    "backward": "jax.grad of a function of x",
    "matmul": "x @ y",
    "mm": "x @ y",
    "bmm": "x @ y",
    "pow": "x ** exponent",
    "masked_fill": "jnp.where(mask, value, x)",
    "chunk": "jnp.split(x, chunks, axis)",
    "split": "jnp.split(x, positions, axis)",
    "unbind": "list(x), or jnp.moveaxis(x, dim, 0)",
    "gather": "jnp.take_along_axis(x, index, axis)",
    "index_select": "jnp.take(x, index, axis)",
    "scatter": "x.at[index].set(values)",
    "scatter_add": "x.at[index].add(values)",
    "index_add": "x.at[index].add(values)",
    "norm": "jnp.linalg.norm(x)",
    "new_zeros": "jnp.zeros(shape, x.dtype)",
    "new_ones": "jnp.ones(shape, x.dtype)",
    "new_full": "jnp.full(shape, value, x.dtype)",
    "numpy": "numpy.asarray(x), outside of jit",
    "flip": "jnp.flip(x, axis)",
    "amax": "x.max(axis)",
    "amin": "x.min(axis)",
}
#: In a line with a call that an array takes otherwise.
_CALLS = (
    (re.compile(r"\.view\("), "x.view(…)", "x.reshape(shape)"),
    (re.compile(r"\.size\("), "x.size(dim)", "x.shape[dim]"),
    (re.compile(r"\bkeepdim\s*="), "keepdim=", "keepdims="),
    (re.compile(r"\bdim\s*="), "dim=", "axis="),
    (re.compile(r"\.transpose\("), "x.transpose(dim0, dim1)", "jnp.swapaxes(x, dim0, dim1)"),
    (re.compile(r"\.flatten\("), "x.flatten(start)", "x.reshape(x.shape[0], -1), or funnn.functional.flatten(x, start)"),
    (re.compile(r"\.repeat\("), "x.repeat(sizes)", "jnp.tile(x, sizes)"),
)


def name_jaxs_spelling(error: Exception) -> None:
    """Say in the error how JAX spells what was written as for a torch Tensor, if that is what is wrong."""
    text = str(error)
    if "JAX's spelling" in text:
        return
    found = _of_attribute(error) if isinstance(error, AttributeError) else _of_call(error)
    if found is not None:
        written, spelt = found
        error.args = (
            f"{text}{'; ' if text else ''}{written} is torch's: arrays are JAX's here, and JAX's spelling is {spelt}",
            *error.args[1:],
        )


def _of_attribute(error: AttributeError) -> tuple[str, str] | None:
    name = error.name
    if name is None or not isinstance(error.obj, jax.Array):
        return None
    if name in _SPELT:
        return f"x.{name}", _SPELT[name]
    if name.endswith("_") and not name.startswith("_"):
        return f"x.{name}", f"x = jnp.{name[:-1]}(x, …), or x.at[index].set(value): arrays are never written"
    for module, spelt in ((jnp, "jnp"), (F, "funnn.functional")):
        if hasattr(module, name):
            return f"x.{name}()", f"{spelt}.{name}(x)"
    return None


def _of_call(error: Exception) -> tuple[str, str] | None:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_LIBRARIES)]
    line = frames[-1].line if frames else None
    within = traceback.extract_tb(error.__traceback__)[-1].filename.startswith(_LIBRARIES[:1]) or "not callable" in str(error)
    if not line or not (within or "keyword argument" in str(error)):
        return None
    return next(((written, spelt) for pattern, written, spelt in _CALLS if pattern.search(line)), None)
