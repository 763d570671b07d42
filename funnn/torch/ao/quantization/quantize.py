"""Modules replaced by those that compute with integers of 8 bits."""

from __future__ import annotations

import copy
from typing import Any

from funnn.torch import _namespace as torch
from funnn.torch import nn
from funnn.torch.ao.nn.quantized.dynamic.modules.linear import Linear as QuantizedLinear

__all__ = ["quantize_dynamic"]

_RECURRENT = (nn.LSTM, nn.GRU, nn.LSTMCell, nn.RNNCell, nn.GRUCell)


def quantize_dynamic(
    model: nn.Module, qconfig_spec: Any = None, dtype: Any = torch.qint8, mapping: dict[Any, Any] | None = None, inplace: bool = False
) -> nn.Module:
    """The model in evaluation mode, with a DynamicQuantizedLinear in the place of each nn.Linear inside.

    Args:
      model: the module; not itself replaced.
      qconfig_spec: a set of classes, {nn.Linear}, or of names of modules, in which the Linears are replaced; default all of them, and recurrent ones.
      dtype: of the weights, torch.qint8; the default.
      mapping: not supported.
      inplace: whether the model itself is changed; default a copy.

    Raises:
      NotImplementedError: recurrent modules or Embeddings are meant, weights of float16, a mapping, or a dict of configurations.
      RuntimeError: another dtype.

    Source: torch.ao.quantization.quantize_dynamic; PyTorch warns that it is deprecated there.
    """
    if dtype is torch.float16:
        raise NotImplementedError("quantize_dynamic with dtype=torch.float16 is not supported: call .half() on the model")
    if dtype is not torch.qint8:
        raise RuntimeError("Unknown dtype specified for quantize_dynamic: ", str(dtype))
    if mapping is not None or isinstance(qconfig_spec, dict):
        raise NotImplementedError(
            "quantize_dynamic with a mapping or a dict of configurations is not supported: give a set, {torch.nn.Linear}"
        )
    spec = {nn.Linear, *_RECURRENT} if qconfig_spec is None else set(qconfig_spec)
    found = [module for name, module in model.named_modules() if type(module) in _RECURRENT and _is_meant(module, name, spec)]
    if found or any(isinstance(entry, type) and entry not in (nn.Linear, *_RECURRENT) for entry in spec):
        named = (
            type(found[0]).__name__
            if found
            else next(e.__name__ for e in spec if isinstance(e, type) and e not in (nn.Linear, *_RECURRENT))
        )
        raise NotImplementedError(
            f"quantize_dynamic of {named} is not supported: give {{torch.nn.Linear}} as qconfig_spec, and the others stay as they are"
        )
    model = model if inplace else copy.deepcopy(model)
    model.eval()
    _convert(model, "", spec)
    return model


def _is_meant(module: nn.Module, name: str, spec: set[Any]) -> bool:
    """Whether the module's class, its name or a module around it is in the set."""
    parts = name.split(".")
    return type(module) in spec or any(".".join(parts[:end]) in spec for end in range(1, len(parts) + 1))


def _convert(module: nn.Module, prefix: str, spec: set[Any]) -> None:
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if type(child) is nn.Linear and _is_meant(child, path, spec):
            setattr(module, name, QuantizedLinear.from_float(child))
        else:
            _convert(child, f"{path}.", spec)
