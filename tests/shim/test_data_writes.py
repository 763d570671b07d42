"""Writes that autograd does not see, through ``.data``: backward finds them where PyTorch saved what was written; and overlapping copies."""

import functools

import numpy as np
import pytest
import torch
from opinfo import every, forms, op_db, op_id, samples, tensors, to_shim
from opinfo import values_of as numbers
from twin import same, same_error

import funnn.torch as shim

PROGRAMS = []
pytestmark = pytest.mark.filterwarnings("ignore")


def program(function):
    PROGRAMS.append(function)
    return function


def leaf(t, *numbers):
    return t.tensor(numbers or (1.0, 2.0, 3.0), requires_grad=True)


@program
def an_operand(t):
    x, w = leaf(t), leaf(t, 2.0, 3.0, 4.0)
    y = x * w
    x.data.mul_(2)
    y.sum().backward()
    return x, w


@program
def operands_that_need_no_gradient(t):
    x, w, mask = t.tensor([1.0, 2.0, 3.0]), leaf(t), t.tensor([True, False, True])
    y = t.where(mask, x * w, w)
    x.data[0] = 9
    mask.data.logical_not_()
    y.sum().backward()
    return w


@program
def the_result(t):
    """The example of PyTorch's guide to version 0.4."""
    w = leaf(t)
    out = w.sigmoid()
    out.data.zero_()
    out.sum().backward()
    return w


@program
def a_result_in_place_and_in_part(t):
    w = leaf(t)
    y = w * 1
    y.exp_()
    z = y * y
    y.data[1:] = 7
    z.sum().backward()
    return w


@program
def data_that_becomes_another_tensor(t):
    x, w = t.tensor([1.0, 2.0, 3.0]), leaf(t)
    y = (x * w).sum() + (w**2).sum()
    x.data = x.data * 3
    w.data = w.data - 1
    y.backward()
    return w


@program
def a_parameter_between_two_passes(t):
    net = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))
    x = t.linspace(-1, 1, 15).reshape(5, 3).requires_grad_()
    loss = (net(x) ** 2).mean()
    loss.backward(retain_graph=True)
    for p in net.parameters():
        p.data -= 0.5 * p.grad
    loss.backward()
    return x, list(net.parameters())


@program
def views(t):
    w = leaf(t)
    v = w * 1
    y = v.expand(2, 3) ** 3 + v[None] * v.reshape(3, 1)[:1]
    v.data[1] += 1
    y.sum().backward()
    return w


@program
def second_derivatives(t):
    w = leaf(t)
    (g,) = t.autograd.grad((w**3).sum(), w, create_graph=True)
    w.data.add_(1)
    g.sum().backward()
    v = leaf(t)
    y = (v**3).sum() + v.exp().sum()
    v.data.add_(1)
    (g,) = t.autograd.grad(y, v, create_graph=True)
    g.sum().backward()
    return w, v


@program
def results_of_elementary_functions(t):
    w = leaf(t, 0.5, 1.0, 1.5)
    found = []
    for name in ("exp", "exp2", "expm1", "sqrt", "rsqrt", "reciprocal", "tan", "tanh", "sigmoid", "relu", "log_softmax", "softmax"):
        y = getattr(w, name)(*([0] if name.endswith("softmax") else []))
        y.data.mul_(0.5)
        found += t.autograd.grad((y * t.tensor([1.0, 2.0, 3.0])).sum(), w)
    return found


@program
def loops_that_update_by_data(t):
    w = leaf(t)
    for _ in range(4):
        loss = ((w * t.tensor([1.0, 2.0, 3.0]) - 1) ** 2).sum()
        loss.backward()
        w.data -= 0.1 * w.grad
        w.grad.data.zero_()
    target = t.zeros(3)
    target.data.copy_(w.data)
    return w, target


@program
def statistics_of_batch_norm(t):
    bn = t.nn.BatchNorm1d(3)
    x = t.arange(12.0).reshape(4, 3).requires_grad_()
    (bn(x).pow(3).sum() + bn(2 * x).sum()).backward()
    bn.eval()
    y = bn(x).sum()
    bn.running_var.data.mul_(4)
    y.backward()
    return x, bn.weight, bn.bias


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_program(program):
    same(program)


VERSION = "modified by an inplace operation"


@pytest.mark.parametrize("function", ["silu", "gelu", "elu", "softplus", "hardtanh", "mish", "glu", "threshold"])
def test_in_place_writes_to_what_is_saved(function):
    """Of activations too, whose derivatives are kept here in another form."""

    def program(t):
        x = t.tensor([1.0, -2.0], requires_grad=True)
        y = getattr(t.nn.functional, function)(x * 1, *([0.1, 0.0] if function == "threshold" else []))
        h = x * 1
        y = getattr(t.nn.functional, function)(h, *([0.1, 0.0] if function == "threshold" else []))
        h.detach().mul_(2)
        y.sum().backward()

    same_error(program, RuntimeError, VERSION)


def test_a_detached_tensor_counts_versions():
    def program(t):
        w = leaf(t)
        out = w.sigmoid()
        out.detach().zero_()
        out.sum().backward()

    same_error(program, RuntimeError, VERSION)


def test_what_is_refused():
    """Where torch saved something that is not there here, the gradient is refused, not made of other numbers."""
    x = shim.tensor([[1.0, 2.0, 4.0]], requires_grad=True)
    y = shim.nn.functional.layer_norm(x, (3,))
    x.data.mul_(2)
    with pytest.raises(NotImplementedError, match=r"NativeLayerNormBackward0 was written through \.data before backward"):
        y.pow(2).sum().backward()


def test_another_shape():
    def program(t):
        w = leaf(t)
        y = (w * t.ones(3)).sum() + (w * w).sum()
        w.data = t.ones(2)
        y.backward()

    same_error(program, RuntimeError, "must match the size of tensor|has the shape")


#: Operations whose operands torch copies before it saves them, for some sizes: a write is not seen there, and is here.
COPIED = ("matmul", "__rmatmul__", "kron", "tensordot", "nn.functional.conv2d", "nn.functional.conv3d", "as_strided_scatter", "as_strided")
#: Operations whose result torch saves, which a write to it changes; here they do not read it.
RESULT_UNREAD = ("ormqr", "bernoulli", "linalg.norm")
LEFT_OUT = (*COPIED, "nn.functional.triplet_margin_with_distance_loss", "nn.functional.embedding_bag")  # given a function, an older order
OPS = {
    op_id(op): (op, torch.float32)
    for op in op_db
    if torch.float32 in op.dtypes
    and op.supports_autograd
    and op.name not in LEFT_OUT
    and None not in next(iter(forms(op).values()), (None,))
}


def gradients(library, function, sample, written, number):
    """The gradients of all operands after a write through ``.data`` to one of them, or to a result."""
    library.manual_seed(0)
    arguments = to_shim((sample.input, *sample.args)), to_shim(dict(sample.kwargs))
    if library is torch:
        arguments = copied((sample.input, *sample.args)), copied(dict(sample.kwargs))
    operands = [x for x in tensors(list(arguments), library.Tensor) if x.is_floating_point()]
    results = [x for x in tensors(function(*arguments[0], **arguments[1]), library.Tensor) if x.is_floating_point() and x.requires_grad]
    {"operand": operands, "result": results}[written][number].data.mul_(0.75)
    total = sum((x * x.detach().new_ones(x.shape)).sum() for x in results)
    return library.autograd.grad(total, [x for x in operands if x.requires_grad], allow_unused=True)


def copied(x):
    if isinstance(x, torch.Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    if isinstance(x, dict):
        return {key: copied(value) for key, value in x.items()}
    return type(x)(map(copied, x)) if type(x) in (tuple, list) else x


@every(OPS)
def test_operations_of_the_database(op, dtype):
    """The gradient is torch's, or refused; also an error of torch is one here."""
    (theirs, ours), *_ = forms(op).values()
    for sample in samples(op, dtype, True, most=1):
        operands = [x for x in tensors([[sample.input, *sample.args], sample.kwargs], torch.Tensor) if x.is_floating_point()]
        for written, number in [*(("operand", n) for n in range(len(operands))), ("result", 0)]:
            if written == "result" and op.name in RESULT_UNREAD:
                continue
            of = functools.partial(gradients, sample=sample, written=written, number=number)
            try:
                expected = of(torch, theirs)
            except (RuntimeError, IndexError, TypeError):
                continue
            try:
                got = of(shim, ours)
            except NotImplementedError as error:
                assert ".data" in str(error)
                continue
            for a, b in zip(got, expected, strict=True):
                if a is not None and b is not None:
                    np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-3, atol=1e-4)


OVERLAP = "some elements of the input tensor and the written-to tensor refer to a single memory location"


def overlapping(t, how):
    x = t.arange(9.0).reshape(3, 3) if "square" in how.__code__.co_varnames else t.arange(9.0)
    how(t, x)
    return x


@pytest.mark.parametrize(
    "how",
    [
        lambda t, x: x[1:].copy_(x[:-1]),
        lambda t, x: x.__setitem__(slice(1, None), x[:-1]),
        lambda t, x: x[1:].__iadd__(x[:-1]),
        lambda t, x: x[1:].addcmul_(x[:-1], x[:-1]),
        lambda t, x: t.add(x[:-1], 1, out=x[1:]),
        lambda t, square: square.copy_(square.t()),
        lambda t, square: t.mul(square.t(), 2, out=square),
        lambda t, x: x.__setitem__(t.tensor([1, 2, 3]), x[:3]),
        lambda t, x: x.scatter_(0, t.tensor([0, 1]), x[1:3]),
    ],
)
def test_overlapping_writes_are_refused(how):
    same_error(lambda t: overlapping(t, how), RuntimeError, OVERLAP)


@pytest.mark.parametrize(
    "how",
    [
        lambda t, x: x[1::2].copy_(x[::2][:4]),
        lambda t, x: x[1:].sub_(x[1:]),
        lambda t, x: t.exp(x, out=x),
        lambda t, x: x[:4].copy_(x[5:]),
        lambda t, square: square[0].add_(square[1]),
        lambda t, square: square.mul_(square),
    ],
)
def test_writes_that_are_none(how):
    same(lambda t: overlapping(t, how))
