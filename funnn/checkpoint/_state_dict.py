"""A layer's params and state as torch's state_dict, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.checkpoint._flat import flatten, is_container, require_dict


class StateDictError(ValueError, RuntimeError):
    """A state_dict does not fit the model; torch raises RuntimeError in this place."""


def to_state_dict(params: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The arrays of ``params`` and ``state`` in one flat dict under torch's keys.

    Args:
      params: nested dicts of parameters, as ``layer.init`` returns them.
      state: nested dicts of buffers; None or {} for a layer without.

    Returns:
      ``{"path.to.name": array}`` with the same array objects, ordered as torch orders them where the dicts are: a module's parameters, its
      buffers, then its children. (JAX's transformations return dicts sorted by name.)

    Raises:
      ValueError: for a name that stands for a parameter and a buffer at once.
      TypeError: for containers other than dicts, as in an optimizer's state; :func:`to_arrays` takes any pytree.

    Example:
      >>> import jax.numpy as jnp
      >>> list(to_state_dict({"bn": {"weight": jnp.ones(2)}, "scale": jnp.ones(())}, {"bn": {"running_mean": jnp.zeros(2)}}))
      ['scale', 'bn.weight', 'bn.running_mean']
    """
    state = {} if state is None else state
    require_dict(params)
    require_dict(state)
    return flatten(_merge(params, state, ""))


def _merge(params: Mapping[str, Any], state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """One tree of both, with each dict's leaves before its children."""
    leaves: dict[str, Any] = {}
    children: dict[str, Any] = {}
    for name in [*params, *(name for name in state if name not in params)]:
        values = [tree[name] for tree in (params, state) if tree.get(name) is not None]
        if values and all(isinstance(value, Mapping) for value in values):
            children[name] = _merge(params.get(name) or {}, state.get(name) or {}, f"{prefix}{name}.")
        elif len(values) > 1:
            raise ValueError(f"{prefix + name!r} is in params and in state; rename the parameter or the buffer")
        else:
            leaves[name] = values[0] if values else None
            if is_container(leaves[name]):
                kind = type(leaves[name]).__name__
                raise TypeError(f"{prefix + name!r} holds a {kind}, and a state_dict has dicts only; flatten and to_arrays take any pytree")
    return leaves | children


def from_state_dict(
    state_dict: Mapping[str, Any],
    params_like: Mapping[str, Any],
    state_like: Mapping[str, Any] | None = None,
    strict: bool = True,
    *,
    name: str = "",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Turn a state_dict into ``(params, state)`` shaped like the templates.

    Args:
      state_dict: values by torch's keys: JAX or NumPy arrays, torch tensors on any device (torch itself is not imported), or anything with
        ``__array__``. Values are copied, so that a later in-place change of a tensor does not reach the result.
      params_like: nested dicts of arrays or ``jax.ShapeDtypeStruct`` (``jax.eval_shape(layer.init, key)`` makes them for free). They give
        the structure, the shapes and the dtypes: values are cast to the template's dtype.
      state_like: the same for buffers; None for a layer without.
      strict: the templates and ``state_dict`` must have the same keys. If False, unexpected keys are ignored and missing ones keep the
        template's array; wrong shapes are errors still, as in torch.
      name: the model's name for the error text.

    Returns:
      params and state: new dicts of JAX arrays.

    Raises:
      StateDictError: (a ValueError and RuntimeError) lists every missing, unexpected and mis-shaped key in one message, with torch's text.
        A value of shape (1,) may fill a template of shape (), as in torch.

    Example:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> like = {"fc": {"weight": jax.ShapeDtypeStruct((2, 3), jnp.float32)}}
      >>> params, state = from_state_dict({"fc.weight": np.ones((2, 3))}, like)
      >>> params["fc"]["weight"].dtype, state
      (dtype('float32'), {})
      >>> from_state_dict({"fc.weight": np.ones((3, 2)), "fc.bias": np.ones(3)}, like)  # doctest: +NORMALIZE_WHITESPACE
      Traceback (most recent call last):
        ...
      funnn.checkpoint._state_dict.StateDictError: Error(s) in loading state_dict:
          Unexpected key(s) in state_dict: "fc.bias".
          size mismatch for fc.weight: copying a param with shape (3, 2) from checkpoint, the shape in current model is (2, 3).
      Load it into the model that saved it, or with strict=False to ignore missing and unexpected keys (never wrong shapes).
    """
    state_like = {} if state_like is None else state_like
    templates = to_state_dict(params_like, state_like)
    missing = [key for key in templates if key not in state_dict]
    unexpected = [key for key in state_dict if key not in templates]
    hint = _prefix_hint(missing, unexpected)
    problems: list[str] = []
    loaded: dict[str, jax.Array] = {}
    for key, like in templates.items():
        if key not in state_dict:
            continue
        value = as_array(state_dict[key])
        if value is None:
            kind = type(state_dict[key]).__name__
            problems.append(f'While copying the parameter named "{key}", expected an array or tensor from checkpoint but received {kind}.')
        elif value.shape != tuple(like.shape) and not (like.shape == () and value.shape == (1,)):
            problems.append(
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
                f"the shape in current model is {tuple(like.shape)}."
            )
        else:
            with jax.enable_x64(True):  # a 64-bit template keeps its dtype in every mode
                loaded[key] = jnp.array(value, dtype=like.dtype).reshape(like.shape)
    if not strict:
        unexpected = []
        loaded.update({key: templates[key] for key in missing if not isinstance(templates[key], jax.ShapeDtypeStruct)})
        missing = [key for key in missing if key not in loaded]
    if unexpected:
        problems.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
    if missing:
        problems.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if problems:
        if strict:
            fix = hint or (
                "Load it into the model that saved it, or with strict=False to ignore missing and unexpected keys (never wrong shapes)."
            )
        else:
            fix = "strict=False keeps the template's array for a missing key; pass templates that hold arrays of the right shape."
        title = f"Error(s) in loading state_dict{f' for {name}' if name else ''}:"
        raise StateDictError("\n\t".join([title, *problems]) + "\n" + fix)
    return _fill(params_like, loaded, ""), _fill(state_like, loaded, "")


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _prefix_hint(missing: list[str], unexpected: list[str]) -> str:
    """The fix when the keys differ by a prefix only, as DataParallel's "module." and torch.compile's "_orig_mod."."""
    missing, unexpected = sorted(missing), sorted(unexpected)  # jax.eval_shape sorts a template's names
    for many, few, fix in ((unexpected, missing, "remove it from"), (missing, unexpected, "add it to")):
        prefix = many[0].removesuffix(few[0]) if many and few else ""
        if prefix and prefix != many[0] and {prefix + key for key in few} == set(many):
            return f'The keys differ by the prefix "{prefix}"; {fix} the state_dict\'s keys.'
    return ""


def as_array(value: Any) -> jax.Array | np.ndarray | None:
    """The value as an array, or None if it is none."""
    if isinstance(value, jax.Array):
        return value
    if hasattr(value, "detach"):  # a torch tensor, on whatever device, with or without gradient
        value = value.detach().cpu()
        try:
            value = value.numpy()
        except TypeError:  # NumPy has no bfloat16 or float8; float32 holds each of their values
            value = value.float().numpy()
    if not hasattr(value, "__array__"):
        return None
    array = np.asarray(value)
    return array if jnp.issubdtype(array.dtype, np.number) or array.dtype == np.bool_ else None


def _fill(like: Mapping[str, Any], loaded: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The template's structure, its empty dicts and Nones included, with the loaded arrays."""
    filled: dict[str, Any] = {}
    for name, child in like.items():
        key = prefix + name
        filled[name] = _fill(child, loaded, f"{key}.") if isinstance(child, Mapping) else None if child is None else loaded[key]
    return filled
