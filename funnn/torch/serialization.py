"""torch.save and torch.load, in PyTorch's file format; the format itself is in ``funnn.checkpoint``."""

from __future__ import annotations

import importlib
import math
import os
import pickle
import pickletools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from funnn.checkpoint._errors import CheckpointError, Kind, shown
from funnn.checkpoint._legacy_write import write_legacy
from funnn.checkpoint._source import File
from funnn.checkpoint._tensors import PLAIN_FUNCTIONS, STORAGES, Record, check_flags, check_window, class_of, device_name, sizes
from funnn.checkpoint._torch_file import read
from funnn.checkpoint._torch_write import DTYPES, UNTYPED_STORAGE, Global, TorchPickler, record_for, tensor_call, write
from funnn.checkpoint._unpickle import SPECIAL, Passed, Vocabulary, unpickle
from funnn.engine.memory.grown import whole_memory
from funnn.engine.memory.storage import Storage, Window, contiguous_stride
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.program.outline import is_outline, outline_of, outlined
from funnn.engine.program.value import from_host
from funnn.engine.tensor.generator import Generator
from funnn.engine.tensor.pickling import attributes, is_own, on_memory
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout
from funnn.torch.nn.parameter import Parameter
from funnn.torch.storage import TypedStorage, UntypedStorage

# -- writing

_PARAMETER = Global("torch._utils", "_rebuild_parameter")
_PARAMETER_WITH_STATE = Global("torch._utils", "_rebuild_parameter_with_state")
_META = Global("torch._utils", "_rebuild_meta_tensor_no_storage")
_OF_TYPE = Global("torch._tensor", "_rebuild_from_type_v2")
_SPARSE = Global("torch._utils", "_rebuild_sparse_tensor")
_SIZE, _DEVICE = Global("torch", "Size"), Global("torch", "device")
_LAYOUT = Global("torch.serialization", "_get_layout")
_NAMED = {
    Tensor: Global("torch", "Tensor"),
    Parameter: Global("torch.nn.parameter", "Parameter"),
    Generator: Global("torch._C", "Generator"),
}
_HANDLED = (_dtype.dtype, _device.device, _dtype.Size, _layout.layout, Tensor, TypedStorage, UntypedStorage)


class _Pickler(TorchPickler):
    """Tensors as torch's rebuilding calls, storages as records."""

    def __init__(self, file: Any, protocol: int = 2):
        super().__init__(file, protocol)
        self.stored: dict[int, tuple[Storage, np.dtype, Record]] = {}

    def name_of(self, obj: Any) -> Global | None:
        if isinstance(obj, _dtype.dtype):
            return DTYPES[obj.in_memory]
        return _NAMED.get(obj) if isinstance(obj, type) else None

    def describe(self, obj: Any) -> tuple | None:
        if not isinstance(obj, _HANDLED):
            return None
        if isinstance(obj, SparseTensor):
            return self.sparse(obj)
        if isinstance(obj, Tensor):
            return self.tensor(obj) if type(obj).__reduce_ex__ is Tensor.__reduce_ex__ else None
        if isinstance(obj, _dtype.Size):
            return _SIZE, (tuple(obj),)
        if isinstance(obj, _device.device):
            return _DEVICE, (obj.type,) if obj.index is None else (obj.type, obj.index)
        return (_LAYOUT, (repr(obj),)) if isinstance(obj, _layout.layout) else None

    def persistent_id(self, obj: Any) -> tuple | None:
        if not isinstance(obj, (TypedStorage, UntypedStorage)):
            return super().persistent_id(obj)
        name, kind, *rest = super().persistent_id(self.record(obj._tensor))
        return name, UNTYPED_STORAGE if isinstance(obj, UntypedStorage) else kind, *rest

    def tensor(self, tensor: Tensor) -> tuple:
        for hook in (tensor._hooks or {}).values():
            warnings.warn(f"backward hook {hook!r} on tensor will not be serialized.", stacklevel=2)
        kind, state = type(tensor), attributes(tensor)
        if kind is Parameter:
            arguments = tensor.detach(), tensor.requires_grad, OrderedDict()
            return (_PARAMETER_WITH_STATE, (*arguments, state)) if state else (_PARAMETER, arguments)
        window = tensor._view_window()
        if tensor.is_meta:
            return _META, (tensor.dtype, tuple(window.shape), tuple(window.stride), tensor.requires_grad)
        numbers = tensor.dtype.in_memory
        plain = tensor_call(
            self.record(tensor), window.offset, window.shape, window.stride, numbers, tensor.requires_grad, window.conj, window.neg
        )
        return plain if kind is Tensor and not state else (_OF_TYPE, (plain[0], kind, plain[1], state))

    def sparse(self, tensor: SparseTensor) -> tuple:
        if isinstance(tensor, Parameter):
            return _PARAMETER, (tensor.detach(), tensor.requires_grad, OrderedDict())
        parts = *tensor._pattern.parts, tensor._elements, tensor.shape
        plain = _SPARSE, (tensor.layout, (*parts, tensor._coalesced) if tensor.is_sparse else parts)
        state = attributes(tensor)
        return (_OF_TYPE, (plain[0], Tensor, plain[1], state)) if state else plain

    def record(self, tensor: Tensor) -> Record:
        storage, kind = whole_memory(tensor._storage, None)[0], tensor.dtype.in_memory
        if id(storage) not in self.stored:
            tensor._shown()  # raises while compiling, when there are no values
            values = np.asarray(storage.array).reshape(-1)
            self.stored[id(storage)] = storage, kind, record_for(values if values.dtype == kind else values.view(kind))
        if self.stored[id(storage)][1] != kind:
            raise RuntimeError(
                f"Cannot save multiple tensors or storages that view the same data as different types: {self.stored[id(storage)][1]} and {kind}; "
                "clone() one of them"
            )
        return self.stored[id(storage)][2]


def save(
    obj: Any,
    f: File,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a file that ``torch.load`` reads, here and in PyTorch.

    Tensors keep their strides and what they share. Objects of other classes are pickled by reference to their class, as ever.

    Args:
      obj: tensors, containers, numbers, a state_dict, a whole Module.
      f: a path, or a binary file open for writing.
      _use_new_zipfile_serialization: False writes the format that PyTorch had before 1.6.
      pickle_protocol: of the pickle inside; PyTorch's weights_only reading knows 2.
    """
    if pickle_module is not pickle:
        raise NotImplementedError(f"pickle_module {getattr(pickle_module, '__name__', pickle_module)!r} is not supported; leave it out")
    if not isinstance(f, (str, os.PathLike)) and not hasattr(f, "write"):
        raise AttributeError(f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, got {type(f).__name__}")
    if isinstance(f, (str, os.PathLike)) and (folder := os.path.dirname(os.fspath(f))) and not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    (write if _use_new_zipfile_serialization else write_legacy)(obj, f, lambda stream: _Pickler(stream, pickle_protocol))


#: Of pickles inside files; and what map_location may be.
DEFAULT_PROTOCOL = 2
MAP_LOCATION = Callable[[Any, str], Any] | str | dict[str, str] | None

# -- reading


def _rebuild_tensor(
    memory: Any, offset: int, size: Any, stride: Any, requires_grad: bool = False, hooks: Any = None, metadata: Any = None, kind: Any = None
) -> Tensor:
    """A tensor on a storage of the file; the first tensor decides in which shape the storage keeps its array."""
    if not isinstance(memory, TypedStorage) or not isinstance(kind, (_dtype.dtype, type(None))):
        raise CheckpointError(f"a tensor is to be rebuilt on a {type(memory).__name__} as {shown(kind)}")
    kind = memory.dtype if kind is None else kind
    storage, count = memory._tensor._storage, memory.nbytes() // kind.itemsize
    check_window(count, offset, size, stride)
    conj, neg = check_flags(requires_grad, metadata)
    if neg and kind is _dtype.bool_:
        raise CheckpointError("a tensor of truth values is said to show their negatives")
    if requires_grad and not (kind.is_floating_point or kind.is_complex):
        raise CheckpointError(f"a tensor of {kind} is said to require gradients")
    if is_outline(storage.value):
        return on_memory(
            Tensor,
            storage,
            Window(tuple(size), tuple(stride), offset, None if kind.in_memory == storage.dtype else kind, conj, neg),
            bool(requires_grad),
        )
    window = Window(tuple(size), tuple(stride), offset, None, conj, neg)
    whole = offset == 0 and window.stride == contiguous_stride(window.shape) and math.prod(window.shape) == count
    if isinstance(storage.array, np.ndarray) and storage.writes == 0 and storage.array.ndim == 1:
        numbers = storage.array.view(np.uint8)[: count * kind.itemsize].view(_computing(kind))
        if numbers.nbytes == storage.array.nbytes:  # else some bytes are of no number of this type
            own, storage.array = memory.dtype, from_host(numbers.reshape(window.shape if whole and kind is not _dtype.complex32 else -1))
            memory._see(storage, own)
    if storage.array.dtype != kind.in_memory:
        window = window._replace(dtype=kind)
    elif whole and not window.turned and storage.array.shape == window.shape:
        window = None
    return on_memory(Tensor, storage, window, bool(requires_grad))


def _computing(kind: _dtype.dtype) -> np.dtype:
    """The type of the numbers that a storage keeps for numbers of a type."""
    return np.dtype(np.float16) if kind is _dtype.complex32 else kind.numpy


def _rebuild_typed(memory, offset, size, stride, requires_grad, hooks, dtype, metadata=None):
    return _rebuild_tensor(memory, offset, size, stride, requires_grad, hooks, metadata, dtype)


def _rebuild_meta(kind: Any, size: Any, stride: Any, requires_grad: Any) -> Tensor:
    """A tensor without numbers, as on the device 'meta'."""
    if not isinstance(kind, _dtype.dtype):
        raise CheckpointError(f"a meta tensor is to be rebuilt as {shown(kind)}")
    size, stride = sizes(size), sizes(stride)
    count = 0 if 0 in size else 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=False))
    if len(size) != len(stride) or min((*size, *stride), default=0) < 0 or count.bit_length() > 62:
        raise CheckpointError(f"a meta tensor of shape {shown(size)} is said to have the strides {shown(stride)}")
    check_flags(requires_grad, None)
    if kind is _dtype.complex32:
        return on_memory(Tensor, Storage(outlined((count, 2), _computing(kind))), Window(size, stride, 0, kind), bool(requires_grad))
    return on_memory(Tensor, Storage(outlined((count,), kind.numpy)), Window(size, stride, 0), bool(requires_grad))


def _rebuild_parameter(data: Tensor, requires_grad: bool, hooks: Any, state: Any = None) -> Parameter:
    if not isinstance(data, Tensor):
        raise CheckpointError(f"a parameter is to be rebuilt of a {type(data).__name__}, which is no tensor")
    return _with_state(Parameter(data, requires_grad), state)


def _rebuild_sparse(layout: Any, data: Any) -> SparseTensor:
    if not isinstance(layout, _layout.layout) or type(data) is not tuple or not all(isinstance(item, Tensor) for item in data[:2]):
        raise CheckpointError(f"a sparse tensor is to be rebuilt of {shown(layout)} and {shown(data)}")
    for part in data:
        if isinstance(part, Tensor) and part.nbytes > part.untyped_storage().nbytes():
            raise CheckpointError("a part of a sparse tensor is larger than its storage")
    if layout in (_layout.sparse_bsr, _layout.sparse_bsc):
        raise CheckpointError(f"the file holds a tensor of layout {layout}", "unsupported", "save it dense, or as torch.sparse_coo")
    if layout is _layout.sparse_coo:
        coalesced = bool(data[3]) if len(data) > 3 else None
        return FUNCTIONS["sparse_coo_tensor"](*data[:3], is_coalesced=coalesced, check_invariants=True)
    return FUNCTIONS["sparse_compressed_tensor"](*data, layout=layout, check_invariants=True)


_REBUILDERS = (_rebuild_tensor, _rebuild_typed, _rebuild_meta, _rebuild_parameter, _rebuild_sparse)


def _rebuild_from_type(function: Callable, kind: type, arguments: tuple, state: Any) -> Tensor:
    if not (isinstance(kind, type) and issubclass(kind, Tensor)):
        raise CheckpointError(f"a tensor is to be of {shown(kind)}, which is no class of tensors here")
    if not any(function is known for known in _REBUILDERS):
        raise CheckpointError(f"Trying to rebuild a tensor of type {shown(kind)} by unrecognized function {shown(function)}")
    tensor = function(*arguments)
    if isinstance(tensor, SparseTensor) and kind is not Tensor:
        raise CheckpointError(f"a sparse tensor is of class {shown(kind)}", "unsupported", "save it as a plain tensor")
    if type(tensor) is not kind and not isinstance(tensor, SparseTensor):
        tensor = on_memory(kind, tensor._storage, tensor._window, tensor.requires_grad)
    return _with_state(tensor, state)


def _with_state(tensor: Tensor, state: Any) -> Any:
    for names in state if isinstance(state, tuple) else (state or {},):
        for name, value in (names or {}).items():
            if is_own(name):
                raise CheckpointError(f"a tensor in the file has an attribute of the reserved name {shown(name)}")
            setattr(tensor, name, value)
    return tensor


def _get_layout(name: str) -> Any:
    found = getattr(_layout, str(name).removeprefix("torch."), None)
    if not isinstance(found, _layout.layout):
        text = f"the layout {shown(name)} is not supported"
        raise CheckpointError(text, "unsupported", "convert the tensor to a dense one and save it again")
    return found


_VALUES: dict[str, Any] = {
    **STORAGES,
    "torch.Tensor": Tensor,
    "torch.nn.parameter.Parameter": Parameter,
    **{f"torch.{kind.name}": kind for kind in (*_dtype.ALL, _dtype.complex32)},
}
_FUNCTIONS: dict[str, Callable] = {
    **PLAIN_FUNCTIONS,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_typed,
    "torch._utils._rebuild_meta_tensor_no_storage": _rebuild_meta,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._utils._rebuild_sparse_tensor": _rebuild_sparse,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch.Size": lambda numbers=(): _dtype.Size(sizes(numbers)),
    "torch.device": lambda *given: _device.device(device_name(*given)),
    "torch.serialization._get_layout": _get_layout,
}
#: What a file that is trusted may name: Python's own classes are taken as they are.
_NAMES = {**_VALUES, **{name: function for name, function in _FUNCTIONS.items() if name.startswith("torch.")}}


class _FullUnpickler(pickle.Unpickler):
    """Python's own unpickler, which runs what the file says; torch's names mean this library's."""

    def __init__(self, stream: Any, load: Callable, **options: Any):
        super().__init__(stream, **options)
        self.persistent_load = load

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in _NAMES:
            return _NAMES[f"{module}.{name}"]
        if module.split(".")[0] != "torch":
            return super().find_class(module, name)
        if (module, name) == ("torch._C", "_VariableFunctionsClass"):  # of which torch.relu and its kin are said to be methods
            return importlib.import_module("funnn.torch")
        *path, _ = (*module.split("."), None)
        for place in (".".join(path[:length]) for length in range(len(path), 0, -1)):
            try:
                return getattr(importlib.import_module(f"funnn.{place}"), name)
            except (ImportError, AttributeError):
                continue
        if SPECIAL.fullmatch(f"{module}.{name}"):
            raise NotImplementedError(
                f"{module}.{name}: such tensors are not supported; convert them in PyTorch to plain ones and save again"
            )
        raise pickle.UnpicklingError(f"the file names {module}.{name}, which funnn.torch does not have; save a state_dict instead")


def load(
    f: File,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **options: Any,
) -> Any:
    """Read an object that ``torch.save`` wrote, here or in PyTorch, in the zip format or the older one.

    Args:
      f: a path, or a binary file that can be read and moved in.
      map_location: where tensors go: a device, a dict of locations, or a function of (storage, location) that gives a storage or None.
        Tensors saved on an accelerator need one where there is none.
      weights_only: build tensors, containers, numbers and strings only, and classes given to ``add_safe_globals``. If False, whatever the
        file names is imported and run: for files of one's own.
      mmap: map the file into memory instead of reading it: numbers come from the disk when they are looked at, and writing changes no file.

    Raises:
      pickle.UnpicklingError: with weights_only, for anything else in the file; and for damaged files.
      EOFError, RuntimeError, NotImplementedError: the file is empty; its container is damaged; it holds what is not supported. All four are
        funnn.checkpoint.CheckpointErrors too.
    """
    if pickle_module is not None and weights_only:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified; leave out one of both")
    if mmap and not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a file path in order to use the mmap argument")
    if not isinstance(f, (str, os.PathLike)) and not all(hasattr(f, name) for name in ("read", "seek", "tell")):
        raise AttributeError(
            f"{type(f).__name__!r} object has no attribute 'seek'. You can only torch.load from a path or a seekable file."
        )
    _check_devices(map_location)
    full = not weights_only and (weights_only is not None or pickle_module is not None)

    def decode(stream: Any, length: int, load_record: Callable) -> Any:
        def persistent_load(identity: Any) -> Any:
            if full and class_of(identity) is not None:
                return class_of(identity)
            record = load_record(identity)
            if record.made is None:
                record.made = _place(record, map_location)
            return record.made

        if full:
            return _FullUnpickler(stream, persistent_load, **options).load()
        return unpickle(stream, length, Vocabulary(_VALUES, _FUNCTIONS, _trusted_names()), persistent_load)

    try:
        return read(f, decode, mmap=bool(mmap))
    except Passed as error:
        raise error.error from None
    except CheckpointError as error:
        text = str(error)
        if error.kind == "pickle" and not full:
            text = (
                "Weights only load failed. If the file is from a source you trust, load it with weights_only=False, which runs what it says. "
                f"WeightsUnpickler error: {text}"
            )
        raise _ERRORS[error.kind](text, error.kind) from error.__cause__


def _error(base: type) -> type:
    """torch's class of an error as a CheckpointError too; it prints as torch's, and is sent to other processes as that."""
    fields = {"__module__": base.__module__, "__reduce__": lambda self: (base, (str(self),))}
    return type(base.__name__, (CheckpointError, base), fields)


_ERRORS: dict[Kind, type] = {
    "empty": _error(EOFError),
    "container": _error(RuntimeError),
    "pickle": _error(pickle.UnpicklingError),
    "unsupported": _error(NotImplementedError),
}


def _check_devices(map_location: Any) -> None:
    if map_location is not None and not callable(map_location):
        for place in map_location.values() if isinstance(map_location, dict) else (map_location,):
            _device.check_device(place)


def _place(record: Record, map_location: Any) -> Any:
    """The storage of a record, after ``map_location`` had its say."""
    location = record.location
    if isinstance(map_location, dict):
        location = map_location.get(location, location)
    if (map_location is None or isinstance(map_location, dict)) and _device.device(location).type == "cuda" and not _device.accelerated():
        raise CheckpointError(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. Use torch.load with "
            "map_location=torch.device('cpu') to map your storages to the CPU.",
            "container",
        )
    kind = _dtype.dtype.of(record.array.dtype)
    memory = record.array if kind is not _dtype.complex32 else record.array.view(_computing(kind))
    made = object.__new__(TypedStorage)._see(Storage(memory), kind)
    if (
        _device.device(location if isinstance(map_location, (dict, type(None))) else "cpu" if callable(map_location) else map_location)
        == _device.META
    ):
        return made._see(Storage(outline_of(memory)), made.dtype)
    if callable(map_location):
        try:
            moved = map_location(made.untyped(), location)
        except Exception as error:
            raise Passed(error) from error
        if moved is not None:
            made._see(moved._tensor._storage, made.dtype)
    return made


# -- what weights_only may build besides

_trusted: list[Any] = []


def add_safe_globals(safe_globals: Iterable[Any]) -> None:
    """Let ``torch.load`` with weights_only build these classes and call these functions: objects, or (object, "module.name") pairs."""
    _trusted.extend(item for item in safe_globals if item not in _trusted)


def get_safe_globals() -> list[Any]:
    """What ``add_safe_globals`` added."""
    return list(_trusted)


def clear_safe_globals() -> None:
    """Forget what ``add_safe_globals`` added."""
    _trusted.clear()


class safe_globals:
    """``add_safe_globals`` for the time of a ``with`` block."""

    def __init__(self, safe_globals: Iterable[Any]):
        self.safe_globals = list(safe_globals)

    def __enter__(self) -> None:
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exc: Any) -> None:
        _trusted[:] = [item for item in _trusted if item not in self.safe_globals]


def _trusted_names() -> dict[str, Any]:
    pairs = (item if isinstance(item, tuple) else (item, f"{item.__module__}.{item.__qualname__}") for item in _trusted)
    return {name: item for item, name in pairs}


def get_unsafe_globals_in_checkpoint(f: File) -> list[str]:
    """The names in a file that weights_only would refuse; nothing is built."""
    found: list[str] = []

    def look(stream: Any, length: int, load: Callable) -> None:
        recent: list[str] = []
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "GLOBAL":
                found.append(argument.replace(" ", ".", 1))
            elif opcode.name == "STACK_GLOBAL":
                found.append(".".join(recent[-2:]))
            elif isinstance(argument, str):
                recent.append(argument)

    read(f, look)
    return [name for name in dict.fromkeys(found) if name not in {**_VALUES, **_FUNCTIONS, **_trusted_names()}]
