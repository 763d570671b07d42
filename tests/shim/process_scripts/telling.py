"""What the scripts here share: lines of names and values for a file, with the numbers of tensors rounded; and calls that must fail."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor


def shown(value, digits):
    """The text of a value: of a DTensor the shape and all numbers, of another tensor the numbers."""
    if isinstance(value, DTensor):
        return f"{tuple(value.shape)} {shown(value.full_tensor(), digits)}"
    if isinstance(value, torch.Tensor):
        return str([round(number, digits) + 0.0 for number in value.detach().double().reshape(-1).tolist()])
    return str(value)


class Lines:
    """Lines ``name: value; value``, which ``write`` puts into the file that the script's first argument and the rank name."""

    def __init__(self, *first, digits=3):
        self.lines, self.digits = list(first), digits

    def say(self, name, *values):
        self.lines.append(f"{name}: " + "; ".join(shown(value, self.digits) for value in values))

    def write(self):
        Path(f"{sys.argv[1]}.{dist.get_rank()}").write_text("\n".join(self.lines))


def refused(call, text, kind=RuntimeError):
    """The call raises an error of this kind, with this in its text."""
    try:
        call()
    except kind as error:
        assert text in str(error), str(error)
    else:
        raise AssertionError(f"no error with {text!r}")
