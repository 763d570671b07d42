"""torch.func: transformations of functions of Tensors, which nest in any order."""

from funnn.engine.transform.derivatives import grad as grad
from funnn.engine.transform.derivatives import grad_and_value as grad_and_value
from funnn.engine.transform.derivatives import hessian as hessian
from funnn.engine.transform.derivatives import jacfwd as jacfwd
from funnn.engine.transform.derivatives import jacrev as jacrev
from funnn.engine.transform.derivatives import jvp as jvp
from funnn.engine.transform.derivatives import linearize as linearize
from funnn.engine.transform.derivatives import vjp as vjp
from funnn.engine.transform.vmap import vmap as vmap
from funnn.torch.func.modules import functional_call as functional_call
from funnn.torch.func.modules import replace_all_batch_norm_modules_ as replace_all_batch_norm_modules_
from funnn.torch.func.modules import stack_module_state as stack_module_state


def functionalize(func, *, remove: str = "mutations"):
    """The function itself: arrays are immutable below the shim, so no kernel mutates or aliases anything.

    >>> import funnn.torch as torch
    >>> functionalize(lambda x: x.clone().add_(1))(torch.zeros(2))
    tensor([1., 1.])
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(f"functionalize: remove must be 'mutations' or 'mutations_and_views', got {remove!r}")
    return func


def debug_unwrap(tensor, *, recurse: bool = True):
    """Not supported: inside a transformation a tensor has no single array to show."""
    raise NotImplementedError(
        "torch.func.debug_unwrap is not supported; return the value from the transformed function and look at it there"
    )
