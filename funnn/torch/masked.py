"""torch.masked: reductions and normalisations over the elements that a mask keeps. (There is no MaskedTensor.)"""

import sys
from typing import Any, NoReturn

from funnn.engine.ops.kit.table import namespace as _namespace

__all__ = ["as_masked_tensor", "is_masked_tensor", "masked_tensor", *sorted(_namespace("masked"))]

globals().update(_namespace("masked"))
_ops = sys.modules[__name__]  # where torch has the functions, and its examples take them from


def is_masked_tensor(obj: Any) -> bool:
    """False: there are no MaskedTensors."""
    return False


def masked_tensor(data: Any, mask: Any, requires_grad: bool = False) -> NoReturn:
    """MaskedTensors are not supported; the functions of torch.masked take the mask as an argument."""
    raise NotImplementedError("torch.masked.MaskedTensor is not supported; give the mask to a function: torch.masked.sum(x, mask=mask)")


def as_masked_tensor(data: Any, mask: Any) -> NoReturn:
    """MaskedTensors are not supported; the functions of torch.masked take the mask as an argument."""
    return masked_tensor(data, mask)
