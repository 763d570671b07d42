"""Which modules FullyShardedDataParallel wraps by itself: policies, and the walk that asks them."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from funnn.torch.nn.modules import ModuleDict, ModuleList, MultiheadAttention
from funnn.torch.nn.modules.module import Module

__all__ = [
    "CustomPolicy",
    "ModuleWrapPolicy",
    "always_wrap_policy",
    "enable_wrap",
    "lambda_auto_wrap_policy",
    "size_based_auto_wrap_policy",
    "transformer_auto_wrap_policy",
    "wrap",
]


def always_wrap_policy(*args: Any, **kwargs: Any) -> bool:
    """Wrap every module."""
    return True


def lambda_auto_wrap_policy(module: Module, recurse: bool, nonwrapped_numel: int, lambda_fn: Callable[[Module], bool]) -> bool:
    """Wrap the modules for which ``lambda_fn(module)`` says so."""
    return recurse or lambda_fn(module)


def transformer_auto_wrap_policy(module: Module, recurse: bool, nonwrapped_numel: int, transformer_layer_cls: Iterable[type]) -> bool:
    """Wrap the modules of these classes, such as a transformer's blocks; for ``functools.partial(…, transformer_layer_cls={Block})``."""
    return recurse or isinstance(module, tuple(transformer_layer_cls))


def _module_wrap_policy(module: Module, recurse: bool, nonwrapped_numel: int, module_classes: Iterable[type]) -> bool:
    return transformer_auto_wrap_policy(module, recurse, nonwrapped_numel, module_classes)


def _or_policy(module: Module, recurse: bool, nonwrapped_numel: int, policies: Iterable[Callable[..., bool]]) -> bool:
    """Wrap what one of several policies wraps."""
    return any(policy(module=module, recurse=recurse, nonwrapped_numel=nonwrapped_numel) for policy in policies)


def size_based_auto_wrap_policy(
    module: Module,
    recurse: bool,
    nonwrapped_numel: int,
    min_num_params: int = int(1e8),
    force_leaf_modules: set[type] | None = None,
    exclude_wrap_modules: set[type] | None = None,
) -> bool:
    """Wrap modules that have ``min_num_params`` numbers or more which no wrapped module within them has.

    Args:
      force_leaf_modules: classes into which the walk does not go; MultiheadAttention by default.
      exclude_wrap_modules: classes that are not wrapped; ModuleList and ModuleDict by default.
    """
    leaves = size_based_auto_wrap_policy.FORCE_LEAF_MODULES if force_leaf_modules is None else force_leaf_modules
    excluded = size_based_auto_wrap_policy.EXCLUDE_WRAP_MODULES if exclude_wrap_modules is None else exclude_wrap_modules
    is_large = nonwrapped_numel >= min_num_params
    return is_large and not isinstance(module, tuple(leaves if recurse else excluded))


size_based_auto_wrap_policy.EXCLUDE_WRAP_MODULES = {ModuleList, ModuleDict}
size_based_auto_wrap_policy.FORCE_LEAF_MODULES = {MultiheadAttention}


class ModuleWrapPolicy:
    """Wrap the modules of these classes."""

    def __init__(self, module_classes: Iterable[type]):
        self._classes = tuple(module_classes)

    def __call__(self, module: Module, recurse: bool, *args: Any, **kwargs: Any) -> bool:
        return recurse or isinstance(module, self._classes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({set(self._classes)})"


class CustomPolicy:
    """Wrap the modules for which ``lambda_fn(module)`` is true; a dict that it returns has arguments that this one is wrapped with."""

    def __init__(self, lambda_fn: Callable[[Module], bool | dict[str, Any]]):
        self._lambda_fn = lambda_fn

    def __call__(self, module: Module, recurse: bool, *args: Any, **kwargs: Any) -> bool | dict[str, Any]:
        if recurse:
            return True
        found = self._lambda_fn(module)
        if not isinstance(found, (bool, dict)):
            raise ValueError(f"The lambda_fn passed to CustomPolicy should return False/True or a kwarg dict, but it returned {found}")
        return found


def wrap_within(
    module: Module, policy: Callable[..., Any], wrapper: Callable[..., Module], ignored: set[int], is_outermost: bool = True
) -> tuple[Module, int]:
    """Wrap the modules within one that a policy chooses, from the inside out.

    Args:
      policy: ``policy(module, recurse, nonwrapped_numel)``: with ``recurse`` whether to look within, else whether to wrap.
      wrapper: ``wrapper(module, **arguments)``.
      ignored: the ids of modules that stay as they are.
      is_outermost: whether the module itself is left to the caller.

    Returns:
      The module, or what it was wrapped in, and how many numbers its wrapped modules have.
    """
    count = sum(one.numel() for one in module.parameters())
    if not policy(module=module, recurse=True, nonwrapped_numel=count):
        return module, 0
    wrapped = 0
    for name, child in list(module.named_children()):
        if id(child) not in ignored and "_fsdp_unit" not in child.__dict__:
            made, size = wrap_within(child, policy, wrapper, ignored, is_outermost=False)
            if made is not child:
                setattr(module, name, made)
            wrapped += size
    if is_outermost:
        return module, wrapped
    chosen = policy(module=module, recurse=False, nonwrapped_numel=count - wrapped)
    if chosen is False or chosen is None:
        return module, wrapped
    return wrapper(module, **(chosen if isinstance(chosen, dict) else {})), count


class _Wrapping(threading.local):
    """What :func:`wrap` wraps modules in, on this thread."""

    wrapper: Callable[..., Module] | None = None


_wrapping = _Wrapping()


@contextlib.contextmanager
def enable_wrap(*, wrapper_cls: Callable[..., Module], **wrapper_kwargs: Any) -> Iterator[None]:
    """Inside, :func:`wrap` wraps modules by ``wrapper_cls(module, **wrapper_kwargs)``."""
    before, _wrapping.wrapper = _wrapping.wrapper, functools.partial(wrapper_cls, **wrapper_kwargs)
    try:
        yield
    finally:
        _wrapping.wrapper = before


def wrap(module: Module, **wrap_overrides: Any) -> Module:
    """The module, wrapped as :func:`enable_wrap` says; as it is outside of that."""
    return module if _wrapping.wrapper is None else _wrapping.wrapper(module, **wrap_overrides)
