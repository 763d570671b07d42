"""The state_dict of a Module: out and in again, by the paths of its parts."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from funnn.checkpoint._state_dict import as_array
from funnn.torch._tensor import Tensor


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict found different."""

    def __repr__(self) -> str:
        return super().__repr__() if self.missing_keys or self.unexpected_keys else "<All keys matched successfully>"


class State:
    """The part of Module that writes and reads state_dicts; the parts themselves are Module's."""

    _version = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def state_dict(self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """All parameters and persistent buffers by path; the tensors share memory with the module's."""
        destination = OrderedDict() if destination is None else destination
        if isinstance(destination, OrderedDict) and not hasattr(destination, "_metadata"):
            destination._metadata = OrderedDict()
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = {"version": self._version}
        for entries, skipped in ((self._parameters, ()), (self._buffers, self._non_persistent_buffers_set)):
            for name, tensor in entries.items():
                if tensor is not None and name not in skipped:
                    destination[prefix + name] = tensor if keep_vars else tensor.detach()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return destination

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
        """Copy values (torch or funnn tensors, NumPy or JAX arrays) into the parameters and buffers of the same paths.

        Args:
          strict: whether missing and unexpected keys are errors.
          assign: put the given tensors in place of the module's, instead of copying into them.

        Raises:
          RuntimeError: one error that names every missing, unexpected and mis-shaped key.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing, unexpected, errors = [], [], []
        metadata = getattr(state_dict, "_metadata", None) or {}

        def load(module: State, state: dict[str, Any], prefix: str) -> None:
            local = {**metadata.get(prefix[:-1], {}), "assign_to_params_buffers": assign}
            module._load_from_state_dict(state, prefix, local, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    path = f"{prefix}{name}."
                    load(child, {key: value for key, value in state.items() if key.startswith(path)}, path)

        load(self, dict(state_dict), "")
        if strict:
            different = [("Missing", missing), ("Unexpected", unexpected)]
            errors = [f"{label} key(s) in state_dict: {', '.join(map(_quoted, keys))}. " for label, keys in different if keys] + errors
        if errors:
            raise RuntimeError("Error(s) in loading state_dict for {}:\n\t{}".format(type(self).__name__, "\n\t".join(errors)))
        return _IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own entries (not its children's) and note what is wrong; a subclass may override it, as in torch."""
        own = {name: tensor for name, tensor in self._parameters.items() if tensor is not None}
        own.update((k, v) for k, v in self._buffers.items() if v is not None and k not in self._non_persistent_buffers_set)
        for name, target in own.items():
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            value = _as_tensor(state_dict[key])
            if value is None:
                error_msgs.append(
                    f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint but '
                    f"received {type(state_dict[key])}"
                )
                continue
            value = value[0] if target.shape == () and value.shape == (1,) else value
            if value.shape != target.shape:
                error_msgs.append(
                    f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
                    f"the shape in current model is {target.shape}."
                )
            elif local_metadata["assign_to_params_buffers"]:
                target.data = value.detach()
            else:
                target.detach().copy_(value.detach())
        for key in state_dict:
            name, *below = key.removeprefix(prefix).split(".", 1)
            if key.startswith(prefix) and name not in (self._modules if below else own):
                unexpected_keys.append(key)


def _as_tensor(value: Any) -> Tensor | None:
    """A Tensor, an array or a tensor of PyTorch as a Tensor; None for anything else."""
    if isinstance(value, Tensor):
        return value
    array = as_array(value)
    with jax.enable_x64(True):
        return None if array is None else Tensor._wrap(jnp.asarray(array))


def _quoted(key: str) -> str:
    return f'"{key}"'
