"""assert_close: numbers, tensors, and containers of them, equal up to a tolerance."""

from __future__ import annotations

import cmath
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from funnn.engine.ops.make.factories import as_tensor, tensor
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

#: (rtol, atol) of a dtype; (0, 0) for the others
TOLERANCES = {
    **{_dtype.float16: (1e-3, 1e-5), _dtype.bfloat16: (1.6e-2, 1e-5), _dtype.float32: (1.3e-6, 1e-5), _dtype.float64: (1e-7, 1e-7)},
    **{_dtype.complex64: (1.3e-6, 1e-5), _dtype.complex128: (1e-7, 1e-7)},
}
_OLD_TOLERANCES = {_dtype.float16: (1e-3, 1e-3), _dtype.float32: (1e-4, 1e-5), _dtype.float64: (1e-5, 1e-8)}
_UNSIGNED = (_dtype.uint16, _dtype.uint32, _dtype.uint64)
_NUMBERS = {int: _dtype.int64, float: _dtype.float64, complex: _dtype.complex128}
Message = str | Callable[[str], str] | None


class Options(NamedTuple):
    """The arguments of assert_close that say what counts as close."""

    allow_subclasses: bool
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool


class _Problem(Exception):
    """What is wrong with one item; ``path`` leads to it."""

    def __init__(self, kind: type[Exception], text: str, path: tuple = ()):
        self.kind, self.text, self.path = kind, text, path

    def error(self, msg: Message) -> Exception:
        text = self.text
        if self.path:
            text += f"\n\nThe failure occurred for item {''.join(str([item]) for item in self.path)}"
        return self.kind(msg if isinstance(msg, str) else msg(text) if callable(msg) else text)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Message = None,
) -> None:
    """Raise an AssertionError unless |actual − expected| ≤ atol + rtol·|expected| everywhere; infinities must be equal.

    Args:
      actual, expected: tensors, numbers, or what ``torch.as_tensor`` takes, both of related types; sequences and mappings of them.
      allow_subclasses: whether a subclass counts as related.
      rtol, atol: both or none; by default rtol is 1e-3 for float16, 1.6e-2 for bfloat16, 1.3e-6 for float32 and complex64, 1e-7 for float64
        and complex128, atol 1e-5 (1e-7 for float64 and complex128), both 0 for other dtypes; of two dtypes the larger.
      equal_nan: whether two nans are equal.
      check_device, check_dtype, check_layout, check_stride: what must be the same besides; different dtypes are promoted if they need not.
      msg: the error's text, or a function of the text that it would have.

    Raises:
      AssertionError: names the differing attribute, or counts the elements that differ and shows the greatest differences.
      TypeError: for types that cannot be compared. ValueError: for only one of rtol and atol.
    """
    __tracebackhide__ = True
    options = Options(allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride)
    try:
        pairs = list(_pairs(actual, expected, options, ()))  # the structure and types of all items, before the values of any
    except _Problem as problem:
        raise problem.error(None) from None
    try:
        for compare in pairs:
            compare()
    except _Problem as problem:
        raise problem.error(msg) from None


def _pairs(actual: Any, expected: Any, options: Options, path: tuple) -> Iterator[Callable[[], None]]:
    """A comparison for every item of both."""
    if all(isinstance(item, Sequence) and not isinstance(item, str) for item in (actual, expected)):
        if len(actual) != len(expected):
            raise _Problem(AssertionError, f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path)
        keys = list(range(len(actual)))
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        keys = _common_keys(actual, expected, path)
    else:
        yield _pair(actual, expected, options, path)
        return
    for key in keys:
        yield from _pairs(actual[key], expected[key], options, (*path, key))


def _common_keys(actual: Mapping, expected: Mapping, path: tuple) -> list:
    if actual.keys() != expected.keys():
        raise _Problem(
            AssertionError,
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {sorted(expected.keys() - actual.keys())}\n"
            f"Additional keys in the actual mapping: {sorted(actual.keys() - expected.keys())}",
            path,
        )
    try:
        return sorted(actual)
    except TypeError:  # of several types
        return list(actual)


def _pair(actual: Any, expected: Any, options: Options, path: tuple) -> Callable[[], None]:
    """The comparison of two items, by what they are."""

    def both(*kinds: type) -> bool:
        return isinstance(actual, kinds) and isinstance(expected, kinds)

    def fail(text: str, kind: type[Exception] = AssertionError) -> NoReturn:
        raise _Problem(kind, text, path)

    if actual is None or expected is None:
        return lambda: None if actual is expected else fail(f"None mismatch: {actual} is not {expected}")
    if both(bool, np.bool_):
        return lambda: None if bool(actual) is bool(expected) else fail(f"Booleans mismatch: {bool(actual)} is not {bool(expected)}")
    try:
        if both(int, float, complex, np.number):
            numbers = [item.item() if isinstance(item, np.number) else item for item in (actual, expected)]
            rtol, atol = tolerances(options, [_NUMBERS[type(number)] for number in numbers])
            return lambda: _compare_numbers(*numbers, rtol, atol, options, fail)
        related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
        if related and (options.allow_subclasses or type(actual) is type(expected)):
            tensors = [as_tensor(item).detach() for item in (actual, expected)]
            rtol, atol = tolerances(options, [item.dtype for item in tensors])
            return lambda: _compare_tensors(*tensors, rtol, atol, options, fail)
    except _Problem as problem:
        fail(problem.text, problem.kind)
    except (TypeError, ValueError, RuntimeError, KeyError):  # not of numbers
        pass
    fail(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.", TypeError)


def tolerances(options: Options, kinds: list[_dtype.dtype]) -> tuple[float, float]:
    """The (rtol, atol) that were given, or the larger ones of the dtypes'."""
    rtol, atol = options.rtol, options.atol
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise _Problem(ValueError, f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    if rtol is not None:
        return rtol, atol
    found = [TOLERANCES.get(kind, (0.0, 0.0)) for kind in kinds]
    return max(pair[0] for pair in found), max(pair[1] for pair in found)


def _compare_numbers(actual: Any, expected: Any, rtol: float, atol: float, options: Options, fail: Callable) -> None:
    if options.check_dtype and type(actual) is not type(expected):
        fail(f"The (d)types do not match: {type(actual)} != {type(expected)}.")
    if actual == expected or (options.equal_nan and cmath.isnan(actual) and cmath.isnan(expected)):
        return
    difference = abs(actual - expected)
    if not (cmath.isfinite(difference) and difference <= atol + rtol * abs(expected)):
        fail(_scalar_text(actual, expected, rtol, atol))


def _compare_tensors(actual: Tensor, expected: Tensor, rtol: float, atol: float, options: Options, fail: Callable) -> None:
    checks = {"shape": True, "layout": options.check_layout, "stride()": options.check_stride}
    for name in (name for name, wanted in {**checks, "device": options.check_device, "dtype": options.check_dtype}.items() if wanted):
        a, b = (item.stride() if name == "stride()" else getattr(item, name) for item in (actual, expected))
        if a != b:
            fail(f"The values for attribute '{name}' do not match: {a} != {b}.")
    if isinstance(actual, SparseTensor) and isinstance(expected, SparseTensor):
        _compare_sparse(actual, expected, rtol, atol, options, fail)
        return
    if actual.dtype is not expected.dtype:
        kind = _dtype.join(*(_dtype.int64 if item.dtype in _UNSIGNED else item.dtype for item in (actual, expected)))
        actual, expected = actual.to(kind), expected.to(kind)
    a, b = actual._shown(), expected._shown()
    matches = _matches(a, b, rtol, atol, options.equal_nan)
    if not matches.all():
        fail(_scalar_text(a.item(), b.item(), rtol, atol) if not a.shape else _tensor_text(a, b, matches, rtol, atol))


def _compare_sparse(actual: Any, expected: Any, rtol: float, atol: float, options: Options, fail: Callable) -> None:
    """Sparse tensors, part by part."""
    coo = actual.is_sparse and expected.is_sparse
    if coo and actual.is_coalesced() != expected.is_coalesced():
        actual, expected = actual.coalesce(), expected.coalesce()
    layout = "COO" if coo else actual.layout.name.removeprefix("sparse_").upper()
    if actual._nnz() != expected._nnz():
        fail(f"The number of specified values in sparse {layout} tensors does not match: {actual._nnz()} != {expected._nnz()}")
    names = [name for name, _ in actual._pattern.named_parts()]
    for name, a, b in zip(names, actual._pattern.parts, expected._pattern.parts, strict=True):
        _compare_tensors(a, b, 0, 0, options._replace(check_dtype=False), _naming(fail, f"Sparse {layout} {name}"))
    _compare_tensors(actual._elements, expected._elements, rtol, atol, options, _naming(fail, f"Sparse {layout} values"))


def _naming(fail: Callable, name: str) -> Callable:
    """``fail`` whose text names the part of a sparse tensor that differs."""
    return lambda text: fail(text.replace("Tensor-likes", name))


@np.errstate(all="ignore")
def _matches(a: np.ndarray, b: np.ndarray, rtol: float, atol: float, equal_nan: bool) -> np.ndarray:
    """torch.isclose in NumPy, so that nothing is compiled for every shape; each step is rounded to the arrays' type."""
    close = a == b
    if equal_nan and a.dtype.kind not in "biu":
        close |= np.isnan(a) & np.isnan(b)
    if rtol == 0 and atol == 0:
        return close
    a, b = (item.astype(_dtype.get_default_dtype().numpy) if item.dtype.kind in "biu" else item for item in (a, b))
    kind, work = a.dtype, np.result_type(a.dtype, np.float32) if a.dtype.itemsize > 2 else np.dtype(np.float32)
    real = np.abs(np.zeros(0, kind)).dtype
    product = (b.astype(work) * work.type(rtol)).astype(kind)
    allowed = (np.abs(product).astype(np.float32 if real.itemsize < 4 else real) + atol).astype(real)
    difference = np.abs(a - b)
    return close | (np.isfinite(difference) & (difference <= allowed))


def _scalar_text(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    difference = abs(actual - expected)
    relative = float("inf") if expected == 0 else difference / abs(expected)
    return "\n".join(
        (
            _title("Scalars", rtol, atol),
            f"Expected {expected} but got {actual}.",
            f"Absolute difference: {difference}{_allowed(rtol, atol, atol)}",
            f"Relative difference: {relative}{_allowed(rtol, atol, rtol)}",
        )
    )


@np.errstate(all="ignore")
def _tensor_text(a: np.ndarray, b: np.ndarray, matches: np.ndarray, rtol: float, atol: float) -> str:
    count, wrong = matches.size, matches.size - int(matches.sum())
    lines = [_title("Tensor-likes", rtol, atol), f"Mismatched elements: {wrong} / {count} ({wrong / count:.1%})"]
    if a.dtype.kind in "biu":
        a, b = a.astype(np.int64), b.astype(np.int64)
    absolute = np.where(matches, np.zeros((), np.abs(a).dtype), np.abs(a - b))
    floating = _dtype.get_default_dtype().numpy if a.dtype.kind == "i" else absolute.dtype
    relative = np.where(matches, np.zeros((), floating), absolute.astype(floating) / np.abs(b).astype(floating))
    for name, difference, allowed in (("absolute", absolute, atol), ("relative", relative, rtol)):
        place = int(np.argmax(difference.astype(np.float64) if difference.dtype.kind != "i" else difference))
        index = tuple(int(i) for i in np.unravel_index(place, difference.shape))
        lines.append(f"Greatest {name} difference: {difference[index].item()} at index {index}{_allowed(rtol, atol, allowed)}")
    return "\n".join(lines)


def _title(what: str, rtol: float, atol: float) -> str:
    return f"{what} are not {'equal' if rtol == atol == 0 else 'close'}!\n"


def _allowed(rtol: float, atol: float, tolerance: float) -> str:
    return "" if rtol == atol == 0 else f" (up to {tolerance} allowed)"


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True, msg: str = ""
) -> None:
    """Deprecated: as :func:`assert_close`, without a check of dtypes, with nans equal and wider tolerances."""
    warnings.warn("`torch.testing.assert_allclose()` is deprecated; use `torch.testing.assert_close()`", FutureWarning, stacklevel=2)
    actual = actual if isinstance(actual, Tensor) else tensor(actual)
    expected = expected if isinstance(expected, Tensor) else tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        found = [_OLD_TOLERANCES.get(item.dtype, (0.0, 0.0)) for item in (actual, expected)]
        rtol, atol = max(pair[0] for pair in found), max(pair[1] for pair in found)
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)
