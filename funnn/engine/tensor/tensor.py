"""The Tensor: a window on a Storage with a place in the recorded graph. Its operations come from the rows of ``engine.ops``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from funnn import _other_torch
from funnn.engine.memory.address import address_of
from funnn.engine.memory.half_pairs import complex_of, pairs_of
from funnn.engine.memory.numpy_memory import array_on
from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Storage, Window, is_contiguous, whole
from funnn.engine.program.outline import is_outline
from funnn.engine.program.value import Value, from_host
from funnn.engine.state import thread
from funnn.engine.tape.node import Gate
from funnn.engine.tensor import overrides as _overrides
from funnn.engine.tensor.history import History
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout
from funnn.engine.types import printing as _printing
from funnn.engine.types.warning import say


def _is_local(array: Any) -> bool:
    """Whether a jax.Array is whole in this machine's memory, where NumPy sees it without a copy."""
    return (
        not isinstance(array, jax.core.Tracer)
        and array.is_fully_addressable
        and all(device.platform == "cpu" for device in array.devices())
    )


class Tensor(History, metaclass=_dtype.TorchType):
    """torch.Tensor on a jax.Array.

    State, with class-level defaults so that a fresh result sets only its storage:
      _storage, _window: where the values are; a window of None means the storage's array as it is.
      _value, _value_writes: the values of a window, as of that count of writes to the storage.
      The rest, the history, is in :class:`History`.
    """

    _window: Window | None = None
    _value: Any = None
    _value_writes = -1
    _tracked = True
    _construct: Callable[[tuple, _dtype.dtype, bool], Tensor]  # the legacy constructor, which the factories put here

    # -- construction

    def __new__(cls, *args: Any, device: Any = None) -> Tensor:
        """The legacy constructor: ``Tensor()`` is empty, ``Tensor(2, 3)`` uninitialised (zeros here), ``Tensor(data)`` the data in float."""
        return cls._construct(args, _dtype.get_default_dtype(), True)._as_class(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        """Nothing; a subclass may have arguments of its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if _overrides.overriding(cls):
            _overrides.watch()

    @classmethod
    def __torch_function__(cls, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> Any:
        """What a function of torch does with a subclass: it runs as on any tensor, and its results are of the subclass."""
        _other_torch.refuse_function(func)
        if not all(issubclass(cls, kind) for kind in types):
            return NotImplemented
        with _overrides.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        return result if func == Tensor.grad.__get__ else as_class(result, cls)  # type: ignore[comparison-overlap]

    def as_subclass(self, cls: type) -> Any:
        """The same tensor, memory and history, as an object of a subclass."""
        if not (isinstance(cls, type) and issubclass(cls, Tensor)):
            raise TypeError(f"as_subclass wants a subclass of Tensor, but got {cls!r}")
        with _overrides.DisableTorchFunctionSubclass():
            return self[...]._as_class(cls)

    def _as_class(self, cls: type) -> Any:
        """This object in a subclass, in its own stead."""
        other = object.__new__(cls)
        other.__dict__.update(self.__dict__)
        return other

    @staticmethod
    def _make_subclass(cls: type, data: Tensor, require_grad: bool = False) -> Any:
        """A leaf of a subclass on the memory of ``data``."""
        made = data.detach()._as_class(cls)
        made._leaf_requires_grad = bool(require_grad)
        return made

    @classmethod
    def _wrap(cls, array: Any, node: Any = None, output: int = 0) -> Tensor:
        """A Tensor around a fresh array, as output ``output`` of ``node``."""
        tensor = object.__new__(cls)
        tensor._storage = Storage(array)
        if node is not None:
            tensor._grad_fn = node
            tensor._output = output
        return tensor

    def _alias(self, window: Window | None, value: Any = None) -> Tensor:
        """A Tensor on the same storage, without history."""
        tensor = object.__new__(Tensor)
        tensor._storage = self._storage
        tensor._window = window
        if value is not None:
            tensor._value, tensor._value_writes = value, self._storage.writes
        return tensor

    # -- memory

    def _read(self) -> Any:
        """The values as a jax.Array (a tracer inside a transformation)."""
        array = self._operand().on_device()
        if thread.region is not None:
            thread.region.read(array)
        return array

    def _operand(self) -> Value:
        """The values as an operand, which may be pending; whoever transforms a function is told."""
        storage = self._storage
        if thread.tracing is not None:
            thread.tracing.read(storage, self)
        if self._window is None:
            return storage.value if type(storage) is Storage else storage.snapshot()
        if self._value_writes != storage.writes or type(storage) is not Storage:
            self._value = storage.read(self._window)
            self._value_writes = storage.writes
        return self._value

    def _memory(self) -> Storage:
        """The memory that counts what is written."""
        return self._storage

    def _as_gradient(self) -> Any:
        """What a backward pass carries of it."""
        return self._operand()

    def _write(self, values: Any) -> None:
        """Replace the values in place; every view sees it. Those of a view may broadcast to its shape."""
        storage = self._storage
        if self._window is None:
            storage.replace(values, self._tracked)
            return
        if thread.tracing is not None:
            thread.tracing.read(storage)
        if not isinstance(values, Value):
            values = Value(values)
        storage.write(self._window, values, self._tracked)
        if 0 not in self._window.stride and values.shape == self._window.shape:
            self._value, self._value_writes = values, storage.writes

    def _set_storage(self, other: Tensor) -> None:
        """Become a window on another tensor's storage (``x.data = y``)."""
        self._storage, self._window, self._value, self._value_writes = other._storage, other._window, other._value, other._value_writes

    def _view_window(self) -> Window:
        if self._window is not None:
            return self._window
        return whole(self._storage.value.shape)

    def _meta(self) -> Any:
        """The device of tensors like this one, where it is told by name: 'meta', else None."""
        return _device.META if is_outline(self._storage.value) else None

    def _shape(self) -> tuple[int, ...]:
        return self._storage.value.shape if self._window is None else self._window.shape

    def _export(self) -> jax.Array:
        """The array, for someone outside."""
        return self._read()

    # -- what it is

    @property
    def shape(self) -> _dtype.Size:
        """The size of each dimension."""
        return _dtype.Size(self._shape())

    @property
    def dtype(self) -> _dtype.dtype:
        """The type of the numbers."""
        window = self._window
        if window is not None and window.dtype is not None:
            return window.dtype
        return _dtype.dtype._by_numpy[self._storage.value.dtype]

    @property
    def device(self) -> _device.device:
        """Where the numbers are: on JAX's device, or, without any, on 'meta'."""
        return _device.META if is_outline(self._storage.value) else _device.here()

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._shape())

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self._shape())

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        shape = self._shape()
        if not -max(len(shape), 1) <= dim < max(len(shape), 1) or not shape:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-len(shape)}, {len(shape) - 1}], but got {dim})"
                if shape
                else f"Dimension specified as {dim} but tensor has no dimensions"
            )
        return shape[dim]

    def stride(self, dim: int | None = None) -> Any:
        """The distance in memory between neighbours, of each dimension or of one."""
        stride = self._view_window().stride
        return stride if dim is None else stride[dim]

    def storage_offset(self) -> int:
        """How many elements of the memory lie before the first one of this tensor."""
        return self._view_window().offset

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the values lie in row-major order, or in that of a memory format."""
        if memory_format is None or memory_format.order is None:
            return self._window is None or is_contiguous(self._window)
        window, order = self._view_window(), memory_format.order
        if len(order) != len(window.shape):
            return False
        return is_contiguous(window._replace(shape=tuple(window.shape[d] for d in order), stride=tuple(window.stride[d] for d in order)))

    def numel(self) -> int:
        """The number of elements."""
        count = 1
        for size in self._shape():
            count *= size
        return count

    nelement = numel

    def element_size(self) -> int:
        """The size of an element, in bytes."""
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element, 0 if there is none; tensors of the same memory at the same offset share it.

        From then on the numbers lie there, as long as the tensor's storage lives: a library written in C may read and write them. On an accelerator
        it is the address of a copy on the host with the values as of this call, and writing there does not change the tensor.
        """
        return address_of(self._storage) + self._view_window().offset * self.dtype.itemsize if self.numel() and not self.is_meta else 0

    def is_conj(self) -> bool:
        """Whether it is a view that shows the conjugates of the numbers in memory."""
        return self._window is not None and self._window.conj

    def is_neg(self) -> bool:
        """Whether it is a view that shows the negatives of the numbers in memory."""
        return self._window is not None and self._window.neg

    def is_floating_point(self) -> bool:
        """Whether the numbers are floating-point ones (and not complex)."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the numbers are complex."""
        return self.dtype.is_complex

    is_cuda = property(lambda self: self.device.type == "cuda", doc="Whether the numbers are on the accelerator.")
    is_meta = property(lambda self: is_outline(self._storage.value), doc="Whether there are no numbers, but a shape and a type alone.")
    is_sparse = is_quantized = is_nested = is_mps = False
    layout = _layout.strided

    # -- the way out

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        if self.is_meta:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        return (self._host() if self._window is None else self._shown()).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._shown().tolist()

    def _shown(self) -> np.ndarray:
        """The values as NumPy has them; those that it can't have as complex64."""
        return complex_of(pairs_of(self)._host(), self._window) if self.dtype is _dtype.complex32 else self._host()

    def _host(self) -> np.ndarray:
        """The values as a NumPy array, to be looked at at once; an error while a step is being compiled, when they are not known."""
        if thread.region is not None:
            thread.region.look(self)
        storage = self._storage
        if isinstance(storage, SharedStorage) and (numbers := storage.live(self._window)) is not None:
            return numbers
        if self._window is not None and (numbers := self._through_window()) is not None:
            return numbers
        array = self._operand().known()
        if isinstance(array, jax.core.Tracer):
            concrete = array.to_concrete_value()  # known in forward mode, where values come with a tangent
            if concrete is not None:
                return np.asarray(concrete)
            if getattr(thread.tracing, "vmaps", ()):
                raise RuntimeError(
                    "vmap: It looks like you're calling .item() on a Tensor, or using its values in some data-dependent control flow (if, while, "
                    "tolist, numpy, print). Inside vmap there is one value for each example; use torch.where and the like"
                )
            raise RuntimeError(
                "the value of a tensor was asked for (item(), tolist(), numpy(), bool(), print, a data-dependent index) inside a function that "
                "JAX is tracing, where values are not known yet; return the tensor and look at it outside"
            )
        if type(array) is np.ndarray:
            array.setflags(write=False)
            return array
        return np.asarray(array)

    def _through_window(self) -> np.ndarray | None:
        """The numbers of a window where those of its storage are known, so that nothing has to run."""
        storage, window = self._storage, self._window
        value = storage.value
        if thread.tracing is not None or value.array is None or window is None or window.dtype is not None or window.turned:
            return None
        if not isinstance(value.array, np.ndarray) and not _is_local(value.array):
            return None
        array = np.asarray(value.array).reshape(-1)
        strides = [stride * array.itemsize for stride in window.stride]
        if 0 in window.shape:
            return np.empty(window.shape, array.dtype)
        numbers: np.ndarray = np.ndarray(window.shape, array.dtype, array.view(np.uint8), window.offset * array.itemsize, strides)
        numbers.setflags(write=False)
        return numbers

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array on the same memory: what is written to one is seen by the other.

        On an accelerator, and where the values lie on several devices, it is a read-only copy.

        Args:
          force: whether to detach a tensor that requires grad.

        Raises:
          RuntimeError: the tensor requires grad.
          TypeError: NumPy has no such numbers (bfloat16, and those of 8 bits).
        """
        self._check_numpy(force)
        if thread.region is not None:
            thread.region.look(self)
        turned = self._window is not None and self._window.turned
        array = None if turned else array_on(self._storage, self._window)
        return self._host() if array is None else array

    def _check_numpy(self, force: bool) -> None:
        if not force and thread.grad and self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.is_meta:
            raise TypeError("can't convert meta device type tensor to numpy: it has a shape and a type, but no numbers.")
        if self.dtype is _dtype.complex32 or self.dtype.numpy.isbuiltin != 1:
            raise TypeError(f"Got unsupported ScalarType {self.dtype.legacy}")
        for name, short, is_set in (("conjugate", "conj", self.is_conj()), ("negative", "neg", self.is_neg())):
            if is_set and not force:
                raise RuntimeError(f"Can't call numpy() on Tensor that has {name} bit set. Use tensor.resolve_{short}().numpy() instead.")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if not copy and (dtype is None or dtype == self.dtype.numpy):
            return self.numpy()
        self._check_numpy(False)
        if copy is False:
            raise ValueError(f"Unable to avoid copy while creating an array of {np.dtype(dtype)} from a tensor of {self.dtype}")
        return np.array(self._host(), dtype=dtype)

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Tensor:
        return Tensor._wrap(from_host(np.array(array, np.uint8 if array.dtype == bool else None)))  # torch still has truth values as bytes

    def __jax_array__(self) -> jax.Array:
        if self.requires_grad and thread.grad:
            raise RuntimeError(
                "a Tensor that requires grad was given to a jax function, which would lose its gradient; decorate the function with "
                "funnn.public to put it on the tape, or pass tensor.detach()"
            )
        return self._export()

    def _number(self) -> Any:
        if thread.grad and self.requires_grad:
            say(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\nConsider using tensor.detach() first.",
                once=True,
            )
        if self.numel() != 1:
            raise ValueError(f"only one element tensors can be converted to Python scalars; this one has shape {list(self._shape())}")
        return self.item()

    def _real_number(self, kind: str) -> Any:
        number = self._number()
        if isinstance(number, complex):
            if number.imag:
                raise RuntimeError(f"value cannot be converted to type {kind} without overflow: {number} is complex; take .real or .abs()")
            return number.real
        return number

    def __float__(self) -> float:
        return float(self._real_number("double"))

    def __int__(self) -> int:
        return int(self._real_number("int64_t"))

    def __index__(self) -> int:
        if self.numel() != 1 or self.dtype.category > 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self._number())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            kind = "no values" if self.numel() == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {kind} is ambiguous")
        return bool(self.item())

    def __len__(self) -> int:
        if not self._shape():
            raise TypeError("len() of a 0-d tensor")
        return self._shape()[0]

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        if thread.tracing is not None:
            return thread.tracing.text(self)
        return self._text("tensor(" if type(self).__module__.startswith(("funnn.", "torch")) else f"{type(self).__name__}(")

    def _text(self, prefix: str, more: tuple[str, ...] = ()) -> str:
        suffixes = []
        shown = self.grad_fn
        if shown is not None and type(self._grad_fn) is not Gate:
            suffixes.append(f"grad_fn=<{type(shown).__name__}>")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        suffixes += more
        if self.is_meta:
            return _printing.format_outline(
                tuple(self._shape()),
                self.dtype.name,
                _dtype.get_default_dtype().name,
                prefix=prefix,
                suffixes=suffixes,
                options=_printing.print_options(),
            )
        return _printing.format_tensor(
            self._shown(),
            dtype_name=self.dtype.name,
            default_dtype_name=_dtype.get_default_dtype().name,
            prefix=prefix,
            suffixes=suffixes,
            options=_printing.print_options(),
        )

    def __format__(self, spec: str) -> str:
        if not self._shape() and type(self) is Tensor:
            return self.item().__format__(spec)
        return object.__format__(self, spec)


def as_tensor(value: Any) -> Any:
    """An array or a Value as a Tensor without history; a Tensor or None as it is."""
    return value if value is None or isinstance(value, Tensor) else Tensor._wrap(value)


def as_gradient(value: Any) -> Any:
    """A Tensor's Value, an array as one; a Value, None or a sparse tensor as it is."""
    if value is None or isinstance(value, Value):
        return value
    return value._as_gradient() if isinstance(value, Tensor) else Value(value)


def as_class(result: Any, kind: type) -> Any:
    """Tensors as of a subclass, in containers too."""
    if isinstance(result, Tensor):
        return result if isinstance(result, kind) else result.as_subclass(kind) if result.requires_grad else result._as_class(kind)
    if isinstance(result, (tuple, list)):
        parts = [as_class(part, kind) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result
