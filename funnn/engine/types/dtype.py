"""Types of numbers, devices and sizes, as torch spells them, and torch's rules of promotion."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from funnn.engine.state import before_settings_change


class TorchType(type):
    """The type of classes that print under torch's name: those made here, not what programs derive from them."""

    def __repr__(cls) -> str:
        places = cls.__module__.split(".")
        if places[:2] != ["funnn", "torch"]:
            return super().__repr__()
        return f"<class '{'.'.join([*(place for place in places[1:] if place[0] != '_'), cls.__qualname__])}'>"


class dtype(metaclass=TorchType):
    """A type of numbers, such as ``torch.float32``; ``numpy`` is NumPy's name for it."""

    _by_numpy: ClassVar[dict[np.dtype, dtype]] = {}

    def __init__(self, name: str, numpy: Any, legacy: str | None = None):
        self.name, self.numpy, self.legacy = name, np.dtype(numpy), legacy
        kind = "f" if self.numpy.kind == "V" else self.numpy.kind  # of ml_dtypes
        self.is_floating_point, self.is_complex, self.is_signed = kind == "f", kind == "c", kind in "ifc"
        self.category = "biufc".index(kind) - (kind in "ufc")  # 0 bool, 1 integer, 2 floating point, 3 complex
        self.itemsize = self.numpy.itemsize
        dtype._by_numpy[self.numpy] = self

    @property
    def in_memory(self) -> np.dtype:
        """How NumPy describes one such number in memory: of complex32, which it can't compute with, as two halves."""
        return HALVES if self is complex32 else self.numpy

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (dtype.named, (self.name,))

    @staticmethod
    def named(name: str) -> dtype:
        """The dtype of that name, such as "float32"."""
        return _WithoutArrays.known.get(name) or next(item for item in dtype._by_numpy.values() if item.name == name)

    def to_real(self) -> dtype:
        """The type of the real part of such numbers."""
        return {complex32: float16, complex64: float32, complex128: float64}.get(self, self)

    def to_complex(self) -> dtype:
        """The type of complex numbers with such parts, and that of complex numbers itself."""
        found = {float16: complex32, bfloat16: complex64, float32: complex64, float64: complex128}.get(self, self)
        if not found.is_complex:
            raise RuntimeError(f"Unknown Complex ScalarType for {self.legacy}")
        return found

    @staticmethod
    def of(numpy_dtype: Any) -> dtype:
        """The torch dtype of a NumPy one."""
        try:
            return dtype._by_numpy[np.dtype(numpy_dtype)]
        except (KeyError, TypeError):
            try:
                name = f"numpy.{np.dtype(numpy_dtype).type.__name__}"
            except TypeError:
                name = str(numpy_dtype)
            raise TypeError(
                f"can't convert np.ndarray of type {name}. The only supported types are: float64, float32, float16, complex64, complex128, int64, "
                "int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
            ) from None


uint8 = dtype("uint8", np.uint8, "Byte")
uint16 = dtype("uint16", np.uint16, "UInt16")
uint32 = dtype("uint32", np.uint32, "UInt32")
uint64 = dtype("uint64", np.uint64, "UInt64")
int8 = dtype("int8", np.int8, "Char")
int16 = dtype("int16", np.int16, "Short")
int32 = dtype("int32", np.int32, "Int")
int64 = dtype("int64", np.int64, "Long")
float16 = dtype("float16", np.float16, "Half")
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, "BFloat16")
float32 = dtype("float32", np.float32, "Float")
float64 = dtype("float64", np.float64, "Double")
complex64 = dtype("complex64", np.complex64, "ComplexFloat")
complex128 = dtype("complex128", np.complex128, "ComplexDouble")
bool_ = dtype("bool", np.bool_, "Bool")

#: Types to keep numbers in: they are converted, moved and compared, and nothing is computed in them.
FLOAT8 = tuple(
    dtype(name, getattr(ml_dtypes, name), name.capitalize())
    for name in ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
)
float8_e8m0fnu = FLOAT8[-1]
float8_e8m0fnu.is_signed = False


class NoArrays(NotImplementedError):
    """Arrays were asked for of a type, ``kind``, that has none in JAX and NumPy."""

    def __init__(self, text: str, kind: dtype):
        super().__init__(text)
        self.kind = kind


class _WithoutArrays(dtype):
    """A type that has a name and a size; JAX and NumPy have no arrays of it. How there are tensors of complex32, ``dispatch.halves`` says."""

    __module__, __qualname__ = "funnn.torch", "dtype"  # the name that is printed

    def __init__(self, name: str, legacy: str, itemsize: int, is_complex: bool, refusal: str):
        self.name, self.legacy, self.itemsize = name, legacy, itemsize
        self.is_floating_point, self.is_complex, self.is_signed, self.category = False, is_complex, is_complex, 3 if is_complex else 1
        self._refusal = refusal
        _WithoutArrays.known[name] = self

    known: ClassVar[dict[str, _WithoutArrays]] = {}

    @property
    def numpy(self) -> Any:  # type of the base's attribute
        raise NoArrays(self._refusal, self)


_WithoutArrays.__name__ = "dtype"
complex32 = _WithoutArrays(
    *("complex32", "ComplexHalf", 4, True),
    "complex numbers of two halves (torch.complex32) have no arrays in JAX and NumPy; use .cfloat(), or torch.view_as_real(x)",
)
for _name, _size in (("qint8", 1), ("quint8", 1), ("qint32", 4), ("quint4x2", 1), ("quint2x4", 1)):
    _WithoutArrays(
        *(_name, _name.replace("q", "Q").replace("i", "I").replace("Qu", "QU"), _size, False),
        f"quantised tensors (torch.{_name}) are not supported; store an int8 tensor and its scale, and multiply: x.to(torch.float32) * scale",
    )


ALL = tuple(dtype._by_numpy.values())
HALVES = np.dtype([("real", np.float16), ("imag", np.float16)])
dtype._by_numpy[HALVES] = complex32
ALIASES = {
    **{item.name: item for item in ALL},
    **{"half": float16, "float": float32, "double": float64, "chalf": complex32, "cfloat": complex64, "cdouble": complex128},
    **_WithoutArrays.known,
    **{"short": int16, "int": int32, "long": int64},
}
PYTHON = {bool: bool_, int: int64}


def plain_number(value: np.generic) -> Any:
    """The Python number that a number of NumPy counts as, which decides no dtype; truth values are floats, as to torch."""
    return float(value) if type(value) is np.bool_ else value.item()


@functools.lru_cache(maxsize=64)
def _limits(kind: dtype) -> tuple[Any, Any]:
    """The lowest and the highest number of a type."""
    if kind.is_floating_point:
        numbers = ml_dtypes.finfo(kind.numpy)
        return float(numbers.min), float(numbers.max)
    whole = np.iinfo(kind.numpy)
    return int(whole.min), int(whole.max)


#: What C++ calls a type, where that is not the name with ``_t``.
_IN_C = {
    "int32": "int",
    "uint32": "unsigned int",
    "float32": "float",
    "float64": "double",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
}


def check_bits(value: Any) -> None:
    """OverflowError if a number is an integer of more than 64 bits."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        what = "int too big to convert" if value > 0 else "can't convert negative int to unsigned"
        raise OverflowError(f"{what}: {value} does not fit into 64 bits; give a float")


def check_fits(value: Any, kind: dtype, alone: bool = False) -> None:
    """RuntimeError unless a Python number can be one of the type: it would overflow, is no integer's NaN or ∞, or has an imaginary part.

    A negative integer wraps around where the type has no sign; a negative float does not. An integer beyond 64 bits is an OverflowError. PyTorch does
    not look where it fills one element ``alone`` of a float narrower than float32: the number is then rounded to the type, to ∞ if it is too large.
    """
    check_bits(value)
    if kind is bool_ or (alone and kind.is_floating_point and kind.itemsize < 4 and not isinstance(value, complex)):
        return
    if kind.is_complex:
        limit = float(ml_dtypes.finfo(kind.numpy).max)
        if any(math.isfinite(part) and abs(part) > limit for part in (value.real, value.imag)):
            raise RuntimeError(f"value cannot be converted to type c10::complex<float> without overflow: {value}")
        return
    real = value.real if isinstance(value, complex) and value.imag == 0 else value
    lowest, limit = _limits(kind)
    if not kind.is_floating_point and not kind.is_signed:
        lowest = 0 if isinstance(real, float) else -limit
    beyond = kind.is_floating_point and not isinstance(real, complex) and (real != real or (math.isinf(real) and "fn" not in kind.name))
    if isinstance(real, complex) or not (beyond or lowest <= real <= limit):
        raise RuntimeError(f"value cannot be converted to type {_IN_C.get(kind.name, f'{kind.name}_t')} without overflow: {value}")


def number_for(value: Any, kind: dtype, alone: bool = False) -> Any:
    """A Python number as one of the kind of the type, once :func:`check_fits` has let it pass."""
    check_fits(value, kind, alone)
    if kind is bool_:
        return bool(value)
    if isinstance(value, complex) and not kind.is_complex:
        value = value.real
    return float(value) if kind.category > 1 and isinstance(value, int) and value >= 2**63 else value


_default = float32


def get_default_dtype() -> dtype:
    """The floating-point type of new tensors made from Python floats."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Change the floating-point type of new tensors made from Python floats."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    for prepare in before_settings_change:
        prepare()
    _default = d


def as_dtype(value: Any) -> dtype:
    """A dtype from a torch dtype, a Python type (float, int, bool, complex) or a NumPy one."""
    if isinstance(value, dtype):
        return value
    if value is float:
        return float64
    if isinstance(value, str):
        raise TypeError(f"argument 'dtype' must be torch.dtype, not str: torch.{value}, not {value!r}")
    if value is complex:
        return complex128
    return PYTHON[value] if value in PYTHON else dtype.of(value)


def default_complex() -> dtype:
    """The complex type as precise as the default floating-point type."""
    return complex128 if _default is float64 else complex64


def category_default(category: int) -> dtype:
    """The type of a Python number of a category: bool, integer, floating point, complex."""
    return (bool_, int64, _default, default_complex())[category]


def join(a: dtype, b: dtype) -> dtype:
    """torch's common type of two dimensioned tensors' types."""
    if a is b:
        return a
    if a in FLOAT8 or b in FLOAT8:
        raise RuntimeError(
            f"Promotion for Float8 Types is not supported, attempted to promote {a.legacy} and {b.legacy}; convert one with .to(dtype)"
        )
    if not {a.name, b.name}.isdisjoint(_WithoutArrays.known.keys() - {"complex32"}):
        raise RuntimeError(
            "promoteTypes with quantized numbers is not handled yet; figure out what the correct rules should be, offending types: "
            f"{a.legacy} {b.legacy}"
        )
    if complex32 in (a, b):
        other = b if a is complex32 else a
        return other if other.is_complex else complex32 if other is float16 or not other.is_floating_point else other.to_complex()
    if a.category != b.category:
        low, high = sorted((a, b), key=lambda d: d.category)
        if high.is_complex and low is float64:
            return complex128
        return high
    for kind in (uint16, uint32, uint64):
        if kind in (a, b):
            raise RuntimeError(
                f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {a.legacy} and {b.legacy}; convert one with "
                ".to(dtype)"
            )
    if uint8 in (a, b):  # the smallest signed type that holds it
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    if {a, b} == {float16, bfloat16}:
        return float32
    return a if a.itemsize >= b.itemsize else b


def promote(*arrays: Any) -> dtype:
    """torch's result type of operands: dimensioned tensors decide, then 0-d ones and Python numbers if of a higher category.

    The operands are arrays (also traced ones; a Python number that was traced is weakly typed) or Python numbers.
    """
    return promote_ranked(map(ranked, arrays))


def ranked(array: Any) -> tuple[int, dtype]:
    """The rank, as :func:`promote_ranked` counts it, and the type of an array or a number."""
    if isinstance(array, (bool, int, float, complex)):
        return 2, category_default((bool, int, float, complex).index(type(array)))
    kind = dtype.of(array.dtype)
    if getattr(array, "weak_type", False):
        return 2, category_default(kind.category)
    return int(array.ndim == 0), kind


def promote_ranked(operands: Iterable[tuple[int, dtype]]) -> Any:
    """As :func:`promote`, of (rank, type) of each operand: rank 0 of a dimensioned tensor, 1 of a 0-d one, 2 of a number."""
    by_rank: list[dtype | None] = [None, None, None]
    for rank, kind in operands:
        before = by_rank[rank]
        by_rank[rank] = kind if before is None else join(before, kind)
    result: Any = None
    for found in by_rank:
        if found is not None and (result is None or found.category > result.category):
            result = _join_lower(result, found)
    return result


def _join_lower(result: dtype | None, kind: dtype) -> dtype:
    """The type when operands of lower rank have the higher category; a real result's precision carries into a complex one."""
    if result is None or not (kind.is_complex and result.is_floating_point):
        return kind
    return result.to_complex()


def check_broadcast(*arrays: Any) -> None:
    """Raise torch's error unless the shapes broadcast."""
    shape: tuple[Any, ...] = ()
    for other in map(_shape_of, arrays):
        rank = max(len(shape), len(other))
        a, b = (1,) * (rank - len(shape)) + shape, (1,) * (rank - len(other)) + other
        for axis in reversed(range(rank)):
            if a[axis] != b[axis] and 1 not in (a[axis], b[axis]):
                raise RuntimeError(
                    f"The size of tensor a ({a[axis]}) must match the size of tensor b ({b[axis]}) at non-singleton dimension {axis}: "
                    f"shapes {list(shape)} and {list(other)} do not broadcast"
                )
        shape = tuple(y if x == 1 else x for x, y in zip(a, b, strict=True))


def _shape_of(operand: Any) -> tuple[Any, ...]:
    if not (hasattr(operand, "shape") or isinstance(operand, (int, float, complex))):
        raise TypeError(f"an operand must be a Tensor or a number, but got {type(operand).__name__}")
    return jnp.shape(operand)


def promoted(*arrays: Any, floating: bool = False) -> list[jax.Array]:
    """The operands as arrays of their common type; with ``floating``, integers become the default floating-point type."""
    check_broadcast(*arrays)
    converted = common(*arrays, floating=floating)
    if dtype.of(converted[0].dtype) not in (float16, bfloat16):
        return converted
    shape = jnp.broadcast_shapes(*map(jnp.shape, arrays))
    given = [getattr(array, "weak_type", True) for array in arrays]
    return [array if number else _spread(array, shape) for array, number in zip(converted, given, strict=True)]


def _spread(array: jax.Array, shape: tuple[Any, ...]) -> jax.Array:
    """A float of 16 bits broadcast by way of float32, in which its gradient is then summed."""
    return array if array.shape == shape else jnp.broadcast_to(array.astype(jnp.float32), shape).astype(array.dtype)


def common(*arrays: Any, floating: bool = False) -> list[jax.Array]:
    """As :func:`promoted`, for arrays whose shapes need not broadcast."""
    kind = promote(*arrays)
    if floating and kind.category < 2:
        kind = _default
    return [jnp.asarray(array, dtype=kind.numpy) for array in arrays]


class Size(tuple, metaclass=TorchType):
    """The shape of a tensor: a tuple that prints as ``torch.Size([2, 3])``."""

    def __new__(cls, sizes: Iterable[int] = ()):
        return super().__new__(cls, sizes)

    def numel(self) -> int:
        """The number of elements of a tensor of this shape: the product of the sizes."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other: tuple[Any, ...]) -> Size:
        return Size(tuple(self) + tuple(other))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Size, (tuple(self),))
