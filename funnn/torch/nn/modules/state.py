"""The state_dict of a Module: out and in again, by the paths of its parts."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from funnn.checkpoint._state_dict import as_array
from funnn.engine.program.value import copied
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tape.node import RemovableHandle
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.modules.hooks import add_hook
from funnn.torch.nn.parameter import Parameter, is_lazy

EXTRA = "_extra_state"  # the key of what get_extra_state returns


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict found different."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if self.missing_keys or self.unexpected_keys else "<All keys matched successfully>"

    __str__ = __repr__


T_destination = TypeVar("T_destination", bound=dict[str, Any])


class State:
    """The part of Module that writes and reads state_dicts; the parts themselves are Module's."""

    T_destination = T_destination
    _version = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    # -- out

    def state_dict(self, *args: Any, destination: dict | None = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """All parameters and persistent buffers by path; the tensors share memory with the module's.

        Args:
          destination: a dict to add to; a new OrderedDict by default.
          prefix: what all keys begin with.
          keep_vars: give the parameters themselves, which need gradients, instead of detached tensors.
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to "
                "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict for details.",
                FutureWarning,
                stacklevel=2,
            )
            destination, prefix, keep_vars = (*args, *(destination, prefix, keep_vars)[len(args) :])
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, metadata)
            if result is None:
                continue
            if getattr(hook, "_from_public_api", False):
                raise RuntimeError("state_dict post-hook must return None; change the dict in place")
            destination = result
        return destination

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """Write this module's own entries (not its children's); a subclass may override it, as in torch."""
        for name, tensor in self._own_entries().items():
            destination[prefix + name] = tensor if keep_vars or is_lazy(tensor) else tensor.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def _own_entries(self) -> dict[str, Tensor]:
        """The parameters and persistent buffers that exist."""
        own = {name: tensor for name, tensor in self._parameters.items() if tensor is not None}
        own.update((k, v) for k, v in self._buffers.items() if v is not None and k not in self._non_persistent_buffers_set)
        return own

    def get_extra_state(self) -> Any:
        """What else belongs into the state_dict; a subclass defines it together with ``set_extra_state``."""
        raise RuntimeError(f"{type(self).__name__} defines no get_extra_state(), so it should never be called")

    def set_extra_state(self, state: Any) -> None:
        """Take what ``get_extra_state`` returned."""
        raise RuntimeError(
            f"{type(self).__name__} defines no set_extra_state(state), so it should never be called: define it beside get_extra_state()"
        )

    # -- in

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
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata

        def load(module: State, state: dict[str, Any], prefix: str) -> None:
            local = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                local["assign_to_params_buffers"] = True
            module._load_from_state_dict(state, prefix, local, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    path = f"{prefix}{name}."
                    load(child, {key: value for key, value in state.items() if key.startswith(path)}, path)
            keys = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, keys) is not None:
                    raise AssertionError(
                        "load_state_dict post-hooks are not expected to return new values; change incompatible_keys in place"
                    )

        load(self, state, "")
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
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        own, assign = self._own_entries(), local_metadata.get("assign_to_params_buffers", False)
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                problem = self._load_entry(name, key, target, state_dict[key], assign)
                error_msgs += [problem] if problem else []
            elif strict:
                missing_keys.append(key)
        extra = prefix + EXTRA
        own_extra = type(self).set_extra_state is not State.set_extra_state
        if own_extra and extra in state_dict:
            self.set_extra_state(state_dict[extra])
        elif own_extra and strict:
            missing_keys.append(extra)
        for key in state_dict if strict else ():
            name, *below = key.removeprefix(prefix).split(".", 1)
            known = name in self._modules if below else name in own or (own_extra and name == EXTRA)
            if key.startswith(prefix) and not known:
                unexpected_keys.append(key)

    def _load_entry(self, name: str, key: str, target: Tensor, given: Any, assign: bool) -> str | None:
        """Load one tensor; the text of what is wrong with it, or None."""
        value = _as_tensor(given)
        if value is None:
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint but '
                f"received {type(given)}"
            )
        if is_lazy(value) and is_lazy(target):
            return None
        value = value[0] if target.shape == () and value.shape == (1,) else value  # as scalars were saved once
        if value.shape != target.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
                f"the shape in current model is {target.shape}."
            )
        try:
            if not assign:
                if target.is_meta and not value.is_meta:
                    warnings.warn(
                        f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current model, which is a no-op. "
                        "(Did you mean to pass `assign=True` to assign items in the state dictionary to their corresponding key in the module instead "
                        "of copying them in place?)",
                        stacklevel=2,
                    )
                with no_grad():
                    target.copy_(value)
            elif isinstance(target, Parameter):
                is_one = isinstance(value, Parameter)
                value = value.requires_grad_(target.requires_grad) if is_one else Parameter(value, requires_grad=target.requires_grad)
                self._parameters[name] = value
            else:
                self._buffers[name] = value
        except Exception as error:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are {target.shape} and '
                f"whose dimensions in the checkpoint are {value.shape}, an exception occurred : {error.args}."
            )
        return None

    # -- hooks

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, prefix, keep_vars)`` runs before ``state_dict`` collects."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, state_dict, prefix, local_metadata)`` runs after ``state_dict`` collected, and changes it in place."""
        hook._from_public_api = True
        return add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """As ``register_state_dict_post_hook``; the hook may return another dict."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError("this hook was registered by register_state_dict_post_hook already; use a function of its own here")
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`` runs before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> RemovableHandle:
        """As ``register_load_state_dict_pre_hook``, for a hook that does not take the module unless ``with_module``."""
        return add_hook(self._load_state_dict_pre_hooks, functools.partial(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, incompatible_keys)`` runs after loading and may change the two lists in place."""
        return add_hook(self._load_state_dict_post_hooks, hook)


def _as_tensor(value: Any) -> Tensor | None:
    """A Tensor, an array or a tensor of PyTorch as a Tensor; None for anything else."""
    if isinstance(value, Tensor):
        return value
    array = as_array(value)
    return None if array is None else Tensor._wrap(copied(array))


def _quoted(key: str) -> str:
    return f'"{key}"'
