"""Results of element-wise operations lie in memory as torch's do."""

import warnings

import pytest
import torch
from allowed import no_difference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, UnaryUfuncInfo
from twin import same, same_error

import funnn.torch as shim
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.nn.functional_rows import ROWS

#: torch's names of the functions whose rows say that their results have the strides of their operands.
ELEMENTWISE = {name for name, function in FUNCTIONS.items() if getattr(function, "elementwise", False)}
ELEMENTWISE |= {function.__name__ for function, row in ROWS.items() if row.elementwise}


def function_of(t, name):
    for part in name.split("."):
        t = getattr(t, part, None)
    return t


def permuted(t, dtype):
    x = t.arange(24).reshape(2, 3, 4).permute(2, 0, 1).float() / 30 + 0.1
    return x if dtype == "float32" else (x * 5).to(getattr(t, dtype))


UFUNCS = {op.name: isinstance(op, UnaryUfuncInfo) for op in op_db if isinstance(op, (UnaryUfuncInfo, BinaryUfuncInfo))}
CONTIGUOUS = dict.fromkeys(("nn.functional.rrelu", "nn.functional.logsigmoid"), no_difference("they are contiguous in PyTorch, too"))
#: Operations that are not called with one operand, or two, alone.
OTHERS = {
    **dict.fromkeys(("conj", "real", "imag"), no_difference("they are views: see test_indexing_views.py")),
    "fill": no_difference("it writes"),
    "frexp": no_difference("it has two results"),
    **dict.fromkeys(
        ("mvlgamma", "nn.functional.prelu", "nn.functional.threshold", "polygamma", "special.polygamma"),
        no_difference("they are called with more, in FURTHER"),
    ),
}


@pytest.mark.parametrize("name", sorted(name for name in UFUNCS if callable(function_of(shim, name)) and name not in OTHERS))
def test_elementwise(name):
    """torch's own list of element-wise operations: the result's strides, of a permuted operand."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in ("float32", "int64"):
            count = 1 if UFUNCS[name] else 2
            try:
                expected = function_of(torch, name)(*[permuted(torch, dtype)] * count)
            except (RuntimeError, TypeError):
                continue  # not of that type
            got = function_of(shim, name)(*[permuted(shim, dtype)] * count)
            assert got.stride() == expected.stride()
            assert expected.is_contiguous() == (name in CONTIGUOUS)
            assert got.is_contiguous() or name.removeprefix("nn.functional.").removeprefix("_refs.") in ELEMENTWISE
            return
    raise AssertionError("no type for this operation")


FURTHER = {
    "addcdiv addcmul": lambda f, t, x, y: f(x, x, y),
    "binary_cross_entropy mse_loss": lambda f, t, x, y: f(x, y, reduction="none"),
    "binary_cross_entropy_with_logits huber_loss l1_loss smooth_l1_loss kl_div poisson_nll_loss": lambda f, t, x, y: f(
        x, y, reduction="none"
    ),
    "soft_margin_loss hinge_embedding_loss": lambda f, t, x, y: f(x, y.sign(), reduction="none"),
    "margin_ranking_loss": lambda f, t, x, y: f(x, y, y.sign(), reduction="none"),
    "gaussian_nll_loss": lambda f, t, x, y: f(x, y, x, reduction="none"),
    "local_response_norm": lambda f, t, x, y: (f(x, 2), f(x[None], 2)),
    "kron": lambda f, t, x, y: f(x, y),
    "fake_quantize_per_tensor_affine": lambda f, t, x, y: f(x, 0.1, 0, -8, 7),
    "fake_quantize_per_channel_affine": lambda f, t, x, y: f(x, t.full(x.shape[:1], 0.1), t.zeros(x.shape[0]), 0, -8, 7),
    "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu mish normalize relu relu6 selu silu softplus": lambda f, t, x, y: f(
        x
    ),
    "softshrink softsign tanhshrink sigmoid": lambda f, t, x, y: f(x),
    "dropout dropout1d alpha_dropout feature_alpha_dropout": lambda f, t, x, y: f(x, 0.5, True),
    "dropout2d": lambda f, t, x, y: f(x[None], 0.5, True),
    "dropout3d": lambda f, t, x, y: f(x[None, :, None], 0.5, True),
    "threshold": lambda f, t, x, y: f(x, 0.1, 0.2),
    "mvlgamma": lambda f, t, x, y: f(x + 2, 2),
    "polygamma": lambda f, t, x, y: f(1, x),
    "clamp_min clamp_max rsub": lambda f, t, x, y: (f(x, 0.5), f(x, y)),
    "rad2deg deg2rad": lambda f, t, x, y: f(x),
    "feature_dropout": lambda f, t, x, y: f(x, 0.5, True),
    "prelu": lambda f, t, x, y: f(x, t.tensor([0.1])),
    "flip": lambda f, t, x, y: f(x, (0,)),
    "index_fill": lambda f, t, x, y: f(x, 0, t.tensor([1]), 2.0),
    "lerp": lambda f, t, x, y: f(x, y, 0.3),
    "where": lambda f, t, x, y: f(x > 0.5, x, y),
    "logaddexp2": lambda f, t, x, y: f(x, y),
    "clamp clip": lambda f, t, x, y: (f(x, 0.2, 0.8), f(x, y)),
    "clone": lambda f, t, x, y: (
        f(x),
        f(x, memory_format=t.contiguous_format),
        x.contiguous(),
        x.double(),
        x.to(t.int64),
        x.type_as(y.double()),
    ),
    "mul": lambda f, t, x, y: (x * 2, 1 / x, x**2, -x, x == y, x.sum(0), x.softmax(-1), x @ x.transpose(1, 2), f(x, y.contiguous())),
}


@pytest.mark.parametrize("name", [name for names in FURTHER for name in names.split()])
def test_further(name):
    call = next(call for names, call in FURTHER.items() if name in names.split())

    def program(t):
        x, y = permuted(t, "float32"), permuted(t, "float32") / 2
        results = call(getattr(t.nn.functional, name, None) or getattr(t, name), t, x, y)
        results = results if isinstance(results, tuple) else (results,)
        return [result.stride() for result in results], results

    same(program)


def test_every_name_is_tested():
    names = {name.rpartition(".")[2] for name in UFUNCS} | {name for names in FURTHER for name in names.split()}
    names |= {alias.name for op in op_db for alias in op.aliases if op.name in UFUNCS}
    assert sorted(name for name in ELEMENTWISE - names if "." not in name) == []


operand = st.tuples(st.permutations((0, 1, 2)), st.sampled_from(["whole", "sliced", "expanded", "flat", "one"]))


def as_view(t, kind):
    order, change = kind
    x = t.arange(24.0).reshape(2, 3, 4)
    x = x[:, :, ::2].repeat(1, 1, 2)[:, :, ::2] if change == "sliced" else x[:, :1].expand(2, 3, 4) if change == "expanded" else x
    x = x.permute(*order)
    return x[0] if change == "flat" else x[:1] if change == "one" else x


@settings(max_examples=60, deadline=None)
@given(operand, operand, operand)
def test_operands_of_any_order(first, second, third):
    """The order of memory that several operands agree on, as the strides of x + y and of where(c, x, y) tell."""

    def program(t):
        a, b, c = as_view(t, first), as_view(t, second), as_view(t, third)
        try:
            result = (a + b, a * 2, t.maximum(a, c), t.maximum(b, c) - a)
        except RuntimeError:
            return None
        return [x.stride() for x in result], [x.is_contiguous() for x in result], result

    same(program)


def test_what_is_written_and_differentiated():
    def program(t):
        x = t.arange(6.0).reshape(2, 3).T.requires_grad_()
        y = x * 2  # of the order of x
        rows = y[1]
        y.mul_(3)
        y[0] += 1
        (y * t.arange(6.0).reshape(3, 2)).sum().backward()
        z = x.detach() + 1
        z.T.view(-1)[0] = 100
        z[1, 1] = -1
        return y, y.stride(), rows, x.grad, z, z.stride(), z.T.is_contiguous(), z.untyped_storage().nbytes()

    same(program)


def test_what_is_given_keeps_its_memory():
    def program(t):
        x, out = t.arange(6.0).reshape(2, 3).T, t.zeros(3, 2)
        view = out[0]
        results = [t.add(x, 1, out=out), t.mul(input=x, other=2), t.nn.functional.relu(input=out, inplace=True)]
        return [r.stride() for r in results], results, view, results[0] is out, results[2] is out

    same(program)


def test_results_that_were_saved_are_guarded():
    def program(t):
        x = t.ones(2, 3, requires_grad=True)
        y = x.T.exp()
        y.mul_(2)
        y.sum().backward()

    same_error(program, RuntimeError, "modified by an inplace operation")


def test_random_numbers_follow_memory():
    def program(t):
        x = t.ones(2, 3, 4).transpose(1, 2)
        net = t.nn.Sequential(t.nn.GELU(), t.nn.Dropout(0.3))
        return net(x), t.nn.functional.dropout(x + 1), t.rand_like(x * 2), t.nn.functional.alpha_dropout(x - 1, training=True)

    same(program)


def test_draws_for_each_channel_and_row_follow_the_memory():
    def program(t):
        x = t.arange(1.0, 121).reshape(2, 3, 4, 5).to(memory_format=t.channels_last)
        dropped = t.nn.functional.dropout2d(x), t.nn.functional.feature_alpha_dropout(x, training=True)
        weights = t.arange(1.0, 36).reshape(5, 7).t()
        return *dropped, *(y.stride() for y in dropped), t.multinomial(weights, 2), t.multinomial(weights, 4, replacement=True), t.rand(2)

    same(program)


IMAGES = {
    "conv2d": lambda F, t, x: F.conv2d(x, t.ones(8, 8, 3, 3), padding=1),
    "conv2d of a weight": lambda F, t, x: F.conv2d(x.contiguous(), t.ones(8, 8, 3, 3).to(memory_format=t.channels_last)),
    "conv2d of groups": lambda F, t, x: F.conv2d(x, t.ones(8, 1, 3, 3), t.ones(8), groups=8),
    "conv2d by name": lambda F, t, x: F.conv2d(weight=t.ones(8, 8, 1, 1), input=x),
    "conv2d of one item": lambda F, t, x: F.conv2d(x[0], t.ones(8, 8, 1, 1)),
    "conv_transpose2d": lambda F, t, x: F.conv_transpose2d(x, t.ones(8, 4, 2, 2), stride=2),
    "max_pool2d": lambda F, t, x: F.max_pool2d(x, 2, return_indices=True),
    "avg_pool2d": lambda F, t, x: F.avg_pool2d(x, 2),
    "lp_pool2d": lambda F, t, x: F.lp_pool2d(x, 2, 2),
    "adaptive_avg_pool2d": lambda F, t, x: [F.adaptive_avg_pool2d(x, size) for size in (1, 3, 6)],
    "adaptive_max_pool2d": lambda F, t, x: F.adaptive_max_pool2d(x, 3, return_indices=True),
    "batch_norm": lambda F, t, x: [F.batch_norm(x, t.zeros(8), t.ones(8), training=flag) for flag in (True, False)],
    "group_norm": lambda F, t, x: F.group_norm(x, 2),
    "instance_norm": lambda F, t, x: F.instance_norm(x),
    "layer_norm": lambda F, t, x: F.layer_norm(x, (6,)),
    "local_response_norm": lambda F, t, x: F.local_response_norm(x, 2),
    "interpolate": lambda F, t, x: [F.interpolate(x, scale_factor=2, mode=mode) for mode in ("nearest", "bilinear", "bicubic", "area")],
    "pixel_shuffle": lambda F, t, x: [F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2), F.channel_shuffle(x, 2)],
    "roll": lambda F, t, x: [x.roll(1, 2), x.roll((1, 2), (1, 3))],
    "cat": lambda F, t, x: [t.cat([x, x], 1), t.cat([x, x]), t.cat([x, x.contiguous()], 1), t.cat([x.contiguous(), x])],
    "grid_sample": lambda F, t, x: F.grid_sample(x, t.zeros(2, 3, 3, 2), align_corners=False),
    "one channel": lambda F, t, x: F.avg_pool2d(x[:, :1], 2),
    "one pixel": lambda F, t, x: F.conv2d(x.mean((2, 3), keepdim=True), t.ones(4, 8, 1, 1)),
    "other orders": lambda F, t, x: [F.avg_pool2d(x.transpose(1, 2), 2), F.avg_pool2d(x.permute(1, 0, 2, 3), 2)],
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_in_channels_last_memory(name):
    def program(t):
        x = t.randn(2, 8, 6, 6).to(memory_format=t.channels_last)
        results = IMAGES[name](t.nn.functional, t, x)
        results = [results] if isinstance(results, t.Tensor) else list(results)
        return results, [y.stride() for y in results]

    same(program)


VOLUMES = {
    "conv3d": lambda F, t, x: F.conv3d(x, t.ones(4, 4, 3, 3, 3)),
    "max_pool3d": lambda F, t, x: F.max_pool3d(x, 2),
    "avg_pool3d": lambda F, t, x: F.avg_pool3d(x, 2),
    "adaptive_avg_pool3d": lambda F, t, x: F.adaptive_avg_pool3d(x, 2),
    "adaptive_max_pool3d": lambda F, t, x: F.adaptive_max_pool3d(x, 2),
    "batch_norm": lambda F, t, x: F.batch_norm(x, None, None, training=True),
    "interpolate": lambda F, t, x: F.interpolate(x, scale_factor=2, mode="trilinear"),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_in_channels_last_memory(name):
    def program(t):
        result = VOLUMES[name](t.nn.functional, t, t.randn(2, 4, 4, 4, 4).to(memory_format=t.channels_last_3d))
        return result, result.stride()

    same(program)


def test_a_model_in_channels_last_memory():
    """As in PyTorch's tutorial: outputs, gradients and what an optimizer makes of the weights."""

    def program(t):
        nn = t.nn
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 1)).to(
            memory_format=t.channels_last
        )
        optimizer = t.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        x = t.randn(2, 3, 8, 8).to(memory_format=t.channels_last).requires_grad_()
        for _ in range(2):
            y = net(x)
            optimizer.zero_grad()
            y.pow(2).mean().backward()
            optimizer.step()
        weight = net[0].weight
        print(y.stride(), y.is_contiguous(memory_format=t.channels_last), weight.stride(), weight.grad.stride(), x.grad.stride())
        return y, weight, weight.grad, x.grad

    same(program)
