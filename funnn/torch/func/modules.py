"""Modules as functions: with other parameters, and many at once."""

from __future__ import annotations

from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.modules._normalizations import _BatchNorm
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.utils._functional_call import functional_call as functional_call


def stack_module_state(models: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of several modules of one kind, stacked in a new first dimension, for vmap over ``functional_call``.

    The stacked parameters are leaves that require gradients where the modules' do.

    Raises:
      RuntimeError: no modules, or modules of different classes or modes.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(model.training != models[0].training for model in models):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(model) is not type(models[0]) for model in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters, buffers = {}, {}
    for stacked, walk in ((parameters, "named_parameters"), (buffers, "named_buffers")):
        for name, first in getattr(models[0], walk)():
            tensors = [dict(getattr(model, walk)())[name] for model in models]
            if any(tensor.requires_grad != first.requires_grad for tensor in tensors):
                raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
            stacked[name] = ops["stack"]([tensor.detach() for tensor in tensors]).requires_grad_(first.requires_grad)
    return parameters, buffers


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Take the running statistics from every BatchNorm in ``root``, in place: under vmap they cannot be written; batches' own are used then."""
    for module in root.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
