"""torch.utils.hooks: what registering a hook returns, by the name that programs annotate with."""

from funnn.engine.tape.node import RemovableHandle as RemovableHandle

__all__ = ["RemovableHandle"]
