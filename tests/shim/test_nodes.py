"""What autograd shows of its graph: the names of nodes, their next functions, and what they say that they saved."""

import re

import pytest
import torch
from allowed import listed, no_difference
from opinfo import differentiable, every, forms, in_place, samples, tensors, to_shim
from twin import same

import funnn.torch as shim
from funnn.engine.tape.torch_nodes import NODES

pytestmark = pytest.mark.filterwarnings("ignore")


def shown(t, node):
    """The name of a node, and what it saved; of tensors shape, dtype and whether they have a history."""

    def plain(value):
        if isinstance(value, t.Tensor):
            return "tensor", tuple(value.shape), str(value.dtype), value.requires_grad, value.is_leaf
        return tuple(map(plain, value)) if isinstance(value, tuple) else value

    saved = {name: plain(getattr(node, name)) for name in dir(node) if name.startswith("_saved")}
    return node.name(), type(node).__name__, saved, [name for name in dir(node) if name.startswith("_raw_saved")]


COMMON = {
    "mul": lambda t, x, w: x * 2,
    "mul of tensors": lambda t, x, w: x * x,
    "exp": lambda t, x, w: x.exp(),
    "matmul": lambda t, x, w: x @ w,
    "sum": lambda t, x, w: x.sum(-1, keepdim=True),
    "mean": lambda t, x, w: x.mean(),
    "pow": lambda t, x, w: x.pow(2),
    "transpose": lambda t, x, w: x.transpose(0, 1),
    "select": lambda t, x, w: x[0],
    "slice": lambda t, x, w: x[:, 1:],
    "softmax": lambda t, x, w: t.nn.functional.softmax(x, -1),
    "max": lambda t, x, w: x.max(1).values,
    "cat": lambda t, x, w: t.cat([x, x], 1),
    "view": lambda t, x, w: x.view(6),
    "add": lambda t, x, w: x + 1,
    "clamp": lambda t, x, w: x.clamp(0, 1),
    "mse_loss": lambda t, x, w: t.nn.functional.mse_loss(x, x.detach()),
    "conv1d": lambda t, x, w: t.nn.functional.conv1d(x[None], t.ones(1, 2, 1, requires_grad=True), t.ones(1)),
    "unsqueeze": lambda t, x, w: x.unsqueeze(0),
    "std": lambda t, x, w: x.std(),
    "index_select": lambda t, x, w: x.index_select(1, t.tensor([0, 2])),
    "index": lambda t, x, w: x[t.tensor([0, 1])],
    "div": lambda t, x, w: x / x,
    "repeat": lambda t, x, w: x.repeat(2, 1),
}


@pytest.mark.parametrize("make", COMMON.values(), ids=COMMON)
def test_what_common_nodes_saved(make):
    def of(t):
        x, w = t.arange(1.0, 7.0).reshape(2, 3).requires_grad_(), t.ones(3, 2, requires_grad=True)
        return shown(t, make(t, x, w).grad_fn)

    assert of(shim) == of(torch)


def test_texts_of_nodes():
    def program(t):
        class Twice(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, grad):
                return grad * 2

        x = t.ones(2, requires_grad=True)
        nodes = [(x * 2).grad_fn, (x * 2).grad_fn.next_functions[0][0], Twice.apply(x).grad_fn, x.expand_as(x).grad_fn]
        return [re.sub(r"0x[0-9a-f]+", "0x", str(node)) for node in nodes]

    assert program(shim) == program(torch)


def test_saved_tensors_themselves():
    for t in (torch, shim):
        x = t.ones(3, requires_grad=True)
        y, z = x.pow(2), x.exp()
        assert y.grad_fn._saved_self is x and z.grad_fn._saved_result is not z and z.grad_fn._saved_result.equal(z)
        assert z.grad_fn._saved_result.grad_fn is z.grad_fn
        z.sum().backward()
        with pytest.raises(RuntimeError, match="after they have already been freed"):
            _ = z.grad_fn._saved_result


def test_what_is_not_saved():
    """It is not listed, and an error by name; torchviz and others read what ``dir`` lists."""
    x = shim.ones(2, 3, requires_grad=True)
    node = shim.nn.functional.layer_norm(x, (3,)).grad_fn
    assert "_saved_result1" not in dir(node) and "_saved_input" in dir(node) and not hasattr(node, "_saved_result1")
    with pytest.raises(
        NotImplementedError, match=r"NativeLayerNormBackward0\._saved_result1 is not there: this operation keeps something else"
    ):
        _ = node._saved_result1
    with pytest.raises(NotImplementedError, match=r"AddmmBackward0\._saved_mat2 is not there"):
        _ = shim.nn.Linear(3, 2)(x).grad_fn._saved_mat2


WRITTEN = {
    "exp": lambda x: x.exp(),
    "of a number": lambda x: 2**x,
    "of two": lambda x: x**x,
    "logsumexp": lambda x: x.logsumexp(0),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_error_names_the_node_of_what_was_overwritten(name):
    def text(t):
        y = WRITTEN[name](t.tensor([1.0, 2.0, 3.0], requires_grad=True))
        y.add_(1).mul_(2)
        with pytest.raises(RuntimeError) as error:
            y.sum().backward()
        return str(error.value)

    assert text(shim) == text(torch)


def test_each_result_prints_its_own_node():
    def program(t):
        print(*t.nn.LSTMCell(2, 3)(t.ones(1, 2)))
        print(*t.nn.LSTM(2, 3, 2, bidirectional=True)(t.ones(2, 1, 2))[1])
        print(*t.nn.GRU(2, 3, batch_first=True)(t.ones(2, 1, 2)))
        print(*t.tensor([[3.0, 1.0], [1.0, 2.0]], requires_grad=True).max(0))

    same(program)


#: Operations whose nodes have other names, and why.
OTHER_NODES = {
    "linalg.lstsq": listed("nodes", "residuals that are not there are a slice here"),
    "linalg.tensorinv": listed("nodes", "torch makes a view of a tensor whose strides differ"),
    "block_diag": no_difference("torch's node does not show the sizes that its table lists"),
    "svd": listed("nodes", "what the third result's node, a transposition, saved is not there"),
    "_native_batch_norm_legit": listed("nodes", "it is native_batch_norm here"),
    **dict.fromkeys(
        ("sparse.sampled_addmm", "sparse.mm", "to_sparse"),
        no_difference("of samples in other layouts, or with such a result: see test_sparse_tensors.py"),
    ),
}
#: Operations whose node leads elsewhere.
ELSEWHERE = {
    "nn.functional.prelu": no_difference("of a weight that needs no gradient, torch leads to it all the same"),
    "nn.functional.embedding_bag": no_difference("the database gives the table for the indices"),
}
OPS = differentiable(OTHER_NODES)


@every(OPS)
def test_nodes_of_the_database(op, dtype):
    """The node of each operation has torch's name, and the names of what torch's saved."""
    for form, (theirs, ours) in forms(op).items():
        writes = in_place(form)
        if ours is None:
            continue
        for sample in samples(op, dtype, True, most=1):
            names = []
            for t, function, args, kwargs in (
                (torch, theirs, (sample.input, *sample.args), dict(sample.kwargs)),
                (shim, ours, to_shim((sample.input, *sample.args)), to_shim(dict(sample.kwargs))),
            ):
                t.manual_seed(0)
                if writes:
                    args = (args[0].clone(), *args[1:])
                try:
                    results = tensors(function(*args, **kwargs), t.Tensor)
                except (RuntimeError, TypeError):
                    return
                nodes = [x.grad_fn for x in results]
                names.append(
                    [
                        None if n is None else (n.name(), [a for a in dir(type(n)) if a.startswith("_saved") and n.name() in NODES])
                        for n in nodes
                    ]
                )
            assert names[1] == names[0]


def nexts(node):
    return [None if following is None else following.name() for following, _ in node.next_functions]


@every({name: case for name, case in OPS.items() if case[0].name not in ELSEWHERE})
def test_next_functions_of_the_database(op, dtype):
    """Where torch has one node for the operation, it leads to what torch's leads to: one entry an input, None where there is nothing."""
    (theirs, ours), *_ = forms(op).values()
    for sample in samples(op, dtype, True, most=1):
        try:
            expected = [x.grad_fn for x in tensors(theirs(sample.input, *sample.args, **sample.kwargs), torch.Tensor)]
        except (RuntimeError, TypeError):
            continue
        if any(node is None or set(nexts(node)) - {None, "torch::autograd::AccumulateGrad"} for node in expected):
            continue
        got = [x.grad_fn for x in tensors(ours(*to_shim((sample.input, *sample.args)), **to_shim(dict(sample.kwargs))), shim.Tensor)]
        assert [nexts(node) for node in got] == [nexts(node) for node in expected]


def graph(node):
    """The graph behind a node, as text."""
    if node is None:
        return "-"
    following = ", ".join(f"{graph(next_node)}{f'@{output}' if output else ''}" for next_node, output in node.next_functions)
    return f"{node.name().removesuffix('Backward0')}({following})"


def linear(t, *sizes, **options):
    return t.nn.Linear(4, 3, **options)(t.ones(*sizes))


RECURRENT = {
    "RNN": {},
    "RNN of relu": {"nonlinearity": "relu"},
    "GRU": {},
    "LSTM": {},
    "LSTM with projection": {"proj_size": 2},
}


@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True, "dropout": 0.5}, {"batch_first": True, "bias": False}], ids=str
)
@pytest.mark.parametrize("kind", RECURRENT)
def test_nodes_of_recurrent_networks(kind, options):
    """The output's node, and those of the final states: of a batch, of one sequence, and of packed ones; each has the way on."""

    def names(t):
        net = getattr(t.nn, kind.split()[0])(3, 4, **RECURRENT[kind], **options)
        packed = t.nn.utils.rnn.pack_padded_sequence(t.ones(3, 3, 3), [3, 2, 1], batch_first="batch_first" in options)
        for x in (t.ones(5, 2, 3), t.ones(5, 3), packed):
            results = tensors(net(x), t.Tensor)
            yield [(r.grad_fn.name(), r.output_nr) for r in results if r.requires_grad]
            assert results[-1].grad_fn is results[-1].grad_fn
            assert (results[-1] * 2).grad_fn.next_functions[0][0] is results[-1].grad_fn
            results[-1].sum().backward()

    assert list(names(shim)) == list(names(torch))


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_nodes_of_recurrent_cells(kind):
    def names(t):
        cell = getattr(t.nn, kind)(3, 4)
        return [[r.grad_fn.name() for r in tensors(cell(x), t.Tensor)] for x in (t.ones(2, 3), t.ones(3))]

    assert names(shim) == names(torch)


def written(t, x, write):
    z = x * 1
    write(z)
    return z


GRAPHS = {
    "a network": lambda t, x: t.nn.functional.cross_entropy(
        t.nn.Sequential(t.nn.Linear(4, 5), t.nn.ReLU(), t.nn.Linear(5, 3))(x), t.tensor([0, 1])
    ),
    "linear of vectors": lambda t, x: linear(t, 4),
    "linear of a batch of sequences": lambda t, x: linear(t, 2, 3, 4),
    "linear without bias": lambda t, x: linear(t, 2, 4, bias=False) + linear(t, 2, 2, 4, bias=False).sum(),
    "a convolutional network": lambda t, x: t.nn.Sequential(
        *(t.nn.Conv2d(1, 2, 3), t.nn.BatchNorm2d(2), t.nn.ReLU(), t.nn.MaxPool2d(2), t.nn.Dropout(), t.nn.Flatten(), t.nn.Linear(2, 3))
    )(t.ones(2, 1, 5, 5)),
    "l1_loss": lambda t, x: t.nn.functional.l1_loss(x, t.zeros(2, 4)),
    "activations": lambda t, x: t.nn.functional.softsign(x) + t.nn.functional.tanhshrink(x) + t.nn.functional.softmin(x, 1),
    "prelu": lambda t, x: t.nn.functional.prelu(x, t.ones(1, requires_grad=True)),
    "pools": lambda t, x: t.nn.functional.avg_pool1d(x[None], 2) + t.nn.functional.max_pool1d(x[None], 2),
    "normalize": lambda t, x: t.nn.functional.normalize(x),
    "outer": lambda t, x: t.outer(x[0], x[1]),
    "bilinear": lambda t, x: t.nn.Bilinear(4, 4, 3)(x, x * 2) + t.nn.Bilinear(4, 4, 3, bias=False)(x, x),
    "instance norm": lambda t, x: (
        t.nn.InstanceNorm1d(2, affine=True)(x) + t.nn.InstanceNorm1d(1)(x[None].mT.reshape(8, 1, 1).repeat(1, 1, 4))[0]
    ),
    "attention by hand": lambda t, x: (x @ x.t()).softmax(-1) @ x,
    "an item written": lambda t, x: written(t, x, lambda z: z.__setitem__(0, x[1] * 2)),
    "a number written": lambda t, x: written(t, x, lambda z: z.__setitem__(0, 5)),
    "a view written": lambda t, x: written(t, x, lambda z: z[0].mul_(2)),
    "a view added to": lambda t, x: written(t, x, lambda z: z[0].add_(x[1])),
}


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_graphs_as_text(make):
    """As torchviz and others walk it: nodes that one node stands for here are shown."""
    texts = [graph(make(t, t.ones(2, 4, requires_grad=True)).grad_fn) for t in (torch, shim)]
    assert texts[1] == texts[0]


STEPS = {
    "linear": lambda t, x, w: t.nn.functional.linear(x, w, w[:, 0]),
    "linear without bias": lambda t, x, w: t.nn.functional.linear(x, w),
}
HIDDEN = {
    "linear of three dimensions": lambda t, x, w: t.nn.functional.linear(x[None], w),
    "cross_entropy": lambda t, x, w: t.nn.functional.cross_entropy(x, t.tensor([0, 1, 2])),
    "label smoothing": lambda t, x, w: t.nn.functional.cross_entropy(x, t.tensor([0, 1, 2]), label_smoothing=0.1),
    "einsum": lambda t, x, w: t.einsum("ij,oj->io", x, w),
    "matmul": lambda t, x, w: x[None] @ w.T,
    "kl_div": lambda t, x, w: t.nn.functional.kl_div(x, x.detach().softmax(1)),
    "RNN": lambda t, x, w: t.nn.RNN(4, 2)(x)[0],
    "pool": lambda t, x, w: t.nn.functional.max_pool1d(x, 2),
}


def hooked_node(t, function, seen, result=None):
    x, w = (t.linspace(-1, 1, n * 4).reshape(n, 4).requires_grad_() for n in (3, 5))
    y = function(t, x, w)
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append([*inputs, *outputs]) or (result and result(inputs)))
    y.grad_fn.register_prehook(lambda outputs: seen.append(list(outputs)))
    y.sum().backward()
    return x.grad, w.grad


@pytest.mark.parametrize("name", STEPS)
def test_hooks_of_a_node_get_the_gradients_of_its_steps(name):
    same(lambda t: [hooked_node(t, STEPS[name], seen := []), seen])
    same(lambda t: hooked_node(t, STEPS[name], [], lambda inputs: tuple(2 * g for g in inputs)))


@pytest.mark.parametrize("name", HIDDEN)
def test_hooks_of_a_node_whose_inputs_are_steps_inside(name):
    """Its grad_outputs are there; what reads or gives gradients of the steps is told another way."""

    def outputs(t):
        seen = []
        y = HIDDEN[name](t, *(t.linspace(-1, 1, n * 4).reshape(n, 4).requires_grad_() for n in (3, 5)))
        y.grad_fn.register_hook(lambda inputs, outputs: seen.append(outputs[0]))  # a recurrent layer's has more outputs
        y.sum().backward()
        return seen

    same(outputs)
    with pytest.raises(NotImplementedError, match=r"grad_inputs of a hook on \w+ are not supported.*register_full_backward_hook"):
        hooked_node(shim, HIDDEN[name], [])
