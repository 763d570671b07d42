"""Tensor against torch's: constructors, dtypes and promotion, operators, the ways out, printing, errors."""

import copy
import pickle

import jax
import numpy as np
import pytest
import torch
from twin import same, same_error

import funnn.torch as shim

DTYPES = [
    *("bool", "uint8", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
]
NUMBERS = {"bool": True, "int": 3, "float": 2.5, "complex": 1 + 2j}

# -- constructors

CONSTRUCTORS = {
    "numbers": lambda t: [t.tensor(v) for v in (1, 1.5, True, 1j)],
    "lists": lambda t: [t.tensor(v) for v in ([1, 2], [1, 2.5], [[True], [False]], [], [[]], [1.0, True], [1, 2j], (1, (2)))],
    "dtypes": lambda t: [t.tensor([1.7, -2.0, 0.0], dtype=getattr(t, d)) for d in DTYPES if d not in ("uint8",)],
    "requires_grad": lambda t: t.tensor([1.0, 2.0], requires_grad=True),
    "of tensors": lambda t: [t.tensor([t.tensor(1.0), t.tensor(2.0)]), t.tensor([t.tensor(1), 2])],
    "of arrays": lambda t: [
        t.tensor(np.arange(3)),
        t.tensor(np.float32([1, 2])),
        t.tensor([np.float64(1), np.float64(2)]),
        t.tensor(np.float64(1)),
    ],
    "of a list of arrays": lambda t: t.tensor(np.array([np.float32([1, 2]), np.float32([3, 4])])),
    "from_numpy": lambda t: [t.from_numpy(np.arange(6).reshape(2, 3)), t.from_numpy(np.array(2.5)), t.from_numpy(np.array([True]))],
    "as_tensor": lambda t: [t.as_tensor([1, 2]), t.as_tensor(np.ones(2)), t.as_tensor(t.ones(2), dtype=t.float64), t.asarray([1.0])],
    "zeros": lambda t: [
        t.zeros(2, 3),
        t.zeros((2, 3)),
        t.zeros([2]),
        t.zeros(()),
        t.zeros(0, 2),
        t.zeros(2, dtype=t.int64),
        t.zeros(t.Size([1])),
    ],
    "ones": lambda t: [t.ones(2, requires_grad=True), t.ones(size=(2, 1)), t.ones(2, dtype=t.bool), t.ones(1, device="cpu")],
    "full": lambda t: [t.full((2,), 3), t.full((2,), 3.0), t.full((), True), t.full([2, 1], 1, dtype=t.float16), t.full((2,), 1 + 1j)],
    "empty": lambda t: [t.empty(2, 3).shape, t.empty(3, dtype=t.long).dtype, t.empty(0)],
    "arange": lambda t: [t.arange(5), t.arange(1, 4), t.arange(0, 1, 0.25), t.arange(5.0), t.arange(5, 0, -2), t.arange(3, dtype=t.float)],
    "arange, named": lambda t: [t.arange(start=1, end=4), t.arange(1, end=7, step=2), t.arange(end=3), t.arange(0, 1, 0.1), t.arange(2, 2)],
    "arange of Python types": lambda t: [t.arange(3, dtype=float), t.arange(3, dtype=int), t.zeros(2, dtype=bool)],
    "linspace": lambda t: [
        t.linspace(0, 1, 5),
        t.linspace(-1, 1, 4),
        t.linspace(3, 10, 1),
        t.linspace(1, 2, 0),
        t.linspace(0, 10, 11, dtype=t.float64),
    ],
    "eye": lambda t: [t.eye(3), t.eye(2, 3), t.eye(2, dtype=t.int64)],
    "like": lambda t: [
        t.zeros_like(t.ones(2, 2)),
        t.ones_like(t.arange(3)),
        t.full_like(t.ones(2), 7),
        t.zeros_like(t.ones(2), dtype=t.int64),
    ],
    "empty_like": lambda t: t.empty_like(t.ones(2, 3)).shape,
    "new": lambda t: [
        t.ones(1).double().new_zeros(2, 3),
        t.ones(1).new_ones((2,)),
        t.ones(1).long().new_full((2,), 3),
        t.ones(1).new_tensor([1, 2]),
    ],
    "legacy": lambda t: [
        t.Tensor(2, 3).shape,
        t.Tensor([1, 2]),
        t.FloatTensor([1, 2]),
        t.LongTensor([[1], [2]]),
        t.ByteTensor([1]),
        t.Tensor(),
    ],
    "legacy, types": lambda t: [
        isinstance(t.ones(1), t.FloatTensor),
        isinstance(t.ones(1), t.LongTensor),
        t.ones(1).type(),
        t.arange(2).type(),
    ],
    "random": lambda t: [t.rand(3), t.randn(20), t.randint(10, (5,)), t.randint(3, 9, (4,)), t.randperm(6), t.rand(2, dtype=t.float64)],
    "random, like": lambda t: [
        t.rand_like(t.ones(3)),
        t.randn_like(t.ones(2, 2)),
        t.normal(0.0, 2.0, (4,)),
        t.bernoulli(t.full((4,), 0.5)),
    ],
    "random, in place": lambda t: [t.empty(5).uniform_(-1, 1), t.empty(18).normal_(1, 2), t.empty(4, dtype=t.long).random_(7)],
    "scalar_tensor": lambda t: t.scalar_tensor(2.5),
    "default dtype": lambda t: (t.set_default_dtype(t.float64), t.tensor(1.5), t.zeros(1), t.set_default_dtype(t.float32))[1:3],
    "dtype predicates": lambda t: [
        (getattr(t, d).is_floating_point, getattr(t, d).is_complex, getattr(t, d).is_signed, getattr(t, d).itemsize) for d in DTYPES
    ],
    "dtype repr": lambda t: [repr(getattr(t, d)) for d in (*DTYPES, "half", "float", "double", "long", "int", "short")],
    "device": lambda t: [repr(t.device("cpu")), str(t.device("cuda:1")), repr(t.device("cuda", 0)), t.device("cpu") == t.ones(1).device],
    "Size": lambda t: [
        repr(t.Size([2, 3])),
        t.Size([2, 3]).numel(),
        tuple(t.Size([2, 3])[1:]),
        t.Size([2]) + (3,) == (2, 3),
        t.Size([1]) == t.ones(1).shape,
    ],
    "Size, slice": lambda t: repr(t.Size([2, 3, 4])[1:]),
    "is_tensor": lambda t: [t.is_tensor(t.ones(1)), t.is_tensor(1), t.numel(t.ones(2, 3)), t.is_floating_point(t.ones(1))],
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructors(name):
    same(CONSTRUCTORS[name])


# -- promotion


def example(t, dtype, dimensioned, other=False):
    values = ([True, False, True], [3, 2, 2]) if dtype == "bool" else ([4, 1, 3], [3, 2, 2])
    values = values[other] if dimensioned else values[other][0]
    return t.tensor(values, dtype=getattr(t, dtype))


def dtypes_make_complex32(*dtypes):
    """torch joins float16 and complex numbers to complex32, which it hardly implements and JAX has not; the shim joins them to complex64."""
    return "float16" in dtypes and any("complex" in dtype for dtype in dtypes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dimensions", [(1, 1), (1, 0), (0, 1)])
def test_two_tensors(dtype, dimensions):
    """Every pair of dtypes; operation by operation, because that compiles less than one program for each pair."""
    for other in DTYPES:
        if dtypes_make_complex32(dtype, other):
            continue

        def program(t, other=other):
            a, b = example(t, dtype, dimensions[0]), example(t, other, dimensions[1], other=True)
            results = [t.result_type(a, b), a + b, a * b, a / b, a == b]
            return results if "complex" in dtype + other else [*results, a < b]

        with jax.disable_jit():
            same(program)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_and_number(dtype):
    """Numbers are traced: their category counts, their precision does not."""
    for kind, number in NUMBERS.items():
        if dtypes_make_complex32(dtype, kind):
            continue

        def program(t, number=number):
            results = []
            for a in (example(t, dtype, True), example(t, dtype, False)):
                results += [t.result_type(a, number), a + number, number * a, a / number, a == number]
            return results

        same(program)


def test_reflected_operators():
    def program(t):
        x, i = t.tensor([1.0, 2.0, 4.0]), t.tensor([1, 2, 5])
        return [
            [2 + x, 2 - x, 2 * x, 2 / x, 2**x, 7 // i, 7 % i, 2 - i, 2 / i, 2**i, 7.5 // x, -7 % i, -7 // i],
            [i & 3, 3 | i, i ^ 1, ~i, -i, +i, abs(-x), i == 2, i == 2, i != 2, i < 2, i > 2, i <= 2, i >= 2, i > 2],
            [i // 2, i % 2, x // 2, x % 1.5, i**2, x**-1, x**0.5, x**3, x**2.0, (-x) ** 2, i.float() ** i, x @ x, i @ i],
            [t.tensor([True]) & t.tensor([False]), ~t.tensor([True]), True | t.tensor([False]), t.tensor([True]) + t.tensor([True])],
        ]

    same(program)


def test_in_place_operators():
    def program(t):
        x = t.tensor([1.0, 2.0])
        y = x
        x += 1
        x *= t.tensor([2.0, 3.0])
        x -= 0.5
        x /= 2
        x **= 2
        i = t.tensor([7, -7])
        j = i
        i //= 2
        i += 1
        i %= 3
        i |= 8
        i &= 12
        i ^= 1
        m = t.tensor([True, False])
        m |= True
        return x, y, x is y, i, j, m

    same(program)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, about NumPy 2
def test_numpy_meets_tensors():
    def program(t):
        x = t.tensor([1.5, 2.0])
        return [
            np.asarray(x, dtype=np.float64),
            np.array(x),
            np.float32(2) * x,
            x + np.ones(2, np.float32),
            np.sin(x),
            x == np.ones(2, np.float32),
        ]

    same(program)


METHODS = {
    "shape": lambda t, x: [
        x.shape,
        x.size(),
        x.size(0),
        x.size(-1),
        x.dim(),
        x.ndim,
        x.numel(),
        x.nelement(),
        x.stride(),
        x.stride(1),
        len(x),
    ],
    "dtype": lambda t, x: [
        x.dtype,
        x.device,
        x.is_floating_point(),
        x.is_complex(),
        x.element_size(),
        x.requires_grad,
        x.is_leaf,
        x.is_cuda,
    ],
    "conversions": lambda t, x: [
        x.double(),
        x.half(),
        x.bfloat16(),
        x.int(),
        x.long(),
        x.short(),
        x.bool(),
        x.to(t.float64),
        x.to("cpu"),
        x.float() is x,
    ],
    "to": lambda t, x: [
        x.to(t.long),
        x.to(dtype=t.half),
        x.to("cpu", t.double),
        x.to(t.ones(1).double()),
        x.to(t.device("cpu")) is x,
        x.type(t.int32),
    ],
    "type": lambda t, x: [x.type(), x.type("torch.DoubleTensor"), x.type_as(t.arange(2)), x.type(t.LongTensor)],
    "copies": lambda t, x: [x.clone(), x.detach(), x.contiguous() is x, x.cpu() is x, x.t().contiguous(), x.data],
    "reductions": lambda t, x: [
        x.sum(),
        x.mean(),
        x.prod(),
        x.std(),
        x.var(),
        x.max(),
        x.min(),
        x.argmax(),
        x.argmin(),
        x.norm(),
        x.all(),
        x.any(),
    ],
    "reductions, dim": lambda t, x: [
        x.sum(0),
        x.sum(dim=1, keepdim=True),
        x.mean(-1),
        x.prod(1),
        x.std(0),
        x.var(1, unbiased=False),
        x.argmax(1),
        x.norm(dim=1),
    ],
    "reductions, dims": lambda t, x: [
        x.sum((0, 1)),
        x.mean(dim=(0, 1), keepdim=True),
        x.amax(1),
        x.amin((0, 1)),
        x.var(dim=(0, 1)),
        x.std(correction=0),
    ],
    "max": lambda t, x: [
        x.max(0),
        x.min(dim=1, keepdim=True),
        x.max(1).indices,
        x.max(0)[0],
        x.min(1).values,
        t.max(x, x.flip(0)),
        t.min(x, -x),
    ],
    "sort": lambda t, x: [
        x.sort(),
        x.sort(0, descending=True),
        x.argsort(1),
        x.topk(2),
        x.topk(1, dim=0, largest=False),
        t.sort(x, dim=0).values,
    ],
    "cumulative": lambda t, x: [x.cumsum(0), x.cumprod(1), x.logsumexp(1), t.cumsum(x, dim=1)],
    "integers": lambda t, x: [x.long().sum(), x.bool().sum(), x.int().prod(), x.long().cumsum(0), x.bool().all(1), x.bool().any(dim=0)],
    "clamp": lambda t, x: [
        x.clamp(0, 1),
        x.clamp(min=0),
        x.clamp(max=0.5),
        x.clip(-1, 1),
        x.clamp(t.zeros(3), t.ones(3)),
        x.long().clamp(0, 1),
    ],
    "pointwise": lambda t, x: [
        x.exp(),
        x.abs(),
        x.sqrt(),
        x.sin(),
        x.round(),
        x.floor(),
        x.ceil(),
        x.sign(),
        x.neg(),
        x.square(),
        x.trunc(),
        x.reciprocal(),
    ],
    "integer to float": lambda t, x: [x.long().exp(), x.int().sqrt(), x.bool().sin(), x.long().sigmoid(), x.long().abs(), x.long().sign()],
    "logic": lambda t, x: [
        x.isnan(),
        (x / 0).isinf(),
        x.isfinite(),
        x.logical_not(),
        x.logical_and(x > 0),
        x.eq(x),
        x.equal(x),
        x.allclose(x + 1e-9),
    ],
    "where": lambda t, x: [
        t.where(x > 0, x, 0.0),
        x.where(x > 0, -x),
        t.where(x > 0, 1.0, 0.0),
        t.where(x > 0, x, x.double()),
        x.masked_fill(x > 0, 9),
    ],
    "shape changes": lambda t, x: [
        x.view(-1),
        x.view(3, 2),
        x.reshape(6),
        x.reshape((3, -1)),
        x.flatten(),
        x.T,
        x.t(),
        x.unsqueeze(0),
        x[None].squeeze(),
        x.ravel(),
    ],
    "shape changes 2": lambda t, x: [
        x.expand(2, 2, 3),
        x.repeat(2, 1),
        x.tile(2),
        x.permute(1, 0),
        x.transpose(0, 1),
        x.movedim(0, 1),
        x.unflatten(1, (3, 1)),
        x.mT,
    ],
    "pieces": lambda t, x: [
        x.split(1),
        x.chunk(2, dim=1),
        x.unbind(1),
        x.split([1, 2], dim=1),
        x.narrow(1, 1, 2),
        x.select(0, 1),
        x.diagonal(),
        x.unfold(1, 2, 1),
    ],
    "joining": lambda t, x: [
        t.cat([x, x]),
        t.cat((x, x.long()), dim=1),
        t.stack([x, x], dim=-1),
        t.concat([x, t.tensor([])]),
        t.flip(x, [0, 1]),
        t.roll(x, 1, 0),
    ],
    "picking": lambda t, x: [
        x.gather(1, t.tensor([[0], [2]])),
        x.index_select(1, t.tensor([2, 0])),
        x.nonzero(),
        t.nonzero(x, as_tuple=True),
        x.tril(),
        x.triu(1),
    ],
    "scatter": lambda t, x: [
        x.scatter(1, t.tensor([[0], [2]]), 9.0),
        x.scatter(0, t.tensor([[1, 0, 1]]), t.ones(1, 3)),
        x.repeat_interleave(2, dim=1),
    ],
    "matrices": lambda t, x: [
        x @ x.T,
        x.mm(x.T),
        x.mv(x[0]),
        x[0].dot(x[1]),
        t.outer(x[0], x[1]),
        t.addmm(t.ones(2), x, x.T),
        t.einsum("ij,kj->ik", x, x),
    ],
    "matrices 2": lambda t, x: [
        t.matmul(x, x[0]),
        x[0] @ x.T,
        x[None].bmm(x.T[None]),
        x[None] @ x.T,
        t.addmm(t.ones(2), x, x.T, beta=2, alpha=0.5),
        x[None, None] @ x.T,
    ],
    "combined": lambda t, x: [
        t.lerp(x, x + 1, 0.5),
        t.addcmul(x, x, x, value=0.5),
        t.addcdiv(x, x, x + 9, value=2),
        x.add(x, alpha=2),
        x.sub(1, alpha=3),
    ],
    "division": lambda t, x: [
        x.div(2, rounding_mode="floor"),
        x.div(2, rounding_mode="trunc"),
        x.floor_divide(2),
        x.remainder(2),
        x.long() // -2,
        x.long().div(-2, rounding_mode="trunc"),
    ],
    "in place": lambda t, x: [
        x.add_(1),
        x.mul_(2),
        x.clamp_(0, 4),
        x.zero_(),
        x.fill_(3),
        x.copy_(t.arange(3)),
        x.relu_(),
        x.exp_(),
        x.sub_(x),
        x.neg_(),
    ],
    "in place shape": lambda t, x: [x.unsqueeze_(0).shape, x.squeeze_(0).shape, x.t_().shape, x.transpose_(0, 1)],
    "fill": lambda t, x: [x.fill_(t.tensor(2)), x.masked_fill_(x > 0, 1), x.long().fill_(2.7), x.bool().fill_(3)],
    "out": lambda t, x: [t.add(x, x, out=t.empty(2, 3)), t.exp(x, out=x), t.cat([x, x], out=t.empty(4, 3))],
    "iteration": lambda t, x: [list(x), [v.item() for v in x[0]], 2.0 in x, 77.0 in x, [float(v) for v in x.flatten()]],
    "numbers": lambda t, x: [
        x[0, 0].item(),
        x[0, 0].long().item(),
        (x[0, 0] > 0).item(),
        x.tolist(),
        x[0].long().tolist(),
        x[0, 1].tolist(),
        t.tensor(1j).item(),
    ],
    "python numbers": lambda t, x: [
        float(x[0, 0]),
        int(x[1, 0]),
        bool(x[0, 0]),
        bool(t.tensor([0])),
        complex(x[0, 0]),
        range(5)[t.tensor(2)],
        [1, 2, 3][t.tensor(1)],
    ],
    "numpy": lambda t, x: [x.numpy(), np.asarray(x), x.t().numpy(), np.sin(x.numpy()), x.bool().numpy()],
    "numpy numbers": lambda t, x: [t.tensor(np.float32(2)) * x, x * np.float32(2), x > np.float64(1), x + np.int64(1), x * np.bool_(True)],
    "version": lambda t, x: [x._version, x.add_(1)._version, x.data.add_(1)._version, x._version, x[0].mul_(2)._version, x._version],
    "hash": lambda t, x: [x in {x: 1}, len({x, x}), hash(x) == hash(x), x is x.data],
    "data": lambda t, x: [setattr(x, "data", t.ones(2)), x],
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    same(lambda t: METHODS[name](t, t.tensor([[1.5, -0.5, 2.0], [-3.0, 0.25, 1.0]])))


# -- copies


def test_pickle_and_deepcopy():
    for t in (shim, torch):
        x = t.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        (x * x).sum().backward()
        a, b = copy.deepcopy([x, x])
        assert a is b and a is not x and a.requires_grad and a.is_leaf
        assert a.grad is not x.grad and a.grad.tolist() == x.grad.tolist()
        with t.no_grad():
            a.add_(1)
        assert x.tolist() == [[1, 2], [3, 4]]
        for tensor in (x, x.detach().t(), t.arange(3), t.tensor([True]), t.tensor(1.5).bfloat16(), x.detach()[0]):
            back = pickle.loads(pickle.dumps(tensor))
            assert back.tolist() == tensor.tolist() and back.dtype is tensor.dtype and back.requires_grad == tensor.requires_grad
        assert pickle.loads(pickle.dumps(t.float16)) is t.float16 and copy.deepcopy(t.float16) is t.float16
        y = copy.copy(x.detach())
        assert y.tolist() == x.tolist()


def test_deepcopy_keeps_views_apart():
    def program(t):
        x = t.arange(6.0)
        y = copy.deepcopy(x[2:4])
        y.zero_()
        return x, y

    same(program)


# -- text

PRINTED = {
    "plain": lambda t, x: print(x),
    "formats": lambda t, x: print(f"{x} {x!r} {x!s} {x[0, 0]} {x[0, 0]:.3f} {x[0, 0].long():5d} {x.sum():8.2e}"),
    "grad": lambda t, x: (x.requires_grad_(), print(x, x * 2, x.sum(), x[0], x.detach(), x.t(), sep="\n")),
    "grad_fn": lambda t, x: (x.requires_grad_(), print((x + 1).grad_fn, (x @ x.t()).grad_fn, x.grad_fn)),
    "dtypes": lambda t, x: [print(x.to(getattr(t, d))) for d in DTYPES if d != "uint8"],
    "results": lambda t, x: [
        print(r) for r in (x > 0, x.argmax(1), x.max(), x.view(1, 2, 3), x.sum().double(), t.empty(0, 3), x.shape, x.size(0), x.dtype)
    ],
    "pairs": lambda t, x: [print(x.max(1)), print(x.sort()), print(x.topk(1))],
    "lists": lambda t, x: print([x[0], x.shape], (x.dtype,), {"a": x[0, 0]}),
    "options": lambda t, x: (t.set_printoptions(precision=2), print(x / 3), t.set_printoptions(profile="default"), print(x / 3))[:0],
    "large": lambda t, x: print(t.arange(3000).view(30, 100), t.arange(2000.0)),
    "format of vectors": lambda t, x: print(f"{x.shape} {x[0]}", str(x[1])),
    "device": lambda t, x: print(x.device, repr(x.device), t.device("cpu")),
    "view grad_fn": lambda t, x: (
        x.requires_grad_(),
        print(x.view(-1), x[:, 1], x[..., None], x.T, x.unsqueeze(0), x.reshape(3, 2), x.squeeze(), x.flatten()),
    ),
    "operator grad_fn": lambda t, x: (
        x.requires_grad_(),
        print(2 - x, 2 / x, x**2, 2**x, -x, x % 2, abs(x), x - 1, x / 2, x.mean(0), x.max(1)),
    ),
}


@pytest.mark.parametrize("name", PRINTED)
def test_printing(name):
    same(lambda t: PRINTED[name](t, t.tensor([[1.5, -0.5, 2.0], [-3.0, 0.25, 1.0]])) and None)


# -- errors


ERRORS = {
    "broadcast": (
        lambda t, x: x + t.ones(2),
        RuntimeError,
        r"size of tensor a \(3\) must match the size of tensor b \(2\) at non-singleton dimension 1",
    ),
    "in-place broadcast": (
        lambda t, x: t.ones(3).add_(x),
        RuntimeError,
        r"output with shape \[3\] doesn't match the broadcast shape \[2, 3\]",
    ),
    "in-place dtype": (lambda t, x: t.arange(3).add_(1.5), RuntimeError, "result type Float can't be cast to the desired output type Long"),
    "matmul": (lambda t, x: x @ x, RuntimeError, r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)"),
    "matmul dtype": (lambda t, x: x @ x.t().double(), RuntimeError, "same dtype"),
    "matmul scalar": (lambda t, x: x @ t.tensor(1.0), RuntimeError, "both arguments to matmul need to be at least 1D"),
    "dot": (lambda t, x: x[0].dot(t.ones(2)), RuntimeError, "inconsistent tensor size"),
    "view": (lambda t, x: x.view(4), RuntimeError, r"shape '\[4\]' is invalid for input of size 6"),
    "view of a transpose": (lambda t, x: x.t().view(6), RuntimeError, "view size is not compatible with input tensor's size and stride"),
    "reshape": (lambda t, x: x.reshape(4, -1), RuntimeError, r"shape '\[4, -1\]' is invalid for input of size 6"),
    "two unknowns": (lambda t, x: x.view(-1, -1), RuntimeError, "only one dimension can be inferred"),
    "item": (lambda t, x: x.item(), RuntimeError, "a Tensor with 6 elements cannot be converted to Scalar"),
    "bool": (lambda t, x: bool(x), RuntimeError, "Boolean value of Tensor with more than one value is ambiguous"),
    "bool of nothing": (lambda t, x: bool(x[:0]), RuntimeError, "Boolean value of Tensor with no values is ambiguous"),
    "float": (lambda t, x: float(x), ValueError, "only one element tensors can be converted to Python scalars"),
    "len": (lambda t, x: len(x[0, 0]), TypeError, r"len\(\) of a 0-d tensor"),
    "iteration": (lambda t, x: list(x[0, 0]), TypeError, "iteration over a 0-d tensor"),
    "index": (lambda t, x: x[2], IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
    "index, list": (lambda t, x: x[[2]], IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
    "too many indices": (lambda t, x: x[0, 0, 0], IndexError, "too many indices for tensor of dimension 2"),
    "0-d index": (lambda t, x: x[0, 0][0], IndexError, "invalid index of a 0-dim tensor|too many indices"),
    "float index": (lambda t, x: x[1.0], (IndexError, TypeError), "only integers, slices|indices must be"),
    "float tensor index": (lambda t, x: x[x], IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
    "mask shape": (
        lambda t, x: x[t.tensor([True])],
        IndexError,
        r"The shape of the mask \[1\] at index 0 does not match the shape of the indexed tensor \[2, 3\] at index 0",
    ),
    "log_softmax": (
        lambda t, x: t.nn.functional.log_softmax(x, dim=2),
        IndexError,
        r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)",
    ),
    "flip": (lambda t, x: x.flip(2), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"),
    "sort": (lambda t, x: x.sort(-3), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got -3\)"),
    "argmax": (lambda t, x: x.argmax(2), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"),
    "dim": (lambda t, x: x.sum(2), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"),
    "size": (lambda t, x: x.size(2), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"),
    "transpose": (
        lambda t, x: x.transpose(0, 2),
        IndexError,
        r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)",
    ),
    "expand": (
        lambda t, x: x.expand(2, 4),
        RuntimeError,
        r"The expanded size of the tensor \(4\) must match the existing size \(3\) at non-singleton dimension 1",
    ),
    "cat": (
        lambda t, x: t.cat([x, t.ones(2, 2)]),
        RuntimeError,
        "Sizes of tensors must match except in dimension 0. Expected size 3 but got size 2",
    ),
    "cat of nothing": (lambda t, x: t.cat([]), ValueError, "expected a non-empty list of Tensors"),
    "stack": (
        lambda t, x: t.stack([x, x[0]]),
        RuntimeError,
        r"stack expects each tensor to be equal size, but got \[2, 3\] at entry 0 and \[3\] at entry 1",
    ),
    "negative bool": (lambda t, x: -(x > 0), RuntimeError, "Negation, the `-` operator, on a bool tensor is not supported"),
    "bool minus bool": (
        lambda t, x: (x > 0) - (x > 0),
        RuntimeError,
        "Subtraction, the `-` operator, with two bool tensors is not supported",
    ),
    "integer requires grad": (
        lambda t, x: t.tensor([1], requires_grad=True),
        RuntimeError,
        "[Oo]nly Tensors of floating point.* dtype can require gradients",
    ),
    "mean of integers": (lambda t, x: t.arange(3).mean(), RuntimeError, r"mean\(\): could not infer output dtype"),
    "numpy with grad": (lambda t, x: x.requires_grad_().numpy(), RuntimeError, r"Can't call numpy\(\) on Tensor that requires grad"),
    "unequal rows": (lambda t, x: t.tensor([[1], [2, 3]]), ValueError, "expected sequence of .*length"),
    "text": (lambda t, x: t.tensor("a"), TypeError, "invalid data type 'str'"),
    "None": (lambda t, x: t.tensor([None]), RuntimeError, "Could not infer dtype of NoneType"),
    "add text": (lambda t, x: x + "a", TypeError, "."),
    "add None": (lambda t, x: x + None, TypeError, "."),
    "two sequences": (lambda t, x: t.Tensor([0, 0], [1, 1]), TypeError, "new"),
    "reassign requires_grad": (
        lambda t, x: (x.requires_grad_() * 2).requires_grad_(False),
        RuntimeError,
        "you can only change requires_grad flags of leaf variables",
    ),
    "split": (lambda t, x: x.split([1, 1], 1), RuntimeError, "split_with_sizes expects split_sizes to sum exactly to 3"),
    "narrow": (lambda t, x: x.narrow(1, 2, 2), RuntimeError, r"start \(2\) \+ length \(2\) exceeds dimension size \(3\)"),
    "copy_": (lambda t, x: x.copy_(t.ones(2)), RuntimeError, "must match"),
    "assignment": (lambda t, x: x.__setitem__(0, t.ones(2)), RuntimeError, "expand|must match"),
    "unknown device": (lambda t, x: x.to("nowhere"), RuntimeError, "device type"),
    "negative size": (lambda t, x: t.zeros(-1), RuntimeError, "must be non-negative"),
    "deepcopy": (
        lambda t, x: copy.deepcopy(x.requires_grad_() * 2),
        RuntimeError,
        r"Only Tensors created explicitly by the user .* support the deepcopy protocol",
    ),
    "attribute": (lambda t, x: x.nothing, AttributeError, "'Tensor' object has no attribute 'nothing'"),
    "expanded write": (
        lambda t, x: t.ones(1).expand(3).add_(1),
        RuntimeError,
        "more than one element of the written-to tensor refers to a single memory location",
    ),
    "no positive step": (lambda t, x: x[::-1], ValueError, "step must be greater than zero"),
    "clamp": (lambda t, x: x.clamp(), RuntimeError, "At least one of 'min' or 'max' must not be None"),
    "squeeze dim": (lambda t, x: x.squeeze(5), IndexError, "Dimension out of range"),
    "permute": (lambda t, x: x.permute(0), RuntimeError, "number of dimensions in the tensor input does not match"),
    "topk": (lambda t, x: x.topk(4), RuntimeError, "selected index k out of range"),
    "gather dtype": (lambda t, x: x.gather(1, t.ones(2, 1)), RuntimeError, "int64"),
    "randint": (lambda t, x: t.randint(0, (2,)), RuntimeError, "random_ expects 'from' to be less than 'to'"),
    "linear": (
        lambda t, x: t.nn.functional.linear(x, t.ones(2, 2)),
        RuntimeError,
        r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x2\)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    program, error, text = ERRORS[name]
    same_error(lambda t: program(t, t.tensor([[1.5, -0.5, 2.0], [-3.0, 0.25, 1.0]])), error, text)


OLDER_NAMES = {
    "chain_matmul": lambda t: t.chain_matmul(t.ones(2, 3), t.arange(12.0).reshape(3, 4), t.ones(4, 2)),
    "slogdet": lambda t: tuple(t.slogdet(t.tensor([[2.0, 1.0], [1.0, -3.0]]))),
    "fftfreq": lambda t: (t.fft.fftfreq(5), t.fft.fftfreq(4, d=0.5)),
    "rfftfreq": lambda t: (t.fft.rfftfreq(5), t.fft.rfftfreq(4, d=0.5)),
}


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("name", OLDER_NAMES)
def test_names_outside_the_database(name):
    same(OLDER_NAMES[name])
