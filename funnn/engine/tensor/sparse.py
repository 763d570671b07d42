"""Sparse tensors: the elements that are there, and where they are.

A :class:`SparseTensor` has no memory of its own, only the tensors it is made of, which are dense. Whatever asks it for its memory gets a
:class:`NoDenseMemory`; functions of torch catch that error and look for what they do with sparse tensors in ``HANDLERS``, which ``engine.ops.sparse``
fills. So operations on dense tensors pay nothing, and one that has no handler is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, Self

import numpy as np

from funnn.engine.memory.storage import Storage
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout
from funnn.engine.types import printing as _printing

#: The functions of torch that take sparse tensors, and what each does with them.
HANDLERS: dict[Callable[..., Any], Callable[..., Any]] = {}

#: What torch calls a layout where it refuses it.
_NAMES = {_layout.sparse_coo: "Sparse", _layout.sparse_csr: "SparseCsr", _layout.sparse_csc: "SparseCsc", _layout.strided: "Strided"}


_NO_MEMORY = "a sparse tensor has no dense memory: convert with .to_dense(), or compute with .coalesce().indices() and .values()"


class NoDenseMemory(NotImplementedError):
    """The memory of a sparse tensor was asked for, which has none; or an operation was ``refused``, which is not there for sparse tensors."""

    refused = False


def layout_name(tensor: Tensor) -> str:
    """The layout as torch's errors name it: "Strided", "Sparse", "SparseCsr"."""
    return _NAMES[tensor.layout]


def refuse(name: str, backend: str) -> NoReturn:
    """Raise torch's error for an operation that it does not have for sparse tensors, or that is not here."""
    error = NoDenseMemory(
        f"Could not run 'aten::{name}' with arguments from the '{backend}' backend: it is not there for sparse tensors; convert with .to_dense(), "
        "or compute with .coalesce().indices() and .values()"
    )
    error.refused = True
    raise error


def refuse_meta() -> NoReturn:
    """Raise for a sparse tensor on 'meta': where elements are is a question of numbers."""
    error = NoDenseMemory("there are no sparse tensors on the device 'meta'; use dense ones there, or sparse ones on a device with numbers")
    error.refused = True
    raise error


def handle(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[Any, Any], error: NoDenseMemory) -> Any:
    """What ``function``, which failed with ``error``, does with sparse tensors."""
    handler = HANDLERS.get(function)
    if handler is not None:
        result = handler(*args, **kwargs)
        if result is not NotImplemented:
            return result
    sparse = [item for item in (*args, *kwargs.values()) if isinstance(item, SparseTensor)]
    if error.refused or not sparse:  # of an operation inside, or of a factory, which says why itself
        raise error
    csr = any(item.layout is not _layout.sparse_coo for item in sparse)
    refuse(function.__name__, "SparseCsrCPU" if csr else "SparseCPU")


def _turned(name: str) -> Any:
    """A property that is a view of a dense tensor."""
    return property(lambda self: HANDLERS[getattr(Tensor, name).fget](self))


class SparseTensor(Tensor):
    """A tensor of which a pattern says where the elements are; the others are zero.

    State, beside the history:
      _pattern: where the elements are (see ``engine.ops.sparse.pattern``).
      _elements: the elements (n, …), in the pattern's order; without history.
      _size: the shape.
      _coalesced: whether each place comes once, in order.
      _writes: how often it was written in place.
    """

    _pattern: Any
    _elements: Tensor
    _size: tuple[int, ...]
    _coalesced: bool
    _writes: int = 0

    @classmethod
    def _of(cls, pattern: Any, elements: Tensor, size: tuple[int, ...], coalesced: bool) -> Self:
        """A sparse tensor without history, on the memory of ``elements``."""
        if elements.is_meta:
            refuse_meta()
        tensor = object.__new__(cls)
        tensor._pattern, tensor._elements, tensor._size = pattern, elements._bare(), tuple(size)  # tangents stay
        tensor._coalesced = coalesced or elements._shape()[0] < 2
        if thread.region is not None:
            thread.region.problem = "it makes sparse tensors"
        return tensor

    # -- no memory

    @property
    def _storage(self) -> Any:  # type of the base's attribute
        raise NoDenseMemory(_NO_MEMORY)

    @property
    def _window(self) -> Any:  # type of the base's attribute
        raise NoDenseMemory(_NO_MEMORY)

    T, mT, H, mH = map(_turned, ("T", "mT", "H", "mH"))

    @property
    def device(self) -> _device.device:
        """Where the elements are."""
        return self._elements.device

    is_meta = property(lambda self: self._elements.is_meta, doc="Whether the elements have no numbers.")

    def _meta(self) -> Any:
        return self._elements._meta()

    def _host(self) -> np.ndarray:
        raise NoDenseMemory("Cannot access data pointer of Tensor that doesn't have storage; use to_dense() first")

    def item(self) -> Any:
        """The only element, as a Python number."""
        return super().item() if self.numel() != 1 else self.to_dense().item()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """Raises TypeError: only dense tensors are NumPy arrays."""
        raise TypeError(f"can't convert {layout_name(self)} layout tensor to numpy. Use Tensor.to_dense() first.")

    def is_conj(self) -> bool:
        """False: conjugates of elements are computed at once."""
        return False

    def is_neg(self) -> bool:
        """False: negatives of elements are computed at once."""
        return False

    def data_ptr(self) -> int:
        """Raises RuntimeError: there is no single memory."""
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def untyped_storage(self) -> Any:
        """Raises NotImplementedError: there is no single memory."""
        raise NotImplementedError("Cannot access storage of SparseTensorImpl; see indices() and values()")

    storage = _typed_storage = untyped_storage

    def _become(self, other: Tensor) -> None:
        """Be what ``other`` is from now on: an operation in place."""
        if not isinstance(other, SparseTensor) or other.layout is not self.layout:
            raise RuntimeError(f"a tensor of layout {self.layout} cannot become one of layout {other.layout} in place")
        self._pattern, self._elements, self._size = other._pattern, other._elements, other._size
        self._coalesced, self._writes = other._coalesced, self._writes + 1

    _set_storage = _become

    def _alias(self, window: Any = None, value: Any = None) -> SparseTensor:
        return SparseTensor._of(self._pattern, self._elements, self._size, self._coalesced)

    def _bare(self) -> SparseTensor:
        return self._alias()

    def detach(self) -> SparseTensor:
        """The same elements as a tensor without history; in forward mode without tangent."""
        return SparseTensor._of(self._pattern, self._elements.detach(), self._size, self._coalesced)

    @property
    def data(self) -> Tensor:
        """The same elements without history."""
        return self._alias()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, SparseTensor) or value.layout is not self.layout:
            raise RuntimeError("Attempted to call `variable.set_data(tensor)`, but `variable` and `tensor` have incompatible tensor type.")
        self._become(value)

    def _set_data(self, value: Tensor) -> None:
        self._become(value)

    # -- what it is

    def _shape(self) -> tuple[int, ...]:
        return self._size

    @property
    def dtype(self) -> _dtype.dtype:
        """The type of the elements."""
        return self._elements.dtype

    @property
    def layout(self) -> _layout.layout:  # type of the base's attribute
        """How the places of the elements are kept."""
        layout: _layout.layout = self._pattern.layout
        return layout

    @property
    def is_sparse(self) -> bool:  # type of the base's attribute
        """Whether the layout is ``torch.sparse_coo``."""
        return self.layout is _layout.sparse_coo

    @property
    def is_sparse_csr(self) -> bool:  # type of the base's attribute
        """Whether the layout is ``torch.sparse_csr``."""
        return self.layout is _layout.sparse_csr

    @property
    def nbytes(self) -> int:  # type of the base's attribute
        """Raises RuntimeError: the indices have bytes, too."""
        raise RuntimeError("nbytes is not defined for sparse tensors. Add the nbytes of the indices and values.")

    @property
    def _version(self) -> int:
        return self._writes

    def stride(self, dim: int | None = None) -> Any:
        """0 for each dimension; an error for compressed layouts."""
        if self.layout is not _layout.sparse_coo:
            raise RuntimeError(f"{layout_name(self)} tensors do not have strides")
        stride = (0,) * len(self._size)
        return stride if dim is None else stride[dim]

    def storage_offset(self) -> int:
        """0."""
        return 0

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """False; an error for compressed layouts."""
        if self.layout is not _layout.sparse_coo:
            raise RuntimeError(f"{layout_name(self)} tensors do not have is_contiguous")
        return False

    def is_inference(self) -> bool:
        """Whether the elements were made in inference_mode."""
        return self._elements._storage.inference

    def _set_requires_grad(self, requires_grad: bool = True) -> Self:
        if not requires_grad and self._grad_fn is not None:
            raise RuntimeError("you can only change requires_grad flags of leaf variables; use var.detach()")
        if requires_grad and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError(
                f"only Tensors of floating point dtype can require gradients; this one is {self.dtype}, convert it with .float()"
            )
        if self._grad_fn is None:
            self._leaf_requires_grad = bool(requires_grad)
        return self

    def _as_gradient(self) -> Any:
        return self

    def _memory(self) -> Storage:
        return self._elements._storage

    # -- methods that ask for no memory, and would give a dense tensor

    def __getitem__(self, key: Any) -> Any:
        return HANDLERS[Tensor.__getitem__](self, key)

    def __iter__(self) -> Any:
        return iter(self.unbind(0))

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The legacy name of the type, or the tensor converted to a type."""
        return HANDLERS[Tensor.type](self, dtype)

    def new_zeros(self, *size: Any, **options: Any) -> Any:
        """A sparse tensor of zeros."""
        return HANDLERS[Tensor.new_zeros](self, *size, **options)

    new_empty = new_zeros

    def contiguous(self, memory_format: Any = None) -> Any:
        """Raises RuntimeError: there are no strides."""
        raise RuntimeError("unsupported memory format option Contiguous: a sparse tensor has no strides; use coalesce()")

    def resize_(self, *size: Any, memory_format: Any = None) -> Any:
        """Raises NotImplementedError: make another tensor with other sizes."""
        refuse("resize_", "SparseCPU")

    # -- text, copies

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        if thread.tracing is not None:
            return thread.tracing.text(self)
        return self._text("tensor(" if type(self).__module__.startswith(("funnn.", "torch")) else f"{type(self).__name__}(")

    def _text(self, prefix: str, more: tuple[str, ...] = ()) -> str:
        indent = len(prefix)
        parts = [self._part_text(name, part, indent) for name, part in self._pattern.named_parts()]
        parts.append(self._part_text("values", self._elements, indent))
        suffixes = [f"size={tuple(self._size)}", f"nnz={self._nnz()}"]
        if self.dtype not in (_dtype.get_default_dtype(), _dtype.int64, _dtype.bool_) and not self._is_default_complex():
            suffixes.append(f"dtype={self.dtype}")
        suffixes.append(f"layout={self.layout}")
        if self.grad_fn is not None:
            suffixes.append(f"grad_fn=<{type(self._grad_fn).__name__}>")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        text = prefix + (",\n" + " " * indent).join(parts)
        linewidth = _printing.print_options().linewidth
        return _printing.append_suffixes(text, [*suffixes, *more], indent, linewidth, self.layout is _layout.sparse_coo) + ")"

    def _is_default_complex(self) -> bool:
        wide = _dtype.get_default_dtype() is _dtype.float64
        return self.dtype is (_dtype.complex128 if wide else _dtype.complex64)

    def _part_text(self, name: str, part: Tensor, indent: int) -> str:
        opening = f"{name}=tensor("
        text = _printing.contents(part.detach()._host(), part.dtype.name, indent + len(opening), _printing.print_options())
        return opening + text + ("" if part.numel() else f", size={tuple(part.shape)}") + ")"

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment; use tensor.detach()"
            )
        if id(self) not in memo:
            copied = type(self)._of(self._pattern, self._elements.clone(), self._size, self._coalesced)
            copied._leaf_requires_grad = self._leaf_requires_grad
            memo[id(self)] = copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        kind = None if type(self) is SparseTensor else type(self)
        return _rebuild, (kind, self._pattern, self._elements, self._size, self._coalesced, self.requires_grad)

    _nnz: ClassVar[Any]
    to_dense: ClassVar[Any]


def _rebuild(kind: Any, pattern: Any, elements: Tensor, size: tuple[int, ...], coalesced: bool, requires_grad: bool) -> SparseTensor:
    tensor: SparseTensor = (kind or SparseTensor)._of(pattern, elements, size, coalesced)
    return tensor._set_requires_grad() if requires_grad else tensor
