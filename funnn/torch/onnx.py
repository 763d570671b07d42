"""torch.onnx, as far as libraries ask: no model is exported."""

from __future__ import annotations


def is_in_onnx_export() -> bool:
    """False: no model is being exported."""
    return False
