"""``funnn.summary`` of a Module."""

from __future__ import annotations

from typing import Any

import jax

from funnn import checkpoint
from funnn._summary import Recorder, Summary, summary
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import settings as _settings
from funnn.torch._bridge.functional import ModuleLayer, buffers_of
from funnn.torch.nn.modules.hooks import everywhere
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import is_lazy


@summary.register
def _of_module(module: Module, *inputs: Any, train: bool = False, depth: int | None = None, **kwargs: Any) -> Summary:
    parameters, buffers = dict(module.named_parameters()), buffers_of(module)
    for name, tensor in (parameters | buffers).items():
        if is_lazy(tensor):
            raise ValueError(f"summary: {name!r} has no shape yet; call the module once, which gives its lazy modules their shapes")
    names = {part: name for name, part in module.named_modules()}
    parts = [(name, part._get_name(), list(map(_array, part.parameters()))) for part, name in names.items()]
    parameters, buffers, inputs, kwargs = jax.tree.map(_array, (parameters, buffers, inputs, kwargs))
    recorder = Recorder()
    if inputs or kwargs:

        def apply_module(parameters: dict, buffers: dict, key: Any, inputs: tuple, kwargs: dict) -> Any:
            arrays = checkpoint.unflatten(parameters), checkpoint.unflatten(buffers)
            return ModuleLayer(module).apply(*arrays, *inputs, key=key, train=train, **kwargs)[0]

        before = everywhere.register_forward_pre_hook(lambda part, args: recorder.enter(names[part]) if part in names else None)
        after = everywhere.register_forward_hook(lambda part, args, output: recorder.leave(output) if part in names else None)
        with before, after, _settings.running():
            recorder.trace(apply_module, parameters, buffers, jax.random.key(0), inputs, kwargs)
    return recorder.summary(parts, list(buffers.values()), depth)


def _array(leaf: Any) -> Any:
    return leaf._read() if isinstance(leaf, Tensor) else leaf


@summary.register
def _of_module_layer(layer: ModuleLayer, *inputs: Any, **options: Any) -> Summary:
    return _of_module(layer.module, *inputs, **options)
