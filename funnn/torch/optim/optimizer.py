"""torch.optim's objects over ``funnn.optim``'s rules: one compiled update for a whole parameter group."""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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


class Optimizer:
    """Base of the optimizers: parameter groups, their options, and a state of tensors per parameter.

    A subclass names its rule and torch's extra options that change nothing here.
    """

    rule: Rule
    hidden: tuple[str, ...] = ()  # state that torch does not have and that state_dict leaves out

    def __init__(self, params: Any, defaults: dict[str, Any]):
        self.defaults = defaults
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {type(params).__name__}"
            )
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._pre_hooks, self._post_hooks = OrderedDict(), OrderedDict()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list; pass module.parameters() of a module that has some")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own; missing options are the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        params = [item[1] if isinstance(item, tuple) else item for item in params]
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}")
            if not param.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        if any(param in known for group in self.param_groups for known in [set(group["params"])] for param in params):
            raise ValueError("some parameters appear in more than one parameter group")
        group = {"params": params, **{name: value for name, value in param_group.items() if name != "params"}}
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self.rule.validate(**{name: group[name] for name in self.rule.defaults if name in group})
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for group in self.param_groups:
            clear_grads(group["params"], set_to_none)

    def step(self, closure: Callable | None = None) -> Any:
        """Update the parameters from their gradients; ``closure`` recomputes the loss first."""
        for hook in list(self._pre_hooks.values()):
            hook(self, (closure,) if closure else (), {})
        loss = None
        if closure is not None:
            before, mode.grad = mode.grad, True
            try:
                loss = closure()
            finally:
                mode.grad = before
        for group in self.param_groups:
            self._step_group(group)
        for hook in list(self._post_hooks.values()):
            hook(self, (closure,) if closure else (), {})
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        options = {name: group[name] for name in self.rule.defaults if name in group}
        chosen = [param for param in group["params"] if param.grad is not None]
        if not chosen:
            return
        needed = _state_names(self.rule, tuple((name, _static(value)) for name, value in options.items()))
        states = [self._state_of(param, options, needed) for param in chosen]
        flags = _flags(self.rule, group)
        if Storage.tracing is not None:
            Storage.tracing.guard(lambda: _flags(self.rule, group))
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
        """The state of a parameter, with the entries that the present options need; new entries are made outside any compilation, so that a compiled step
        finds them there."""
        state = self.state[param]
        missing = needed - state.keys()
        if missing:
            tracing, Storage.tracing = Storage.tracing, None
            try:
                with jax.enable_x64(True), jax.ensure_compile_time_eval():
                    values = self.rule.init(jnp.zeros(param._shape(), param.dtype.numpy), **options)
                state.update({name: Tensor._wrap(values[name]) for name in missing})
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
            own.update({name: value for name, value in loaded.items() if name != "params"})
        self.state.clear()
        for number, entries in state_dict["state"].items():
            self.state[params[number]] = self._loaded(params[number], entries)

    def _loaded(self, param: Tensor, entries: dict[str, Any]) -> dict[str, Any]:
        state = {}
        for name, value in entries.items():
            if value is None:
                continue
            values = np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
            kind = param.dtype.numpy if values.ndim or name != "step" else np.dtype(np.float32)
            with jax.enable_x64(True):
                state[name] = Tensor._wrap(jnp.asarray(values, dtype=kind))
        return state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines.extend(f"    {name}: {group[name]}" for name in sorted(group) if name != "params")
        return "\n".join(lines) + "\n)"


def _static(value: Any) -> Any:
    """An option as far as it decides which state there is: a number only by whether it is 0."""
    return 1.0 if isinstance(value, (float, Tensor)) and value else value


@functools.lru_cache
def _state_names(rule: Rule, options: tuple) -> frozenset[str]:
    return frozenset(jax.eval_shape(lambda param: rule.init(param, **dict(options)), jax.ShapeDtypeStruct((), jnp.float32)))


def _flags(rule: Rule, group: dict[str, Any]) -> tuple:
    return tuple((name, group[name]) for name in rule.flags if name in group)


def _numbers(group: dict[str, Any], name: str) -> Any:
    """An option's numbers; while compiling, inputs that are read again at every call, so that a new learning rate compiles nothing."""
    value = group[name]
    if isinstance(value, Tensor):
        return value._read()
    if Storage.tracing is None:
        return value
    if isinstance(value, tuple):
        return tuple(Storage.tracing.number(lambda i=i: group[name][i]) for i in range(len(value)))
    return Storage.tracing.number(lambda: group[name])
