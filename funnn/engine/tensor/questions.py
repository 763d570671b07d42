"""Questions of a tensor (``x.shape``, ``x.dim()``, ``len(x)``), which classes and modes that override functions are asked too.

Most programs have neither, so a question is a plain property or method until the first of them is there; then each gets a descriptor that asks. What
programs find on the class stays the same object: ``Tensor.shape.__get__``, ``Tensor.dim``.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

from funnn.engine.state import thread
from funnn.engine.tensor import overrides
from funnn.engine.tensor.tensor import Tensor

_METHODS = (
    *(
        "__float__",
        "__complex__",
        "__bool__",
        "__int__",
        "__index__",
        "__len__",
        "__contains__",
        "__array__",
        "__array_wrap__",
        "__format__",
        "__repr__",
    ),
    *(
        "__reduce_ex__",
        "__dlpack__",
        "__dlpack_device__",
        "__rsub__",
        "__floordiv__",
        "__rfloordiv__",
        "__rdiv__",
        "__rpow__",
        "__rmod__",
        "__eq__",
    ),
    *(
        "__and__",
        "__or__",
        "__xor__",
        "__iand__",
        "__ior__",
        "__ixor__",
        "__lshift__",
        "__rlshift__",
        "__ilshift__",
        "__rshift__",
        "__rrshift__",
    ),
    *(
        "__irshift__",
        "__invert__",
        "__rmatmul__",
        "apply_",
        "backward",
        "const_data_ptr",
        "data_ptr",
        "dense_dim",
        "detach_",
        "dim",
        "dim_order",
    ),
    *(
        "element_size",
        "fill_diagonal_",
        "float_power_",
        "get_device",
        "is_complex",
        "is_contiguous",
        "is_floating_point",
        "is_inference",
        "is_nonzero",
    ),
    *("is_pinned", "is_same_size", "is_set_to", "is_shared", "is_signed", "item", "map_", "map2_", "nelement", "numel", "numpy"),
    *(
        "pin_memory",
        "register_hook",
        "register_post_accumulate_grad_hook",
        "requires_grad_",
        "retain_grad",
        "set_",
        "size",
        "sparse_dim",
        "squeeze_",
    ),
    *("storage", "storage_offset", "stride", "swapaxes_", "swapdims_", "t_", "tolist", "transpose_", "unsqueeze_", "untyped_storage"),
)
_PROPERTIES = (
    *(
        "grad",
        "grad_fn",
        "_version",
        "device",
        "dtype",
        "is_cuda",
        "is_cpu",
        "is_leaf",
        "is_meta",
        "retains_grad",
        "itemsize",
        "nbytes",
        "ndim",
        "output_nr",
    ),
    *("requires_grad", "shape", "data", "T", "H", "mT", "mH", "real", "imag"),
)
_ALIASES = {"__rtruediv__": "__rdiv__", "ndimension": "dim"}  # which torch asks under the latter name
#: Questions whose answer is the same for all tensors.
_CONSTANTS = ("layout", "is_sparse", "is_quantized", "is_nested", "is_mps", "name")


class _Property(property):
    """A property that knows its name, as torch's do."""

    __name__: str


def is_question(function: Any) -> bool:
    """Whether what a mode is asked for is a question, and no operation."""
    return function.__name__ in ("__get__", "__set__", "__delete__", *_METHODS)


def nowrap() -> set[Any]:
    """Questions whose answers the default ``__torch_function__`` leaves as they are."""
    return {Tensor.grad.__get__}


class _Asking:
    """Asks classes and modes, then answers as the ``original`` does."""

    def __init__(self, original: Any, asked: Any):
        self.original = original
        self.call = _asks_first(original if callable(original) else original.__get__, asked)

    def __get__(self, tensor: Any, owner: type | None = None) -> Any:
        if tensor is None:
            return self.original
        return types.MethodType(self.call, tensor) if callable(self.original) else self.call(tensor)


class _AskingProperty(_Asking):
    """Of a property; one that can't be written says so."""

    def __init__(self, original: property, asked: Any):
        super().__init__(original, asked)
        self.put = _asks_first(original.__set__, original.__set__)
        self.remove = _asks_first(original.__delete__, original.__delete__)

    def __set__(self, tensor: Any, value: Any) -> None:
        self.put(tensor, value)

    def __delete__(self, tensor: Any) -> None:
        self.remove(tensor)


def _asks_first(answer: Callable[..., Any], asked: Callable[..., Any]) -> Callable[..., Any]:
    def ask_first(self: Any, *args: Any, **kwargs: Any) -> Any:
        if thread.function_modes or (type(self) is not Tensor and thread.ask_classes):
            found = overrides.ask(asked, (self, *args), kwargs)
            if found is not NotImplemented:
                return found
        return answer(self, *args, **kwargs)

    return ask_first


def _iterate(self: Any) -> Any:
    if self.dim() == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def _owner(name: str) -> type:
    return next(kind for kind in Tensor.__mro__ if name in vars(kind))


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda self: value


def prepare() -> None:
    """Give properties and operators the names that torch's have, once all of them are there; what asks is put in their places later."""
    for name in _CONSTANTS:
        value = inspect.getattr_static(Tensor, name)
        setattr(Tensor, name, property(_always(value), doc=f"{value}, as of all tensors."))
    for name in (*_PROPERTIES, *_CONSTANTS):
        old = inspect.getattr_static(Tensor, name)
        made = _Property(old.fget, old.fset, old.fdel, old.__doc__)
        made.__name__ = name
        setattr(_owner(name), name, made)
    for name in _METHODS:
        method = inspect.getattr_static(Tensor, name)
        if isinstance(method, types.FunctionType) and method.__name__ != name and not hasattr(method, "asks"):
            method.__name__ = method.__qualname__ = name
    overrides.prepared.append(_install)


def _install() -> None:
    methods = {name: inspect.getattr_static(Tensor, name) for name in (*_METHODS, *_ALIASES)}
    for name, method in methods.items():
        setattr(_owner(name), name, _Asking(method, methods[_ALIASES.get(name, name)]))
    for name in (*_PROPERTIES, *_CONSTANTS):
        found = inspect.getattr_static(Tensor, name)
        setattr(_owner(name), name, _AskingProperty(found, found.__get__))
    setattr(Tensor, "__iter__", _iterate)  # noqa: B010
