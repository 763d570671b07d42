"""torch.return_types: the named tuples that functions with several results give."""

from funnn.engine.ops.kit.return_types import TYPES as _TYPES

globals().update(_TYPES)
__all__ = sorted(_TYPES)
