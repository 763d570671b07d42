"""Hooks on nodes get what PyTorch's get: a gradient for each output and each input of its node; or an error that says the way round."""

import numpy as np
import pytest
import torch
from allowed import listed, no_difference
from opinfo import differentiable, every, forms, samples, tensors, to_shim
from twin import same

import funnn.torch as shim

pytestmark = pytest.mark.filterwarnings("ignore")

#: Operations that are left out, and why.
OTHERWISE = {
    **dict.fromkeys(
        ("chunk", "split", "split_with_sizes", "unbind"), listed("nodes", "each part has a node; see test_hooks_on_a_part_are_refused")
    ),
    **dict.fromkeys(("svd", "linalg.lstsq", "_native_batch_norm_legit"), listed("nodes", "the last result has another node")),
    **dict.fromkeys(
        ("sparse.sampled_addmm", "sparse.mm", "to_sparse"),
        no_difference("of samples in other layouts, or with such a result: see test_sparse_tensors.py"),
    ),
    "linalg.eigh": no_difference("eigenvectors have either sign"),
    "ormqr": no_difference("of a matrix without numbers torch leaves gradients out"),
    "logcumsumexp": no_difference("values near 0 that both round"),
    "masked.median": no_difference("which of equal numbers has the gradient"),
    "nn.functional.feature_alpha_dropout": no_difference("p = 1 is a product with zero in torch"),
    "nn.functional.triplet_margin_with_distance_loss": no_difference("the database's sample has PyTorch's own function in it"),
}
OPS = differentiable(OTHERWISE)


def hooked(t, function, args, kwargs):
    """The outputs with a gradient, and what the hooks of their nodes will have seen: (name, grad_outputs before, grad_inputs, grad_outputs)."""
    t.manual_seed(0)
    outputs = [x for x in tensors(function(*args, **kwargs), t.Tensor) if x.grad_fn is not None]
    seen = []
    for node in dict.fromkeys(x.grad_fn for x in outputs):
        record = [node.name()]

        def before(gradients, record=record):
            record.append([*gradients])

        def after(inputs, gradients, record=record):
            try:
                record.append([*inputs])
            except NotImplementedError as error:
                assert "are steps inside one operation" in str(error)
                record.append(None)
            record.append([*gradients])

        node.register_prehook(before)
        node.register_hook(after)
        seen.append(record)
    return outputs, seen


def numbers(gradient):
    return None if gradient is None else (str(gradient.dtype), np.asarray(gradient.detach().resolve_conj().numpy(force=True)))


def assert_same(got, expected):
    assert [g is None for g in got] == [e is None for e in expected]
    for a, b in zip(map(numbers, got), map(numbers, expected), strict=True):
        if b is not None:
            assert (a[0], a[1].shape) == (b[0], b[1].shape)
            np.testing.assert_allclose(a[1], b[1], 2e-3, 2e-3)


@every(OPS)
def test_hooks_of_the_database(op, dtype):
    (theirs, ours), *_ = forms(op).values()
    for sample in samples(op, dtype, True, most=2):
        args, kwargs = (sample.input, *sample.args), dict(sample.kwargs)
        own_args, own_kwargs = to_shim(args), to_shim(kwargs)
        try:
            outputs, expected = hooked(torch, theirs, args, kwargs)
            generator = torch.Generator().manual_seed(3)
            gradients = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in outputs]
            torch.autograd.backward(outputs, gradients)
        except (RuntimeError, TypeError):  # what torch refuses, or has no gradient
            continue
        if not outputs:  # of nothing torch gives the operand itself
            continue
        own_outputs, got = hooked(shim, ours, own_args, own_kwargs)
        shim.autograd.backward(own_outputs, [to_shim(g) for g in gradients])
        assert [record[0] for record in got] == [record[0] for record in expected]
        for ours_saw, theirs_saw in zip(got, expected, strict=True):
            assert len(ours_saw) == len(theirs_saw)
            for a, b in zip(ours_saw[1:], theirs_saw[1:], strict=True):
                if a is not None:  # refused
                    assert_same(a, b)


def test_some_nodes_give_the_gradients_of_their_inputs():
    """So that the comparison above is no comparison of refusals."""
    for function in (
        lambda x, w: x * w,
        lambda x, w: x @ w,
        lambda x, w: x.exp(),
        lambda x, w: shim.nn.functional.conv2d(x[None, None], w[None, None]),
        lambda x, w: shim.nn.functional.layer_norm(x, (3,)),
        lambda x, w: x.transpose(0, 1),
        lambda x, w: x.max(1).values,
        lambda x, w: shim.cat([x, w]),
        lambda x, w: x[:, 1:],
        lambda x, w: x.relu(),
    ):
        x, w = (shim.arange(9.0).reshape(3, 3).requires_grad_() for _ in range(2))
        outputs, seen = hooked(shim, function, (x, w), {})
        outputs[0].sum().backward()
        assert any(gradient is not None for gradient in seen[0][2])


def test_hooks_on_a_part_are_refused():
    for part in (shim.ones(4, requires_grad=True).chunk(2)[0], shim.ones(4, requires_grad=True).unbind()[0]):
        for register in (part.grad_fn.register_hook, part.grad_fn.register_prehook):
            with pytest.raises(
                NotImplementedError, match=r"each part of the tensor has a node of its own; register it on the parts, part\.register_hook"
            ):
                register(lambda *gradients: None)


RESULTS = {
    "too many": lambda t: (t.ones(2), t.ones(2), t.ones(2)),
    "one more": lambda t: (t.ones(2), t.ones(2)),
    "none": lambda t: (),
    "no tuple": lambda t: t.ones(2),
    "a list": lambda t: [t.ones(2)],
    "a number": lambda t: 3,
    "a tuple of a number": lambda t: (3,),
    "another shape": lambda t: (t.ones(3),),
    "another shape, and None": lambda t: (t.ones(3), None),
    "another dtype": lambda t: (t.ones(2).double(), None),
    "right, for one": lambda t: (t.full((2,), 5.0),),
    "right, for two": lambda t: (t.full((2,), 5.0), None),
    "None for one": lambda t: (None,),
    "None for two": lambda t: (None, None),
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
@pytest.mark.parametrize("register", ["register_hook", "register_prehook"])
def test_what_hooks_of_nodes_give(register, result):
    """Another gradient, or torch's error, where it was silently taken for one."""

    def program(t):
        def hook(*gradients):
            return result(t)

        x = t.ones(2, requires_grad=True)
        y = x * 2
        getattr(y.grad_fn, register)(hook)
        try:
            y.sum().backward()
        except (RuntimeError, TypeError) as error:
            return type(error).__name__, str(error).split(";")[0].split(": [")[0]
        return x.grad

    expected, got = program(torch), program(shim)
    if isinstance(expected, torch.Tensor):
        assert got.tolist() == expected.tolist()
    else:
        assert got == expected


def test_prehook_of_a_leaf_may_take_its_gradient_away():
    def program(t):
        x = t.ones(2, requires_grad=True)
        y = x * 2
        y.grad_fn.next_functions[0][0].register_prehook(lambda gradients: (None,))
        y.sum().backward()
        return x.grad

    assert program(shim) is None and program(torch) is None


def test_prehooks_change_the_gradient_of_one_of_several_outputs():
    def program(t):
        x = t.tensor([[4.0, 1.0], [2.0, 3.0]], requires_grad=True)
        *_, lower, upper = t.linalg.lu(x)
        lower.grad_fn.register_prehook(lambda gradients: (gradients[0] * 2, gradients[1] * 3))
        print(lower.output_nr, upper.output_nr, [n for _, n in (lower + upper).grad_fn.next_functions])
        (lower.sum() + upper.pow(2).sum()).backward()
        return x.grad

    same(program)
