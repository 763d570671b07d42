"""torch.fx against PyTorch: the text of graphs and code, values and gradients of traced modules, changes of graphs, errors."""

import contextlib
import copy
import importlib
import io
import math
import operator
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.fx
from torch.fx.node import _get_qualified_name

import funnn.torch as shim
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.state import ThreadState, thread
from funnn.torch.fx._names import resolve, torch_name
from tests.shim.twin import same, same_error


def seen(graph_module: Any) -> list:
    """All that is to be read of a graph and its code."""
    nodes = [
        (node.op, node.name, str(node.args), str(node.kwargs), list(map(str, node.users)), list(map(str, node.all_input_nodes)))
        for node in graph_module.graph.nodes
    ]
    return [graph_module.code, str(graph_module.graph), nodes, graph_module.print_readable(print_output=False), repr(graph_module)]


# -- modules


def mlp(nn: Any) -> tuple:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Linear(3, 4), nn.LayerNorm(4)
            self.rest = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2))
            self.register_buffer("shift", torch_of(nn).arange(2.0))
            self.scale = torch_of(nn).full((2,), 3.0)

        def forward(self, x):
            return (nn.functional.gelu(self.rest(self.norm(self.first(x)))) * self.scale + self.shift).relu()

    return Model(), ((2, 3),)


def residual(nn: Any) -> tuple:
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)

        def forward(self, x):
            return nn.functional.relu(self.norm(self.conv(x)), inplace=True) + x

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block(), Block()])
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return torch_of(nn).flatten(self.pool(x), 1)

    return Model(), ((2, 2, 4, 4),)


def attention(nn: Any) -> tuple:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(4, 12)

        def forward(self, x, scale: float = 0.5):
            q, k, v = self.qkv(x).chunk(3, -1)
            a = (q @ k.transpose(-2, -1)) * scale
            return nn.functional.softmax(a.masked_fill(a < 0, float("-inf")), dim=-1) @ v

    return Model(), ((2, 3, 4),)


def recurrent(nn: Any) -> tuple:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 2, batch_first=True)

        def forward(self, x):
            y, (h, c) = self.lstm(x)
            return y.mean(dim=1) + h[0] * c[-1]

    return Model(), ((2, 3, 3),)


def named_parts(nn: Any) -> tuple:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict({"a b": nn.Tanh(), "cls": nn.Identity()})
            self.weights = nn.ParameterList([torch_of(nn).ones(2), torch_of(nn).ones(2)])
            self.weight = nn.Parameter(torch_of(nn).full((2,), 0.5))
            self.tied = self.weight

        def forward(self, x):
            x = self.parts["a b"](x) + self.weights[1] + self.weight + self.tied + self.weight.sum()
            return self.parts["cls"](nn.functional.silu(x) if self.training else x)

    return Model(), ((2, 2),)


def containers(nn: Any) -> tuple:
    class Model(nn.Module):
        def forward(self, x, *args, flag=True, **kwargs):
            return {"a": x + 1, "b": [args[0], kwargs["z"]]} if flag is not None else x

    return Model(), None


def sequential(nn: Any) -> tuple:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Softmax(-1), nn.Dropout(0.0))), ((2, 2),)


def torch_of(nn: Any) -> Any:
    return torch if nn is torch.nn else shim


MODULES = (mlp, residual, attention, recurrent, named_parts, containers, sequential)


@pytest.mark.parametrize("make", MODULES, ids=lambda make: make.__name__)
def test_graph_and_code_of_a_module(make):
    same(lambda torch: seen(torch.fx.symbolic_trace(make(torch.nn)[0])))


@pytest.mark.parametrize("make", [make for make in MODULES if make is not containers], ids=lambda make: make.__name__)
def test_traced_module_has_values_and_gradients_of_the_module(make):
    def program(torch):
        model, (shape,) = make(torch.nn)
        traced = torch.fx.symbolic_trace(model)
        copies = [traced, copy.deepcopy(traced), pickle.loads(pickle.dumps(traced))]
        x = torch.linspace(-1, 1, math.prod(shape)).reshape(shape)
        results = []
        for run in (model, *copies, torch.fx.Interpreter(traced).run):
            model.zero_grad()
            y = run(x)
            y.sum().backward()
            results += [y.detach(), [(parameter.detach(), parameter.grad) for parameter in model.parameters()]]
        return results, [made.code == traced.code for made in copies], [sorted(made.state_dict()) for made in copies]

    same(program)


# -- functions


def with_types(torch: Any) -> Callable:
    def function(
        x: torch.Tensor,
        y: torch.Tensor | None = None,
        z: list[int] = [1, 2],  # noqa: B006
        w: "str" = "a",
        t: tuple[int, ...] = (),
        device: torch.device = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[torch.Tensor, int]:
        return x, 1

    return function


#: Functions of torch and of one proxy.
FUNCTIONS_TRACED = {
    "operators": lambda torch, x: [x + 1, 2 - x, x / 3, x**2, x // 2 % 5, -x, abs(x), ~x, x @ x, x > 1, x == x, x & x, x | 1, x << 1],
    "attributes": lambda torch, x: [x.shape[0], x.size(0), x.T, x.dtype, x.device, x.dim(), x.is_cuda],
    "indices": lambda torch, x: [x[0], x[:, None, ..., 1:2], x[x > 0], x[[0, 1]], x.split(2)[1]],
    "methods": lambda torch, x: [x.float(), x.to(torch.float64), x.relu_(), x.sum(1, keepdim=True), x.new_zeros(3), x.view(-1, 1)],
    "torch": lambda torch, x: [torch.relu(x), torch.cat([x, x]), torch.stack((x, x), dim=1), torch.sum(x, dim=1), torch.zeros_like(x)],
    "made": lambda torch, x: [torch.arange(x.size(0)), torch.full((2,), x.sum()), torch.zeros(3, device=x.device), torch.randn(x.shape)],
    "Python's": lambda torch, x: [
        torch.einsum("ij,jk->ik", x, x),
        torch.einsum("ij", [x]),
        torch.split(x, 2),
        torch.norm(x),
        torch.cdist(x, x),
    ],
    "more of Python's": lambda torch, x: [torch.tensordot(x, x, dims=1), torch.meshgrid(x, x), torch.unique(x), torch.atleast_1d(x)],
    "wings": lambda torch, x: [torch.linalg.norm(x), torch.fft.fft(x), torch.special.expit(x), torch.special.erf(x)],
    "constants": lambda torch, x: [torch.tensor(2.0) + x, torch.ones(3) * x, x.sum(float("inf")), x + float("nan"), x + math.inf],
    "math": lambda torch, x: [math.sqrt(x.shape[0]), math.floor(x.size(1)) + math.pi],
    "functional": lambda torch, x: [
        *(torch.nn.functional.relu(x), torch.nn.functional.gelu(x), torch.nn.functional.softmax(x, -1), torch.nn.functional.dropout(x)),
        *(torch.nn.functional.linear(x, x), torch.nn.functional.conv1d(x, x), torch.nn.functional.layer_norm(x, (3,))),
        *(torch.nn.functional.threshold(x, 1, 2), torch.nn.functional.logsigmoid(x), torch.nn.functional.relu_(x)),
        *(torch.nn.functional.cross_entropy(x, x), torch.nn.functional.sigmoid(x), torch.nn.functional.avg_pool2d(x, 2)),
        *(torch.nn.functional.max_pool2d(x, 2), torch.nn.functional.max_pool2d(x, 2, return_indices=True)),
        *(torch.nn.functional.interpolate(x, scale_factor=2), torch.nn.functional.batch_norm(x, x, x)),
        *(torch.nn.functional.scaled_dot_product_attention(x, x, x), torch.nn.functional.fractional_max_pool2d(x, 2, output_size=3)),
    ],
    "results": lambda torch, x: {"a": (x, None), "b": [x.max(dim=1).values, slice(x, 1)], "c": "text"},
    "questions": lambda torch, x: [isinstance(x, torch.Tensor), torch.is_tensor(x), torch.is_floating_point(x), x is None, str(x)],
    "unpacking": lambda torch, x: (lambda a, b: a + b)(*(lambda pair: (pair[0], pair[1]))(x.chunk(2))),
}


@pytest.mark.parametrize("name", FUNCTIONS_TRACED)
def test_graph_and_code_of_a_function(name):
    def program(torch):
        def function(x):
            return FUNCTIONS_TRACED[name](torch, x)

        return seen(torch.fx.symbolic_trace(function))

    same(program)


def test_annotations_and_arguments():
    def many(x, *, k=1, **kwargs):
        return x + k

    def shadowing(input, str, torch_, self_):
        float = input + 1
        return float * str + torch_ + self_

    same(lambda torch: seen(torch.fx.symbolic_trace(with_types(torch))))
    same(lambda torch: [torch.fx.symbolic_trace(function).code for function in (many, shadowing, lambda *args: args[0] + args[1])])


#: Names by which torch calls functions that are one with another here, or that it has in files of its own.
OTHER_NAMES = {"adaptive_max_pool1d", "celu", "dsmm", "from_dlpack", "max_pool1d", "max_pool2d", "max_pool3d", "pca_lowrank", "rms_norm"}
OTHER_NAMES |= {"segment_reduce", "selu", "spmm", "svd_lowrank", "threshold"}


def test_functions_have_torchs_names():
    names = {*FUNCTIONS, *(f"nn.functional.{name}" for name in shim.nn.functional.__all__)}
    assert len(names) > 700
    for name in sorted(names - OTHER_NAMES):
        if name.partition(".")[0] in ("masked", "signal", "sparse"):
            continue
        ours, theirs = shim, torch
        for part in name.split("."):
            ours, theirs = getattr(ours, part), getattr(theirs, part, None)
        if theirs is not None:
            expected = _get_qualified_name(theirs)
            assert torch_name(ours) == expected
            assert torch_name(resolve(expected)) == expected


# -- what is wrapped, specialised, traced in another way

WRAPPED = """
import math
from math import sqrt

def double(x, k=2):
    return x * k if k else x

torch.fx.wrap("len")
torch.fx.wrap("sqrt")
torch.fx.wrap(double)

class Pair(metaclass=torch.fx.ProxyableClassMeta):
    def __init__(self, left, right):
        self.left, self.right = left, right

    def times(self, other):
        return Pair(self.left * other.left, self.right * other.right)

def function(x):
    return double(x, k=3) + sqrt(len(x)) + math.floor(x.size(0))

def pairs(x: Pair, y: torch.Tensor):
    return x.times(Pair(y, y)).times(x)
"""


def test_wrap():
    def program(torch):
        variables = {"torch": torch, "__name__": "program"}
        exec(compile(WRAPPED, "program", "exec"), variables)
        traced, pairs = torch.fx.symbolic_trace(variables["function"]), torch.fx.symbolic_trace(variables["pairs"])
        pair = pairs(variables["Pair"](torch.ones(1), torch.full((1,), 2.0)), torch.full((1,), 3.0))
        again = torch.fx.symbolic_trace(traced)
        return seen(traced), traced(torch.ones(4)), variables["len"]([1]) if "len" in variables else 1, seen(pairs), pair.right, again.code

    same(program)
    same_error(lambda torch: torch.fx.wrap("len"), NotImplementedError, "wrap must be called at the top level of a module")
    same_error(lambda torch: torch.fx.wrap(3), RuntimeError, "Unsupported type for global function")


def test_concrete_arguments():
    def function(x, flag, n=3):
        return x * 2 if flag else x + n

    def nested(x, y):
        total = 0
        for value in x.values():
            total = total + value
        return {"total": total * y, "list": [y]}

    def program(torch):
        traced = torch.fx.symbolic_trace(function, concrete_args={"flag": True})
        flat = torch.fx.symbolic_trace(nested, concrete_args={"x": {"a": torch.fx.PH, "b": torch.fx.PH}})
        inputs = {"a": torch.ones(1), "b": torch.full((1,), 2.0)}
        none = torch.fx.symbolic_trace(function, concrete_args={"flag": None, "n": 3})
        values = [made(inputs, 2) for made in (flat, copy.deepcopy(flat), pickle.loads(pickle.dumps(flat)))]
        return traced.code, traced(torch.ones(1), True), none.code, flat.code, str(flat.graph), values

    with pytest.warns(FutureWarning, match="isinstance"):  # PyTorch, of its own pickles
        same(program)
    text = "flag has been specialized to have value True but got another value"
    with contextlib.redirect_stderr(io.StringIO()):
        same_error(lambda torch: torch.fx.symbolic_trace(function, {"flag": True})(torch.ones(1), False), AssertionError, text)


def test_tracers():
    def program(torch):
        class Deep(torch.fx.Tracer):
            proxy_buffer_attributes = True

            def is_leaf_module(self, m, module_qualified_name):
                return isinstance(m, (torch.nn.LayerNorm, torch.nn.GELU))

            def call_module(self, m, forward, args, kwargs):
                if isinstance(m, torch.nn.Linear):
                    return args[0] * len(self.path_of_module(m))
                return super().call_module(m, forward, args, kwargs)

            def create_arg(self, a):
                return super().create_arg(float(a) if type(a) is int else a)

        class Sizes(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.ones(3))

            def forward(self, x):
                return x + self.weight.size()[0] + self.weight if self.weight.shape[0] > 2 else x

        stacks = [node.meta.get("nn_module_stack") for node in torch.fx.symbolic_trace(residual(torch.nn)[0]).graph.nodes]
        return (
            str(Deep().trace(mlp(torch.nn)[0])),
            str(torch.fx.Tracer(param_shapes_constant=True).trace(Sizes())),
            [None if stack is None else list(stack) for stack in stacks],
        )

    same(program)


# -- changes


def replaced(torch):
    traced = torch.fx.symbolic_trace(mlp(torch.nn)[0])
    for node in traced.graph.nodes:
        if node.op == "call_function" and node.target == torch.nn.functional.gelu:
            with traced.graph.inserting_after(node):
                new = traced.graph.call_function(torch.tanh, node.args, node.kwargs)
                node.replace_all_uses_with(new)
            traced.graph.erase_node(node)
    traced.graph.lint()
    return traced, traced.recompile().src


def decomposed(torch):
    def function(x):
        return torch.nn.functional.relu(x) + torch.ones(3)

    tracer = torch.fx.Tracer()
    graph, new, values = tracer.trace(function), torch.fx.Graph(), {}
    appending = torch.fx.proxy.GraphAppendingTracer(new)
    for node in graph.nodes:
        if node.target is torch.nn.functional.relu:
            x = torch.fx.Proxy(values[node.args[0]], appending)
            values[node] = ((x > 0) * x).node
        else:
            values[node] = new.node_copy(node, values.__getitem__)
    made = torch.fx.GraphModule(tracer.root, new)
    return made, made(torch.tensor([-1.0, 0.5, 2.0]))


def transformed(torch):
    class Swap(torch.fx.Transformer):
        def call_function(self, target, args, kwargs):
            return torch.neg(*args, **kwargs) if target == torch.sigmoid else super().call_function(target, args, kwargs)

        def call_method(self, target, args, kwargs):
            return args[0].sigmoid() if target == "neg" else super().call_method(target, args, kwargs)

    made = Swap(torch.fx.symbolic_trace(lambda x: torch.sigmoid(x).neg())).transform()
    return made, made(torch.tensor([0.0, 1.0]))


def by_hand(torch):
    graph = torch.fx.Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y", default_value=2)
    total = graph.call_function(torch.add, (x, y), {"alpha": 3})
    graph.output((total, {"d": graph.call_method("sum", (total, -1))}))
    made = torch.fx.GraphModule({}, graph)
    before = made.code, made(torch.ones(2)), made(torch.ones(2), 5)
    with graph.inserting_before(total):
        total.replace_input_with(x, graph.call_function(torch.relu, (x,)))
    with graph.inserting_after(total):
        graph.call_function(torch.relu, (total,))
        graph.call_function(torch.rand, (2,))
        graph.call_function(operator.getitem, (total, 0))
    with graph.inserting_before():
        graph.call_function(torch.ones, (1,))
        graph.call_function(torch.zeros, (1,))
    text = str(graph)
    assert graph.eliminate_dead_code()
    total.update_kwarg("alpha", 1)
    total.insert_arg(0, 1.5)
    total.update_arg(0, 2.5)
    order = [list(map(str, graph.nodes)), list(map(str, reversed(graph.nodes))), len(graph.nodes), total < graph.output_node()]
    found = [list(map(str, graph.find_nodes(op="call_function", target=torch.add))), list(map(str, graph.find_nodes(op="placeholder")))]
    made.recompile()
    return made, before, text, order, found, (str(total.prev), str(total.next), total.format_node())


def patterns(torch):
    def function(x, a, b):
        first, second = torch.cat([a, b]).sum(), torch.cat([a, b]).sum()
        return x + torch.max(first) + torch.max(second)

    traced = torch.fx.symbolic_trace(function)
    matches = [torch.fx.replace_pattern(traced, lambda a, b: torch.cat([a, b]).sum(), lambda a, b: torch.stack([a, b]))]
    code = traced.code
    matches.append(torch.fx.replace_pattern(traced, lambda x, y: x + torch.max(y), lambda x, y: x - y.sum()))
    squares = torch.fx.symbolic_trace(lambda x, y: torch.relu(x) * x + torch.relu(x) * y)  # x stands for one input of a pattern alone
    matches.append(torch.fx.replace_pattern(squares, lambda a, b: torch.relu(a) * b, lambda a, b: torch.sub(a, b)))
    return traced, code, squares.code, [[(str(match.anchor), str(match.nodes_map)) for match in found] for found in matches]


def fused(torch):
    fuse = importlib.import_module(f"{torch.__name__}.nn.utils.fusion").fuse_conv_bn_eval
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
            self.rest = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.ReLU())

        def forward(self, x):
            return self.rest(self.norm(self.conv(x)))

    model = Model().eval()
    made = torch.fx.symbolic_trace(copy.deepcopy(model))
    modules = dict(made.named_modules())
    for node in list(made.graph.nodes):
        if node.op == "call_module" and isinstance(modules[node.target], nn.BatchNorm2d):
            target = node.args[0].target
            parent, _, name = target.rpartition(".")
            setattr(modules[parent], name, fuse(modules[target], modules[node.target]))
            node.replace_all_uses_with(node.args[0])
            made.graph.erase_node(node)
    made.graph.lint()
    made.delete_all_unused_submodules()
    made.recompile()
    x = torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)
    return made, made(x), model(x)


def with_members(torch):
    traced = torch.fx.symbolic_trace(sequential(torch.nn)[0])
    done = [traced.add_submodule("a.b.c", torch.nn.Linear(1, 1)), traced.add_submodule("0.weight.c", torch.nn.ReLU())]
    done += [traced.delete_submodule("a.b"), traced.delete_submodule("zz")]
    names = [name for name, _ in traced.named_modules()]
    traced.graph.erase_node(traced.graph.output_node())
    traced.graph.output(next(iter(traced.graph.nodes)))
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced, done, names, [name for name, _ in traced.named_modules()]


def sized(torch):
    traced = torch.fx.symbolic_trace(mlp(torch.nn)[0])
    prop = importlib.import_module(f"{torch.__name__}.fx.passes.shape_prop").ShapeProp
    result = prop(traced).propagate(torch.linspace(-1, 1, 6).reshape(2, 3))
    found = [(node.name, node.meta["tensor_meta"]) for node in traced.graph.nodes]
    facts = [(name, list(m.shape), str(m.dtype), m.requires_grad, m.stride, str(m.memory_format)) for name, m in found]
    return traced, result, facts


def optimised(torch):
    with warnings.catch_warnings(action="ignore"):  # PyTorch, of what it imports
        optimization = importlib.import_module(f"{torch.__name__}.fx.experimental.optimization")
    nn = torch.nn
    layers = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)
    model = nn.Sequential(*layers).eval()
    x = torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)
    made = optimization.fuse(model)
    removed = optimization.remove_dropout(model)
    return made, made(x), model(x), seen(removed), removed(x)


CHANGES = (replaced, decomposed, transformed, by_hand, patterns, fused, with_members, sized, optimised)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changes_of_graphs(change):
    def program(torch):
        traced, *rest = change(torch)
        return seen(traced), rest

    same(program)


def test_lines_of_code_can_be_changed():
    def program(torch):
        traced = torch.fx.symbolic_trace(lambda x: x + 1)
        with traced.graph.on_generate_code(lambda before: lambda body: ["# first\n", *(before(body) if before else body)]):
            code = traced.recompile().src
        return code, traced.recompile().src

    same(program)


# -- errors


def broken(torch):
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    y = graph.call_function(torch.relu, (x,))
    x.args = (y,)
    graph.lint()


def in_use(torch):
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(x) + 1).graph
    graph.erase_node(next(iter(graph.nodes)))


def traced(function: Callable) -> Callable:
    return lambda torch: torch.fx.symbolic_trace(lambda x: function(torch, x))


ERRORS = {
    "len": (traced(lambda torch, x: len(x)), RuntimeError, "'len' is not supported in symbolic tracing by default"),
    "float": (traced(lambda torch, x: float(x)), TypeError, "not 'Proxy'"),
    "range": (traced(lambda torch, x: range(x)), TypeError, "'Proxy' object cannot be interpreted as an integer"),
    "set": (traced(lambda torch, x: operator.setitem(x, 0, 1)), TypeError, "'Proxy' object does not support item assignment"),
    "argument": (traced(lambda torch, x: x.foo(object())), NotImplementedError, "argument of type: <class 'object'>"),
    "key": (traced(lambda torch, x: x.foo({(x,): 1})), RuntimeError, "Keys for dictionaries used as an argument cannot contain a Node"),
    "order": (broken, RuntimeError, "was used before it has been defined! Please check that Nodes in the graph are topologically ordered"),
    "in use": (in_use, RuntimeError, "Tried to erase Node x but it still had 1 users in the graph: {relu: None}!"),
    "mutation": (
        lambda torch: (
            torch.fx.symbolic_trace(lambda x: torch.cat([x, x])).graph.find_nodes(op="call_function", target=torch.cat)[0].args[0].pop()
        ),
        TypeError,
        "'immutable_list' object does not support mutation",
    ),
    "target": (lambda torch: torch.fx.Graph().call_function("relu"), ValueError, "but a Callable is expected"),
    "missing": (
        lambda torch: torch.fx.GraphModule({}, torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.ReLU())).graph),
        RuntimeError,
        "0",
    ),
    "interpreter": (
        lambda torch: torch.fx.Interpreter(torch.fx.symbolic_trace(lambda x, y: x + y)).run(torch.ones(1)),
        RuntimeError,
        r"Expected positional argument for parameter y(.|\n)*While executing %y : \[num_users=1\] = placeholder\[target=y\]",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(*ERRORS[name])


#: What a program may not do with a proxy.
DECISIONS = {
    "if": lambda torch, x: x if x.sum() > 0 else -x,
    "and": lambda torch, x: x and 1,
    "not": lambda torch, x: not x,
    "in": lambda torch, x: x in [1],
    "for": lambda torch, x: [row for row in x],  # noqa: C416
    "star": lambda torch, x: torch.cat(*x),
    "two stars": lambda torch, x: torch.relu(**x),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_trace_errors(name):
    def program(torch):
        with pytest.raises(torch.fx.proxy.TraceError) as error:
            torch.fx.symbolic_trace(lambda x: DECISIONS[name](torch, x))
        return str(error.value), [kind.__name__ for kind in error.type.__mro__]

    same(program)


def test_errors_in_generated_code_show_the_line(capsys):
    traced = shim.fx.symbolic_trace(lambda x: shim.mm(x, x) + 1)
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        traced(shim.ones(2, 3))
    text = capsys.readouterr().err
    assert "Call using an FX-traced Module, line 5 of the traced Module's generated forward function:" in text
    assert "    mm = torch.mm(x, x);  x = None\n" in text


def test_modules_and_functions_are_as_before_after_a_trace():
    call, read = vars(shim.nn.Module).get("__call__"), vars(shim.nn.Module)["__getattr__"]
    asked = "ask" in vars(thread)
    for function in (lambda x: x + 1, lambda x: bool(x)):
        with contextlib.suppress(shim.fx.proxy.TraceError):
            shim.fx.symbolic_trace(function)
    assert vars(shim.nn.Module).get("__call__") is call
    assert vars(shim.nn.Module)["__getattr__"] is read
    assert ("ask" in vars(thread)) == asked


def test_functions_do_not_ask_for_the_sake_of_traced_modules(monkeypatch):
    monkeypatch.setattr(ThreadState, "ask", None)
    traced = shim.fx.symbolic_trace(sequential(shim.nn)[0])
    assert traced(shim.ones(1, 2)).shape == (1, 3)
    assert ThreadState.ask is None


@pytest.mark.parametrize("name", ["operator_schemas", "experimental.symbolic_shapes", "passes.infra.pass_base", "traceback"])
def test_what_is_missing_says_so(name):
    with pytest.raises(NotImplementedError, match=r"torch\.fx\..* is not supported: "):
        importlib.import_module(f"funnn.torch.fx.{name}")
