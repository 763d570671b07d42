"""torch.nn.functional: the public pure functions themselves; given Tensors, they run on the tape."""

import inspect
from collections.abc import Callable
from typing import Any

from funnn import functional as _pure
from funnn.engine.dispatch.public import overridable as _overridable
from funnn.engine.state import thread as _thread
from funnn.engine.tensor.tensor import Tensor as Tensor
from funnn.torch.nn import _attention_parts, _reduction, _tuples

#: What funnn.functional has beyond torch.nn.functional.
_BEYOND = {
    "adaptive_log_softmax",
    "alibi_bias",
    "alibi_slopes",
    "attention_mask",
    "batch_norm_with_stats",
    "embedding_renorm",
    "expert_slots",
    "flatten",
    "flex_attention",
    "gru",
    "gru_cell",
    "init_kv_cache",
    "instance_norm_with_stats",
    "load_balancing_loss",
    "lstm",
    "lstm_cell",
    "min_p_filter",
    "mixture_of_experts",
    "public",
    "reorder_kv_cache",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
    "rotary_embedding",
    "rotary_frequencies",
    "router_z_loss",
    "sample_tokens",
    "segment_positions",
    "swiglu",
    "top_k_filter",
    "top_k_routing",
    "top_p_filter",
    "unflatten",
    "update_kv_cache",
}

_COMPOSED = ("multi_head_attention_forward", "triplet_margin_with_distance_loss")

__all__ = sorted(set(_pure.__all__) - _BEYOND)

globals().update({name: getattr(_pure, name) for name in __all__})
#: What is composed of functions on Tensors, and asks classes that override functions as these do.
globals().update({name: _overridable(getattr(_pure, name), names=(f"nn.{name}",)) for name in _COMPOSED})
_threshold = _pure.threshold  # by which torch calls it in the code of graphs
ScalingType, SwizzleType = _pure.ScalingType, _pure.SwizzleType

#: torch's helpers, of which programs make functions of their own.
_Reduction = _reduction
for _parts in (_attention_parts, _tuples):
    globals().update({name: value for name, value in vars(_parts).items() if name[0] == "_" and name[1] != "_" and callable(value)})


def _in_place(name: str) -> Callable:
    function = getattr(_pure, name)

    def call_in_place(*args: Any, **kwargs: Any) -> Any:
        if _thread.ask is not None and (found := _thread.ask(call_in_place, args, kwargs)) is not NotImplemented:
            return found
        return function(*args, **kwargs, inplace=True)

    call_in_place.__name__ = call_in_place.__qualname__ = f"{name}_"
    call_in_place.__doc__ = f"In-place version of {name}, whose arguments before ``inplace`` it takes."
    signature = inspect.signature(function)
    names = list(signature.parameters)
    call_in_place.__signature__ = signature.replace(parameters=list(signature.parameters.values())[: names.index("inplace")])
    return call_in_place


#: The in-place spellings that torch has as functions of their own.
_IN_PLACE = ("celu", "elu", "hardtanh", "leaky_relu", "relu", "rrelu", "selu", "threshold")
globals().update({f"{name}_": _in_place(name) for name in _IN_PLACE})
__all__ += [f"{name}_" for name in _IN_PLACE]
