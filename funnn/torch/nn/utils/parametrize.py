"""A parameter or buffer as a function of others: ``module.weight`` becomes ``parametrization(original)``.

The module's class is exchanged for a subclass of its own, ``Parametrized…``, with a property in the tensor's place. What the property computes
from stays in ``module.parametrizations.<name>``, a :class:`ParametrizationList`, as ``original`` or as ``original0``, ``original1``, ….
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.modules.container import ModuleDict, ModuleList
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache(threading.local):
    """The values of parametrized tensors while some ``cached()`` is active in this thread."""

    depth = 0

    def __init__(self):
        self.values: dict[tuple[int, str], Tensor] = {}


_kept_values = _Cache()


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once, at its first use, and then remembered; nested uses share what they remember."""
    _kept_values.depth += 1
    try:
        yield
    finally:
        _kept_values.depth -= 1
        if not _kept_values.depth:
            _kept_values.values = {}


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order they apply, and what the first is computed from.

    Attributes:
      original: what it is computed from; or original0, original1, … if the first parametrization's ``right_inverse`` gives several tensors.
      is_tensor: whether it is one tensor; ntensors: how many there are.
      unsafe: whether shape and dtype may differ from the tensor's that is replaced.
    """

    original: Tensor
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new = self._inverted(original)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(f"'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got {type(new).__name__}")
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            if original.dtype is not new.dtype:
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the dtype.\noriginal.dtype: {original.dtype}\n"
                    f"right_inverse(original).dtype: {new.dtype}"
                )
            original._set_storage(new)
            _register(self, "original", original)
        else:
            for number, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                        f"Got element {number} of the sequence with type {type(part).__name__}."
                    )
                part = Parameter(part, original.requires_grad) if isinstance(original, Parameter) else part
                _register(self, f"original{number}", part.requires_grad_(original.requires_grad))
        if not unsafe:
            _check_alike("Registering a parametrization", "unparametrized", shape, dtype, "parametrized", self())

    def _inverted(self, value: Any) -> Any:
        """``value`` through all ``right_inverse`` there are, the last parametrization's first."""
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with contextlib.suppress(NotImplementedError):
                        value = module.right_inverse(value)
        return value

    def originals(self) -> list[Tensor]:
        """The tensors that the first parametrization takes."""
        return [self.original] if self.is_tensor else [getattr(self, f"original{number}") for number in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor becomes ``value``; what an assignment to it does.

        Raises:
          RuntimeError: a parametrization has no ``right_inverse``.
          ValueError: what it returns does not fit the originals in type, number or dtype.
        """
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse. Define it to assign to the tensor"
                    )
                value = module.right_inverse(value)
        if self.is_tensor:
            if not isinstance(value, Tensor):
                raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
            if value.dtype is not self.original.dtype:
                raise ValueError(
                    f"The tensor returned by `right_inverse` has dtype {value.dtype} while `original` has dtype {self.original.dtype}"
                )
            self.original._set_storage(value)
            return
        if not isinstance(value, Sequence):
            raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}.")
        if len(value) != self.ntensors:
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a sequence of length {len(value)}."
            )
        for number, (part, own) in enumerate(zip(value, self.originals(), strict=True)):
            if not isinstance(part, Tensor):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got element {number} of type {type(part).__name__}.")
            if part.dtype is not own.dtype:
                raise ValueError(
                    f"Tensor {number} returned by `right_inverse` has dtype {part.dtype} while `original{number}` has dtype {own.dtype}"
                )
            own._set_storage(part)

    def forward(self) -> Tensor:
        first, *rest = self
        value = first(*self.originals())
        for module in rest:
            value = module(value)
        return value


def _check_alike(what: str, first: str, shape: Any, dtype: Any, second: str, value: Any) -> None:
    """``value`` is a tensor of this shape and dtype."""
    if not isinstance(value, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(value).__name__}.")
    for name, expected, got in (("dtype", dtype, value.dtype), ("shape", shape, value.shape)):
        if expected != got:
            raise ValueError(
                f"{what} may not change the {name} of the tensor, unless the `unsafe` flag is enabled.\n{first} {name}: {expected}\n"
                f"{second} {name}: {got}"
            )


def _register(module: Module, name: str, tensor: Tensor) -> None:
    (module.register_parameter if isinstance(tensor, Parameter) else module.register_buffer)(name, tensor)


def _exchange_class(module: Module) -> None:
    """Give the module a class of its own, which properties can be put into."""

    def __deepcopy__(self: Module, memo: dict) -> Module:
        if id(self) not in memo:
            memo[id(self)] = copied = self.__new__(type(self))
            copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return memo[id(self)]

    def __getstate__(self: Module) -> dict:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). Save that, and load it into a module with the same "
            "parametrizations"
        )

    cls = type(module)
    names = {"__getstate__": __getstate__} if hasattr(cls, "__deepcopy__") else {"__getstate__": __getstate__, "__deepcopy__": __deepcopy__}
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), names)


def _property(name: str) -> property:
    def get(self: Module) -> Tensor:
        parametrization = self.parametrizations[name]
        if not _kept_values.depth:
            return parametrization()
        key = id(self), name
        if key not in _kept_values.values:
            _kept_values.values[key] = parametrization()
        return _kept_values.values[key]

    def set(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, set)


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Make ``module.<tensor_name>`` the output of ``parametrization``, a Module, on what it was; several apply one after the other.

    A method ``right_inverse(tensor)`` of the parametrization, if there is one, gives the first value of the original from that of the tensor, and
    lets the tensor be assigned to. If it returns several tensors, ``parametrization`` takes them all. Without ``unsafe``, both are called once
    and must keep shape and dtype.

    Returns:
      ``module``, changed in place.

    Raises:
      ValueError: no such parameter or buffer, or a change of shape, dtype or type without ``unsafe``.

    Source: torch.nn.utils.parametrize.register_parametrization.

    >>> import funnn.torch as torch
    >>> class Positive(torch.nn.Module):
    ...     def forward(self, x):
    ...         return x.exp()
    >>> bool((register_parametrization(torch.nn.Linear(2, 2), "weight", Positive()).weight > 0).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_further(module, tensor_name, parametrization)
        registered = module.parametrizations[tensor_name]
        registered.append(parametrization)
        registered.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        registered = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _exchange_class(module)
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _property(tensor_name))
        module.parametrizations[tensor_name] = registered
    else:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'")
    return module


def _check_further(module: Module, name: str, parametrization: Module) -> None:
    """One more parametrization and its right inverse keep shape and dtype."""
    before = getattr(module, name)
    after = parametrization(before)
    label = f"module.{name}"
    _check_alike("Registering a parametrization", label, before.shape, before.dtype, f"parametrization({label})", after)
    if hasattr(parametrization, "right_inverse"):
        try:
            inverse = parametrization.right_inverse(after)
        except NotImplementedError:
            return
        if not isinstance(inverse, Tensor):
            raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(inverse).__name__}")
        for what in ("dtype", "shape"):
            if getattr(inverse, what) != getattr(before, what):
                raise ValueError(
                    f"The tensor returned by parametrization.right_inverse must have the same {what} as {label}, unless the `unsafe` flag is "
                    f"enabled.\n{label}.{what}: {getattr(before, what)}\nreturned {what}: {getattr(inverse, what)}"
                )


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has a parametrization; of that tensor, if one is named."""
    registered = getattr(module, "parametrizations", None)
    if not isinstance(registered, ModuleDict):
        return False
    return len(registered) > 0 if tensor_name is None else tensor_name in registered


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor an ordinary one again: with its present value, or with ``leave_parametrized=False`` with the original's.

    A single original stays the same object, so that an optimizer keeps it.

    Raises:
      ValueError: the tensor is not parametrized, or the original is asked for and there are several.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    registered = module.parametrizations[tensor_name]
    if registered.is_tensor:
        restored = registered.original
        if leave_parametrized:
            with no_grad():
                restored._set_storage(getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        restored = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, restored)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class without parametrizations."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Module, to_module: Module, tensor_name: str | None = None) -> Module:
    """Give ``to_module`` the parametrizations of ``from_module`` and the tensors they start from: all, or those of ``tensor_name``.

    Returns:
      ``to_module``; a tensor that it lacks is added to it.
    """
    if is_parametrized(from_module):
        for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
            source = from_module.parametrizations[name]
            if not hasattr(to_module, name):
                setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
            for parametrization in source:
                register_parametrization(to_module, name, parametrization)
            target = to_module.parametrizations[name]
            for label in ["original"] if source.is_tensor else [f"original{number}" for number in range(source.ntensors)]:
                setattr(target, label, getattr(source, label))
    return to_module
