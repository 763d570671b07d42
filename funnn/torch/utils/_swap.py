"""torch.utils.swap_tensors."""

from __future__ import annotations

import weakref

from funnn.engine.tensor.tensor import Tensor


def swap_tensors(t1: Tensor, t2: Tensor) -> None:
    """Exchange what two tensors are: values, gradient, attributes and class. Each keeps its identity, so whoever holds one sees the other's values.

    Neither may have views that still need its history.

    Raises:
      RuntimeError: one has a weak reference, or is part of a graph that waits for its backward pass.
    """
    for name, tensor in (("t1", t1), ("t2", t2)):
        if weakref.getweakrefs(tensor):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
        if tensor._grad_fn is not None or (tensor._accumulator is not None and tensor._accumulator() is not None):
            raise RuntimeError(
                f"Cannot swap {name} because it is part of a graph: run backward, or drop the results computed from it, first"
            )
        tensor._accumulator = None
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
