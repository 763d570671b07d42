"""Lazy modules: a size that the constructor does not know comes from the first input."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.layers import Buffer, Param
from funnn.torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy


class LazyModuleMixin:
    """Makes a module lazy: its UninitializedParameters get their shapes at the first call, or from a state_dict.

    A subclass defines ``initialize_parameters(*args, **kwargs)``, which takes forward's arguments, and may set ``cls_to_become``, the class that
    the module has from then on.
    """

    cls_to_become: type | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize the parameters for these arguments of forward; a subclass defines it."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module has no shape yet."""
        return any(is_lazy(tensor) for tensor in itertools.chain(self._parameters.values(), self._buffers.values()))

    def _lazy_load_hook(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        for name, tensor in (*self._parameters.items(), *self._buffers.items()):
            given = state_dict.get(prefix + name)
            if is_lazy(tensor) and given is not None and not is_lazy(given):
                tensor.materialize(given.shape)

    def _infer_parameters(self, module: Any, args: tuple, kwargs: dict | None = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {type(self).__name__} has not been fully initialized")
        for name in ("_initialize_hook", "_load_hook"):
            getattr(module, name).remove()
            delattr(module, name)
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _replicate_for_data_parallel(self) -> Any:
        raise RuntimeError("Modules with uninitialized parameters can't be used with `DataParallel`. Run a dummy forward pass first")


class LazyLayer(LazyModuleMixin):
    """A derived Module without its first argument: ``class LazyLinear(LazyLayer, Linear, size="in_features")``."""

    _size: str  # the attribute that the first input tells

    def __init_subclass__(cls, size: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if size is None:
            return
        cls._size = size
        cls.cls_to_become = next(base for base in cls.__mro__ if "_layer_type" in vars(base))
        cls.__doc__ = f"{cls.cls_to_become.__name__} whose ``{size}`` comes from the first input."
        _, *rest = inspect.signature(cls.cls_to_become).parameters.values()
        cls.__signature__ = inspect.Signature(rest)

    def _construct(self, args: tuple, kwargs: dict) -> tuple:
        return super()._construct((0, *args), kwargs)

    def _first_value(self, entry: Param | Buffer, source: Any, dtype: Any) -> Tensor:
        if entry.shape == ():
            return super()._first_value(entry, source, dtype)
        return (UninitializedBuffer if isinstance(entry, Buffer) else UninitializedParameter)(dtype=_dtype.dtype.of(dtype))

    def _reset(self, kinds: Any) -> None:
        if not self.has_uninitialized_params() and getattr(self, self._size):
            super()._reset(kinds)

    def _size_of(self, input: Tensor) -> int:
        """What the attribute must be for an input."""
        return input.shape[1]

    def initialize_parameters(self, input: Tensor, *rest: Any, **kwargs: Any) -> None:
        """Give the parameters the shapes for an input, and draw them."""
        if getattr(self, self._size) == 0:
            setattr(self, self._size, self._size_of(input))
        if not self.has_uninitialized_params():
            return
        with no_grad():
            for name, entry in self.as_layer().spec().items():
                tensor = self._parameters.get(name, self._buffers.get(name))
                if is_lazy(tensor):
                    tensor.materialize(entry.shape)
            self.reset_parameters()


class LazyLastAxis(LazyLayer):
    """Takes the size of the input's last axis."""

    def _size_of(self, input: Tensor) -> int:
        return input.shape[-1]


class _LazyConvXdMixin(LazyLayer):
    """Takes the size of the input's axis of channels."""

    def _size_of(self, input: Tensor) -> int:
        rank = self.dimensions + 2
        if input.dim() not in (rank - 1, rank):
            raise RuntimeError(
                f"Expected {rank - 1}D (unbatched) or {rank}D (batched) input to {type(self).__name__}, but got input of size: {input.shape}"
            )
        channels = input.shape[input.dim() - rank + 1]
        if channels % self.groups:
            raise ValueError(f"in_channels must be divisible by groups; got in_channels={channels} and groups={self.groups}")
        return channels


class _LazyNormBase(LazyLayer):
    """Takes the size of axis 1. Like torch's, those of instance normalisation have parameters and statistics unless told otherwise."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fields = cls.__signature__.parameters.values()
        cls.__signature__ = inspect.Signature(
            [field.replace(default=True) if field.name in ("affine", "track_running_stats") else field for field in fields]
        )

    def _construct(self, args: tuple, kwargs: dict) -> tuple:
        by_name = [name for place, name in ((2, "affine"), (3, "track_running_stats")) if len(args) <= place]
        return super()._construct(args, {**dict.fromkeys(by_name, True), **kwargs})
