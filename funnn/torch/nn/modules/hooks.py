"""Running a Module, with the hooks around it: forward, before forward, backward and before backward; of one module or of all."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from funnn.engine.dispatch.jax_errors import speak_torch
from funnn.engine.dispatch.tracebacks import shorten, speaks
from funnn.engine.state import thread
from funnn.engine.tape.node import RemovableHandle, zero_gradient
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.autograd.function import Function

#: The dictionaries of a module's hooks, by number of registration; ``_with_kwargs`` and ``_always_called`` say how one wants to be called.
HOOK_SETS = (
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks"),
    *("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)

#: Those of them that change what a call does.
CALL_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def add_hook(hooks: OrderedDict, hook: Callable, prepend: bool = False, flagged: Iterable[OrderedDict] = ()) -> RemovableHandle:
    """Register a hook, also in the dictionaries that say how to call it."""
    handle = RemovableHandle(hooks, *flagged)
    hooks[handle.id] = hook
    for flags in flagged:
        flags[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


class Hooked:
    """Registers hooks: a Module its own, ``everywhere`` those of all modules."""

    _is_full_backward_hook: bool | None = None

    def _clear_hooks(self) -> None:
        self.__dict__.update({name: OrderedDict() for name in HOOK_SETS}, _is_full_backward_hook=None)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """``hook(module, args, output)`` runs after every forward and may return another output; with ``always_call`` also when it raises.

        With ``with_kwargs`` it is called as ``hook(module, args, kwargs, output)``.
        """
        flags = ((with_kwargs, self._forward_hooks_with_kwargs), (always_call, self._forward_hooks_always_called))
        return add_hook(self._forward_hooks, hook, prepend, [flagged for wanted, flagged in flags if wanted])

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False) -> RemovableHandle:
        """``hook(module, args)`` runs before every forward and may return other arguments.

        With ``with_kwargs`` it is called as ``hook(module, args, kwargs)`` and returns both or None.
        """
        return add_hook(self._forward_pre_hooks, hook, prepend, [self._forward_pre_hooks_with_kwargs] if with_kwargs else ())

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(module, grad_output)`` runs before the module's gradients are computed and may return another grad_output (a tuple)."""
        return add_hook(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` runs when the gradients of the module's inputs are known and may return others."""
        self._choose_backward_hooks(True)
        return add_hook(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """As ``register_full_backward_hook``, but of the last operation in the module alone; deprecated by torch."""
        self._choose_backward_hooks(False)
        return add_hook(self._backward_hooks, hook)

    def _choose_backward_hooks(self, full: bool) -> None:
        if self._is_full_backward_hook is not None and self._is_full_backward_hook is not full:
            raise RuntimeError("Cannot use both regular backward hooks and full backward hooks on one Module; register all as full ones")
        self._is_full_backward_hook = full


everywhere = Hooked()
everywhere._clear_hooks()
_forward_everywhere, _before_everywhere = everywhere._forward_hooks, everywhere._forward_pre_hooks
_backward_everywhere, _before_backward_everywhere = everywhere._backward_hooks, everywhere._backward_pre_hooks


class Running(Hooked):
    """The part of Module that runs it."""

    forward: Callable
    _compiled_call_impl: Callable | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return (self._compiled_call_impl or self._call_impl)(*args, **kwargs)
        except Exception as error:
            speak_torch(error)
            shorten(error, parts=True)
            raise

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        if (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or _forward_everywhere
            or _before_everywhere
            or _backward_everywhere
            or _before_backward_everywhere
        ):
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_kind(self) -> tuple:
        """What decides how a call runs: the mode, and which hooks there are."""
        return self.training, *(tuple(owner.__dict__[name]) for owner in (self, everywhere) for name in CALL_HOOKS)

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        output, called = None, set()
        try:
            for owner in (everywhere, self):
                for number, hook in tuple(owner._forward_pre_hooks.items()):
                    args, kwargs = _call_pre_hook(self, hook, args, kwargs, number in owner._forward_pre_hooks_with_kwargs)
            full, partial = self._get_backward_hooks()
            before = self._get_backward_pre_hooks()
            crossing = _Crossing(self, full, before) if full or before else None
            if crossing is not None:
                args = crossing.enter(args)
            output = self.forward(*args, **kwargs)
            for owner, number, hook in self._hooks_after():
                called.add(number)
                result = hook(self, args, kwargs, output) if number in owner._forward_hooks_with_kwargs else hook(self, args, output)
                output = output if result is None else result
            if crossing is not None:
                output = crossing.leave(output)
            if partial:
                _hook_last_node(self, partial, args, output)
            return output
        except Exception:
            for owner, number, hook in self._hooks_after():
                if number not in called and number in owner._forward_hooks_always_called:
                    try:
                        hook(self, args, kwargs, output) if number in owner._forward_hooks_with_kwargs else hook(self, args, output)
                    except Exception as error:
                        warnings.warn(
                            "a forward hook with always_call=True raised an exception that was silenced, because forward had raised another: "
                            f"{error}",
                            stacklevel=3,
                        )
            raise

    def _hooks_after(self) -> list[tuple[Hooked, int, Callable]]:
        return [(owner, number, hook) for owner in (everywhere, self) for number, hook in owner._forward_hooks.items()]

    def _get_backward_hooks(self) -> tuple[list[Callable], list[Callable]]:
        """The hooks on the whole module, and those on its last operation."""
        found: dict[bool | None, list[Callable]] = {True: [], False: [], None: []}
        for owner in (everywhere, self):
            found[owner._is_full_backward_hook] += owner._backward_hooks.values()
        return found[True], found[False]

    def _get_backward_pre_hooks(self) -> list[Callable]:
        return [*everywhere._backward_pre_hooks.values(), *self._backward_pre_hooks.values()]


speaks(Running.__call__.__code__)


def _call_pre_hook(module: Any, hook: Callable, args: tuple, kwargs: dict, with_kwargs: bool) -> tuple[tuple, dict]:
    result = hook(module, args, kwargs) if with_kwargs else hook(module, args)
    if result is None:
        return args, kwargs
    if not with_kwargs:
        return result if isinstance(result, tuple) else (result,), kwargs
    if isinstance(result, tuple) and len(result) == 2:
        return result
    raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {result}.")


# -- backward


class BackwardHookFunction(Function):
    """The identity of several tensors: one node through which the gradients of all pass."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple:
        ctx.mark_non_differentiable(*(tensor for tensor in tensors if not tensor.requires_grad))
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple:
        return gradients


class _Border:
    """The tensors among some values, made to pass one node of the graph."""

    def __init__(self, values: tuple, hook: Callable):
        self.size = len(values)
        self.places = [place for place, value in enumerate(values) if isinstance(value, Tensor)]
        self.values, self.recorded = values, thread.grad and any(values[place].requires_grad for place in self.places)
        if not self.recorded:
            return
        self.kinds = [(values[place]._shape(), values[place].dtype.numpy) for place in self.places]
        passed = BackwardHookFunction.apply(*(values[place] for place in self.places))
        next(tensor.grad_fn for tensor in passed if tensor.grad_fn is not None).register_hook(hook)
        replaced = list(values)
        for place, tensor in zip(self.places, passed, strict=True):
            replaced[place] = tensor
        self.values = type(values)(*replaced) if hasattr(values, "_fields") else tuple(replaced)

    def spread(self, gradients: Iterable) -> tuple:
        """A gradient for every value: None for what is no tensor."""
        spread = [None] * self.size
        for place, gradient in zip(self.places, gradients, strict=True):
            spread[place] = gradient
        return tuple(spread)

    def collect(self, gradients: Any, before: tuple) -> tuple:
        """The opposite of ``spread``; None where there was no gradient ``before``."""
        return tuple(None if old is None else gradients[place] for place, old in zip(self.places, before, strict=True))


class _Crossing:
    """One call of a module with hooks for backward: the gradients are seen where they enter the module and where they leave it."""

    def __init__(self, module: Any, hooks: list[Callable], before: list[Callable]):
        self.module, self.hooks, self.before = module, hooks, before
        self.grad_output: tuple | None = None

    def enter(self, args: tuple) -> tuple:
        """The arguments for forward."""
        self.inputs = _Border(args, self._on_inputs)
        return self.inputs.values

    def leave(self, output: Any) -> Any:
        """The output for the caller."""
        if not isinstance(output, (Tensor, tuple)):
            warnings.warn(
                f"For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received {type(output)}",
                stacklevel=4,
            )
            return output
        single = isinstance(output, Tensor)
        self.outputs = _Border((output,) if single else output, self._on_outputs)
        return self.outputs.values[0] if single else self.outputs.values

    def _on_outputs(self, passed: tuple, gradients: tuple) -> tuple:
        grad_output = self.outputs.spread(gradients)
        for hook in self.before:
            grad_output = _checked("Backward pre hook", "grad_output", hook(self.module, grad_output), grad_output)
        self.grad_output = grad_output
        if not self.inputs.recorded:
            self._without_inputs()
        return self.outputs.collect(grad_output, passed)

    def _without_inputs(self) -> None:
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs require gradients. "
            "See https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.register_full_backward_hook for more details.",
            stacklevel=2,
        )
        for hook in self.hooks:
            result = hook(self.module, (None,) * self.inputs.size, self.grad_output)
            if result is not None and not (isinstance(result, tuple) and all(item is None for item in result)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or None for all gradients."
                )
        self.grad_output = None

    def _on_inputs(self, gradients: tuple, _: tuple) -> tuple | None:
        if self.grad_output is None:  # gradients that came another way than through the output, as in a second backward
            return None
        grad_input = self.inputs.spread(
            Tensor._wrap(zero_gradient(*kind)) if gradient is None else gradient
            for gradient, kind in zip(gradients, self.inputs.kinds, strict=True)
        )
        for hook in self.hooks:
            grad_input = _checked("Backward hook", "grad_input", hook(self.module, grad_input, self.grad_output), grad_input)
        self.grad_output = None
        return self.inputs.collect(grad_input, gradients)


def _checked(which: str, what: str, result: Any, before: tuple) -> tuple:
    if result is None:
        return before
    if len(result) != len(before):
        raise RuntimeError(f"{which} returned an invalid number of {what}, got {len(result)}, but expected {len(before)}")
    return result


def _hook_last_node(module: Any, hooks: list[Callable], args: tuple, output: Any) -> None:
    """Put hooks that are not full on the node that made the output."""
    first = output
    while not isinstance(first, Tensor):
        first = next(item for item in first.values() if isinstance(item, Tensor)) if isinstance(first, dict) else first[0]
    node = first.grad_fn
    if node is None:
        return
    for hook in hooks:
        node.register_hook(functools.partial(hook, module))
    problem = _what_is_missed(args, output, node)
    if problem is not None:
        warnings.warn(
            f"Using {problem}. Please use register_full_backward_hook to get the documented behavior.", FutureWarning, stacklevel=4
        )


def _what_is_missed(args: tuple, output: Any, node: Any) -> str | None:
    """Why hooks on the last node do not see the gradients of all inputs and outputs."""
    outputs = output if isinstance(output, tuple) else (output,)
    hooks, missing = "a non-full backward hook when", "is deprecated and will be removed in future versions. This hook will be missing some"
    if not all(isinstance(item, Tensor) for item in outputs):
        return (
            f"non-full backward hooks on a Module that does not return a single Tensor or a tuple of Tensors {missing} of the grad_output"
        )
    if not all(isinstance(item, Tensor) for item in args):
        return f"non-full backward hooks on a Module that does not take as input a single Tensor or a tuple of Tensors {missing} of the grad_input"
    nodes = {item.grad_fn for item in outputs} - {None}
    if node not in nodes and len(nodes) <= 1:
        return f"{hooks} outputs are nested in python data structure {missing} grad_output"
    if len(nodes) > 1:
        return f"{hooks} outputs are generated by different autograd Nodes {missing} grad_output"
    if {item.grad_fn for item in args} - {None} != {following[0] for following in node.next_functions}:
        return f"{hooks} the forward contains multiple autograd Nodes {missing} grad_input"
    return None
