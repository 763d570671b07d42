"""torch.nn.Module: parameters, buffers and modules found by assignment; the walks over them; the repr."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax.numpy as jnp

from funnn import _other_torch
from funnn.engine.program.lift import lift
from funnn.engine.tape.node import RemovableHandle
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.layers._text import layer_text
from funnn.torch._compiling.contexts import FunctionContext
from funnn.torch.nn.modules.conversion import Conversion
from funnn.torch.nn.modules.hooks import CALL_HOOKS, HOOK_SETS, Running, add_hook, everywhere
from funnn.torch.nn.modules.state import EXTRA, State, _IncompatibleKeys
from funnn.torch.nn.parameter import Buffer, Parameter

__all__ = ["Module", "_IncompatibleKeys"]

# The names by which programs read what of these hooks is there.
_global_forward_hooks, _global_forward_pre_hooks = everywhere._forward_hooks, everywhere._forward_pre_hooks
_global_backward_hooks, _global_backward_pre_hooks = everywhere._backward_hooks, everywhere._backward_pre_hooks
_EXTRA_STATE_KEY_SUFFIX = EXTRA

register_module_forward_hook = everywhere.register_forward_hook
register_module_forward_pre_hook = everywhere.register_forward_pre_hook
register_module_full_backward_pre_hook = everywhere.register_full_backward_pre_hook
register_module_full_backward_hook = everywhere.register_full_backward_hook
register_module_backward_hook = everywhere.register_backward_hook

#: Hooks ``hook(module, name, value)`` on every registration, which may return another value.
_on_registration: dict[str, OrderedDict] = {"parameter": OrderedDict(), "buffer": OrderedDict(), "module": OrderedDict()}


def register_module_parameter_registration_hook(hook: Callable) -> RemovableHandle:
    """``hook(module, name, parameter)`` runs whenever a module gets a parameter, and may return another."""
    return add_hook(_on_registration["parameter"], hook)


def register_module_buffer_registration_hook(hook: Callable) -> RemovableHandle:
    """``hook(module, name, buffer)`` runs whenever a module gets a buffer, and may return another."""
    return add_hook(_on_registration["buffer"], hook)


def register_module_module_registration_hook(hook: Callable) -> RemovableHandle:
    """``hook(module, name, submodule)`` runs whenever a module gets a module, and may return another."""
    return add_hook(_on_registration["module"], hook)


def _addindent(s_: str, numSpaces: int) -> str:
    """All lines but the first moved to the right, as reprs that programs write do; blank lines become empty."""
    first, *lines = s_.split("\n")
    return "\n".join([first, *(" " * numSpaces + line if line.strip() else "" for line in lines)])


def _has_any_global_hook() -> bool:
    """Whether any hook runs on all modules."""
    return any(everywhere.__dict__[name] for name in CALL_HOOKS)


def registered(module: Module, kind: str, name: str, value: Any) -> Any:
    """``value``, or what the hooks on all registrations of its kind put in its place."""
    for hook in _on_registration[kind].values():
        result = hook(module, name, value)
        value = value if result is None else result
    return value


class Module(Running, State, Conversion):
    """Base class of all network modules; a subclass assigns its parts in ``__init__`` and defines ``forward``."""

    training: bool
    dump_patches = False
    call_super_init = False

    def __init__(self, *args: Any, **kwargs: Any):
        if not self.call_super_init and (args or kwargs):
            what = (
                f"got an unexpected keyword argument {next(iter(kwargs))!r}"
                if kwargs
                else (f"takes 1 positional argument but {len(args) + 1} were given")
            )
            raise TypeError(f"{type(self).__name__}.__init__() {what}")
        self.__dict__.update(training=True, _parameters={}, _buffers={}, _modules={}, _non_persistent_buffers_set=set())
        self._clear_hooks()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # -- running

    def forward(self, *input: Any, **kwargs: Any) -> Any:
        """The computation; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # -- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        parameters = self.__dict__.get("_parameters")
        if isinstance(value, Parameter):
            self._require_init("parameters")
            self._remove_from(name, self.__dict__, self._buffers, self._modules)
            self._non_persistent_buffers_set.discard(name)
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as parameter '{name}' (torch.nn.Parameter or None expected); "
                    "wrap the tensor in torch.nn.Parameter, or write into it under torch.no_grad()"
                )
            self.register_parameter(name, None)
        elif isinstance(value, Module):
            self._require_init("module")
            self._remove_from(name, self.__dict__, self._parameters, self._buffers)
            self._non_persistent_buffers_set.discard(name)
            self._modules[name] = registered(self, "module", name, value)
        elif name in self.__dict__.get("_modules", ()):
            if value is not None:
                raise TypeError(f"cannot assign '{_type_name(value)}' as child module '{name}' (torch.nn.Module or None expected)")
            self._modules[name] = registered(self, "module", name, None)
        elif isinstance(value, Buffer) or name in self.__dict__.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign '{_type_name(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None expected)")
            self._require_init("buffer")
            persistent = value.persistent if isinstance(value, Buffer) else name not in self._non_persistent_buffers_set
            self.register_buffer(name, value, persistent)
        else:
            super().__setattr__(name, value)

    def _require_init(self, what: str) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call; call super().__init__() first")

    @staticmethod
    def _remove_from(name: str, *places: dict) -> None:
        for place in places:
            place.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        try:
            return fields["_parameters"][name]
        except KeyError:  # it is none of them, or Module.__init__ has not run
            pass
        for place in ("_buffers", "_modules"):
            entries = fields.get(place)
            if entries is not None and name in entries:
                return entries[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for entries in (self._parameters, self._buffers, self._modules):
            if name in entries:
                del entries[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[:1].isdigit())

    def _check_name(self, name: Any, what: str, entries: str) -> None:
        self._require_init(what)
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[entries]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None keeps the name without one."""
        self._check_name(name, "parameter", "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{_type_name(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)")
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To express '{name}' as a "
                "function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = registered(self, "parameter", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but no parameter; without ``persistent`` it is not part of the state_dict."""
        self._check_name(name, "buffer", "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{_type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)")
        self._buffers[name] = registered(self, "buffer", name, tensor)
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module."""
        if module is not None and not isinstance(module, Module):
            _other_torch.refuse_object(module)
            raise TypeError(f"{_type_name(module)} is not a Module subclass")
        self._check_name(name, "module", "_modules")
        self._modules[name] = registered(self, "module", name, module)

    register_module = add_module

    # -- walking

    def named_modules(self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all inside it, with their paths; each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def _named_members(self, entries: Callable, prefix: str, recurse: bool, remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in entries(module):
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their paths; each once."""
        return self._named_members(lambda module: module._parameters.items(), prefix, recurse, remove_duplicate)

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their paths; each once."""
        return self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, with their names."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters; each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers; each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def modules(self) -> Iterator[Module]:
        """This module and all inside it; each once."""
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        """The modules directly inside."""
        return (module for _, module in self.named_children())

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"encoder.0"``."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a path such as ``"encoder.0"``; with ``strict`` only where there is one."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if not isinstance(getattr(parent, name, module), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        setattr(parent, name, module)

    def _member(self, target: str, entries: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if getattr(module, entries).get(name) is None:
            raise AttributeError(f"`{name}` is not {what}")
        return getattr(module, name)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as ``"encoder.0.weight"``."""
        return self._member(target, "_parameters", "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as ``"norm.running_mean"``."""
        return self._member(target, "_buffers", "a buffer")

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call ``fn`` on every module inside, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # -- modes

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and in all modules inside."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start or stop recording operations on all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        clear_grads(self.parameters(), set_to_none)

    # -- text

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The text between the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        return layer_text(self._get_name(), self.extra_repr(), {name: repr(module) for name, module in self._modules.items()})

    # -- copies, compiling

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_compiled_call_impl"}

    def __setstate__(self, state: dict) -> None:
        for name, value in {**state.get("_parameters", {}), **state.get("_buffers", {})}.items():
            if not (value is None or isinstance(value, Tensor)):
                raise TypeError(
                    f"{name} of this {type(self).__name__} is a {_type_name(value)}, no funnn.torch.Tensor: whole modules that funnn.torch wrote are "
                    "read here alone; save module.state_dict() for PyTorch"
                )
        self.__dict__.update(state)
        for name in (*HOOK_SETS, "_non_persistent_buffers_set"):  # that a module saved by an older version has not got
            self.__dict__.setdefault(name, set() if name.endswith("_set") else OrderedDict())

    def compile(
        self,
        *,
        fullgraph: bool = False,
        dynamic: bool | None = None,
        backend: str | Callable[..., Any] | None = None,
        mode: str | None = None,
        options: dict[str, Any] | None = None,
        name: str | None = None,
        disable: bool = False,
        recompile_limit: int | None = None,
        isolate_recompiles: bool = False,
        shapes_spec: Any = None,
    ) -> None:
        """Compile this module's calls, hooks included, in place; the arguments are torch.compile's."""
        context = FunctionContext(backend, fullgraph=fullgraph, dynamic=dynamic, mode=mode, options=options, name=name)
        call = self._call_impl
        self.__dict__["_compiled_call_impl"] = call if disable else context.wrap_function(call, type(self).__name__)


def _type_name(value: Any) -> str:
    return value.type() if isinstance(value, Tensor) else f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")


_zeros_like = lift(jnp.zeros_like)


def clear_grads(parameters: Any, set_to_none: bool) -> None:
    """What zero_grad of modules and optimizers does."""
    for parameter in parameters:
        if set_to_none:
            parameter._set_grad(None)
        elif parameter.grad is not None:
            grad = parameter.grad.detach_().requires_grad_(False)
            if isinstance(grad, SparseTensor):
                grad.zero_()
            else:
                grad._write(_zeros_like(grad._operand()))
