"""Results lie in memory as PyTorch's do: each operation of PyTorch's database, of operands that lie row by row, transposed and channels last."""

import warnings
import zlib

import pytest
import torch
from allowed import listed, no_difference
from opinfo import dtype_of, forms, in_place, op_db, op_id, samples, tensors, to_shim

import funnn.torch as shim
from tests import exhaustive

_KERNELS = listed("strides of kernels")
#: Operations whose results lie otherwise.
OTHERS = {
    **{op_id(op): _KERNELS for op in op_db if op.name.startswith("fft.") and "shift" not in op.name},
    **dict.fromkeys(("quantile", "nanquantile", "unique", "unique_consecutive", "unravel_index", "einsum", "stft"), _KERNELS),
    **dict.fromkeys(("linalg.lstsq", "linalg.lstsq-grad_oriented", "nn.functional.conv_transpose3d"), _KERNELS),
    "ldexp": no_difference("PyTorch exchanges the operands on the way, and the order of two that disagree is the first one's"),
    "diff": no_difference("of no differences (n=0), PyTorch gives its own operand"),
    "nn.functional.conv1d": no_difference("PyTorch pads first where it is grouped, dilated and padded to be the 'same'"),
    "stack": no_difference("PyTorch takes images of one row for such in channels-last memory"),
    "inner": no_difference("of a number it is a product, in PyTorch by its own node for products of numbers"),
    "nn.functional.triplet_margin_with_distance_loss": no_difference("its samples call PyTorch"),
    "nn.functional.batch_norm": no_difference("a sample without numbers and channels, which PyTorch takes for a batch"),
}


_LISTED = no_difference("its tests are elsewhere: here it is not there, or has no form but in place or with the operands exchanged")
#: Operations of which no sample is compared.
UNCOMPARED = {
    **dict.fromkeys(("sparse.sampled_addmm", "sparse.mm-reduce"), no_difference("they take sparse tensors")),
    **dict.fromkeys(("torch.ops.aten._safe_softmax.default", "svd_lowrank", "pca_lowrank"), _LISTED),
    **dict.fromkeys(("resize_",), _LISTED),
    "view_as_complex": no_difference("PyTorch takes pairs that lie together alone"),
}


def laid(value, how):
    """The tensors in a sample, as they are, with the last two dimensions exchanged in memory, or channels last."""
    if isinstance(value, torch.Tensor):
        if how == "row by row" or value.dim() < 2 or value.layout is not torch.strided:
            return value
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        if how == "transposed":
            return value.transpose(-1, -2).contiguous().transpose(-1, -2)
        if value.dim() in formats:
            return value.contiguous(memory_format=formats[value.dim()])
        return value.movedim(0, -1).contiguous().movedim(-1, 0)
    if isinstance(value, dict):
        return {name: laid(item, how) for name, item in value.items()}
    return type(value)(laid(item, how) for item in value) if type(value) in (tuple, list) else value


def places(result, kind):
    """Of each dense tensor with numbers: its shape, the strides of dimensions of more than one element, and whether it is contiguous."""
    dense = [t for t in tensors(result, kind) if str(t.layout) == "torch.strided" and t.numel()]
    return [(tuple(t.shape), [step for step, size in zip(t.stride(), t.shape, strict=True) if size > 1], t.is_contiguous()) for t in dense]


USUAL = {torch.float32, torch.int64, torch.complex64, torch.bool}
CASES = {op_id(op): (op, dtype_of(op)) for op in op_db if op_id(op) not in OTHERS and USUAL & set(op.dtypes) and forms(op)}


HOWS = ("transposed", "channels last", "row by row")


def orders(name):
    """The orders of memory, another one first from operation to operation: the first is tried at every run, the others under ``--exhaustive``."""
    first = zlib.crc32(name.encode()) % len(HOWS)
    return HOWS[first:] + HOWS[:first]


ALL = [(name, *case, how) for name, case in CASES.items() for how in orders(name)]


@pytest.mark.parametrize("name, op, dtype, how", exhaustive.one_each(ALL, lambda case: case[0], lambda case: f"{case[3]}-{case[0]}"))
def test_strides(name, op, dtype, how):
    compared = 0
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for sample in samples(op, dtype, False, most=exhaustive.most(3, 12)):
            if any(value.layout is not torch.strided for value in tensors((sample.input, sample.args), torch.Tensor)):
                continue  # which has no strides
            for form, (theirs, ours) in forms(op).items():
                if ours is None or in_place(form):
                    continue  # other tests say what is missing; what is written stays where it is
                args, kwargs = laid((sample.input, *sample.args), how), laid(sample.kwargs, how)
                own_args, own_kwargs = to_shim(args), to_shim(kwargs)
                torch.manual_seed(0)
                shim.manual_seed(0)
                try:
                    expected = places(theirs(*args, **kwargs), torch.Tensor)
                except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, AssertionError):
                    continue  # not every sample is for every form, nor every order of memory for every operation
                assert places(ours(*own_args, **own_kwargs), shim.Tensor) == expected, (form, places((args, kwargs), torch.Tensor))
                compared += 1
    if not compared:
        assert name in UNCOMPARED, "no sample was compared"
