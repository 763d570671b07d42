"""An immutable value: an array, or one that the pending graph of a thread will give."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def to_jax(array: np.ndarray) -> Any:
    """The array on JAX's device."""
    with jax.enable_x64(True):
        return jax.device_put(array)


_forked = False


def enter_forked_process() -> None:
    """From now on NumPy computes what it can, and arrays of the process from which this one was forked are read through NumPy alone."""
    global _forked
    _forked = True
    is_on_cpu.cache_clear()


def is_forked() -> bool:
    """Whether this process was forked from one in which JAX runs; see ``forked``."""
    return _forked


@functools.cache
def is_on_cpu() -> bool:
    """Whether JAX's default device is the CPU, where NumPy can help."""
    return _forked or jax.default_backend() == "cpu"


def as_numpy(array: Any) -> Any:
    """An array of JAX's as one of NumPy's, on the same memory; all else as it is.

    Raises:
      RuntimeError: it lies on an accelerator, which a forked process can't read.
    """
    if not isinstance(array, jax.Array) or isinstance(array, jax.core.Tracer):
        return array
    if any(device.platform != "cpu" for device in array.devices()):
        raise RuntimeError(
            f"Cannot re-initialize {array.devices()} in forked subprocess: a tensor that lies there can't be read in a DataLoader's worker, unless the "
            "dataset, collate_fn or worker_init_fn holds it; make it an attribute of the dataset, or use multiprocessing_context='spawn'"
        )
    return np.asarray(array)


def from_host(array: Any) -> Any:
    """An array as values keep it, for which nothing is compiled: one of NumPy's stays on a CPU, where nobody may write into it from now on."""
    if not isinstance(array, np.ndarray):
        return array
    return np.asarray(array, order="C") if is_on_cpu() else to_jax(array)


def copied(array: Any) -> Any:
    """An array of somebody else's as values keep it: JAX's are immutable, NumPy's are copied."""
    return from_host(np.array(array)) if isinstance(array, np.ndarray) else array


def filled(shape: tuple[int, ...], value: Any, dtype: np.dtype) -> Any:
    """An array of one value."""
    if is_on_cpu():
        return np.full(shape, value, dtype)
    with jax.enable_x64(True):
        return jnp.full(shape, value, dtype)


class Value:
    """One array, known or pending.

    Attributes:
      array: a jax.Array, a NumPy array where NumPy computed it, or a tracer inside a transformation; None while it is pending.
      shape, dtype: of the array, known from the start; dtype is NumPy's.
      graph, place: while it is pending, the graph that gives it, and its number there.
      numbers: where it is known, a NumPy view of the memory, once somebody asked for one.
    """

    __slots__ = ("__weakref__", "array", "dtype", "graph", "numbers", "place", "shape")

    place: int

    def __init__(self, array: Any):
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.graph: Any = None
        self.numbers: Any = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def traced(self) -> bool:
        """Whether a function is being transformed, in which there are no numbers yet."""
        return isinstance(self.array, jax.core.Tracer)

    def known(self) -> Any:
        """The array; the pending graph runs if it must."""
        if self.array is None:
            self.graph.flush()
        if self.array is None:  # it was left out there, and waits for something else now
            self.graph.flush()
        if _forked:
            self.array = as_numpy(self.array)
        return self.array

    def on_device(self) -> Any:
        """The array as a jax.Array (or tracer)."""
        array = self.known()
        if type(array) is np.ndarray:
            array = self.array = to_jax(array)
        return array

    @property
    def kind(self) -> Any:
        """What a program depends on in it."""
        if getattr(self.array, "weak_type", False):  # as JAX makes of Python numbers; from here on only its dtype counts
            with jax.enable_x64(True):
                self.array = lax.convert_element_type(self.array, self.dtype)
        return self.shape, self.dtype


class Residuals:
    """What an operation keeps for its gradient: a pytree of arrays that is a function of the gradients (a vjp), known or pending.

    Attributes:
      array: the pytree, or its leaves as ``Interpreted``; None while it is pending.
      kind: what a program depends on in it: the shaped form that gave it, or its structure with the shapes and dtypes of its leaves.
      graph, place: as of a Value.
    """

    __slots__ = ("__weakref__", "array", "graph", "kind", "place")

    place: int

    def __init__(self, vjp: Any):
        leaves, structure = jax.tree.flatten(vjp)
        self.array = vjp
        self.kind: Any = (structure, *[(leaf.shape, leaf.dtype) for leaf in leaves])
        self.graph: Any = None

    @property
    def outline(self) -> Any:
        """The pytree with shapes and dtypes for arrays."""
        if isinstance(self.kind, tuple):
            return jax.tree.unflatten(self.kind[0], [jax.ShapeDtypeStruct(*leaf) for leaf in self.kind[1:]])
        return self.kind.outline

    def known(self) -> Any:
        """The pytree; the pending graph runs if it must."""
        if self.array is None:
            self.graph.flush()
        if type(self.array) is Interpreted:
            self.array = self.array.pytree()
        return self.array

    @property
    def interpreted(self) -> bool:
        """Whether it is known by its leaves alone, as NumPy gave them."""
        return type(self.array) is Interpreted


class Interpreted:
    """A vjp that NumPy computed: the leaves of the pytree as the trace of its form for all sizes has them, which only that trace's pull knows to read.

    Args:
      leaves: NumPy arrays.
      pytree: what computes the pytree for programs of XLA.
    """

    __slots__ = ("leaves", "pytree")

    def __init__(self, leaves: Sequence[Any], pytree: Callable[[], Any]):
        self.leaves, self.pytree = leaves, pytree
