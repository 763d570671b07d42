"""Names outside PyTorch's database of operations: facts about a tensor, older methods, settings; and names refused with a reason."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from twin import same, same_error

import funnn.torch as shim

PROGRAMS = {
    "flags": lambda t: [
        getattr(t.ones(2, 3), name) for name in ("is_cpu", "is_xla", "is_mkldnn", "is_sparse_csr", "itemsize", "nbytes", "name")
    ],
    "facts": lambda t: [
        getattr(t.ones(2, 3), name)()
        for name in ("ndimension", "get_device", "is_signed", "is_inference", "is_shared", "is_pinned", "dense_dim", "sparse_dim")
    ],
    "functions of facts": lambda t: (
        *(t.is_signed(t.ones(1, dtype=kind)) for kind in (t.uint8, t.int8, t.bool, t.complex64)),
        *(t.is_complex(t.ones(1)), t.is_nonzero(t.tensor(2)), t.is_same_size(t.ones(2), t.ones(3)), t.typename(t.ones(1)), t.typename(3)),
        *(t.can_cast(a, b) for a in (t.bool, t.int32, t.float32) for b in (t.int64, t.float16, t.complex64)),
    ),
    "dim_order": lambda t: (t.ones(2, 3).t().dim_order(), t.ones(2, 3, 4, 5).to(memory_format=t.channels_last).dim_order()),
    "to_dense": lambda t: t.ones(2).to_dense(t.float64),
    "fill_diagonal_": lambda t: (t.zeros(3, 2).fill_diagonal_(2), t.zeros(5, 2).fill_diagonal_(3, wrap=True)),
    "fill_diagonal_ of three": lambda t: t.zeros(2, 2, 2).fill_diagonal_(1),
    "apply_": lambda t: (t.arange(4).reshape(2, 2).apply_(lambda v: v * v), t.ones(2).map_(t.tensor([2.0, 3.0]), lambda a, b: a - b)),
    "map2_": lambda t: t.ones(2).map2_(t.tensor([2.0, 3.0]), t.tensor(4.0).expand(2), lambda a, b, c: a * b + c),
    "new": lambda t: (t.arange(3).new([1.5]), t.ones(1).double().new(2, 2).shape, t.ones(1).new([[1, 2]])),
    "reversed": lambda t: (reversed(t.arange(4).reshape(2, 2)), t.arange(3).__reversed__()),
    "vander": lambda t: (t.vander(t.tensor([1, 2, 3]), N=4, increasing=True), t.vander(t.tensor([1.0, 2])), t.vander(t.tensor([1]), 0)),
    "hardshrink": lambda t: (t.arange(-2.0, 3).hardshrink(1), t.hardshrink(t.arange(3.0)), t.arange(-2.0, 3).prelu(t.tensor(0.5))),
    "spmm": lambda t: t.spmm(t.eye(2), t.ones(2, 3)),
    "out of factories": lambda t: (
        *(t.zeros(2, 3, out=t.ones(0)), t.full((2,), 3.5, out=t.zeros(2, dtype=t.int32)), t.eye(2, out=t.zeros(0, dtype=t.int64))),
        *(t.arange(3, out=t.zeros(3)), t.linspace(0, 1, 3, out=t.zeros(0, dtype=t.float64)), t.ones(2, out=t.zeros(2))),
    ),
    "older windows": lambda t: (
        *(t.hann_window(5), t.hamming_window(6, False, 0.3), t.bartlett_window(4, dtype=t.float64)),
        *(t.blackman_window(1), t.kaiser_window(4, True, 3.0)),
    ),
    "named by number": lambda t: (
        *(t.kl_div(t.zeros(2), t.ones(2), 2), t.margin_ranking_loss(t.ones(2), t.zeros(2), -t.ones(2), 0.5, 0)),
        *(t.batch_norm(t.arange(4.0).reshape(2, 2), None, None, None, None, True, 0.1, 1e-5, False), t.dropout(t.ones(2), 0.5, False)),
        *(t.embedding(t.eye(3), t.tensor([2, 0])), t.celu_(t.tensor([-1.0, 1.0])), t.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2))),
    ),
    "determinism": lambda t: (
        *(t.use_deterministic_algorithms(True, warn_only=True), t.get_deterministic_debug_mode(), t.are_deterministic_algorithms_enabled()),
        *(t.set_deterministic_debug_mode(0), t.is_deterministic_algorithms_warn_only_enabled()),
    ),
    "precision": lambda t: (t.get_float32_matmul_precision(), t.set_num_threads(t.get_num_threads()), t.is_warn_always_enabled()),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same(name):
    same(PROGRAMS[name])


def test_copy_without_history():
    def program(t):
        x = t.ones(2, 2, requires_grad=True)
        y = t.detach_copy(x)
        y += 1
        return x, y.detach(), t.dsmm(x, y).detach()

    same(program)


def test_range_includes_the_end():
    def program(t):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = t.range(1, 4), t.range(0, 1, 0.3), t.range(4, 1, -1), t.range(1, 4, dtype=t.int64), t.range(1, 3, out=t.zeros(0))
        with pytest.warns(UserWarning, match="torch.range is deprecated"):
            t.range(1, 2)
        return results

    same(program)


def test_memory_of_another():
    def program(t):
        x, y = t.arange(6.0), t.zeros(2)
        y.set_(x)
        y[0] = 7
        return x, y, y.is_set_to(x), t.zeros(2).set_(x, 1, (2,), (1,)), t.zeros(2).set_().shape

    same(program)


ERRORS = {
    "out of another type": (lambda t: t.mm(t.eye(2), t.eye(2), out=t.zeros(2, 2).double()), RuntimeError, "dtype float, but got double"),
    "out of a lower kind": (lambda t: t.add(t.ones(2), 1, out=t.zeros(2).long()), RuntimeError, "result type Float can't be cast to"),
    "out of a list": (lambda t: t.sort(t.ones(2), out=(t.zeros(2), t.zeros(2))), RuntimeError, "out tensor to have dtype long int"),
    "out of a factory": (lambda t: t.ones(2, dtype=t.float, out=t.zeros(2).double()), RuntimeError, "does not match dtype of out"),
    "out that requires grad": (lambda t: t.ones(2, out=t.zeros(2, requires_grad=True)), RuntimeError, "automatic differentiation"),
    "narrow_copy": (lambda t: t.ones(2, 3).narrow_copy(2, 0, 1), RuntimeError, "dim"),
    "narrow_copy below": (lambda t: t.ones(2, 3).narrow_copy(-3, 0, 1), IndexError, "Dimension out of range"),
    "endless arange": (lambda t: t.arange(0, float("inf")), RuntimeError, "unsupported range"),
    "fill_diagonal_": (lambda t: t.ones(2, 3, 4).fill_diagonal_(1), RuntimeError, "must be of equal length"),
    "apply_": (lambda t: t.ones(2, requires_grad=True).apply_(abs), RuntimeError, "Variable that requires grad"),
    "set_": (lambda t: t.ones(2).set_(t.arange(2)), RuntimeError, "Could not set tensor of type"),
    "hann_window": (lambda t: t.hann_window(-1), RuntimeError, "requires non-negative window_length"),
    "hann_window of int": (lambda t: t.hann_window(3, dtype=t.int64), RuntimeError, "expects floating point dtypes"),
    "hann of half": (lambda t: t.signal.windows.hann(3, dtype=t.float16), ValueError, "expects float32 or float64 dtypes"),
    "eig": (lambda t: t.eig(t.eye(2)), RuntimeError, "removed"),
    "debug mode": (lambda t: t.set_deterministic_debug_mode(5), RuntimeError, "expected 0, 1, or 2"),
    "threads": (lambda t: t.set_num_threads(0), RuntimeError, "positive integer"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(*ERRORS[name])


@pytest.mark.skipif(shim.cuda.is_available(), reason="of a machine without a GPU")
def test_cuda_types_without_a_gpu():
    same_error(lambda t: t.cuda.FloatTensor(2), TypeError, "type torch.cuda.FloatTensor not available")
    same(lambda t: (isinstance(t.ones(2), t.cuda.FloatTensor), repr(t.cuda.HalfTensor), isinstance(t.ones(2), t.FloatTensor)))
    same_error(lambda t: t.ones(2).pin_memory(), RuntimeError, "Cannot access accelerator device when none is available")


#: Names that torch has, and what the error must say.
REFUSED = {
    **dict.fromkeys(("sparse_coo_tensor", "sparse_csr", "sparse", "hspmm", "sspaddmm", "to_sparse", "coalesce", "_nnz", "values"), "dense"),
    **dict.fromkeys(("quantize_per_tensor", "qint8", "q_scale", "dequantize", "int_repr", "quantization", "ao"), "quantised"),
    **{"nested": "nested", "complex32": "numbers", "float8_e5m2": "numbers", "mkldnn_convolution": "vendor", "cudnn_batch_norm": "vendor"},
    **{"export": "traced", "ops": "traced", "futures": "sharding", "sym_max": "Python integers", "share_memory_": "processes"},
    **{"lstm": "torch.nn.GRU", "hub": "funnn.checkpoint", "Stream": "synchronize", "mps": "'cpu' and 'cuda'", "symeig": "removed"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name):
    for owner, theirs in ((shim, torch), (shim.ones(2), torch.ones(2))):
        if name not in dir(theirs):
            continue
        for error in (NotImplementedError, AttributeError, RuntimeError):
            with pytest.raises(error, match=f"{name} is not supported: .*{REFUSED[name]}"):
                getattr(owner, name)
        assert not hasattr(owner, name) and getattr(owner, name, 3) == 3
        break
    else:
        raise AssertionError(f"torch has no {name}")


def test_other_names_are_plain_attribute_errors():
    same_error(lambda t: t.no_such_name, AttributeError, "has no attribute 'no_such_name'")
    same_error(lambda t: t.ones(2).no_such_name, AttributeError, "'Tensor' object has no attribute 'no_such_name'")
    same_error(lambda t: t.nn.Parameter(t.ones(2)).no_such_name, AttributeError, "'Parameter' object has no attribute 'no_such_name'")


def test_copies_and_pickles_do_not_ask_for_refused_names():
    x = shim.ones(2)
    x.note = "kept"
    assert copy.deepcopy(x).note == pickle.loads(pickle.dumps(x)).note == "kept"
