"""Making tensors: from data, of one value. (At equal distances: ``ranges``; at random: ``sampling``.)"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from funnn.engine.dispatch.public import rename
from funnn.engine.memory.numpy_memory import check_order, on_memory_of
from funnn.engine.memory.storage import contiguous_stride
from funnn.engine.memory.strides import preserved_stride, with_stride
from funnn.engine.memory.view_geometry import alias
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.table import FUNCTIONS, add_method, gather_sizes, write_out
from funnn.engine.ops.make.data import fitting, number_of, values_of
from funnn.engine.ops.views.views import make_view
from funnn.engine.program.outline import outline_of, outlined
from funnn.engine.program.value import filled, from_host, is_on_cpu
from funnn.engine.state import thread
from funnn.engine.tensor.pickling import on_memory
from funnn.engine.tensor.sparse import NoDenseMemory, SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout
from funnn.engine.types.casts import cast, cast_on_host
from funnn.engine.types.device import check_pinned, wants_outline
from funnn.engine.types.dtype import as_dtype
from funnn.engine.types.sequences import is_sequence
from funnn.engine.types.warning import say


def finish(array: Any, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A tensor of an array's numbers, or, on 'meta', of its shape and type."""
    result = Tensor._wrap(outline_of(array) if wants_outline(device) else array)
    if requires_grad and requires_grad is not True:
        raise TypeError(f"argument 'requires_grad' must be bool, not {type(requires_grad).__name__}")
    return result._set_requires_grad() if requires_grad else result


def _make(function: Callable, *args: Any, **kwargs: Any) -> Any:
    with jax.enable_x64(True):
        return function(*args, **kwargs)


_COPY = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), "
    "rather than {}(sourceTensor)."
)


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new tensor with a copy of ``data``: a number, nested sequences of numbers, or an array."""
    check_pinned(pin_memory)
    if isinstance(data, Tensor):
        say(_COPY.format("torch.tensor"))
        array = data._read()
        return finish(array if dtype is None else _make(cast, array, as_dtype(dtype).numpy), requires_grad, device)
    if type(data) in (list, tuple) and data and isinstance(data[0], np.ndarray):
        deprecated("arrays")
    values, kind = values_of(list(data) if isinstance(data, bytearray) else data, dtype is None)
    if dtype is not None or values.dtype == np.uint64:
        kind = fitting(data, values, kind if dtype is None else as_dtype(dtype))
    result = finish(from_host(cast_on_host(values, kind.numpy)), requires_grad, device)
    if isinstance(data, np.ndarray) and not data.flags.c_contiguous:
        stride = preserved_stride(data.shape, tuple([step // data.itemsize for step in data.strides]))
        return result if stride == contiguous_stride(data.shape) else with_stride(result, stride)
    return result


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` itself if it is a tensor of that dtype, a tensor on the memory of an array of NumPy's of that dtype, else a new one."""
    if isinstance(data, Tensor):
        return data.to(*(item for item in (device, dtype) if item is not None))
    if isinstance(data, np.ndarray) and (dtype is None or as_dtype(dtype).numpy == data.dtype) and not wants_outline(device):
        return from_numpy(data)
    return tensor(data, dtype=dtype, device=device)


_NOT_WRITABLE = (
    "The given {} is not writable, and PyTorch does not support non-writable tensors. This means {}. You may want to copy the {} to protect its data "
    "or make it writable before converting it to a tensor. This type of warning will be suppressed for the rest of this program."
)


def warn_unless_writable(array: np.ndarray, what: str, means: str) -> None:
    """Warn of what is not to be written (a tensor that is written gets memory of its own), once or as ``torch.set_warn_always`` says."""
    if not array.flags.writeable:
        say(_NOT_WRITABLE.format(what, means, what.rpartition(" ")[2]), once=True)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on the memory of a NumPy array: what is written to one is seen by the other. On an accelerator it is a copy.

    An array that is read-only stays as it is: writing to the tensor gives that memory of its own.

    Raises:
      TypeError: of an array of objects, text or other things that are no numbers here.
      ValueError: a stride is negative.
    """
    if not isinstance(ndarray, np.ndarray):
        kind = f"numpy.{type(ndarray).__name__}" if isinstance(ndarray, np.generic) else type(ndarray).__name__
        raise TypeError(f"expected np.ndarray (got {kind})")
    warn_unless_writable(ndarray, "NumPy array", "writing to this tensor will result in undefined behavior")
    return on_array(ndarray)


def on_array(array: np.ndarray) -> Tensor:
    """A tensor on the memory of a NumPy array, or with a copy where that can't be."""
    if not is_on_cpu():
        return tensor(array)
    check_order(array)
    _dtype.dtype.of(array.dtype)
    return on_memory(Tensor, *on_memory_of(array))


def _checked(shape: tuple) -> tuple:
    if any(length < 0 for length in shape):
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}. Dimension size must be non-negative."
        )
    return shape


def factory(function: Callable) -> Callable:
    """``function`` with what all that make tensors take.

    ``out``: a tensor to write into, whose dtype decides; another ``dtype`` beside it is an error. ``layout``: ``torch.strided``; zeros
    and empty make sparse tensors, too. ``pin_memory``: nothing on an accelerator, as JAX moves values to a device itself. ``size=``, where a function takes
    loose sizes.
    """

    @functools.wraps(function)
    def make(*args: Any, out: Any = None, dtype: Any = None, layout: Any = None, pin_memory: bool = False, **kwargs: Any) -> Tensor:
        if layout is not None and layout is not _layout.strided:
            if not isinstance(layout, _layout.layout):
                raise TypeError(f"{function.__name__}(): argument 'layout' must be torch.layout, not {type(layout).__name__}")
            raise NoDenseMemory(
                f"{function.__name__}() makes tensors of layout torch.strided, got layout={layout!r}; use to_sparse(layout=…)"
            )
        if pin_memory:
            check_pinned(pin_memory)
        if out is None:
            return function(*args, dtype=dtype, **kwargs)
        if dtype is not None and as_dtype(dtype) is not out.dtype:
            raise RuntimeError(
                f"dtype {as_dtype(dtype).legacy} does not match dtype of out parameter ({out.dtype.legacy}); leave dtype out"
            )
        requires_grad = kwargs.pop("requires_grad", False)
        result = write_out(out, function(*args, dtype=out.dtype, **({"device": out.device} | kwargs)))
        return result._set_requires_grad() if requires_grad else result

    own, added = inspect.signature(function), inspect.signature(make, follow_wrapped=False).parameters
    make.__signature__ = own.replace(parameters=[*_public(own), *(added[name] for name in ("out", "layout", "pin_memory"))])
    return make


def _public(signature: inspect.Signature, *left_out: str) -> list[inspect.Parameter]:
    """The arguments that a user may give: not ``named``, which are the sizes, nor those left out."""
    return [item for name, item in signature.parameters.items() if name not in ("named", *left_out)]


_WITHOUT_CLASS = {*_dtype.FLOAT8, _dtype.uint16, _dtype.uint32, _dtype.uint64}  # which torch has no torch.…Tensor of


def _of_one_value(value: Any, size: tuple, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    kind = _dtype.get_default_dtype() if dtype is None else as_dtype(dtype)
    return finish(_filled(size, value, kind, device), requires_grad, device)


def _filled(size: tuple, value: Any, kind: _dtype.dtype, device: Any) -> Any:
    """An array of one value, or what is known of it on 'meta'."""
    shape = _checked(size)
    return outlined(shape, kind.numpy) if wants_outline(device) else filled(shape, cast_on_host(value, kind.numpy), kind.numpy)


@factory
def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any) -> Tensor:
    """A tensor of zeros: zeros(2, 3) or zeros((2, 3))."""
    return _of_one_value(0, gather_sizes(size, named), dtype, device, requires_grad)


@factory
def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any) -> Tensor:
    """A tensor of ones: ones(2, 3) or ones((2, 3))."""
    return _of_one_value(1, gather_sizes(size, named), dtype, device, requires_grad)


@factory
def empty(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None, **named: Any
) -> Tensor:
    """A tensor of unspecified values (zeros, here)."""
    shape = gather_sizes(size, named)
    order = _layout.order_of(memory_format, len(shape))
    if order is not None:
        return FUNCTIONS["empty_permuted"](shape, order, dtype=dtype, device=device, requires_grad=requires_grad)
    return _of_one_value(0, shape, dtype, device, requires_grad)


@factory
def full(size: Sequence[int], fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of one value; its dtype is the value's by default."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    value = number_of("full", "fill_value", 2, fill_value)
    kind = values_of(value)[1] if dtype is None else as_dtype(dtype)
    shape = gather_sizes((size,))
    value = _dtype.number_for(value, kind, math.prod(shape) == 1)
    return finish(_filled(shape, value, kind, device), requires_grad, device)


@factory
def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    kind = _dtype.get_default_dtype() if dtype is None else as_dtype(dtype)
    for name, size in (("n", n), ("m", 0 if m is None else m)):
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    return finish(from_host(np.eye(n, m, dtype=kind.numpy)), requires_grad, device)


@factory
def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of dimension 0 with that number, of the default dtype if none is given."""
    value = number_of("scalar_tensor", "s", 1, s)
    kind = _dtype.get_default_dtype() if dtype is None else as_dtype(dtype)
    return _of_one_value(_dtype.number_for(value, kind, alone=True), (), kind, device, requires_grad)


# -- like another tensor


def like(function: Callable, name: str | None = None, fill: Callable | None = None) -> Callable:
    """``function`` with the shape, strides and dtype of a tensor; ``fill(tensor, …)`` writes into one whose strides are other than usual."""

    def make(
        input: Tensor, *args: Any, dtype: Any = None, layout: Any = None, device: Any = None, memory_format: Any = None, **kwargs: Any
    ) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name or function.__name__}_like(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        kind = input.dtype if dtype is None else dtype
        device = input._meta() if device is None else device
        stride = _stride_like(input, memory_format)
        if stride is None or thread.tracing is not None:
            return function(tuple(input.shape), *args, dtype=kind, layout=layout, device=device, **kwargs)
        requires_grad = kwargs.pop("requires_grad", False)
        check_pinned(kwargs.pop("pin_memory", None))
        made = FUNCTIONS["empty_strided"](tuple(input.shape), stride, dtype=kind, device=device)
        if fill is not None:
            fill(made, *args, **kwargs)
        return made._set_requires_grad() if requires_grad else made

    make.__name__ = make.__qualname__ = f"{name or function.__name__}_like"
    make.__doc__ = f"As torch.{name or function.__name__}, in the shape and dtype of ``input``."
    own, theirs = inspect.signature(make), inspect.signature(function)
    rest = _public(theirs, "size", "out", "memory_format")
    make.__signature__ = theirs.replace(parameters=[own.parameters["input"], *rest, own.parameters["memory_format"]])
    return make


def _stride_like(input: Tensor, format: Any) -> tuple | None:
    """The strides of a new tensor like ``input`` in a memory format; None for the usual ones."""
    window, order = input._window, _layout.order_of(format, input.dim())
    if order is not None:
        stride = _layout.stride_in_order(tuple(input.shape), order)
    elif window is None or format is _layout.contiguous_format:
        return None
    else:
        stride = preserved_stride(window.shape, window.stride)
    return None if stride == contiguous_stride(tuple(input.shape)) else stride


def legacy_tensor(args: tuple, kind: _dtype.dtype, of_any_dtype: bool = False) -> Tensor:
    """``Tensor()``, ``Tensor(2, 3)`` or ``Tensor(data)``: sizes where integers or a Size are given, else data.

    A tensor gives a view of itself; unless ``of_any_dtype``, it has to be of that dtype.
    """
    if not args:
        return zeros(0, dtype=kind)
    first = args[0]
    if isinstance(first, Tensor) and len(args) == 1:
        if first.dtype is not kind and not of_any_dtype:
            raise TypeError(f"expected a tensor of dtype {kind} (got one of {first.dtype}); convert it with .to({kind})")
        return make_view(first, alias, (), "AliasBackward0")
    if isinstance(first, _dtype.Size) or all(map(_is_size, args)):
        return zeros(*args, dtype=kind)
    if len(args) > 1:
        raise TypeError(
            f"new(): expected the sizes as integers, or one sequence of data, but got {len(args)} arguments of types "
            f"({', '.join(type(arg).__name__ for arg in args)}); put the rows into one list: torch.tensor([[…], […]])"
        )
    if isinstance(first, np.ndarray):
        return as_tensor(first, dtype=kind)
    if not is_sequence(first) and not isinstance(first, (str, bytes)):
        raise TypeError(f"new(): data must be a sequence (got {type(first).__name__}); use torch.tensor({first})")
    return tensor(first, dtype=kind)


def _is_size(value: Any) -> bool:
    return hasattr(type(value), "__index__") and not isinstance(value, (bool, np.ndarray, jax.Array))


Tensor._construct = staticmethod(legacy_tensor)


def legacy_type(kind: _dtype.dtype, device: str = "cpu") -> type:
    """torch.FloatTensor, torch.cuda.FloatTensor and their kin: constructors, and what isinstance asks for."""
    prefix = "torch" if device == "cpu" else f"torch.{device}"

    class Meta(type):
        def __call__(cls, *args: Any) -> Tensor:
            if device != "cpu" and not _device.accelerated():
                raise TypeError(f"type {prefix}.{cls.__name__} not available: JAX sees no GPU; use torch.{cls.__name__}")
            return legacy_tensor(args, kind)

        def __instancecheck__(cls, instance: Any) -> bool:
            dense = isinstance(instance, Tensor) and not isinstance(instance, SparseTensor)
            return dense and instance.dtype is kind and (device == "cpu" or instance.device.type == device)

        def __repr__(cls) -> str:
            return f"<class '{prefix}.{cls.__name__}'>"

    return Meta(f"{kind.legacy}Tensor", (), {"kind": kind, "__doc__": f"Tensors of dtype {kind!r}.", "__module__": prefix})


def legacy_types(device: str = "cpu") -> dict[str, type]:
    """All of them, by name."""
    return {f"{kind.legacy}Tensor": legacy_type(kind, device) for kind in _dtype.ALL if kind.category < 3 and kind not in _WITHOUT_CLASS}


_NEW = {"new_zeros": zeros, "new_ones": ones, "new_empty": empty, "new_full": full, "new_tensor": tensor}


def _new(name: str, function: Callable) -> Callable:
    def make(self: Tensor, *args: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        if self.is_meta:
            kwargs.setdefault("device", _device.META)
        if function is tensor and args and isinstance(args[0], Tensor):
            say(_COPY.format("tensor.new_tensor"))
            return args[0].detach().clone().to(self.dtype if dtype is None else dtype)._set_requires_grad(bool(kwargs.get("requires_grad")))
        return function(*args, dtype=self.dtype if dtype is None else dtype, **kwargs)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"As torch.{name.removeprefix('new_')}, in this tensor's dtype."
    own, theirs = inspect.signature(make), inspect.signature(function)
    make.__signature__ = theirs.replace(parameters=[own.parameters["self"], *_public(theirs, "out")])
    return make


for _name, _function in _NEW.items():
    add_method(_name, _new(_name, _function))
for _function in (tensor, as_tensor, from_numpy):
    FUNCTIONS[_function.__name__] = _function
for _name, _function in (
    *(("zeros", zeros), ("ones", ones), ("empty", empty), ("full", full), ("eye", eye), ("scalar_tensor", scalar_tensor)),
):
    rename(_function, _name)
    FUNCTIONS[_name] = _function
for _name, _fill in (
    ("zeros", None),
    ("empty", None),
    ("ones", lambda made: made.fill_(1)),
    ("full", lambda made, value: made.fill_(value)),
):
    FUNCTIONS[f"{_name}_like"] = like(FUNCTIONS[_name], _name, _fill)
FUNCTIONS["promote_types"] = _dtype.join


def is_tensor(obj: Any) -> bool:
    """Whether the object is a Tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def is_floating_point(input: Tensor) -> bool:
    """Whether the numbers are floating-point ones (and not complex)."""
    return input.is_floating_point()


def result_type(tensor1: Any, tensor2: Any) -> _dtype.dtype:
    """The dtype of the result of an operation on both, each a tensor or a number: a number counts only where its category is the higher one."""
    operands = [x for x in (tensor1, tensor2) if not isinstance(x, Tensor)]
    tensors = [(int(not x._shape()), x.dtype) for x in (tensor1, tensor2) if isinstance(x, Tensor)]
    found: _dtype.dtype = _dtype.promote_ranked([*tensors, *map(_dtype.ranked, operands)])
    return found


vars(is_tensor).update(asks=False)
for _function in (is_tensor, numel, is_floating_point, result_type):
    FUNCTIONS[_function.__name__] = _function
