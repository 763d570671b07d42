"""Small questions about a tensor, and the older methods that walk over its elements or change what memory it shows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import numpy as np
from jax import Array

from funnn import functional as F
from funnn.engine.dispatch.inplace import check_captured
from funnn.engine.ops.kit.table import FUNCTIONS, add_method, publish, write_out
from funnn.engine.ops.make.factories import legacy_tensor, tensor
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.layout import channels_last, contiguous_format, memory_format

# -- questions


def is_nonzero(input):
    """Whether the only element is not zero."""
    return bool(input)


def is_same_size(input, other: Array):
    """Whether both have the same shape."""
    return input.shape == other.shape


def is_signed(input):
    """Whether the type has negative numbers."""
    return input.dtype.is_signed


def is_inference(input):
    """Whether the memory was made in inference_mode."""
    return input._storage.inference


def is_complex(input):
    """Whether the numbers are complex."""
    return input.dtype.is_complex


def get_device(input):
    """The index of the accelerator; −1 for the CPU."""
    return input.device.index or 0 if input.device.type == "cuda" else -1


def dim_order(self, *, ambiguity_check=False):
    """The dimensions from the outermost in memory to the innermost.

    Args:
      ambiguity_check: whether to raise a RuntimeError where several orders describe the memory; or a list of formats, just one of which may.
    """
    listed = isinstance(ambiguity_check, list) and all(isinstance(kind, memory_format) for kind in ambiguity_check)
    if not isinstance(ambiguity_check, bool) and not listed:
        raise TypeError("The ambiguity_check argument must be a bool or a list of memory formats.")
    rank, strides = self.dim(), self.stride()
    several = 1 in self.shape or any(a == b for a, b in itertools.pairwise(strides))
    if ambiguity_check is not False and several and sum(_lies_as(self, kind) for kind in (ambiguity_check if listed else [])) != 1:
        raise RuntimeError("The tensor does not have unique dim order, or cannot map to exact one of the given memory formats.")
    in_rows, in_channels = _lies_as(self, contiguous_format), _lies_as(self, channels_last)
    if rank < 2 or (in_rows and not in_channels):
        return tuple(range(rank))
    if in_channels and not in_rows:
        return (0, *range(2, rank), 1)
    order: list[int] = []  # from the innermost
    for dim in reversed(range(rank)):
        place = len(order)
        for number in reversed(range(len(order))):
            further = _lies_further(self, order[number], dim)
            if further:
                place = number
            elif further is False:
                break
        order.insert(place, dim)
    if ambiguity_check and any(_lies_further(self, a, b) is not False for a, b in itertools.pairwise(order)):
        raise RuntimeError("The tensor does not have unique dim order.")
    return tuple(order[::-1])


def _lies_further(tensor, first, second):
    """Whether the elements of the first dimension lie further from each other than those of the second; None where there is nothing to tell."""
    (a, b), (m, n) = ([of[dim] for dim in (first, second)] for of in (tensor.stride(), tensor._shape()))
    if a == 0 or b == 0 or (a == b and n >= m):
        return None
    return a >= b


def _lies_as(tensor, kind):
    return (kind is not channels_last or tensor.dim() == 4) and tensor.is_contiguous(memory_format=kind)


def is_set_to(self, tensor):
    """Whether both show the same memory in the same way."""
    return self._storage is tensor._storage and self._view_window() == tensor._view_window()


def pin_memory(self, device=None):
    """The tensor itself: XLA copies from any memory."""
    if jax.default_backend() == "cpu":
        raise RuntimeError(
            "Cannot access accelerator device when none is available: pin_memory() speeds copies to a GPU, and there is none"
        )
    return self


for _function in (is_nonzero, is_same_size, is_signed, is_inference, is_complex, get_device):
    publish(_function.__name__, _function)


def is_pinned(self, device=None):
    """False: XLA copies from any memory, and none is pinned."""
    return False


def is_shared(self):
    """False: memory is not shared between processes."""
    return False


def const_data_ptr(self):
    """The number that ``data_ptr`` gives."""
    return self.data_ptr()


def ndimension(self):
    """The number of dimensions."""
    return self.dim()


_METHODS: dict[str, Callable] = {
    "dim_order": dim_order,
    "is_set_to": is_set_to,
    "pin_memory": pin_memory,
    "is_pinned": is_pinned,
    "is_shared": is_shared,
    "const_data_ptr": const_data_ptr,
    "ndimension": ndimension,
}
for _name in ("is_ipu", "is_maia", "is_mkldnn", "is_mtia", "is_vulkan", "is_xla", "is_xpu", "volatile"):
    setattr(Tensor, _name, False)
Tensor.is_cpu = property(lambda self: self.device.type == "cpu", doc="Whether the numbers are in the CPU's memory.")
Tensor.itemsize = property(lambda self: self.dtype.itemsize, doc="The size of an element, in bytes.")
Tensor.nbytes = property(lambda self: self.numel() * self.dtype.itemsize, doc="The size of all elements, in bytes.")
Tensor.name = None


# -- element by element, in Python


def _walk(name: str, count: int, doc: str) -> None:
    """``self.name(*others, callable)``: what ``callable`` makes of the elements at each place, one by one, written into self."""

    def walk(self, *arguments):
        *others, function = arguments
        if len(others) != count:
            raise TypeError(f"{name}() takes {count} tensors and a callable, got {len(arguments)} arguments")
        if self.requires_grad:
            raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
        arrays = [self._host(), *(np.broadcast_to(other._host(), self._shape()) for other in others)]
        values = [function(*items) for items in zip(*(array.ravel().tolist() for array in arrays), strict=True)]
        self._write(np.asarray(values, self.dtype.numpy).reshape(self._shape()))
        return self

    walk.__doc__, walk.__name__ = doc, name
    add_method(name, walk)


_walk("apply_", 0, "apply_(callable): callable(x) of each element x, one by one in Python, written into this tensor.")
_walk("map_", 1, "map_(tensor, callable): callable(x, y) of the elements of both, one by one in Python, written into this tensor.")
_walk(
    "map2_", 2, "map2_(x, y, callable): callable(self, x, y) of the elements of all three, one by one in Python, written into this tensor."
)


# -- memory and shape


def new(self, *args, device=None):
    """A tensor of the same type, of sizes or with data."""
    if device is not None:
        _device.check_device(device)
    return legacy_tensor(args, self.dtype)


def set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Become a window on the memory of another tensor, or on a storage; without one, an empty tensor."""
    if thread.grad and self._leaf_requires_grad and self._grad_fn is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if hasattr(source, "__funnn_memory__"):
        source = _typed_memory(source.__funnn_memory__, self.dtype, type(source).__name__)
    source = FUNCTIONS["empty"](0, dtype=self.dtype) if source is None else source
    if not isinstance(source, Tensor):
        raise TypeError(f"set_(): argument 'source' (position 1) must be Tensor, not {type(source).__name__}")
    if source.dtype is not self.dtype:
        raise RuntimeError(f"Could not set tensor of type {source.dtype.name} to a tensor of type {self.dtype.name}")
    if size is not None:
        source = source.detach().as_strided(size, stride or FUNCTIONS["empty"](size).stride(), storage_offset)
    if thread.levels:
        check_captured(self, "set_")
    conj, neg = self.is_conj(), self.is_neg()
    self._set_storage(source)
    if (conj, neg) != (source.is_conj(), source.is_neg()):  # what this tensor shows of its memory stays
        self._window, self._value, self._value_writes = self._view_window()._replace(conj=conj, neg=neg), None, -1
    return self


def _typed_memory(memory, kind, name):
    """The flat memory of a storage as numbers of a type; bytes that are left over are left out."""
    if memory.dtype is kind:
        return memory
    if name != "UntypedStorage":
        raise RuntimeError(
            f"Expected a Storage of type {kind.legacy.lower()} or an UntypedStorage, but got type {memory.dtype.legacy} for argument 1 'storage'"
        )
    return memory[: memory.numel() // kind.itemsize * kind.itemsize].view(kind)


def fill_diagonal_(self, fill_value, wrap=False):
    """``fill_value`` on the diagonal; with ``wrap``, again and again in a tall matrix."""
    shape = self._shape()
    if len(shape) < 2:
        raise RuntimeError(f"dimensions must larger than 1, got shape {list(shape)}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError(f"all dimensions of input must be of equal length, got {list(shape)}")
    on = np.zeros(shape, bool)
    np.fill_diagonal(on, True, wrap=wrap)
    return self.masked_fill_(tensor(on), fill_value)


def hardshrink(input, lambd=0.5, *, out=None):
    """The input where |input| > lambd, else 0."""
    return F.hardshrink(input, lambd, **({} if out is None else {"out": out}))


def prelu(input, weight: Array):
    """The input where positive, else weight·input."""
    return F.prelu(input, weight)


def detach_copy(input, *, out=None):
    """A copy without history."""
    result = input.detach().clone()
    return result if out is None else write_out(out, result)


publish("hardshrink", hardshrink, elementwise=True)
publish("prelu", prelu, elementwise=True)
publish("detach_copy", detach_copy, method=False)
for _function in (new, set_, fill_diagonal_):
    add_method(_function.__name__, _function)
for _name, _method in _METHODS.items():
    _method.__name__ = _name
    setattr(Tensor, _name, _method)


def _reversed(self: Tensor) -> Tensor:
    """The elements along the first dimension from the last to the first."""
    return self.flip(0) if self.dim() else self


add_method("__reversed__", _reversed)
for _name in ("detach", "detach_", "as_strided_"):
    FUNCTIONS[_name] = getattr(Tensor, _name)


# -- of types, and one matrix


def can_cast(from_, to):
    """Whether the rules of promotion allow the conversion: never to a lower category of numbers."""
    return from_.category <= to.category


def typename(obj):
    """The name of the object's type; of a tensor, as torch.FloatTensor."""
    if isinstance(obj, Tensor):
        return f"torch.{obj.dtype.legacy}Tensor"
    kind = obj if isinstance(obj, type) else type(obj)
    module = "" if kind.__module__ in ("builtins", "__builtin__") else f"{kind.__module__.replace('funnn.torch', 'torch')}."
    return f"{module}{kind.__qualname__}"


def vander(x: Array, N=None, increasing=False):
    """The matrix whose columns are the powers of a vector, the highest first unless ``increasing``."""
    if x.dim() != 1:
        raise RuntimeError(f"x must be a one-dimensional tensor, got {x.dim()} dimensions.")
    if N is not None and N < 0:
        raise RuntimeError(f"N must be non-negative, got {N}.")
    powers = FUNCTIONS["linalg.vander"](x, N=N) if N is None or N > 1 else x.new_ones((len(x), N))
    powers = powers if x.dtype.category >= 2 else powers.to(_dtype.int64)
    return powers if increasing else powers.flip(-1)


for _function in (can_cast, typename, vander):
    FUNCTIONS[_function.__name__] = _function
for _function in FUNCTIONS.values():
    if _function.__module__ == __name__ or _function.__name__ == "from_numpy":
        _function.asks = False  # a question of a tensor is not overridden
