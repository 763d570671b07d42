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
    "older norms": lambda t: (
        *(t.frobenius_norm(t.arange(6.0).reshape(2, 3), 1), t.frobenius_norm(t.arange(6.0).reshape(2, 3), (0, 1), True)),
        *(t.nuclear_norm(t.arange(6.0).reshape(2, 3)), t.nuclear_norm(t.arange(12.0).reshape(2, 3, 2), (0, 2), True)),
    ),
    "older dropout": lambda t: (
        *(*t.native_dropout(t.ones(4, 5), 0.3, True), t.feature_dropout(t.ones(2, 3, 4), 0.5, True)),
        *(*t.native_dropout(t.ones(2), 0.3, False), t.feature_dropout_(t.ones(2, 3, 4), 0.5, True)),
    ),
    "older functions of networks": lambda t: (
        *t.max_pool1d_with_indices(t.arange(6.0).reshape(1, 6), 2),
        t.affine_grid_generator(t.ones(1, 2, 3), (1, 1, 2, 2), False),
        t.embedding_renorm_(t.arange(6.0).reshape(3, 2), t.tensor([1, 2, 1]), 3.0, 2.0),
    ),
    "parts of one vector": lambda t: t._utils._unflatten_dense_tensors(
        t._utils._flatten_dense_tensors([t.ones(2), t.eye(2)]), [t.ones(2), t.eye(2)]
    ),
    "preserved strides": lambda t: (
        *(
            t.zeros_like(t.zeros(2, 3, 4).permute(*order)[..., cut:]).stride()
            for order in ((1, 2, 0), (2, 0, 1), (0, 2, 1))
            for cut in (0, 1)
        ),
        *(
            t.ones_like(t.zeros(5, 4).t()),
            t.full_like(t.zeros(5, 4).t(), 2),
            t.randn_like(t.zeros(5, 4).t()),
            t.rand_like(t.zeros(5, 4).t()),
        ),
        *(t.randint_like(t.zeros(5, 4).t(), 10), t.zeros_like(t.zeros(2, 1, 4).permute(2, 1, 0)).stride(), t.randn_like(t.zeros(3, 2).t())),
        *(t.zeros_like(t.zeros(2, 3, 4, 5), memory_format=t.channels_last).stride(), t.zeros_like(t.zeros(3).expand(2, 3)).stride()),
        t.empty(2, 3, 4, 5, memory_format=t.channels_last).stride(),
    ),
    "modules of names": lambda t: (
        sorted(t.types.__all__),
        sorted(t.functional.__all__),
        t.version.cuda,
        t.functional.einsum("ii", t.eye(2)),
    ),
    "named results": lambda t: (
        isinstance(t.ones(2).max(0), t.return_types.max),
        print(t.ones(2).max(0)),
        pickle.loads(pickle.dumps(t.eye(2).max(0))),
    ),
}


@pytest.mark.filterwarnings("ignore:.*_norm is deprecated")
@pytest.mark.parametrize("name", PROGRAMS)
def test_same(name):
    same(PROGRAMS[name])


def test_bags_of_rows():
    """The four results: rows, the bag of each index, the bags' sizes, and rows of maxima."""

    def program(t):
        found, index = [], t.tensor([1, 2, 4, 5, 4, 3, 2, 5])
        for mode in (0, 1, 2):
            for further in ((False, mode), (False, mode, False, None, False, 4), (False, mode, False, None, True)):
                weight = t.arange(12.0).reshape(6, 2).requires_grad_()
                results = t.embedding_bag(weight, index, t.tensor([0, 4, 8 if further[-1] is True else 4]), *further)
                (results[0] ** 2).sum().backward()
                found.append((weight, results))
        return found, t.embedding_bag(t.eye(6), index, t.tensor([0, 4]), per_sample_weights=t.arange(8.0))[0]

    same(program)


def test_segment_reduce():
    def program(t):
        found = []
        for how in ("sum", "mean", "prod", "max"):
            for initial in (None, 2.0):
                x = t.tensor([1.0, 3, 3, -2, 5, 0, 3, 3], requires_grad=True)
                y = t.segment_reduce(x, how, lengths=t.tensor([3, 0, 2, 3]), initial=initial)
                (y.nan_to_num(0, 0, 0) * t.arange(1.0, 5)).sum().backward()
                z = t.randn(2, 4, 3, requires_grad=True)
                w = t.segment_reduce(z, how, offsets=t.tensor([[0, 1, 4], [0, 3, 4]]), axis=1, initial=initial)
                (w**2).sum().backward()
                found.append((x, y, z, w))
        print(y.grad_fn)
        return found

    same(program)
    same_error(lambda t: t.segment_reduce(t.ones(3), "median", lengths=t.tensor([3])), RuntimeError, "expected one of|must be either")
    same_error(lambda t: t.segment_reduce(t.ones(3), "sum"), RuntimeError, "Either lengths or offsets must be defined")
    same_error(lambda t: t.segment_reduce(t.ones(3), "sum", lengths=t.tensor([2])), RuntimeError, "sum to data.size")
    same_error(lambda t: t.segment_reduce(t.ones(3, 2), "sum", lengths=t.tensor([2]), axis=1), RuntimeError, "last dimension of lengths")


def test_a_public_name_is_there_or_refused():
    """Of the namespaces that users read: what torch lists as its own is here, or says why not."""
    for path in (
        "cuda",
        "autograd",
        "autograd.graph",
        "jit",
        "func",
        "accelerator",
        "masked",
        "utils.data",
        "backends.cuda",
        "distributions",
    ):
        theirs, ours = torch, shim
        for part in path.split("."):
            theirs, ours = getattr(theirs, part), getattr(ours, part)
        missing = []
        for name in set(theirs.__all__) - {"_DatasetKind"}:
            try:
                getattr(ours, name)
            except NotImplementedError as error:
                assert f"torch.{path}.{name} is not supported" in str(error)
            except AttributeError:
                missing.append(name)
        assert missing == [], path
    with pytest.raises(AttributeError, match=r"module 'funnn.torch.cuda' has no attribute 'never_there'"):
        shim.cuda.never_there  # noqa: B018


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
    **dict.fromkeys(("sspaddmm", "saddmm", "sparse_bsr_tensor", "resize_as_sparse_"), "indices"),
    **dict.fromkeys(("quantize_per_tensor", "q_scale", "dequantize", "int_repr", "qscheme"), "quantised"),
    **{
        "nested": "nested",
        "float4_e2m1fn_x2": "numbers",
        "mkldnn_convolution": "vendor",
        "cudnn_batch_norm": "vendor",
    },
    **{"sym_max": "Python integers", "share_memory_": "processes"},
    "symeig": "removed",
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


def test_complex_numbers_are_no_real_ones():
    def conversions(t):
        return float(t.tensor(1 + 0j)), int(t.tensor(2 + 0j)), complex(t.tensor(1 + 2j))

    same(conversions)
    same_error(lambda t: float(t.tensor(1 + 2j)), RuntimeError, "cannot be converted to type double")
    same_error(lambda t: int(t.tensor(1 + 2j)), RuntimeError, "cannot be converted to type int64_t")
    same_error(lambda t: t.tensor(1 + 2j, requires_grad=True).mul(2).backward(), RuntimeError, "only for real scalar outputs")
    same_error(
        lambda t: setattr(t.ones(2, requires_grad=True), "data", t.ones(2).long()), RuntimeError, "must be floating point or complex"
    )
    same_error(lambda t: t.erf(t.tensor(1 + 2j)), NotImplementedError, "not implemented for")
    same_error(lambda t: t.nn.functional.softmax(t.ones(2).long(), 0), NotImplementedError, "softmax")


def test_classes_print_as_torchs():
    def classes(t):
        class Own(t.Tensor):
            pass

        class OwnParameter(t.nn.Parameter):
            pass

        x = t.ones(1)
        print(type(x), type(x.shape), type(x.dtype), type(x.device), type(t.nn.Parameter(x)), type(t.nn.UninitializedParameter()), t.Tensor)
        print(Own.__name__, Own([1.0, 2.0]), issubclass(OwnParameter, t.Tensor))
        hooked = t.ones(1, requires_grad=True)
        print(type(hooked.register_hook(print)).__name__, type(t.nn.Linear(1, 1).register_forward_hook(print)).__name__)

    same(classes)


def test_flags_of_cudnn_hold_in_a_block():
    def program(t):
        cudnn = t.backends.cudnn
        with pytest.raises(KeyError), cudnn.flags(enabled=False, benchmark=True, deterministic=True, allow_tf32=False):
            inside = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
            raise KeyError
        return inside, (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)

    same(program)


def test_flags_of_cudnn_hold_in_their_context():
    def program(t):
        cudnn = t.backends.cudnn

        def current():
            return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32

        before = current()
        with cudnn.flags():
            print(current())
            with cudnn.flags(enabled=True, benchmark=True, deterministic=True, allow_tf32=False):
                print(current())
            print(current())
        print(cudnn.set_flags(_benchmark=True)[:2], current(), cudnn.benchmark_limit)
        cudnn.set_flags(*before[:2])
        return before, current()

    same(program)
