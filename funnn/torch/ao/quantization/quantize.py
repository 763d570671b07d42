"""Modules replaced by those that compute with integers of 8 bits."""

from __future__ import annotations

import copy
from typing import Any

from funnn.torch import _namespace as torch
from funnn.torch import nn
from funnn.torch.ao.nn.quantized.dynamic.modules import rnn
from funnn.torch.ao.nn.quantized.dynamic.modules.linear import Linear as QuantizedLinear
from funnn.torch.ao.nn.quantized.modules import embedding_ops

__all__ = ["default_dynamic_qconfig", "float_qparams_weight_only_qconfig", "quantize_dynamic"]


class _Config:
    """A configuration: the type of the weights' integers."""

    def __init__(self, name: str, dtype: Any):
        self._name, self.dtype = name, dtype

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


default_dynamic_qconfig = _Config("default_dynamic_qconfig", torch.qint8)
float_qparams_weight_only_qconfig = _Config("float_qparams_weight_only_qconfig", torch.quint8)

_FORMS: dict[Any, tuple[Any, Any]] = {
    nn.Linear: (torch.qint8, QuantizedLinear),
    **dict.fromkeys((nn.LSTM, nn.GRU), (torch.qint8, rnn.RNNBase)),
    **dict.fromkeys((nn.LSTMCell, nn.GRUCell, nn.RNNCell), (torch.qint8, rnn.RNNCellBase)),
    nn.Embedding: (torch.quint8, embedding_ops.Embedding),
    nn.EmbeddingBag: (torch.quint8, embedding_ops.EmbeddingBag),
}


def quantize_dynamic(
    model: nn.Module, qconfig_spec: Any = None, dtype: Any = torch.qint8, mapping: dict[Any, Any] | None = None, inplace: bool = False
) -> nn.Module:
    """The model in evaluation mode, with a module of 8-bit integers in the place of each nn.Linear, LSTM, GRU, cell or table inside.

    Args:
      model: the module; not itself replaced.
      qconfig_spec: a set of classes, such as {nn.Linear, nn.LSTM}, or of names of modules: what is replaced, itself or what is in it. Or a dict from those
        to default_dynamic_qconfig or, for nn.Embedding and nn.EmbeddingBag, float_qparams_weight_only_qconfig; None leaves such a module as it is.
        Default all Linears and recurrent modules, and with torch.quint8 all tables.
      dtype: of the weights, torch.qint8 (the default) or, for tables, torch.quint8; a dict says it itself.
      mapping: not supported.
      inplace: whether the model itself is changed; default a copy.

    Raises:
      AssertionError: an Embedding with torch.qint8, or a recurrent module without biases.
      NotImplementedError: weights of float16 or 4 bits, a mapping, another configuration, an LSTM with projections, an EmbeddingBag that does not sum.
      RuntimeError: another dtype, or torch.quint8 for another module than a table.

    Source: torch.ao.quantization.quantize_dynamic; PyTorch warns that it is deprecated there.
    """
    if mapping is not None:
        raise NotImplementedError("quantize_dynamic with a mapping is not supported: give a set, {torch.nn.Linear}")
    spec = qconfig_spec if isinstance(qconfig_spec, dict) else _default_spec(qconfig_spec, dtype)
    for key, config in spec.items():
        if config is not None and not isinstance(config, _Config):
            raise NotImplementedError(
                f"quantize_dynamic with {key}: {config!r} is not supported: give default_dynamic_qconfig or float_qparams_weight_only_qconfig"
            )
    model = model if inplace else copy.deepcopy(model)
    model.eval()
    _convert(model, "", spec, spec.get(type(model), spec.get("")))
    return model


def _default_spec(spec: Any, dtype: Any) -> dict[Any, Any]:
    """The configuration of each class or name."""
    if dtype is torch.float16:
        raise NotImplementedError("quantize_dynamic with dtype=torch.float16 is not supported: call .half() on the model")
    if dtype is torch.quint4x2:
        raise NotImplementedError("quantize_dynamic with dtype=torch.quint4x2 is not supported: give torch.quint8 for tables")
    configs = {config.dtype: config for config in (default_dynamic_qconfig, float_qparams_weight_only_qconfig)}
    if dtype not in configs:
        raise RuntimeError("Unknown dtype specified for quantize_dynamic: ", str(dtype))
    if spec is None:
        spec = [kind for kind, (own, _) in _FORMS.items() if own is dtype]
    return dict.fromkeys(spec, configs[dtype])


def _convert(module: nn.Module, prefix: str, spec: dict[Any, Any], around: _Config | None) -> None:
    """Replace what is in a module; ``around`` is the module's own configuration, which what is in it has too where nothing else is said."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        config = spec.get(path, spec.get(type(child), around))
        if config is None or type(child) not in _FORMS:
            _convert(child, f"{path}.", spec, config)
            continue
        dtype, form = _FORMS[type(child)]
        if config.dtype is dtype:
            setattr(module, name, form.from_float(child))
        elif dtype is torch.quint8:
            raise AssertionError(f"{type(child).__name__} quantization is only supported with float_qparams_weight_only_qconfig.")
        else:
            raise RuntimeError(
                f"Unsupported dtype specified for dynamic quantized {type(child).__name__}: {config.dtype}; give torch.qint8"
            )
