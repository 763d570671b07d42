"""What classes and modes that override functions are asked for, name by name; and classes that are no tensors, for every function of torch."""

import inspect
import warnings

import numpy as np
import pytest
import torch

import funnn.torch as shim

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    EVERY = torch.overrides.get_testing_overrides()

pytestmark = pytest.mark.filterwarnings("ignore")
PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


@program
def operators(t, x):
    values = (
        x + 1,
        1 + x,
        x - 1,
        1 - x,
        x * 2,
        x / 2,
        2 / x,
        x // 2,
        3 // x,
        x % 2,
        2 % x,
        x**2,
        2**x,
        -x,
        abs(x),
        x @ x,
        x == x,
        x < 1,
        x >= 1,
        x != 1,
    )
    return values, ~(x > 0), (x > 0) & (x > 1), (x > 0) | (x > 1), (x > 0) ^ (x > 1)


@program
def in_place(t, x):
    x += 1
    x *= 2
    x -= 1
    x /= 2
    x //= 1
    x **= 2
    x.add_(1)
    x[0] = 1
    x[0]


@program
def questions(t, x):
    x.shape, x.dtype, x.device, x.dim(), x.size(), x.size(0), x.ndim, x.numel(), x.requires_grad, x.grad, x.grad_fn, x.is_leaf, x.stride()
    (
        x.is_contiguous(),
        x.data,
        x.T,
        x.mT,
        x.layout,
        x.is_sparse,
        x.is_cuda,
        x.is_floating_point(),
        x.element_size(),
        x.storage_offset(),
        x.nelement(),
    )
    (
        x.ndimension(),
        x.itemsize,
        x.nbytes,
        x.is_complex(),
        x.H,
        x.real,
        x._version,
        x.retains_grad,
        x.output_nr,
        x.is_shared(),
        x.is_inference(),
    )
    x.is_pinned(), x.get_device(), x.is_signed(), x.dim_order(), x.untyped_storage(), x.is_set_to(x)
    x.requires_grad = False
    x.data = x


@program
def numbers_and_text(t, x):
    x.sum().item(), x.tolist(), x.numpy(), len(x), bool(x.sum()), float(x.sum()), int(x.sum()), repr(x), str(x), f"{x}"
    complex(x[0, 0]), np.asarray(x)


@program
def iteration(t, x):
    for _ in x:
        pass
    _first, _second = x
    1 in x, list(x), list(reversed(x))


@program
def history(t, x):
    y = x.clone().requires_grad_()
    (y * y).sum().backward()
    y.grad, y.detach(), y.register_hook(lambda gradient: gradient), y.is_leaf, y.retain_grad()


@program
def functions(t, x):
    (
        t.add(x, 1),
        t.sum(x),
        t.stack([x, x]),
        t.where(x > 0, x, x),
        t.max(x, 1),
        t.zeros_like(x),
        t.full_like(x, 1),
        t.ones(2),
        t.tensor([1.0]),
    )
    t.linalg.norm(x), t.linalg.inv(x), t.fft.fft(x), t.special.expit(x), t.absolute(x), t.multiply(x, x), t.concat([x, x]), t.clip(x, 0, 1)
    t.true_divide(x, x), t.inverse(x), t.einsum("ij,jk->ik", x, x), t.from_numpy(np.ones(2)), t.manual_seed(0)


@program
def functional(t, x):
    f = t.nn.functional
    (
        f.relu(x),
        f.softmax(x, 1),
        f.linear(x, x),
        f.layer_norm(x, (2,)),
        f.dropout(x, 0.5),
        f.mse_loss(x, x),
        f.cross_entropy(x, t.tensor([0, 1])),
        f.pad(x, (1, 1)),
    )
    f.normalize(x), f.embedding(t.tensor([0]), x), f.max_pool1d(x, 2), f.sigmoid(x)


@program
def methods(t, x):
    (
        x.view(4),
        x.to(t.float64),
        x.float(),
        x.cpu(),
        x.new_zeros(2),
        x.permute(1, 0),
        x.t(),
        x.mean(),
        x.max(0),
        x.type(),
        x.masked_fill(x > 0, 1),
        x.data_ptr(),
    )
    x.squeeze_(), x.t_(), x.copy_(x), x.zero_(), x.unbind(), x.view_as(x), x.mm(x)


def name_of(function):
    owner = getattr(function, "__self__", None)
    name = function.__name__
    return (
        f"{getattr(owner, '__name__', 'property' if name in ('__get__', '__set__') else '')}.{name}"
        if name in ("__get__", "__set__")
        else name
    )


def asked_by_a_mode(t, program):
    class Log(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            names.append(name_of(func))
            return func(*args, **(kwargs or {}))

    names = []
    x = t.tensor([[1.0, 2.0], [3.0, 5.0]])
    with Log():
        program(t, x)
    return names


def asked_by_a_subclass(t, program):
    class Log(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            names.append(name_of(func))
            return super().__torch_function__(func, types, args, kwargs or {})

    names = []
    x = t.tensor([[1.0, 2.0], [3.0, 5.0]]).as_subclass(Log)
    names.clear()
    program(t, x)
    return names


@pytest.mark.parametrize("who", [asked_by_a_mode, asked_by_a_subclass], ids=lambda who: who.__name__)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_names(program, who):
    assert who(shim, program) == who(torch, program)


#: Functions that torch.nn.functional composes of others, which ask for themselves; and those whose name here is another.
COMPOSED = ("multi_head_attention_forward", "triplet_margin_with_distance_loss")
OTHER_NAMES = ("adaptive_max_pool1d", "logsigmoid", "threshold", "lu")


def stand_in(t, seen):
    class Neither:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return -1

    return Neither


def answers(t, function, parameters):
    seen = []
    neither = stand_in(t, seen)
    wanted = [
        p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and (p.default is p.empty or p.name in ("input", "self"))
    ]
    args = [[neither(), neither()] if p.name == "tensors" else neither() for p in wanted if p.kind is not p.KEYWORD_ONLY]
    return function(*args, **{p.name: neither() for p in wanted if p.kind is p.KEYWORD_ONLY}), seen[:1]


def functions_of_torch():
    """(name, torch's, the shim's, parameters) of what classes may override, but for the methods of tensors."""
    for function, like in EVERY.items():
        name = torch.overrides.resolve_name(function)
        if name is None or ".Tensor." in name or ".init." in name or name.rpartition(".")[2] in COMPOSED:
            continue
        ours = shim
        for part in name.split(".")[1:]:
            ours = getattr(ours, part, None)
        if ours is not None:
            yield name, function, ours, list(inspect.signature(like).parameters.values())


@pytest.mark.parametrize("first", "abcdefghijklmnopqrstuvwxyz_")
def test_a_class_that_is_no_tensor(first):
    """Every function of torch whose name begins so answers what the class answers, and tells it torch's name."""
    for name, theirs, ours, parameters in functions_of_torch():
        last = name.rpartition(".")[2]
        if not last.startswith(first):
            continue
        try:
            expected, asked = answers(torch, theirs, parameters)
        except (TypeError, RuntimeError, ValueError):
            continue
        if type(expected) is not int or expected != -1:
            continue
        got, names = answers(shim, ours, parameters)
        assert type(got) is int and got == -1, name
        assert names == asked or last in OTHER_NAMES, name


def test_helpers():
    t = shim
    assert t.overrides.resolve_name(t.Tensor.shape.__get__) == "torch.Tensor.shape.__get__"
    assert t.overrides.is_tensor_method_or_property(t.Tensor.shape.__get__) and t.overrides.is_tensor_method_or_property(t.Tensor.add)
    assert t.Tensor.shape.__get__ == t.Tensor.shape.__get__ and t.Tensor.grad.__get__ in t.overrides.get_default_nowrap_functions()
    assert t.Tensor.dim is t.Tensor.dim and t.Tensor.shape.__get__ in t.overrides.get_overridable_functions()["torch.Tensor"]
