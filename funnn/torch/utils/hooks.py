"""torch.utils.hooks: what registering a hook returns, by the name that programs annotate with."""

from funnn.torch._tape import RemovableHandle as RemovableHandle

__all__ = ["RemovableHandle"]
