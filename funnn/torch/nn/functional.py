"""torch.nn.functional: the public pure functions themselves; given Tensors, they run on the tape."""

from funnn import functional as _pure

#: What funnn.functional has beyond torch.nn.functional.
_BEYOND = {"batch_norm_with_stats", "flatten", "public", "unflatten"}

__all__ = sorted(set(_pure.__all__) - _BEYOND)

globals().update({name: getattr(_pure, name) for name in __all__})
