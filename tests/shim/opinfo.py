"""PyTorch's database of operations under the shim: each sample as function, as method and in place, outputs and gradients.

A file of tests says which of the database's operations are its own, and lists what cannot pass with the reason.
"""

from __future__ import annotations

import functools
import random
import types
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from twin import TOLERANCE, compare, compare_tensors, mask
from twin import values as values_of

import funnn.torch as shim
from tests import exhaustive

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.opinfo.core import gradcheck_wrapper_hermitian_input

#: Operations of the namespace ``torch`` that belong to linear algebra and to Fourier transforms.
MATRIX_NAMES = (
    *("cholesky", "cholesky_inverse", "cholesky_solve", "geqrf", "ormqr", "logdet", "lu", "lu_solve", "lu_unpack", "matrix_exp"),
    *("pinverse", "qr", "svd", "svd_lowrank", "pca_lowrank", "triangular_solve", "stft", "istft"),
)
#: Samples an operation and dtype: a fixed random choice where there are more.
MOST = exhaustive.most(1, 2)


def operations(belongs: Callable[[str], bool]) -> list:
    """The database's entries whose name belongs to a topic."""
    return [op for op in op_db if belongs(op.name)]


def op_id(op: Any) -> str:
    return f"{op.name}{'-' if op.variant_test_name else ''}{op.variant_test_name}"


def found(path: str) -> Any:
    """``funnn.torch`` followed by the path, or None."""
    value: Any = shim
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


#: Operations that the database has by another name than the documentation.
PUBLIC_NAMES = {"_segment_reduce": "segment_reduce"}


def in_place(form: str) -> bool:
    """Whether a form of :func:`forms` writes its first operand: ``add_`` does, ``__radd__`` does not."""
    return form.endswith("_") and not form.endswith("__")


def forms(op: Any) -> dict[str, tuple[Callable, Callable]]:
    """How the operation can be called: name -> (PyTorch's callable, the shim's). Only forms that PyTorch has."""
    pairs = {}
    public_name = PUBLIC_NAMES.get(op.name, op.name)
    theirs: Any = torch
    for part in public_name.split("."):
        theirs = getattr(theirs, part, None)
    if theirs is not None:
        pairs[public_name] = theirs, found(public_name)
    method = getattr(op.method_variant, "__name__", None)
    if method is not None and hasattr(torch.Tensor, method):
        pairs[f"Tensor.{method}"] = getattr(torch.Tensor, method), getattr(shim.Tensor, method, None)
    inplace = getattr(op.inplace_variant, "__name__", None)
    if inplace is not None and hasattr(torch.Tensor, inplace):
        pairs[f"Tensor.{inplace}"] = getattr(torch.Tensor, inplace), getattr(shim.Tensor, inplace, None)
    code = getattr(op.op, "__code__", None)
    if code is not None and code.co_name == "<lambda>" and (not pairs or "torch" in code.co_names):
        names = {**op.op.__globals__, "torch": shim, "wrapper_set_seed": lambda function, *args, **kwargs: function(*args, **kwargs)}
        pairs["as in op_db"] = op.op, types.FunctionType(code, names)
    return pairs


#: Types of numbers that NumPy does not have, and those by way of which they are brought over.
NOT_OF_NUMPY = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64}


def to_shim(x: Any) -> Any:
    """The same values for the shim: tensors with dtype, strides and requires_grad, dtypes, containers."""
    if isinstance(x, torch.Tensor):
        if x.is_meta:
            return shim.empty_strided(x.shape, x.stride(), dtype=to_shim(x.dtype), device="meta").requires_grad_(x.requires_grad)
        plain = x.detach().resolve_conj().resolve_neg()
        if plain.storage_offset() or not plain.is_contiguous():
            memory = plain.as_strided((plain.untyped_storage().nbytes() // plain.element_size(),), (1,), 0)
            return to_shim(memory).as_strided(plain.shape, plain.stride(), plain.storage_offset()).requires_grad_(x.requires_grad)
        if x.dtype in NOT_OF_NUMPY:
            return to_shim(plain.to(NOT_OF_NUMPY[x.dtype])).to(to_shim(x.dtype)).requires_grad_(x.requires_grad)
        make = shim.tensor if plain.untyped_storage().resizable() else shim.from_numpy  # whose memory does not grow
        return make(plain.numpy().copy()).requires_grad_(x.requires_grad)
    if isinstance(x, (torch.dtype, torch.device, torch.layout, torch.memory_format)):
        return getattr(shim, str(x).removeprefix("torch.")) if not isinstance(x, torch.device) else shim.device(str(x))
    if isinstance(x, torch.Size):
        return shim.Size(x)
    if isinstance(x, dict):
        return {key: to_shim(value) for key, value in x.items()}
    return type(x)(to_shim(value) for value in x) if type(x) in (tuple, list) else x


def tensors(x: Any, kind: type) -> list:
    """The tensors in nested containers, in order."""
    if isinstance(x, kind):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [t for item in x for t in tensors(item, kind)] if isinstance(x, (tuple, list)) else []


def samples(op: Any, dtype: torch.dtype, grad: bool, leave_out: Callable = lambda sample: False, most: int = MOST) -> list:
    """A fixed choice of the operation's samples."""
    torch.manual_seed(0)
    every = [s for s in op.sample_inputs("cpu", dtype, requires_grad=grad) if not leave_out(s)]
    return every if len(every) <= most else random.Random(0).sample(every, most)


def differentiable(left_out: Any = ()) -> dict[str, tuple]:
    """The operations with gradients in float32 that both libraries have, but for those names; for :func:`every`."""
    return {
        op_id(op): (op, torch.float32)
        for op in op_db
        if torch.float32 in op.dtypes
        and op.supports_autograd
        and op.name not in left_out
        and None not in next(iter(forms(op).values()), (None,))
    }


def dtype_of(op: Any) -> torch.dtype:
    """float32, or what the operation has instead."""
    return next(dtype for dtype in (torch.float32, torch.int64, torch.complex64, torch.bool) if dtype in op.dtypes)


#: The further types of numbers: every operation runs in one of each group that it takes, since compiling is dear.
FURTHER = (
    (torch.float64, torch.complex64, torch.int64, torch.bool, torch.bfloat16),
    (torch.float16, torch.complex128, torch.int32, torch.uint8, torch.int8, torch.int16),
)


def dtypes_of(op: Any) -> list[torch.dtype]:
    """The dtype of :func:`dtype_of`, and one of each group of further ones by a checksum of the operation's name."""
    chosen = [dtype_of(op)]
    for group in FURTHER:
        taken = [dtype for dtype in group if dtype in op.dtypes and dtype not in chosen]
        chosen += taken[zlib.crc32(op_id(op).encode()) % len(taken) :][:1] if taken else []
    return chosen


def cases(ops: list) -> dict[str, tuple]:
    """The operations with their dtypes, by a name for the test."""
    return {f"{op_id(op)}-{dtype}".replace("torch.", ""): (op, dtype) for op in ops for dtype in dtypes_of(op)}


def every(cases: dict[str, tuple]) -> Any:
    """A test over the cases: the dtype of :func:`dtype_of` at every run, the others of an operation under ``--exhaustive``."""
    params = exhaustive.one_each(list(cases.items()), lambda item: op_id(item[1][0]), lambda item: item[0])
    return pytest.mark.parametrize("op, dtype", [param._replace(values=param.values[1]) for param in params])


def check_one(op: Any, dtype: torch.dtype, *args: Any, gradients: bool = True, **kwargs: Any) -> int:
    """:func:`check` on one sample where the dtype is not the first one.

    Of floats of 16 bits only outputs are compared: where torch rounds within a backward pass is no promise.
    """
    most = MOST if dtype == dtype_of(op) else 1
    return check(op, dtype, *args, gradients=gradients and dtype not in (torch.float16, torch.bfloat16), most=most, **kwargs)


def check(
    op: Any,
    dtype: torch.dtype,
    leave_out: Callable = lambda sample: False,
    tolerance: tuple[float, float] | None = None,
    values: bool = True,
    gradients: bool = True,
    part: Callable = lambda result: result,
    most: int = MOST,
    by_norm: bool = False,
) -> int:
    """Every form of the operation on its samples; gives the number of calls compared.

    Without ``values``, which an operation may leave unspecified, shapes, strides and types are compared; without ``gradients`` none are.
    ``part`` is what of a result is specified, ``most`` the number of samples. ``by_norm``, an error may be as large as the relative tolerance
    allows for the largest number of a result: so it is where each number comes from many.
    """
    differentiable = (dtype.is_floating_point or dtype.is_complex) and op.supports_autograd
    calls, failures = 0, []
    for sample in samples(op, dtype, differentiable and gradients, leave_out, most):
        for name, (theirs, ours) in forms(op).items():
            calls += 1
            try:
                assert ours is not None, f"{name} is missing"
                _one(
                    *(_then(part, _defined(op, dtype, call)) for call in (theirs, ours)),
                    sample,
                    tolerance,
                    in_place(name),
                    values,
                    gradients,
                    by_norm,
                )
            except Exception as error:
                shown = [tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in (sample.input, *sample.args)]
                failures.append(mask(f"{name} {shown} {sample.kwargs}: {type(error).__name__}: {str(error)[:400]}"))
    assert not failures, f"{len(failures)} of {calls} calls fail:\n" + "\n".join(failures[:6])
    return calls


def _defined(op: Any, dtype: torch.dtype, call: Callable) -> Callable:
    """The call, but with A + Aᴴ for A where the operation is one of Hermitian matrices and complex: what else a gradient has is unspecified."""
    hermitian = dtype.is_complex and op.gradcheck_wrapper is gradcheck_wrapper_hermitian_input
    return functools.partial(op.gradcheck_wrapper, call) if hermitian else call


def _then(part: Callable, call: Callable) -> Callable:
    return lambda *args, **kwargs: part(call(*args, **kwargs))


def _one(
    theirs: Callable, ours: Callable, sample: Any, tolerance: Any, inplace: bool, values: bool, gradients: bool, by_norm: bool
) -> None:
    args, kwargs = (sample.input, *sample.args), sample.kwargs
    own_args, own_kwargs = to_shim(args), to_shim(kwargs)
    live = [t for t in tensors([args, kwargs], torch.Tensor) if t.requires_grad]
    own_live = [t for t in tensors([own_args, own_kwargs], shim.Tensor) if t.requires_grad]
    if inplace:  # on a copy, because a leaf that requires a gradient is not changed in place
        args, own_args = (args[0].clone(), *args[1:]), (own_args[0].clone(), *own_args[1:])
    torch.manual_seed(42)
    shim.manual_seed(42)
    try:
        expected = theirs(*args, **kwargs)
    except (RuntimeError, TypeError) as error:  # not every sample is for every form: an in-place result of another dtype or shape
        with pytest.raises((type(error), NotImplementedError)):
            ours(*own_args, **own_kwargs)
        return
    got = ours(*own_args, **own_kwargs)
    _same_form(got, expected)
    got, expected = map(sample.output_process_fn_grad, (got, expected))  # what is defined: |U|, where the sign of a column of U is not
    if not values:
        assert (got.shape, got.stride(), str(got.dtype)) == (expected.shape, expected.stride(), str(expected.dtype))
        return
    _compared(
        got, expected, lambda: compare(got, expected, "output", tolerance), lambda: _in_wider_type(theirs, sample, inplace)[0], by_norm
    )
    if not gradients:
        return
    outputs = [t for t in tensors(expected, torch.Tensor) if t.requires_grad]
    if not outputs:
        return
    own_outputs = [t for t in tensors(got, shim.Tensor) if t.requires_grad]
    generator = torch.Generator().manual_seed(7)
    cotangents = [torch.randn(t.shape, generator=generator, dtype=_WIDER.get(t.dtype, t.dtype)).to(t.dtype) for t in outputs]
    try:
        wanted = torch.autograd.grad(outputs, live, cotangents, allow_unused=True)
    except NotImplementedError:  # a derivative that torch lacks, as of acosh_
        return
    pulled = shim.autograd.grad(own_outputs, own_live, [to_shim(c) for c in cotangents], allow_unused=True)

    def all_equal() -> None:
        for number, (a, b) in enumerate(zip(pulled, wanted, strict=True)):
            zero = b is None and a is not None and not values_of(a).any()  # torch leaves out some gradients that are zero
            assert zero or (a is None) == (b is None), f"gradient {number}: {a}, torch has {b}"
            if b is not None:
                compare_tensors(a, b.detach(), f"gradient {number}", tolerance)

    _compared(pulled, wanted, all_equal, lambda: _in_wider_type(theirs, sample, inplace, cotangents)[1], by_norm)


def _same_form(got: Any, expected: Any) -> None:
    """The results have the same names, and their tensors the same shapes and dtypes."""
    names = [getattr(result, "__match_args__", None) for result in (got, expected)]
    assert names[0] == names[1], f"a tuple of {names[0]}, torch has {names[1]}"
    forms = [[(tuple(t.shape), str(t.dtype)) for t in found] for found in (tensors(got, shim.Tensor), tensors(expected, torch.Tensor))]
    assert forms[0] == forms[1], f"shapes and dtypes {forms[0]}, torch has {forms[1]}"


_WIDER = {
    **{torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float32: torch.float64},
    **{torch.complex32: torch.complex64, torch.complex64: torch.complex128},
}


def _widened(x: Any) -> Any:
    """The same in the next wider type: tensors, dtypes, containers."""
    if isinstance(x, torch.Tensor):
        return x.detach().to(_WIDER.get(x.dtype, x.dtype)).requires_grad_(x.requires_grad)
    if isinstance(x, dict):
        return {key: _widened(value) for key, value in x.items()}
    return type(x)(map(_widened, x)) if type(x) in (tuple, list) else _WIDER.get(x, x) if isinstance(x, torch.dtype) else x


def _in_wider_type(theirs: Callable, sample: Any, inplace: bool, cotangents: Any = ()) -> tuple:
    """PyTorch's result in the next wider type, and its gradients."""
    args, kwargs = _widened((sample.input, *sample.args)), _widened(sample.kwargs)
    live = [t for t in tensors([args, kwargs], torch.Tensor) if t.requires_grad]
    torch.manual_seed(42)
    result = sample.output_process_fn_grad(theirs(*((args[0].clone(), *args[1:]) if inplace else args), **kwargs))
    outputs = [t for t in tensors(result, torch.Tensor) if t.requires_grad]
    return result, torch.autograd.grad(outputs, live, _widened(cotangents), allow_unused=True) if cotangents else ()


def _compared(got: Any, expected: Any, compare_all: Callable, in_wider_type: Callable, by_norm: bool) -> None:
    """Values are right that equal PyTorch's, or that are about as near to its result in a wider type as its own in the type are."""
    try:
        compare_all()
    except AssertionError as error:
        try:
            near = all(_as_near(*each, by_norm) for each in zip(*_lists(got, expected, in_wider_type()), strict=True))
        except Exception:
            near = False
        if not near:
            raise error


def _lists(got: Any, expected: Any, exact: Any) -> tuple:
    return tensors(got, shim.Tensor), tensors(expected, torch.Tensor), tensors(exact, torch.Tensor)


def _as_near(got: Any, expected: torch.Tensor, exact: torch.Tensor, by_norm: bool) -> bool:
    if (tuple(got.shape), str(got.dtype)) != (tuple(expected.shape), str(expected.dtype)) or not (by_norm or expected.dtype in _WIDER):
        return False
    rtol = TOLERANCE.get(str(expected.dtype).removeprefix("torch."), (0, 0))[0] if by_norm else 0
    got, expected, exact = map(values_of, (got, expected, exact))
    same = (got == exact) | (np.isnan(got) & np.isnan(exact))
    finite = np.isfinite(expected) & np.isfinite(exact)
    with np.errstate(invalid="ignore"):
        bound = 2 * np.max(np.abs(expected - exact), initial=0, where=finite) + rtol * np.max(np.abs(exact), initial=0, where=finite)
        return bool(np.all(same | (np.abs(got - exact) <= bound)))
