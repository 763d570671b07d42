"""torch.optim's objects over ``funnn.optim``'s rules: one compiled update for a whole parameter group."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from funnn.checkpoint._state_dict import as_array
from funnn.optim import Rule
from funnn.torch._storage import Storage
from funnn.torch._tape import Handle, mode
from funnn.torch._tensor import Tensor
from funnn.torch.nn.modules.module import clear_grads


@functools.partial(jax.jit, static_argnums=(0, 5))
def _update(rule: Rule, params: list, grads: list, states: list, numbers: dict, flags: tuple) -> tuple[list, list]:
    """The rule over a group: new parameters and new states."""
    new_params, new_states = [], []
    for param, grad, state in zip(params, grads, states, strict=True):
        delta, state = rule.update(grad, state, param, **numbers, **dict(flags))
        new_params.append(param + delta)
        new_states.append(state)
    return new_params, new_states


def _hooked(step: Callable) -> Callable:
    """A ``step`` that runs the optimizer's hooks before and after; as in torch, their arguments include the optimizer."""

    @functools.wraps(step)
    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        args = (self, *args)
        for hook in list(self._pre_hooks.values()):
            result = hook(self, args, kwargs)
            if isinstance(result, tuple) and len(result) == 2:
                args, kwargs = result
            elif result is not None:
                raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}.")
        result = step(*args, **kwargs)
        for hook in list(self._post_hooks.values()):
            hook(self, args, kwargs)
        return result

    return run


class Optimizer:
    """Base of the optimizers: parameter groups, their options, and a state of tensors per parameter.

    A subclass names its rule, or defines ``step`` as a user's optimizer does.
    """

    rule: Rule | None = None
    hidden: tuple[str, ...] = ()  # state that torch does not have and that state_dict leaves out

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _hooked(cls.step)

    def __init__(self, params: Any, defaults: dict[str, Any]):
        self.defaults = defaults
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {type(params).__name__}"
            )
        self.__setstate__({"state": defaultdict(dict), "param_groups": []})
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list; pass module.parameters() of a module that has some")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pre_hooks, self._post_hooks = OrderedDict(), OrderedDict()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own; missing options are the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will change between "
                "runs. Please use a list instead."
            )
        items = [params] if isinstance(params, Tensor) else list(params)
        names = [item[0] for item in items if isinstance(item, tuple)]
        if names and len(names) < len(items):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        params = [item[1] if isinstance(item, tuple) else item for item in items]
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}")
            if not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor; optimize the leaf that it was computed from")
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        if any(bool(names) != ("param_names" in group) for group in self.param_groups):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if names else 'without'} names to the optimizer"
            )
        if not {param for group in self.param_groups for param in group["params"]}.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        group = {**param_group, "params": params, **({"param_names": names} if names else {})}
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        if isinstance(group.get("lr"), Tensor) and group["lr"].numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if self.rule is not None:
            self.rule.validate(**{name: group[name] for name in self.rule.defaults if name in group})
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for group in self.param_groups:
            clear_grads(group["params"], set_to_none)

    @_hooked
    def step(self, closure: Callable | None = None) -> Any:
        """Update the parameters from their gradients; ``closure`` recomputes the loss first."""
        if self.rule is None:
            raise NotImplementedError(f"{type(self).__name__} has no update rule: define step(self, closure=None)")
        loss = None
        if closure is not None:
            before, mode.grad = mode.grad, True
            try:
                loss = closure()
            finally:
                mode.grad = before
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        options = {name: group[name] for name in self.rule.defaults if name in group}
        chosen = [param for param in group["params"] if param.grad is not None]
        if not chosen:
            return
        needed = _state_names(self.rule, group)
        states = [self._state_of(param, options, needed) for param in chosen]
        flags = _flags(self.rule, group)
        if Storage.tracing is not None:
            Storage.tracing.guard(lambda: (_flags(self.rule, group), _state_names(self.rule, group)))
        numbers = {name: _numbers(group, name) for name in options if name not in self.rule.flags}
        arrays = [{name: tensor._read() for name, tensor in state.items()} for state in states]
        with jax.enable_x64(True):
            params, updated = _update(
                self.rule, [param._read() for param in chosen], [param.grad._read() for param in chosen], arrays, numbers, flags
            )
        for param, state, array, values in zip(chosen, states, params, updated, strict=True):
            param._write(array)
            for name, value in values.items():
                state[name]._write(value)

    def _state_of(self, param: Tensor, options: dict[str, Any], needed: frozenset[str]) -> dict[str, Any]:
        """The state of a parameter, with the entries that the present options need.

        New entries are made outside any compilation, so that a compiled step finds them there.
        """
        state = self.state[param]
        missing = needed - state.keys()
        if missing:
            tracing, Storage.tracing = Storage.tracing, None
            try:
                with jax.enable_x64(True), jax.ensure_compile_time_eval():
                    values = self.rule.init(jnp.zeros(param._shape(), param.dtype.numpy), **options)
                state.update({name: Tensor._wrap(value) for name, value in values.items() if name in missing})
            finally:
                Storage.tracing = tracing
        return state

    def register_step_pre_hook(self, hook: Callable) -> Handle:
        """``hook(optimizer, args, kwargs)`` runs before every step."""
        handle = Handle(self._pre_hooks)
        self._pre_hooks[handle.id] = hook
        return handle

    def register_step_post_hook(self, hook: Callable) -> Handle:
        """``hook(optimizer, args, kwargs)`` runs after every step."""
        handle = Handle(self._post_hooks)
        self._post_hooks[handle.id] = hook
        return handle

    def state_dict(self) -> dict[str, Any]:
        """State and options, with parameters as numbers in the order of the groups; as torch writes it."""
        numbers = {param: index for index, param in enumerate(p for group in self.param_groups for p in group["params"])}
        state = {
            numbers[param]: {name: value for name, value in entries.items() if name not in self.hidden}
            for param, entries in self.state.items()
            if entries
        }
        groups = []
        for group in self.param_groups:
            options = {name: value for name, value in group.items() if name != "params"}
            groups.append({**options, "params": [numbers[param] for param in group["params"]]})
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave, here or in PyTorch."""
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        params = {}
        for own, loaded in zip(self.param_groups, groups, strict=True):
            if len(own["params"]) != len(loaded["params"]):
                raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
            params.update(zip(loaded["params"], own["params"], strict=True))
        for own, loaded in zip(self.param_groups, groups, strict=True):
            options = {name: _own_tensors(value) for name, value in loaded.items() if name != "params"}
            kept = {name: own[name] for name in ("params", "param_names") if name in own}
            own.clear()
            own.update({**kept, **options})
        self.state.clear()
        for number, entries in state_dict["state"].items():
            self.state[params[number]] = self._loaded(params[number], entries)

    def _loaded(self, param: Tensor, entries: dict[str, Any]) -> dict[str, Any]:
        """The entries in the parameter's dtype, except the float32 count of steps."""
        state = {}
        for name, value in entries.items():
            if value is None:
                continue
            value = _own_tensors(value, copy=True)
            if self.rule is not None and not isinstance(value, Tensor):  # a number, in state_dicts of old versions
                value = Tensor._wrap(jnp.float32(value))
            if isinstance(value, Tensor) and name != "step":
                value = value.to(param.dtype)
            state[name] = value
        return state

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for index, group in enumerate(self.param_groups):
            options = "".join(f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params")
            text += f"\nParameter Group {index}\n{options}"
        return text + ")"


def _own_tensors(value: Any, copy: bool = False) -> Any:
    """An option or an entry of the state with PyTorch's tensors turned into Tensors."""
    if isinstance(value, Tensor):
        return value.detach().clone() if copy else value
    if hasattr(value, "detach"):
        with jax.enable_x64(True):
            return Tensor._wrap(jnp.array(as_array(value)))
    return type(value)(_own_tensors(item, copy) for item in value) if isinstance(value, (list, tuple)) else value


def _static(value: Any) -> Any:
    """An option as far as it decides which state there is: a number only by whether it is 0."""
    return 1.0 if isinstance(value, (float, Tensor)) and value else value


def _state_names(rule: Rule, group: dict[str, Any]) -> frozenset[str]:
    """What state the present options need: it may depend on which numbers are 0."""
    return _names_of_state(rule, tuple((name, _static(group[name])) for name in rule.defaults if name in group))


@functools.lru_cache
def _names_of_state(rule: Rule, options: tuple) -> frozenset[str]:
    return frozenset(jax.eval_shape(lambda param: rule.init(param, **dict(options)), jax.ShapeDtypeStruct((), jnp.float32)))


def _flags(rule: Rule, group: dict[str, Any]) -> tuple:
    return tuple((name, group[name]) for name in rule.flags if name in group)


def _numbers(group: dict[str, Any], name: str) -> Any:
    """An option's numbers; while compiling, inputs that are read again at every call, so that a new learning rate compiles nothing."""
    value = group[name]
    if isinstance(value, (tuple, list)):
        return tuple(_number(part, lambda i=i: group[name][i]) for i, part in enumerate(value))
    return _number(value, lambda: group[name])


def _number(value: Any, read_again: Callable) -> Any:
    if isinstance(value, Tensor):
        return value._read().reshape(())
    return float(value) if Storage.tracing is None else Storage.tracing.number(read_again)
