"""Functions of torch.nn.functional that are in the namespace ``torch`` too, where some take their arguments in another order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from funnn import functional as F
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.overrides import PROTOCOL
from funnn.engine.tensor.tensor import Tensor

#: In the same order.
_SAME = (
    *("adaptive_avg_pool1d", "avg_pool1d", "max_pool1d", "max_pool2d", "max_pool3d", "bilinear", "channel_shuffle"),
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_similarity", "pairwise_distance"),
    *("pdist", "pixel_shuffle", "pixel_unshuffle", "celu", "selu", "threshold", "rms_norm"),
    *("gru", "lstm", "rnn_relu", "rnn_tanh", "gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"),
)
#: With a number for the reduction: 0 for none, which PyTorch's parser takes for the default here, 1 for mean, 2 for sum.
_LOSSES = {
    "binary_cross_entropy_with_logits": ("input", "target", "weight", "pos_weight", "reduction"),
    "cosine_embedding_loss": ("input1", "input2", "target", "margin", "reduction"),
    "ctc_loss": ("log_probs", "targets", "input_lengths", "target_lengths", "blank", "reduction", "zero_infinity"),
    "hinge_embedding_loss": ("input", "target", "margin", "reduction"),
    "kl_div": ("input", "target", "reduction", "log_target"),
    "margin_ranking_loss": ("input1", "input2", "target", "margin", "reduction"),
    "poisson_nll_loss": ("input", "target", "log_input", "full", "eps", "reduction"),
    "triplet_margin_loss": ("anchor", "positive", "negative", "margin", "p", "eps", "swap", "reduction"),
}
#: torch.name -> the names that torch.nn.functional has for its arguments, in order; None for one that does nothing here.
_REORDERED: dict[str, tuple[str | None, ...]] = {
    "batch_norm": ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps", None),
    "instance_norm": ("input", "weight", "bias", "running_mean", "running_var", "use_input_stats", "momentum", "eps", None),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps", None),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps", None),
    "embedding": ("weight", "input", "padding_idx", "scale_grad_by_freq", "sparse"),
    **dict.fromkeys(("dropout", "alpha_dropout", "feature_alpha_dropout"), ("input", "p", "training")),
    "rrelu": ("input", "lower", "upper", "training"),
}
#: In-place forms.
_WRITING = {
    **{name: _REORDERED[name] for name in ("dropout", "alpha_dropout", "feature_alpha_dropout", "rrelu")},
    **{"celu": ("input", "alpha"), "selu": ("input",), "threshold": ("input", "threshold", "value")},
}
_OTHER_NAMES = {"train": "training", "indices": "input", "cudnn_enabled": None, "cudnn_enable": None}


def _by_name(name: str, parameters: tuple, inplace: bool = False) -> Callable:
    function = getattr(F, name)

    @functools.wraps(function)
    def call_by_name(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(parameters, args, strict=False)) | {_OTHER_NAMES.get(key, key): value for key, value in kwargs.items()}
        given.pop(None, None)
        if given.pop("generator", None) is not None:
            raise NotImplementedError(
                f"torch.{name} draws from the default generator here; set it with torch.manual_seed, and leave generator out"
            )
        if name in _LOSSES and type(given.setdefault("reduction", 0)) is int:
            given["reduction"] = ("none", "mean", "sum")[given["reduction"]]
        for key in (parameters[0], "reduction"):
            value = given.get(key)
            if not (isinstance(value, (Tensor, str) if key != "reduction" else (str, type(None))) or hasattr(type(value), PROTOCOL)):
                raise TypeError(
                    f"{name}(): argument '{key}' must be {'int' if key == 'reduction' else 'Tensor'}, not {type(given.get(key)).__name__}"
                )
        if name == "embedding" and given.get("padding_idx") == -1:
            given["padding_idx"] = None  # here −1 stands for none
        return function(**given, **({"inplace": True} if inplace else {}))

    call_by_name.__name__ = name
    return call_by_name


for _name in _SAME:
    FUNCTIONS[_name] = getattr(F, _name)
FUNCTIONS["adaptive_max_pool1d"] = F.adaptive_max_pool1d_with_indices  # which gives the indices there, always
for _name, _parameters in {**_LOSSES, **_REORDERED}.items():
    FUNCTIONS[_name] = _by_name(_name, _parameters)
for _name, _parameters in _WRITING.items():
    FUNCTIONS[f"{_name}_"] = _by_name(_name, _parameters, inplace=True)
