"""What libraries enter while they index tensors inside vmap."""

from __future__ import annotations

import contextlib


class TransformGetItemToIndex(contextlib.nullcontext[None]):
    """A context without effect: a tensor may be indexed by one of no dimensions inside ``torch.vmap`` without it."""
