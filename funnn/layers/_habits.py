"""Names of Flax, Equinox, Haiku and Keras in the place of this library's: what an error says of ``self.param``, ``rngs=`` or ``use_bias=``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

_PARAM = 'name it in spec, def spec(self): return {"w": Param(shape, init)}, and read self.w'
_BUFFER = 'name it in spec, def spec(self): return {"m": Buffer(shape, init)}; read self.m and assign self.m = …'
_KEY = "self.make_key(), of the key that apply got"
_DRAWN = "leave it out: a layer holds no arrays, and layer.init(key) draws them"
_TYPES = "layer.with_policy(Policy(…)), or layer.init(key, dtype=…)"
_APPLY_KEY = "apply takes key=, one for all layers"
_APPLY_TRAIN = "apply takes train=True, which inner layers read as self.training; for a part alone, self.part.train() or .eval()"
#: An attribute of a layer -> what to write.
_ATTRIBUTES = {
    **dict.fromkeys(("param", "add_weight", "get_parameter"), _PARAM),
    **dict.fromkeys(("variable", "get_variable", "put_variable", "get_state", "set_state"), _BUFFER),
    **dict.fromkeys(("make_rng", "rngs", "next_rng_key"), _KEY),
}
#: An argument of a constructor -> what to write.
_CONSTRUCTOR = {
    **dict.fromkeys(("key", "rng", "rngs"), _DRAWN),
    **dict.fromkeys(("kernel_initializer", "bias_initializer"), "weight_init=init.…, bias_init=init.…"),
    **dict.fromkeys(("dtype", "param_dtype", "dtype_policy"), _TYPES),
    **dict.fromkeys(("use_bias", "with_bias"), "bias="),
    "name": "leave it out: a layer's name is that of the field it stands in",
    "rate": "p=",
}
#: An argument of apply, or of a call of a layer inside forward -> what to write.
_CALL = {
    **dict.fromkeys(("rngs", "rng", "key"), _APPLY_KEY),
    **dict.fromkeys(("deterministic", "training", "is_training", "inference", "use_running_average", "train"), _APPLY_TRAIN),
    "mutable": "leave it out: apply always gives (output, new_state)",
}


def missing_attribute(layer: type, name: str) -> str:
    """The text of an AttributeError of a layer."""
    text = f"{layer.__name__!r} object has no attribute {name!r}"
    if name in _ATTRIBUTES:
        return f"{text}; here it is: {_ATTRIBUTES[name]}"
    if "setup" in vars(layer):
        return f"{text}; nothing calls setup: assign layers inside in __post_init__ or __init__, or make them fields"
    return text


def explain_constructor(error: TypeError, given: Mapping[str, Any]) -> None:
    """Say in the error of a constructor what to write for another library's argument."""
    _explain(error, given, _CONSTRUCTOR)


def explain_call(error: Exception, args: Iterable[Any], given: Mapping[str, Any]) -> None:
    """Say in the error of a call what to write for another library's argument, or for a key or a mode in the place of an input."""
    _explain(error, given, _CALL)
    last = (*args, None)[-2] if args else None
    is_key = isinstance(last, jax.Array) and jnp.issubdtype(last.dtype, jax.dtypes.prng_key)
    if (is_key or isinstance(last, bool)) and "positional argument" in str(error) and "apply(" not in str(error):
        _add(error, "key and train are given by name: layer.apply(params, state, x, key=key, train=True)")


def _explain(error: Exception, given: Mapping[str, Any], table: Mapping[str, str]) -> None:
    for name in given:
        if name in table and str(error).endswith(f"unexpected keyword argument {name!r}"):
            _add(error, f"for {name}=: {table[name]}")
            return


def _add(error: Exception, hint: str) -> None:
    error.args = (f"{error.args[0]}; {hint}", *error.args[1:])
