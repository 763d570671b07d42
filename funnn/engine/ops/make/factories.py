"""Making tensors: from data, of one value, in sequences. (At random: ``sampling``.)"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from funnn.engine.dispatch.public import rename
from funnn.engine.memory.storage import contiguous_stride
from funnn.engine.memory.strides import preserved_stride
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.table import FUNCTIONS, add_method, gather_sizes, write_out
from funnn.engine.program.value import filled, from_host
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout
from funnn.engine.types.dtype import as_dtype, check_device
from funnn.functional._warn import say


def finish(array: Any, requires_grad: bool = False, device: Any = None) -> Tensor:
    if device is not None:
        check_device(device)
    result = Tensor._wrap(array)
    return result.requires_grad_() if requires_grad else result


def _make(function: Callable, *args: Any, **kwargs: Any) -> Any:
    with jax.enable_x64(True):
        return function(*args, **kwargs)


def _cast(values: Any, dtype: np.dtype) -> np.ndarray:
    """A copy as that type."""
    with np.errstate(all="ignore"):
        return np.array(values, dtype, order="C")


_NUMBERS = (bool, int, float, complex)


def _values(data: Any) -> tuple[np.ndarray, _dtype.dtype]:
    """Python data as a NumPy array, and the dtype that torch infers for it."""
    if isinstance(data, (np.ndarray, np.generic, jax.Array)):
        values = np.asarray(data)
        if min(values.strides, default=0) < 0:
            raise ValueError(f"At least one stride in the given numpy array is negative, {values.strides}; use array.copy()")
        return values, _dtype.dtype.of(values.dtype)
    data = list(data) if isinstance(data, bytearray) else data
    kinds = _kinds(data)
    if not kinds:
        return np.zeros(np.shape(data), np.float32), _dtype.get_default_dtype()
    try:
        values = np.asarray(_plain(data))
        if values.dtype == object:
            raise OverflowError
        return values, functools.reduce(_dtype.join, kinds)
    except ValueError as error:
        raise ValueError(f"expected sequence of equal length at every level of the data: {error}") from None
    except OverflowError:
        raise ValueError("Overflow when unpacking long long: an integer does not fit into 64 bits") from None


def _kinds(data: Any) -> set[_dtype.dtype]:
    """The dtypes of the items of nested sequences."""
    if isinstance(data, (Tensor, np.ndarray, np.generic, jax.Array)):
        return {_dtype.dtype.of(data.dtype.numpy if isinstance(data, Tensor) else data.dtype)}
    if isinstance(data, (list, tuple, range)):
        types = set(map(type, data))
        if types.issubset(_NUMBERS):
            return {_dtype.category_default(_NUMBERS.index(item)) for item in types}
        return set().union(*map(_kinds, data))
    if isinstance(data, _NUMBERS):
        return _kinds([data])
    if isinstance(data, str):
        raise TypeError(f"new(): invalid data type 'str'; expected numbers, or nested sequences of them, got {data[:40]!r}")
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}; expected numbers, or nested sequences of them")


def _plain(data: Any) -> Any:
    """Tensors inside lists as numbers."""
    if isinstance(data, Tensor):
        return data._number()
    return [_plain(item) for item in data] if isinstance(data, (list, tuple)) else data


def _converted(data: Any, values: np.ndarray, kind: _dtype.dtype) -> _dtype.dtype:
    """The type asked for, if the numbers of Python data can be of it (those of arrays wrap around)."""
    if isinstance(data, (np.ndarray, np.generic, jax.Array)) or not values.size:
        return kind
    if values.dtype == np.uint64 and kind is _dtype.int64:
        raise ValueError("Overflow when unpacking long long: an integer does not fit into 63 bits and a sign")
    if values.dtype.kind == "c" and not kind.is_complex:
        raise TypeError(f"can't convert complex to {kind.name}; take the real part, or use a complex dtype")
    if kind.category == 1 and values.dtype.kind in "iuf":
        for value in (values.min(), values.max()):
            _dtype.check_fits(value.item(), kind)
    return kind


_COPY = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), "
    "rather than {}(sourceTensor)."
)


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new tensor with a copy of ``data``: a number, nested sequences of numbers, or an array."""
    if isinstance(data, Tensor):
        say(_COPY.format("torch.tensor"))
        array = data._read()
        return finish(array if dtype is None else _make(array.astype, as_dtype(dtype).numpy), requires_grad, device)
    if type(data) in (list, tuple) and data and isinstance(data[0], np.ndarray):
        deprecated("arrays")
    values, kind = _values(data)
    if dtype is not None or values.dtype == np.uint64:
        kind = _converted(data, values, kind if dtype is None else as_dtype(dtype))
    return finish(from_host(_cast(values, kind.numpy)), requires_grad, device)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` itself if it is a tensor of that dtype, else a new one."""
    if isinstance(data, Tensor):
        return data.to(*(item for item in (device, dtype) if item is not None))
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor with the values of a NumPy array. The values are copied: later writes to either are not shared, unlike in torch."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if not ndarray.flags.writeable:
        deprecated("read-only")
    return tensor(ndarray)


def _checked(shape: tuple) -> tuple:
    if any(length < 0 for length in shape):
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}. Dimension size must be non-negative."
        )
    return shape


def factory(function: Callable) -> Callable:
    """``function`` with what all that make tensors take.

    ``out``: a tensor to write into, whose dtype decides; another ``dtype`` beside it is an error. ``layout``: ``torch.strided``, which all
    tensors are. ``pin_memory``: nothing, as JAX moves values to a device itself. ``size=``, where a function takes loose sizes.
    """

    @functools.wraps(function)
    def make(*args: Any, out: Any = None, dtype: Any = None, layout: Any = None, pin_memory: bool = False, **kwargs: Any) -> Tensor:
        if layout not in (None, _layout.strided):
            raise NotImplementedError(f"{function.__name__}(): all tensors here are torch.strided, got layout={layout!r}; leave layout out")
        if out is None:
            return function(*args, dtype=dtype, **kwargs)
        if dtype is not None and as_dtype(dtype) is not out.dtype:
            raise RuntimeError(
                f"dtype {as_dtype(dtype).legacy} does not match dtype of out parameter ({out.dtype.legacy}); leave dtype out"
            )
        return write_out(out, function(*args, dtype=out.dtype, **kwargs))

    own, added = inspect.signature(function), inspect.signature(make, follow_wrapped=False).parameters
    make.__signature__ = own.replace(parameters=[*_public(own), *(added[name] for name in ("out", "layout", "pin_memory"))])
    return make


def _public(signature: inspect.Signature, *left_out: str) -> list[inspect.Parameter]:
    """The arguments that a user may give: not ``named``, which are the sizes, nor those left out."""
    return [item for name, item in signature.parameters.items() if name not in ("named", *left_out)]


_WITHOUT_CLASS = {*_dtype.FLOAT8, _dtype.uint16, _dtype.uint32, _dtype.uint64}  # which torch has no torch.…Tensor of


def _of_one_value(value: Any, size: tuple, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    kind = _dtype.get_default_dtype() if dtype is None else as_dtype(dtype)
    return finish(filled(_checked(size), _cast(value, kind.numpy), kind.numpy), requires_grad, device)


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
    if isinstance(fill_value, Tensor) and fill_value.dim():
        raise TypeError("full(): argument 'fill_value' (position 2) must be Number, not Tensor")
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    kind = _values(value)[1] if dtype is None else as_dtype(dtype)
    _dtype.check_fits(value, kind)
    return finish(filled(_checked(gather_sizes((size,))), _cast(value, kind.numpy), kind.numpy), requires_grad, device)


@factory
def arange(
    *bounds: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … below end: arange(end), arange(start, end) or arange(start, end, step)."""
    named = {name: value for name, value in (("start", start), ("end", end), ("step", step)) if value is not None}
    if len(bounds) == 1 and "end" not in named:
        bounds = (0, *bounds)
    if len(bounds) > 3 or not (len(bounds) > 1 or "end" in named):
        raise TypeError(f"arange() takes end, start and end, or start, end and step; got {len(bounds)} numbers")
    return _stepped(dict(zip(("start", "end", "step"), bounds, strict=False)) | named, math.ceil, dtype, device, requires_grad)


@factory
def range_(start: Any, end: Any, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """As arange, but with ``end`` itself, and of floating-point numbers by default. Deprecated."""
    deprecated("range")
    kind = _dtype.get_default_dtype() if dtype is None else dtype
    return _stepped({"start": start, "end": end, "step": step}, lambda steps: math.floor(steps) + 1, kind, device, requires_grad)


def _stepped(given: dict[str, Any], count: Callable, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """start + i·step, with so many values as ``count`` makes of the number of steps up to the end."""
    given = {name: value.item() if isinstance(value, Tensor) else value for name, value in given.items()}
    start, end, step = given.get("start", 0), given["end"], given.get("step", 1)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) / step < 0:
        raise RuntimeError(f"upper bound and lower bound inconsistent with step sign: start={start}, end={end}, step={step}")
    integers = all(isinstance(value, int) for value in (start, end, step))
    kind = (_dtype.int64 if integers else _dtype.get_default_dtype()) if dtype is None else as_dtype(dtype)
    if kind is _dtype.bool_:
        raise NotImplementedError("\"arange_cpu\" not implemented for 'Bool'; make integers and convert them with .bool()")
    values = start + step * np.arange(count((end - start) / step), dtype=np.int64 if integers else np.float64)
    return finish(from_host(_cast(values, kind.numpy)), requires_grad, device)


@factory
def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``steps`` values from start to end, both included, at equal distances."""
    values, kind = _spaced("linspace", start, end, steps, dtype)
    return finish(from_host(_cast(values, kind.numpy)), requires_grad, device)


@factory
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``steps`` powers of ``base``, whose exponents go from start to end at equal distances."""
    values, kind = _spaced("logspace", start, end, steps, dtype, wide=True)
    with np.errstate(all="ignore"):
        values = np.power(base, values)
    return finish(from_host(_cast(values, kind.numpy)), requires_grad, device)


def _spaced(name: str, start: Any, end: Any, steps: int, dtype: Any, wide: bool = False) -> tuple[np.ndarray, _dtype.dtype]:
    """The values of ``linspace`` and their type, computed in it (as in torch, from both ends to the middle) or, if ``wide``, in double."""
    ends = [value.item() if isinstance(value, Tensor) else value for value in (start, end)]
    if not isinstance(steps, (int, np.integer, Tensor)):
        raise TypeError(f"{name}(): argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, got {steps}")
    inexact = any(isinstance(value, complex) for value in ends)
    kind = (_dtype.default_complex() if inexact else _dtype.get_default_dtype()) if dtype is None else as_dtype(dtype)
    if inexact and not kind.is_complex:
        raise RuntimeError(f"torch.{name}(): inferred dtype {_dtype.default_complex()} can't be safely cast to passed dtype {kind}")
    work = kind.numpy if kind.category >= 2 and not wide else np.dtype(np.complex128 if kind.is_complex else np.float64)
    low, high = (np.asarray(value).astype(kind.numpy if kind.category < 2 else work).astype(work) for value in ends)
    step = ((high - low) / (steps - 1)).astype(work) if steps > 1 else work.type(0)
    index = np.arange(steps)
    values = np.where(index < steps // 2, low + step * index.astype(work), high - step * (steps - 1 - index).astype(work))
    return (values if steps != 1 else low.reshape(1)), kind


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
    value = s.item() if isinstance(s, Tensor) else s
    if not isinstance(value, _NUMBERS):
        raise TypeError(f"scalar_tensor(): argument 's' (position 1) must be Number, not {type(s).__name__}")
    kind = _dtype.get_default_dtype() if dtype is None else as_dtype(dtype)
    _dtype.check_fits(value, kind)
    return _of_one_value(value, (), kind, device, requires_grad)


# -- like another tensor


def like(function: Callable, name: str | None = None, fill: Callable | None = None) -> Callable:
    """``function`` with the shape, strides and dtype of a tensor; ``fill(tensor, …)`` writes into one whose strides are other than usual."""

    def make(
        input: Tensor, *args: Any, dtype: Any = None, layout: Any = None, device: Any = None, memory_format: Any = None, **kwargs: Any
    ) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name or function.__name__}_like(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        kind = input.dtype if dtype is None else dtype
        stride = _stride_like(input, memory_format)
        if stride is None or thread.tracing is not None:
            return function(tuple(input.shape), *args, dtype=kind, layout=layout, device=device, **kwargs)
        requires_grad, _ = kwargs.pop("requires_grad", False), kwargs.pop("pin_memory", None)
        made = FUNCTIONS["empty_strided"](tuple(input.shape), stride, dtype=kind, device=device)
        if fill is not None:
            fill(made, *args, **kwargs)
        return made.requires_grad_() if requires_grad else made

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


def legacy_tensor(args: tuple, kind: _dtype.dtype) -> Tensor:
    """``Tensor()``, ``Tensor(2, 3)`` or ``Tensor(data)``: sizes where integers or a Size are given, else data."""
    if not args:
        return zeros(0, dtype=kind)
    if all(isinstance(arg, int) for arg in args) or isinstance(args[0], _dtype.Size):
        return zeros(*args, dtype=kind)
    if isinstance(args[0], _NUMBERS):
        raise TypeError(f"new(): data must be a sequence (got {type(args[0]).__name__}); use torch.tensor({args[0]})")
    if len(args) > 1:
        raise TypeError(
            f"new(): expected the sizes as integers, or one sequence of data, but got {len(args)} arguments of types "
            f"({', '.join(type(arg).__name__ for arg in args)}); put the rows into one list: torch.tensor([[…], […]])"
        )
    return tensor(args[0], dtype=kind)


Tensor._construct = staticmethod(legacy_tensor)


def legacy_type(kind: _dtype.dtype, device: str = "cpu") -> type:
    """torch.FloatTensor, torch.cuda.FloatTensor and their kin: constructors, and what isinstance asks for."""
    prefix = "torch" if device == "cpu" else f"torch.{device}"

    class Meta(type):
        def __call__(cls, *args: Any) -> Tensor:
            if device != "cpu" and not _dtype.accelerated():
                raise TypeError(f"type {prefix}.{cls.__name__} not available: JAX sees no GPU; use torch.{cls.__name__}")
            return legacy_tensor(args, kind)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, Tensor) and instance.dtype is kind and (device == "cpu" or instance.device.type == device)

        def __repr__(cls) -> str:
            return f"<class '{prefix}.{cls.__name__}'>"

    return Meta(f"{kind.legacy}Tensor", (), {"kind": kind, "__doc__": f"Tensors of dtype {kind!r}.", "__module__": prefix})


def legacy_types(device: str = "cpu") -> dict[str, type]:
    """All of them, by name."""
    return {f"{kind.legacy}Tensor": legacy_type(kind, device) for kind in _dtype.ALL if kind.category < 3 and kind not in _WITHOUT_CLASS}


_NEW = {"new_zeros": zeros, "new_ones": ones, "new_empty": empty, "new_full": full, "new_tensor": tensor}


def _new(name: str, function: Callable) -> Callable:
    def make(self: Tensor, *args: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        if function is tensor and args and isinstance(args[0], Tensor):
            say(_COPY.format("tensor.new_tensor"))
            return args[0].detach().clone().to(self.dtype if dtype is None else dtype).requires_grad_(bool(kwargs.get("requires_grad")))
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
    *(("zeros", zeros), ("ones", ones), ("empty", empty), ("full", full), ("arange", arange), ("range", range_), ("eye", eye)),
    *(("linspace", linspace), ("logspace", logspace), ("scalar_tensor", scalar_tensor)),
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
    return _dtype.promote(*(x._operand() if isinstance(x, Tensor) else x for x in (tensor1, tensor2)))


for _function in (is_tensor, numel, is_floating_point, result_type):
    FUNCTIONS[_function.__name__] = _function
