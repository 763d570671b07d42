"""torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.torch._compiling.watch import global_hooks
from funnn.torch._dynamo.eval_frame import OptimizeContext, Undecorated
from funnn.torch.nn.modules.hooks import CALL_HOOKS, everywhere
from funnn.torch.optim.optimizer import _global_post_hooks, _global_pre_hooks

global_hooks += [*(vars(everywhere)[name] for name in CALL_HOOKS), _global_pre_hooks, _global_post_hooks]


def compile(
    model: Any = None,
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
) -> Any:
    """Run a function or a Module as one XLA program a call; also a decorator, with or without arguments.

    Python runs at every call, so the numbers are those of the plain call for every function. What the call does to tensors (forward,
    ``loss.backward()``, ``optimizer.step()``, buffers) is one program, compiled when it is first seen, and found again when the same operations come on
    the same shapes. A value that is asked for inside (``item()``, ``if tensor``, ``print``) cuts it in two, with one warning.

    ``mode="reduce-overhead"`` skips Python, which PyTorch calls replaying a CUDA graph. The first call with arguments of new kinds runs as it is, two
    more are recorded, and if they did the same, what they did to tensors is done again at each further call: the program runs on the present values of
    arguments, parameters, buffers and the optimizer's state, draws its random numbers, and writes where the calls wrote.

    * Assumed: nothing that Python does beside matters. It does not print, count, append or draw from NumPy at a replay, and decides as it did.
    * Checked at each call: kinds and shapes of tensors, other arguments (by value; a float may be any if it enters the program as it is), the modes of
      gradients and the default dtype; of all that the function reaches by its closure, its globals, attributes and containers: numbers, text, the
      identity of objects, ``training``, the memory of tensors, ``requires_grad``, whether gradients are there, hooks. A learning rate (a float of an
      optimizer's group or of a closure) may change. Where something else did, Python runs, and is recorded anew. Indices are checked as ever.
    * Never replayed, with one warning that says why: calls in which a number is asked for, or one that changes is made by Python; that change what is
      checked (a counter, a scheduler's step); that keep a tensor, or return one that can still be differentiated; that run under autocast, hooks or
      modes entered outside.

    Args:
      model: a function, method or callable object; a Module, of which an OptimizedModule is made that shares its parameters (``model.compile()`` compiles
        the Module itself); a class, whose instances' calls are compiled from then on.
      fullgraph: raise ``torch._dynamo.exc.Unsupported`` where a value is asked for, instead of cutting.
      backend: one of torch's names, which are checked, or a function, which is not called: XLA compiles.
      mode, options: torch's, checked as torch does; all but "reduce-overhead" behave as the default.
      name: what warnings and errors call the function.
      disable: give ``model`` back as it is.
      dynamic, recompile_limit, isolate_recompiles, shapes_spec: accepted; they change nothing.

    Returns:
      The compiled function, with the original as ``_torchdynamo_orig_callable``, or the OptimizedModule, with the original as ``_orig_mod``.

    Raises:
      RuntimeError: both ``mode`` and ``options``, or an unknown one. InvalidBackend: an unknown name of a backend.
    """
    if model is None:

        def compile_with_arguments(model: Any) -> Any:
            if model is None:
                raise RuntimeError("Model can't be None")
            return compile(
                model, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, name=name, disable=disable
            )

        return compile_with_arguments
    context = OptimizeContext(backend, fullgraph=fullgraph, dynamic=dynamic, mode=mode, options=options, name=name)
    return Undecorated()(model) if disable else context(model)
