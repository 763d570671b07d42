"""Parameters and buffers: tensors that a Module finds by itself, also before their shape is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.engine.ops.make.factories import empty
from funnn.engine.tensor.overrides import disabled
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype


class Parameter(Tensor):
    """A leaf tensor that requires gradients and, assigned to a Module's attribute, joins its parameters.

    It shares memory with ``data``, as torch's does.
    """

    __torch_function__ = classmethod(disabled)

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        data = empty(0) if data is None else data
        if not isinstance(data, Tensor):
            raise AttributeError(f"Parameter data must be a Tensor, got {type(data).__name__}; make one with torch.tensor(data)")
        if isinstance(data, SparseTensor):
            return SparseParameter(data, requires_grad)
        if (made_of := getattr(type(data), "_as_parameter", None)) is not None:
            return made_of(data, requires_grad)
        parameter = object.__new__(cls)
        parameter._set_storage(data)
        parameter._set_requires_grad(requires_grad)
        return parameter

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True):
        pass

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Parameter:
        gradient, self._grad = self._grad, None  # as torch's: a copy starts without a gradient, which may have a history
        try:
            return super().__deepcopy__(memo)
        finally:
            self._grad = gradient


class SparseParameter(SparseTensor, Parameter):
    """A parameter that is a sparse tensor."""

    def __new__(cls, data: SparseTensor, requires_grad: bool = True) -> SparseParameter:
        return cls._of(data._pattern, data._elements, data._size, data._coalesced)._set_requires_grad(requires_grad)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + SparseTensor.__repr__(self)


class _BufferType(type(Tensor)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Buffer:
            return isinstance(instance, Tensor) and instance.__dict__.get("_is_buffer", False)
        return super().__instancecheck__(instance)


class Buffer(Tensor, metaclass=_BufferType):
    """A tensor that, assigned to a Module's attribute, joins its buffers. As torch's, it is a plain Tensor with an attribute that says so."""

    __torch_function__ = classmethod(disabled)

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        data = empty(0) if data is None else data
        buffer: Any = data.detach().requires_grad_(data.requires_grad)
        buffer.persistent, buffer._is_buffer = persistent, True
        return buffer


class UninitializedTensorMixin:
    """A tensor without values: it knows its dtype alone, until ``materialize`` gives it a shape."""

    cls_to_become: type

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        if device is not None:
            _device.check_device(device)
        tensor = object.__new__(cls)
        tensor._kind = _dtype.get_default_dtype() if dtype is None else _dtype.as_dtype(dtype)
        tensor._leaf_requires_grad = bool(requires_grad)
        return tensor

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary tensor of this shape; its values are still to be written."""
        self._set_storage(empty(tuple(shape), dtype=dtype or self._kind, device=device))
        del self.__dict__["_kind"]
        self.__class__ = self.cls_to_become

    def convert(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Take the dtype that ``fn`` gives to a tensor of this one's."""
        self._kind = fn(empty(0, dtype=self._kind)).dtype

    def __getattr__(self, name: str) -> Any:
        if name != "_storage":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise ValueError(
            f"Attempted to use an uninitialized parameter: this {type(self).__name__} has no shape yet; call the lazy module with an example "
            "input first, or materialize(shape)"
        )

    @property
    def shape(self) -> Any:
        """Raises RuntimeError: there is no shape yet."""
        raise RuntimeError("Can't access the shape of an uninitialized parameter or buffer; call the module's forward first")

    def _shape(self) -> Any:
        return self._storage

    @property
    def dtype(self) -> _dtype.dtype:
        """The type of the numbers to come."""
        return self._kind

    is_meta = False

    @property
    def device(self) -> _device.device:
        """Where the numbers will be."""
        return _device.here()

    @property
    def data(self) -> Tensor:
        """An empty tensor of the type of the numbers to come."""
        return empty(0, dtype=self._kind)

    def share_memory_(self) -> None:
        """Raises RuntimeError: there is no memory yet."""
        raise RuntimeError("Can't share memory on an uninitialized parameter or buffer; call the module's forward first")

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict) -> Any:
        return memo.setdefault(id(self), type(self)(self._leaf_requires_grad, None, self._kind))

    def __reduce_ex__(self, protocol: int) -> tuple:
        return type(self), (self._leaf_requires_grad, None, self._kind)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape is not known yet."""

    cls_to_become = Parameter


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is not known yet."""

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> UninitializedBuffer:
        buffer = super().__new__(cls, requires_grad, device, dtype)
        buffer.persistent, buffer._is_buffer = persistent, True
        return buffer


def is_lazy(param: Any) -> bool:
    """Whether a tensor's shape is not known yet."""
    return isinstance(param, UninitializedTensorMixin)
