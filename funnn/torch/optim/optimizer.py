"""torch.optim's objects over ``funnn.optim``'s rules."""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import jax.numpy as jnp

from funnn import _other_torch
from funnn.checkpoint._state_dict import as_array
from funnn.engine.program.graph import end_step
from funnn.engine.program.value import copied
from funnn.engine.state import thread
from funnn.engine.tape.grad_mode import enable_grad
from funnn.engine.tape.node import Hooks, RemovableHandle
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.optim import Rule
from funnn.torch.nn.modules.module import clear_grads
from funnn.torch.optim._update import fill_state, share_steps, step_group

_global_pre_hooks, _global_post_hooks = Hooks(), Hooks()
_HOOKS = ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post")

StateDict: TypeAlias = dict[str, Any]
ParamsT: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class _RequiredParameter:
    """The default of an option that every group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """``hook(optimizer, args, kwargs)`` runs before every step of every optimizer."""
    return _global_pre_hooks.add(hook)


def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """``hook(optimizer, args, kwargs)`` runs after every step of every optimizer."""
    return _global_post_hooks.add(hook)


def _hooked(step: Callable) -> Callable:
    """A ``step`` that runs the optimizer's hooks before and after; as in torch, their arguments include the optimizer."""

    @functools.wraps(step)
    def step_with_hooks(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        args = (self, *args)
        for hook in list(itertools.chain(_global_pre_hooks.values(), self._hooks["step_pre"].values())):
            result = hook(self, args, kwargs)
            if isinstance(result, tuple) and len(result) == 2:
                args, kwargs = result
            elif result is not None:
                raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}.")
        result = step(*args, **kwargs)
        end_step()
        for hook in list(itertools.chain(self._hooks["step_post"].values(), _global_post_hooks.values())):
            hook(self, args, kwargs)
        return result

    return step_with_hooks


def _use_grad_for_differentiable(step: Callable) -> Callable:
    """A ``step`` that records operations if the optimizer is ``differentiable``, and else not."""

    @functools.wraps(step)
    def step_with_grad(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        before = thread.grad
        try:
            thread.grad = bool(self.defaults.get("differentiable"))
            return step(self, *args, **kwargs)
        finally:
            thread.grad = before

    return step_with_grad


#: Options that choose how torch computes a step, with their defaults; here all but ``differentiable`` change nothing.
_SWITCHES = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}


def _constructor(name: str, takes: str, keeps: str, defaults: dict[str, Any]) -> Callable:
    """``__init__(self, params, …)``; see :class:`Optimizer`."""
    free, _, named = takes.partition("* ")
    parameters = [inspect.Parameter(word, inspect.Parameter.POSITIONAL_OR_KEYWORD) for word in ("self", "params")]
    for words, kind in ((free, inspect.Parameter.POSITIONAL_OR_KEYWORD), (named, inspect.Parameter.KEYWORD_ONLY)):
        parameters += [inspect.Parameter(word, kind, default=defaults[word]) for word in words.split()]
    signature = inspect.Signature(parameters)

    def __init__(*args: Any, **kwargs: Any) -> None:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{name}.__init__() {error}") from None
        self = given["self"]
        options = {word: given.get(word, defaults[word]) for word in keeps.split()}
        Optimizer.__init__(self, given["params"], self._given(options))
        self._made()

    __init__.__signature__ = signature
    __init__.__qualname__ = f"{name}.__init__"
    return __init__


class Optimizer:
    """Base of the optimizers: parameter groups, their options, and a state of tensors per parameter.

    A subclass defines ``step``, as a user's optimizer does, or names its rule and the options that torch's constructor ``takes``, in torch's order
    (those behind ``*`` by name only); ``keeps`` is the order in which a group holds them, if that is another. Defaults are the rule's, or
    ``values``, which also fix options that the constructor does not take.
    """

    rule: Rule | None = None
    state: dict[Tensor, dict[str, Any]]
    param_groups: list[dict[str, Any]]
    _by_elements = True  # whether a part of a parameter can be updated by itself
    hidden: tuple[str, ...] = ()  # state that torch does not have and that state_dict leaves out

    def __init_subclass__(cls, rule: Rule | None = None, takes: str | None = None, keeps: str | None = None, **values: Any) -> None:
        super().__init_subclass__()
        if rule is not None:
            cls.rule = rule
        if takes is not None:
            cls.__init__ = _constructor(cls.__name__, takes, keeps or takes.replace("* ", ""), {**_SWITCHES, **cls.rule.defaults, **values})
        if "step" in cls.__dict__:
            cls.step = _hooked(cls.step)

    def __init__(self, params: Any, defaults: dict[str, Any]):
        self.defaults = defaults
        if isinstance(defaults.get("lr"), Tensor) and defaults["lr"].numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        self._check_options(defaults)
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {params.type()}; put it into a list"
            )
        self.__setstate__({"state": defaultdict(dict), "param_groups": []})
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list; pass module.parameters() of a module that has some")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)
        if defaults.get("fused"):
            if defaults.get("differentiable"):
                raise RuntimeError("`fused` does not support `differentiable`")
            if defaults.get("foreach"):
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    @functools.cached_property
    def _hooks(self) -> dict[str, Hooks]:  # of optimizers too that wrap another one and never call Optimizer.__init__
        return {name: Hooks() for name in _HOOKS}

    def _given(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options as the groups keep them."""
        return options

    def _made(self) -> None:
        """What a subclass does when its groups are there."""

    def _check_options(self, options: dict[str, Any]) -> None:
        """Raise torch's ValueError for an option out of range."""
        if self.rule is not None:
            self.rule.validate(**{name: options[name] for name in self.rule.defaults if name in options})

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for group in self.param_groups:  # options that are newer than the file that the state comes from
            for name in ("foreach", "maximize", "capturable", "differentiable", "fused", "amsgrad", "decoupled_weight_decay", "nesterov"):
                if name in self.defaults:
                    group.setdefault(name, None if name in ("foreach", "fused") else False)

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
                _other_torch.refuse_object(param)
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}")
            if not self._by_elements and hasattr(type(param), "_whole_norms"):
                raise NotImplementedError(
                    f"{type(self).__name__} needs whole parameters, and a DTensor has a part in each process; use an optimizer that works element by "
                    "element, such as AdamW or SGD"
                )
            if not (self.defaults.get("differentiable") or param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor; optimize the leaf that it was computed from")
        param_group["params"] = params  # as in torch, the dict that was given becomes the group
        if names:
            param_group["param_names"] = names
        for name, value in self.defaults.items():
            if value is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, value)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        if any(("param_names" in param_group) != ("param_names" in group) for group in self.param_groups):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if 'param_names' in param_group else 'without'} names to the optimizer"
            )
        if not {param for group in self.param_groups for param in group["params"]}.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for group in self.param_groups:
            clear_grads(group["params"], set_to_none)

    @_hooked
    @_use_grad_for_differentiable
    def step(self, closure: Callable | None = None) -> Any:
        """Update the parameters from their gradients; ``closure`` recomputes the loss first."""
        if self.rule is None:
            raise NotImplementedError(f"{type(self).__name__} has no update rule: define step(self, closure=None)")
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            step_group(self.rule, group, self.state, self.defaults)
        return loss

    def _fill_states(self) -> None:
        """Make the state of all parameters now, for optimizers whose state is there before the first step."""
        for group in self.param_groups:
            for param in group["params"]:
                fill_state(self.rule, {name: self.defaults[name] for name in self.rule.defaults}, param, self.state[param])

    # -- hooks

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` runs before every step."""
        return self._hooks["step_pre"].add(hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` runs after every step."""
        return self._hooks["step_post"].add(hook)

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer)`` runs before every ``state_dict``."""
        return self._add_hook("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer, state_dict)`` runs after every ``state_dict`` and may return another dict."""
        return self._add_hook("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer, state_dict)`` runs before every ``load_state_dict`` and may return another dict."""
        return self._add_hook("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer)`` runs after every ``load_state_dict``."""
        return self._add_hook("load_state_dict_post", hook, prepend)

    def _add_hook(self, kind: str, hook: Callable, prepend: bool) -> RemovableHandle:
        handle = self._hooks[kind].add(hook)
        if prepend:
            self._hooks[kind].move_to_end(handle.id, last=False)
        return handle

    def _run_hooks(self, kind: str, *args: Any) -> Any:
        """Run the hooks of a kind; each may replace the dict that is the last argument."""
        for hook in list(self._hooks[kind].values()):
            result = hook(self, *args)
            if result is not None and args:
                args = (result,)
        return args[0] if args else None

    # -- saving and loading

    def state_dict(self) -> dict[str, Any]:
        """State and options, with parameters as numbers in the order of the groups; as torch writes it."""
        self._run_hooks("state_dict_pre")
        numbers, count = {}, 0
        for group in self.param_groups:
            numbers |= {param: count + place for place, param in enumerate(group["params"])}
            count += len(group["params"])
        state = {}
        for key, entries in self.state.items():
            if not isinstance(key, Tensor):  # what an optimizer of the user's keeps beside its parameters
                state[key] = entries
            elif isinstance(entries, dict):
                kept = self._saved({name: value for name, value in entries.items() if name not in self.hidden})
                if hasattr(type(key), "_whole_norms"):  # a DTensor, whose state lies as it does
                    kept = {name: map_items(key._state_laid_out, value) for name, value in kept.items()}
                state[numbers.get(key, key)] = kept
            else:
                state[numbers.get(key, key)] = entries
        groups = []
        for group in self.param_groups:
            options = {name: value for name, value in group.items() if name != "params"}
            groups.append({**options, "params": [numbers[param] for param in group["params"]]})
        return self._run_hooks("state_dict_post", {"state": state, "param_groups": groups})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave, here or in PyTorch."""
        state_dict = self._run_hooks("load_state_dict_pre", state_dict.copy())
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        params = {}
        for own, loaded in zip(self.param_groups, groups, strict=True):
            if len(own["params"]) != len(loaded["params"]):
                raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
            params.update(zip(loaded["params"], own["params"], strict=True))
        new_groups = []
        for own, loaded in zip(self.param_groups, groups, strict=True):
            options = {name: _own_tensors(value, copy=True) for name, value in loaded.items() if name != "params"}
            kept = {name: own[name] for name in ("param_names",) if name in own and name not in options}
            new_groups.append({**options, "params": own["params"], **kept})
        state: dict[Any, Any] = defaultdict(dict)
        for number, entries in state_dict["state"].items():
            if number in params:
                state[params[number]] = self._loaded(params[number], entries)
            else:
                state[number] = entries
        if self.rule is not None and self.rule.counts:
            share_steps(state[param] for param in params.values() if param in state)
        self.__setstate__({"state": state, "param_groups": new_groups})
        self._run_hooks("load_state_dict_post")

    def _saved(self, entries: dict[str, Any]) -> dict[str, Any]:
        """A parameter's state as state_dict gives it."""
        return entries

    def _loaded(self, param: Tensor, entries: dict[str, Any]) -> dict[str, Any]:
        """The entries in the parameter's dtype, except the count of steps."""
        state = {}
        for name, value in entries.items():
            if value is None and self.rule is not None:
                continue
            value = _own_tensors(value)  # not copies: as in torch, what was loaded changes with the next step
            if hasattr(type(param), "_whole_norms"):
                value = map_items(param._part_of_state, value)
            if self.rule is not None and not isinstance(value, Tensor):  # a number, in state_dicts of old versions
                value = Tensor._wrap(jnp.float32(value))
            state[name] = _cast(value, param) if name != "step" else value
        return self._completed(state)

    def _completed(self, entries: dict[str, Any]) -> dict[str, Any]:
        """A parameter's state with what ``state_dict`` left out."""
        return entries

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for index, group in enumerate(self.param_groups):
            options = "".join(f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params")
            text += f"\nParameter Group {index}\n{options}"
        return text + ")"


def _cast(value: Any, param: Tensor) -> Any:
    """Tensors of a loaded state, also inside containers, in the parameter's dtype if that is a floating one."""
    if not param.is_floating_point():
        return value
    return map_items(lambda item: item.to(param.dtype).to_dense() if isinstance(item, Tensor) else item, value)  # torch has sparse momentum


def _own_tensors(value: Any, copy: bool = False) -> Any:
    """An option or an entry of the state with PyTorch's tensors turned into Tensors."""

    def own(item: Any) -> Any:
        if isinstance(item, Tensor):
            return item.detach().clone() if copy else item
        if hasattr(item, "detach"):
            return Tensor._wrap(copied(as_array(item)))
        return item

    return map_items(own, value)
