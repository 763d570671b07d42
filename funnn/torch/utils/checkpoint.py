"""torch.utils.checkpoint: forget what a part of the network saved for backward, and compute that part again when backward needs it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from funnn.engine.state import thread
from funnn.engine.tape.grad_mode import enable_grad
from funnn.engine.tensor.generator import default_generator
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.differentiate import backward
from funnn.torch.autograd.function import Function
from funnn.torch.autograd.graph import saved_tensors_hooks

DefaultDeviceType = None  # devices are chosen by JAX


class CheckpointError(RuntimeError):
    """What was computed again is not what was computed first."""


_RECOMMENDED = (
    "use_reentrant=False is recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for "
    "more details on the differences between the two variants."
)


def noop_context_fn() -> tuple:
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def _randomness_of(state: Any) -> Iterator[None]:
    """Random numbers continue from ``state`` inside, and afterwards as if nothing had been drawn."""
    if state is None:
        yield
        return
    now = default_generator._engine.get_state()
    default_generator._engine.set_state(state)
    try:
        yield
    finally:
        default_generator._engine.set_state(now)


class _Forgotten:
    """The place of a saved tensor that was not kept."""

    __slots__ = ("number", "seen")

    def __init__(self, number: int, tensor: Tensor):
        self.number, self.seen = number, _metadata(tensor)


def _metadata(tensor: Tensor) -> tuple:
    return tensor._shape(), tensor.dtype


class _Part:
    """A checkpointed call: what it would have saved, by number."""

    def __init__(self, again: Callable[[], Any], checked: bool):
        self.again, self.checked, self.count = again, checked, 0
        self.values: dict[int, Tensor] = {}

    def pack(self, tensor: Tensor) -> _Forgotten:
        self.count += 1
        return _Forgotten(self.count - 1, tensor)

    def unpack(self, place: _Forgotten) -> Tensor:
        if place.number not in self.values:
            self._compute_again()
        tensor = self.values.pop(place.number)
        if self.checked and _metadata(tensor) != place.seen:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than during the forward pass: saved "
                f"tensor {place.number} had shape and dtype {place.seen}, now {_metadata(tensor)}; the function must do the same each time"
            )
        return tensor

    def _compute_again(self) -> None:
        found: list[Tensor] = []

        def collect(tensor: Tensor) -> None:
            found.append(tensor._bare())

        with enable_grad(), saved_tensors_hooks(collect, lambda nothing: nothing):
            self.again()
        if len(found) != self.count:
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and recomputation. Number of tensors "
                f"saved during forward: {self.count}, during recomputation: {len(found)}; the function must do the same each time"
            )
        self.values = dict(enumerate(found))


class CheckpointFunction(Function):
    """The re-entrant kind: forward records nothing, backward records it and calls backward inside."""

    @staticmethod
    def forward(ctx: Any, run: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        ctx.run, ctx.args = run, args
        ctx.state = default_generator._engine.get_state() if preserve_rng_state else None
        ctx.save_for_backward(*(arg for arg in args if isinstance(arg, Tensor)))
        return run(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple:
        if thread.walk is not None and thread.walk[1:] != (None, None):
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` parameter to .backward(). Use "
                "use_reentrant=False, or call .backward() without `inputs`."
            )
        saved = iter(ctx.saved_tensors)
        args = [next(saved)._bare().requires_grad_(arg.requires_grad) if isinstance(arg, Tensor) else arg for arg in ctx.args]
        with enable_grad(), _randomness_of(ctx.state):
            outputs = ctx.run(*args)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(out, g) for out, g in zip(outputs, gradients, strict=True) if isinstance(out, Tensor) and out.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward(*(list(items) for items in zip(*pairs, strict=True)))
        return (None, None, *(arg.grad if isinstance(arg, Tensor) else None for arg in args))


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args)``, of which nothing is kept for backward but the arguments; backward computes it again.

    Args:
      use_reentrant: False records the usual graph, without what its nodes save, and is the one to use. True makes one node of the call, whose
        backward calls backward: no keyword arguments, no autograd.grad, and an argument must require grad. None is True, with a warning.
      context_fn: gives two contexts, for the first and for the second run; with ``use_reentrant=False`` only.
      determinism_check: "default" compares shapes and dtypes of both runs, "none" does not.
      debug: not supported. early_stop: changes nothing here.
      preserve_rng_state: whether the second run draws the random numbers of the first (the default).

    Raises:
      CheckpointError: the second run saved other tensors than the first.
      ValueError: keyword arguments, or ``context_fn``, with ``use_reentrant=True``.

    Example:
      >>> import funnn.torch as torch
      >>> x = torch.ones(2, requires_grad=True)
      >>> checkpoint(torch.exp, x, use_reentrant=False).sum().backward()
      >>> x.grad
      tensor([2.7183, 2.7183])
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, calling checkpoint without "
            f"use_reentrant will raise an exception. {_RECOMMENDED}",
            stacklevel=2,
        )
        use_reentrant = True
    if debug:
        raise NotImplementedError("checkpoint(debug=True) is not supported; the error names the first tensor that differs")
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn:
            raise ValueError("Passing `context_fn` is only supported when use_reentrant=False.")
        if thread.grad and not any(isinstance(arg, Tensor) and arg.requires_grad for arg in args):
            warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be 'default' or 'none', but got {determinism_check!r}")
    if not thread.grad:
        return function(*args, **kwargs)
    state = default_generator._engine.get_state() if preserve else None
    first, second = context_fn()

    def again() -> None:
        with _randomness_of(state), second:
            function(*args, **kwargs)

    part = _Part(again, determinism_check == "default")
    with saved_tensors_hooks(part.pack, part.unpack), first:
        return function(*args, **kwargs)


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """A Sequential (or list of functions) in ``segments`` parts, each but the last checkpointed."""
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. In version 2.9 we will raise "
            f"an exception if use_reentrant is not passed. {_RECOMMENDED}",
            stacklevel=2,
        )
        use_reentrant = True
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(functions) // segments

    def segment(start: int, end: int) -> Callable:
        def forward(value: Any) -> Any:
            for function in functions[start:end]:
                value = function(value)
            return value

        return forward

    for start in range(0, size * (segments - 1), size):
        input = checkpoint(segment(start, start + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return segment(size * (segments - 1), len(functions))(input)
