"""Operations on types of numbers that PyTorch refuses: they are refused here, with an error of the same class."""

from __future__ import annotations

import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from allowed import listed, no_difference
from opinfo import dtype_of, every, forms, op_db, op_id, to_shim

import funnn.torch as shim

ROOT = Path(__file__).resolve().parents[2]
converted = runpy.run_path(str(ROOT / ".ci" / "refused_types.py"))["converted"]
KINDS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.complex64, torch.complex128)
OPS = {
    op_id(op): (op, dtype_of(op))
    for op in op_db
    if not op.name.startswith(("_refs", "ops", "sparse", "to_sparse", "masked."))
    and {torch.float32, torch.int64, torch.complex64, torch.bool} & set(op.dtypes)
    and set(KINDS) - set(op.dtypes)
}
#: Forms of which the class differs, or that are taken, by reason.
OTHERWISE = {
    **dict.fromkeys(
        [f"nn.functional.{name}{n}d" for name in ("avg_pool", "conv_transpose") for n in (1, 2, 3)] + ["nn.functional.local_response_norm"],
        listed("types of kernels", "integers of fewer than 64 bits"),
    ),
    **dict.fromkeys(("round", "Tensor.round", "Tensor.round_"), listed("types of kernels", "integers, to no decimals")),
    "nn.functional.pad": listed("types of kernels", "truth values in the modes that repeat"),
    "gradient": listed("types of kernels", "uint8"),
    **dict.fromkeys(
        [f"Tensor.{name}_" for name in ("cumsum", "cumprod", "remainder", "index_reduce", "scatter_reduce")] + ["stft", "Tensor.stft"],
        no_difference("of truth values, another error comes first"),
    ),
    **dict.fromkeys(
        ("polygamma", "special.polygamma", "linalg.pinv"), no_difference("another argument of the sample becomes of that type, too")
    ),
    "nn.functional.embedding_bag": no_difference("the database gives the table for the indices"),
}


def outcome(library: Any, function: Any, args: tuple, kwargs: dict[str, Any]) -> Exception | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library.manual_seed(0)
            function(*args, **kwargs)
    except Exception as error:
        return error
    return None


@every(OPS)
def test_types_that_are_refused(op, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        found = [sample for sample, _ in zip(op.sample_inputs("cpu", dtype), range(4), strict=False)]
    sample = next((each for each in found if isinstance(each.input, torch.Tensor) and each.input.numel()), found[0])
    wrong = {}
    for form, (theirs, ours) in forms(op).items():
        if theirs is None or ours is None or form == "as in op_db":
            continue
        for kind in KINDS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call = converted(((sample.input, *sample.args), dict(sample.kwargs)), dtype, kind)
            own = to_shim(converted(call, dtype, dtype))
            wanted = outcome(torch, theirs, *call)
            if wanted is None or form in OTHERWISE:
                continue
            got = outcome(shim, ours, *own)
            if not isinstance(got, type(wanted)):
                wrong[f"{form} of {kind}"] = f"{type(got).__name__}, not {type(wanted).__name__}: {wanted}"[:160]
    assert not wrong


def test_the_file_is_current():
    done = subprocess.run([sys.executable, ".ci/refused_types.py", "--check"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_text_says_the_type():
    with pytest.raises(NotImplementedError, match="\"xlogy_cpu\" not implemented for 'ComplexFloat'; convert the tensor"):
        shim.xlogy(shim.ones(2), shim.ones(2, dtype=shim.complex64))
    assert shim.xlogy(shim.tensor([1, 2]), 2.0).dtype is shim.float32
