"""torch.sparse_coo_tensor, torch.sparse_csr_tensor and their kin."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS, gather_sizes
from funnn.engine.ops.make.factories import tensor
from funnn.engine.ops.sparse.elements import make
from funnn.engine.ops.sparse.handlers import handles
from funnn.engine.ops.sparse.pattern import Pattern, constant, numbers
from funnn.engine.tensor.sparse import SparseTensor, refuse_meta
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout
from funnn.engine.types.warning import say

_COMPRESSED = (_layout.sparse_csr, _layout.sparse_csc)


class _Settings(threading.local):
    """Whether constructors check what they are given; None until a program has said so."""

    checks: bool | None = None


_settings = _Settings()
_UNCHECKED = (
    "Sparse invariant checks are implicitly disabled. Memory errors (e.g. SEGFAULT) will occur when operating on a sparse tensor which violates the "
    "invariants, but checks incur performance overhead. To silence this warning, explicitly opt in or out. See "
    "`torch.sparse.check_sparse_tensor_invariants.__doc__` for guidance."
)
_BETA = (
    "Sparse {} tensor support is in beta state. If you miss a functionality in the sparse tensor support, please submit a feature request to "
    "https://github.com/pytorch/pytorch/issues."
)


def warn_once(text: str) -> None:
    """torch's warning, the first time."""
    say(text, once=True)


def checks_enabled() -> bool | None:
    """Whether constructors check invariants; None where nobody has said."""
    return _settings.checks


def enable_checks(on: bool | None) -> None:
    """Set whether constructors check invariants."""
    _settings.checks = on


def _asked(check: bool | None) -> bool:
    """Whether to check, by the argument or the setting."""
    if check is not None:
        return bool(check)
    if _settings.checks is None:
        warn_once(_UNCHECKED)
    return bool(_settings.checks)


def _sizes(size: Any, name: str) -> tuple[int, ...]:
    if isinstance(size, (tuple, list)) and all(isinstance(item, int) for item in size):
        return tuple(size)
    raise TypeError(f"{name}() received an invalid combination of arguments: size must be a tuple of ints, not {type(size).__name__}")


def _tensors(values: Any, dtype: Any, device: Any, *indices: Any) -> tuple[Tensor, ...]:
    """The values, and the indices as they are or as int64."""
    if _device.wants_outline(device):
        refuse_meta()
    values = values if isinstance(values, Tensor) else tensor(values, dtype=dtype)
    values = values if dtype is None else values.to(_dtype.as_dtype(dtype))
    found = [item if isinstance(item, Tensor) else tensor(np.asarray(item, np.int64) if not len(item) else item) for item in indices]
    return values if values.dim() else values.reshape(1), *found


def _finish(made: SparseTensor, requires_grad: bool) -> SparseTensor:
    return made._set_requires_grad() if requires_grad else made


def sparse_coo_tensor(*args: Any, **kwargs: Any) -> SparseTensor:
    """A tensor with ``values`` (n, …) at ``indices`` (s, n), and zeros elsewhere: ``sparse_coo_tensor(indices, values, size=None)``, or of zeros alone
    ``sparse_coo_tensor(size)``.

    Without ``size``, the sparse dimensions end with the largest index. ``is_coalesced`` says that no place comes twice and that they are in order.
    """
    alone = len(args) == 1 and "values" not in kwargs and "size" not in kwargs
    given = dict(zip(("size",) if alone else ("indices", "values", "size"), args, strict=False)) | kwargs
    if len(args) > 3 or ("indices" in given) != ("values" in given) or not given.keys() & {"indices", "size"}:
        raise TypeError(
            "sparse_coo_tensor() received an invalid combination of arguments: expected (indices, values), (indices, values, size) or (size)"
        )
    return _coo(**given)


def _coo(
    indices: Any = None,
    values: Any = None,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> SparseTensor:
    size = None if size is None else _sizes(size, "sparse_coo_tensor")
    check = _asked(check_invariants)
    if indices is None:
        if _device.wants_outline(device):
            refuse_meta()
        return _finish(zeros(size, _dtype.get_default_dtype() if dtype is None else _dtype.as_dtype(dtype)), requires_grad)
    values, indices = _tensors(values, dtype, device, indices)
    indices = indices.to(_dtype.int64)
    if size is None or indices.dim() == 2:
        if indices.dim() != 2:
            raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(indices.shape)}")
        if indices._shape()[1] != values._shape()[0]:
            raise RuntimeError(
                f"indices and values must have same nnz, but got nnz from indices: {indices.size(1)}, nnz from values: {values.size(0)}"
            )
    sparse, rest = indices._shape()[0] if indices.dim() else 0, values._shape()[1:]
    if size is None:
        known = numbers(indices)
        size = (*(int(row.max()) + 1 if row.size else 0 for row in known), *rest)
    if len(size) != sparse + len(rest):
        raise RuntimeError(
            f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, sparse_dim = {sparse}, dense_dim = {len(rest)}"
        )
    if size[sparse:] != rest:
        count = values.size(0)
        raise RuntimeError(f"values has incorrect size, expected {[count, *size[sparse:]]}, got {list(values.shape)}")
    pattern = Pattern.coo(indices, size[:sparse])
    if check:
        _check_indices(numbers(indices), size)
        if is_coalesced and not pattern.grouping().sorted:
            raise RuntimeError("cannot set is_coalesced to true if indices correspond to uncoalesced COO tensor")
    return _finish(make(pattern, values, size, bool(is_coalesced)), requires_grad)


def _check_indices(indices: np.ndarray, size: tuple[int, ...]) -> None:
    for dim, row in enumerate(indices):
        if row.size and row.min() < 0:
            raise RuntimeError(f"found negative index {row.min()} for dim {dim}")
        if row.size and row.max() >= size[dim]:
            raise RuntimeError(f"size is inconsistent with indices: for dim {dim}, size is {size[dim]} but found index {row.max()}")


def zeros(size: Any, dtype: Any, layout: Any = _layout.sparse_coo, sparse: int | None = None) -> SparseTensor:
    """A tensor without elements, of which the first ``sparse`` dimensions (all) are sparse."""
    size = tuple(size)
    sparse = len(size) if sparse is None else sparse
    elements = FUNCTIONS["zeros"]((0, *size[sparse:]), dtype=dtype)
    if layout is _layout.sparse_coo:
        return make(Pattern.coo(np.zeros((sparse, 0), np.int64), size[:sparse]), elements, size, True)
    if len(size) != 2:
        raise RuntimeError(f"tensors of layout {layout} have two dimensions here, got size {list(size)}")
    starts = np.zeros(size[0 if layout is _layout.sparse_csr else 1] + 1, np.int64)
    return make(Pattern(layout, (constant(starts), constant(np.zeros(0, np.int64))), size), elements, size, True)


# -- compressed


def compressed(layout: Any, indices: np.ndarray, sizes: tuple[int, ...]) -> Pattern:
    """The pattern of a compressed layout from indices (2, n), those of the compressed dimension in order."""
    rows, plain = indices if layout is _layout.sparse_csr else indices[::-1]
    count = sizes[0 if layout is _layout.sparse_csr else 1]
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=starts[1:])
    warn_once(_BETA.format(layout.name.removeprefix("sparse_").upper()))
    return Pattern(layout, (constant(starts), constant(plain)), sizes)


def sparse_compressed_tensor(
    compressed_indices: Any,
    plain_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> SparseTensor:
    """A matrix in a compressed layout, ``torch.sparse_csr`` or ``torch.sparse_csc``, with ``values`` (n,).

    compressed_indices: where the values of each row (column) begin, and the last ones end; plain_indices: the column (row) of each value.
    """
    if layout in (_layout.sparse_bsr, _layout.sparse_bsc):
        raise NotImplementedError(f"layout={layout} is not supported; blocks are elements of torch.sparse_coo_tensor with dense dimensions")
    if layout not in _COMPRESSED:
        raise RuntimeError(
            f"sparse_compressed_tensor expected sparse compressed tensor layout but got {'none' if layout is None else layout}"
        )
    return _compressed(layout, compressed_indices, plain_indices, values, size, dtype, device, requires_grad, check_invariants)


def sparse_csr_tensor(
    crow_indices: Any,
    col_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> SparseTensor:
    """A matrix with ``values`` (n,), row by row: crow_indices says where each row begins and the last one ends, col_indices each value's column."""
    return _compressed(_layout.sparse_csr, crow_indices, col_indices, values, size, dtype, device, requires_grad, check_invariants)


def sparse_csc_tensor(
    ccol_indices: Any,
    row_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> SparseTensor:
    """A matrix with ``values`` (n,), column by column: ccol_indices says where each column begins and the last one ends, row_indices each value's row."""
    return _compressed(_layout.sparse_csc, ccol_indices, row_indices, values, size, dtype, device, requires_grad, check_invariants)


def _compressed(
    layout: Any,
    starts: Any,
    plain: Any,
    values: Any,
    size: Any,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    check_invariants: bool | None,
) -> SparseTensor:
    check = _asked(check_invariants)
    warn_once(_BETA.format(layout.name.removeprefix("sparse_").upper()))
    values, starts, plain = _tensors(values, dtype, device, starts, plain)
    if starts.dim() != 1 or plain.dim() != 1 or values.dim() != 1:
        raise NotImplementedError(
            f"batches and dense dimensions of layout {layout} are not supported: indices and values must have one dimension; use "
            "torch.sparse_coo_tensor"
        )
    if size is None:
        other = int(numbers(plain).max()) + 1 if plain.numel() else 0
        size = (starts.size(0) - 1, other)
        size = size if layout is _layout.sparse_csr else size[::-1]
    size = _sizes(size, f"{layout.name}_tensor")
    pattern = Pattern(layout, (starts, plain), size)
    if check:
        _check_compressed(layout, numbers(starts), numbers(plain), values.size(0), size)
    return _finish(make(pattern, values, size, True), requires_grad)


def _check_compressed(layout: Any, starts: np.ndarray, plain: np.ndarray, count: int, size: tuple[int, ...]) -> None:
    row, col, line, limit = ("crow", "col", "rows", "ncols") if layout is _layout.sparse_csr else ("ccol", "row", "columns", "nrows")
    lines, width = size if layout is _layout.sparse_csr else size[::-1]
    if starts.size != lines + 1:
        raise RuntimeError(f"{row}_indices.shape[-1] must be equal to the number of {line} + 1 (={lines + 1}), but got {starts.size}")
    if plain.size != count:
        raise RuntimeError(f"number of elements in {col}_indices ({plain.size}) and values ({count}) must be the same")
    steps = np.diff(starts)
    distinct = np.diff(plain) > 0
    distinct[starts[1:-1][(starts[1:-1] > 0) & (starts[1:-1] < plain.size)] - 1] = True
    checks = {
        f"{row}_indices[..., 0] == 0": starts[0] == 0,
        f"{row}_indices[..., -1] == nnz": starts[-1] == plain.size,
        f"0 <= {row}_indices[..., 1:] - {row}_indices[..., :-1] <= {limit}": bool(((steps >= 0) & (steps <= width)).all()),
        f"0 <= {col}_indices < {limit}": bool(((plain >= 0) & (plain < width)).all()),
        f"{col}_indices[..., {row}_indices[..., i - 1]:{row}_indices[..., i]] for all i = 1, ..., n{line} are sorted and distinct along the last "
        "dimension values": bool(distinct.all()),
    }
    for name, holds in checks.items():
        if not holds:
            raise RuntimeError(f"`{name}` is not satisfied.")


# -- the classes of older programs


def legacy_types() -> dict[str, type]:
    """``torch.sparse.FloatTensor(indices, values, size)`` and its kin, by name."""
    kinds = [kind for kind in _dtype.ALL if kind.legacy in ("BFloat16", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")]
    return {f"{kind.legacy}Tensor": _legacy_type(kind) for kind in kinds}


def _legacy_type(kind: _dtype.dtype) -> type:
    class Meta(_dtype.TorchType):
        def __call__(cls, *args: Any, **kwargs: Any) -> SparseTensor:
            given = (
                "shape"
                if all(isinstance(arg, int) for arg in args) or len(args) == 1
                else "indices, values, shape"[: 15 if len(args) == 2 else None]
            )
            warn_once(
                f"torch.sparse.SparseTensor({given}, *, device=) is deprecated.  Please use torch.sparse_coo_tensor({given}, dtype=, device=)."
            )
            if given == "shape" and all(isinstance(arg, int) for arg in args):
                return zeros(args, kind)
            if len(args) == 1:
                return zeros(_sizes(tuple(args[0]), cls.__name__), kind)
            if args[1].dtype is not kind:
                raise TypeError(f"expected values of dtype {kind}, got {args[1].dtype}")
            return _coo(*args, check_invariants=False)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, SparseTensor) and instance.dtype is kind and instance.is_sparse

    return Meta(
        f"{kind.legacy}Tensor", (), {"kind": kind, "__doc__": f"Sparse tensors of dtype {kind!r}.", "__module__": "funnn.torch.sparse"}
    )


@handles("zeros", "empty")
def _zeros(
    *size: Any, dtype: Any = None, layout: Any = None, requires_grad: bool = False, device: Any = None, **named: Any
) -> SparseTensor:
    if layout not in (_layout.sparse_coo, *_COMPRESSED):
        return NotImplemented
    kind = _dtype.get_default_dtype() if dtype is None else _dtype.as_dtype(dtype)
    return _finish(zeros(gather_sizes(size, named), kind, layout), requires_grad)


for _function in (sparse_coo_tensor, sparse_csr_tensor, sparse_csc_tensor, sparse_compressed_tensor):
    FUNCTIONS[_function.__name__] = _function
