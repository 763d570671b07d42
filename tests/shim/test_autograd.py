"""The tape against torch's autograd: gradients of every operation, the graph, its errors, hooks, higher derivatives."""

import re

import pytest
from opinfo import op_db
from twin import same, same_error

import funnn.torch as shim
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.program.states import count_states

# -- every row of the tables

POINTWISE = (
    "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh sigmoid erf reciprocal abs neg relu floor ceil "
    "sign trunc round square"
)
EXAMPLES = {
    **{name: lambda t, x, y, name=name: getattr(t, name)(x) for name in POINTWISE.split()},
    **{
        name: lambda t, x, y, name=name: getattr(t, name)(x - 0.6)
        for name in ["sin", "cosh", "expm1", "tanh", "relu", "abs", "sign", "neg", "round", "erf"]
    },
    **{
        name: lambda t, x, y, name=name: [getattr(t, name)(x, y), getattr(t, name)(x, 0.5)] for name in ("eq", "ne", "lt", "le", "gt", "ge")
    },
    **{name: lambda t, x, y, name=name: getattr(t, name)(x) for name in ("isnan", "isinf", "isfinite", "logical_not", "all", "any")},
    **{
        name: lambda t, x, y, name=name: getattr(t, name)(x, y)
        for name in ("logical_and", "logical_or", "logical_xor", "maximum", "minimum")
    },
    **{
        name: lambda t, x, y, name=name: getattr(t, name)((x > 0.5).detach(), y > 0.5)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    },
    "bitwise_not": lambda t, x, y: t.bitwise_not(x > 0.5),
    "add": lambda t, x, y: [t.add(x, y), t.add(x, 2), t.add(x, y, alpha=3), x + y[0], 1.5 + x],
    "sub": lambda t, x, y: [t.sub(x, y), t.sub(x, 2), t.sub(x, y, alpha=3), x - y[0], 1.5 - x],
    "rsub": lambda t, x, y: [t.rsub(x, y), t.rsub(x, 2)],
    "mul": lambda t, x, y: [t.mul(x, y), t.mul(x, 2), x * x, x * y[:, :1], x[0, 0] * y],
    "div": lambda t, x, y: [t.div(x, y), x / 2, 2 / x, t.div(x, y[0])],
    "floor_divide": lambda t, x, y: t.floor_divide(x.detach(), 0.3),
    "remainder": lambda t, x, y: [t.remainder(x, 0.31), t.remainder(x, y + 0.013)],
    "pow": lambda t, x, y: [t.pow(x, 2), x**3, x**0.5, x**-1, x**y, 2**x, x**2.0, x**0, x**5],
    "clamp": lambda t, x, y: [t.clamp(x, 0.3, 0.7), x.clamp(min=0.5), x.clamp(max=y), x.clamp(y - 0.1, y + 0.1)],
    "masked_fill": lambda t, x, y: t.masked_fill(x, y > 0.5, 2.0),
    "lerp": lambda t, x, y: [t.lerp(x, y, 0.3), t.lerp(x, y, x)],
    "addcmul": lambda t, x, y: [t.addcmul(x, x, y), t.addcmul(x, y, y, value=2)],
    "addcdiv": lambda t, x, y: [t.addcdiv(x, x, y), t.addcdiv(x, y, x, value=2)],
    "where": lambda t, x, y: [t.where(y > 0.5, x, y), t.where(y > 0.5, x, 0.0), x.where(y > 0.5, y)],
    "clone": lambda t, x, y: t.clone(x),
    "sum": lambda t, x, y: [x.sum(), x.sum(0), x.sum((0, 1)), x.sum(1, keepdim=True), t.sum(x, dim=-1, dtype=t.float32)],
    "prod": lambda t, x, y: [x.prod(), x.prod(1), x.prod(0, keepdim=True)],
    "mean": lambda t, x, y: [x.mean(), x.mean(0), x.mean((0, 1)), x.mean(1, keepdim=True)],
    "var": lambda t, x, y: [x.var(), x.var(0), x.var(1, unbiased=False), t.var(x, dim=1, correction=0)],
    "std": lambda t, x, y: [x.std(), x.std(0), x.std(1, unbiased=False)],
    "argmax": lambda t, x, y: [x.argmax(), x.argmax(1)],
    "argmin": lambda t, x, y: [x.argmin(), x.argmin(1, keepdim=True)],
    "max": lambda t, x, y: [x.max(), x.max(0), x.max(1, keepdim=True), t.max(x, y), t.ones_like(x).mul(x[0, 0]).max()],
    "min": lambda t, x, y: [x.min(), x.min(0), x.min(1, keepdim=True), t.min(x, y)],
    "amax": lambda t, x, y: [x.amax(), x.amax(0), x.amax((0, 1)), t.amax(x * 0 + 1, 1)],
    "amin": lambda t, x, y: [x.amin(), x.amin(0), x.amin((0, 1))],
    "logsumexp": lambda t, x, y: [x.logsumexp(0), x.logsumexp((0, 1)), x.logsumexp(1, keepdim=True)],
    "cumsum": lambda t, x, y: [x.cumsum(0), x.cumsum(1)],
    "cumprod": lambda t, x, y: [x.cumprod(0), x.cumprod(1)],
    "norm": lambda t, x, y: [
        x.norm(),
        x.norm(1),
        x.norm(2, 1),
        x.norm(float("inf")),
        x.norm(3),
        (x * 0).norm(),
        x.norm(dim=0, keepdim=True),
    ],
    "equal": lambda t, x, y: [t.equal(x, y), t.equal(x, x)],
    "allclose": lambda t, x, y: [t.allclose(x, y), t.allclose(x, x)],
    "cat": lambda t, x, y: [t.cat([x, y]), t.cat([x, y, x], 1), t.cat([x, y.detach()])],
    "stack": lambda t, x, y: [t.stack([x, y]), t.stack((x, y), -1)],
    "tile": lambda t, x, y: [t.tile(x, (2,)), x.tile(2, 1)],
    "flip": lambda t, x, y: [x.flip(0), t.flip(x, (0, 1))],
    "roll": lambda t, x, y: [x.roll(1, 0), x.roll((1, 2), (0, 1)), x.roll(2)],
    "tril": lambda t, x, y: [x.tril(), x.tril(-1)],
    "triu": lambda t, x, y: [x.triu(), x.triu(1)],
    "repeat_interleave": lambda t, x, y: [x.repeat_interleave(2, 0), x.repeat_interleave(3)],
    "gather": lambda t, x, y: [x.gather(1, t.tensor([[0, 0], [2, 1]])), x.gather(0, t.tensor([[1, 0, 1]]))],
    "scatter": lambda t, x, y: [x.scatter(1, t.tensor([[0, 1], [2, 1]]), y[:, :2]), x.scatter(0, t.tensor([[1, 0, 1]]), 2.0)],
    "index_select": lambda t, x, y: x.index_select(1, t.tensor([2, 2, 0])),
    "sort": lambda t, x, y: [x.sort(), x.sort(0, descending=True)],
    "argsort": lambda t, x, y: x.argsort(1),
    "topk": lambda t, x, y: [x.topk(2), x.topk(1, 0, largest=False)],
    "nonzero": lambda t, x, y: t.nonzero(x > 0.5),
    "matmul": lambda t, x, y: [x @ y.t(), x @ y[0], x[0] @ y.t(), x[0] @ y[0], x[None] @ y.t(), x[None] @ y.t()[None]],
    "mm": lambda t, x, y: t.mm(x, y.t()),
    "bmm": lambda t, x, y: t.bmm(x[None], y.t()[None]),
    "mv": lambda t, x, y: t.mv(x, y[0]),
    "dot": lambda t, x, y: t.dot(x[0], y[1]),
    "addmm": lambda t, x, y: [t.addmm(x[:, :2], x, y.t()), t.addmm(x[0, :2], x, y.t(), beta=2, alpha=0.5)],
    "outer": lambda t, x, y: t.outer(x[0], y[1]),
    "einsum": lambda t, x, y: [t.einsum("ij,kj->ik", x, y), t.einsum("ij,ij", [x, y]), t.einsum("ij->ji", x)],
    "permute": lambda t, x, y: [x.permute(1, 0), t.permute(x, (0, 1))],
    "transpose": lambda t, x, y: x.transpose(0, 1),
    "t": lambda t, x, y: [x.t(), x[0].t()],
    "movedim": lambda t, x, y: x.movedim(0, 1),
    "select": lambda t, x, y: x.select(1, 2),
    "narrow": lambda t, x, y: x.narrow(1, 1, 2),
    "unsqueeze": lambda t, x, y: [x.unsqueeze(0), x.unsqueeze(-1)],
    "squeeze": lambda t, x, y: [x[:1].squeeze(), x[:1].squeeze(0), x.squeeze(0), x[:1].squeeze((0, 1))],
    "broadcast_to": lambda t, x, y: x.broadcast_to(2, 2, 3) if t is shim else x.broadcast_to((2, 2, 3)),
    "unflatten": lambda t, x, y: x.unflatten(1, (3, 1)),
    "diagonal": lambda t, x, y: [x.diagonal(), x.diagonal(1)],
    "as_strided": lambda t, x, y: x.as_strided((2, 2), (1, 2), 1),
    "reshape": lambda t, x, y: [x.reshape(3, 2), x.t().reshape(-1), x[:, :2].reshape(2, 2, 1)],
    "flatten": lambda t, x, y: [x.flatten(), x.t().flatten()],
    "ravel": lambda t, x, y: x.ravel(),
    "split": lambda t, x, y: [x.split(2, 1), x.split([1, 2], 1)],
    "chunk": lambda t, x, y: x.chunk(2, 1),
    "unbind": lambda t, x, y: [x.unbind(), x.unbind(1)],
    "contiguous": lambda t, x, y: [x.t().contiguous(), x.contiguous()],
}
SAME_AS = {
    **{"absolute": "abs", "negative": "neg", "clip": "clamp", "multiply": "mul", "divide": "div", "true_divide": "div", "subtract": "sub"},
    **{"concat": "cat", "concatenate": "cat", "moveaxis": "movedim", "swapaxes": "transpose", "swapdims": "transpose"},
}
#: Rows without gradients, tested in test_tensor.py.
MAKERS = {
    *("tensor", "as_tensor", "asarray", "scalar_tensor", "from_numpy", "zeros", "ones", "empty", "full", "arange", "linspace", "eye"),
    *("rand", "randn", "randint", "randperm", "normal", "bernoulli", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like"),
    *("randn_like", "randint_like", "is_tensor", "numel", "is_floating_point", "result_type", "promote_types"),
}


#: Rows that are neither here nor in PyTorch's database of operations: where their tests are.
ELSEWHERE = {
    **dict.fromkeys(("adjoint", "ger", "grid_sampler", "row_stack", "unsafe_split_with_sizes"), "test_memory.py"),
    **dict.fromkeys(("is_conj", "is_neg", "_conj", "_neg_view"), "test_conjugate_views.py"),
    **dict.fromkeys(("select_copy", "slice_copy", "split_copy", "view_as_complex_copy", "view_as_real_copy"), "test_memory.py"),
    **dict.fromkeys(("detach", "vander", "typename", "range", "spmm", "dsmm", "detach_copy", "can_cast"), "test_small_names.py"),
    **dict.fromkeys(("get_device", "is_complex", "is_inference", "is_nonzero", "is_same_size", "is_signed"), "test_small_names.py"),
    **dict.fromkeys(("affine_grid_generator", "embedding_renorm_", "feature_dropout", "frobenius_norm"), "test_small_names.py"),
    **dict.fromkeys(("max_pool1d_with_indices", "native_dropout", "nuclear_norm", "segment_reduce"), "test_small_names.py"),
    **dict.fromkeys(("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"), "test_fake_quantize.py"),
    **{f"{name}_window": "test_small_names.py" for name in ("bartlett", "blackman", "hamming", "hann", "kaiser")},
    **dict.fromkeys(("from_dlpack", "frombuffer"), "test_numpy_protocol.py"),
    **{f"{name}{cell}": "test_module_names.py" for name in ("gru", "lstm", "rnn_relu", "rnn_tanh") for cell in ("", "_cell")},
    **dict.fromkeys(("_weight_norm", "norm_except_dim"), "test_nn_utils.py"),
    **dict.fromkeys(("_sample_dirichlet", "_standard_gamma", "binomial", "poisson"), "test_distributions.py"),
    **dict.fromkeys(
        ("smm", "hspmm", "sparse_coo_tensor", "sparse_csr_tensor", "sparse_csc_tensor", "sparse_compressed_tensor"),
        "test_sparse_tensors.py",
    ),
    **{f"sparse.{name}": "test_sparse_tensors.py" for name in ("mm", "addmm", "sum", "softmax", "log_softmax", "spdiags", "sampled_addmm")},
    **dict.fromkeys(("chain_matmul", "slogdet", "fft.fftfreq", "fft.rfftfreq"), "test_tensor.py"),
}


def test_every_row_has_an_example():
    """An example here, or PyTorch's own samples in test_opinfo_torch.py."""
    rows = {name.removesuffix("_") if name.removesuffix("_") in FUNCTIONS else name for name in FUNCTIONS}
    database = {name.removeprefix("nn.functional.") for op in op_db for name in (op.name, *(alias.name for alias in op.aliases))}
    assert not rows - MAKERS - set(SAME_AS) - set(EXAMPLES) - database - set(ELSEWHERE)
    assert not set(EXAMPLES) - rows
    assert all(FUNCTIONS[alias].__wrapped__ is FUNCTIONS[name].__wrapped__ for alias, name in SAME_AS.items())


def inputs(t):
    x = t.tensor([[0.5, 0.3, 0.8], [0.25, 0.9, 0.6]], dtype=t.float64, requires_grad=True)
    y = t.tensor([[0.7, 0.4, 0.2], [0.95, 0.1, 0.35]], dtype=t.float64, requires_grad=True)
    return x, y


def leaves_of(result):
    return [leaf for item in result for leaf in leaves_of(item)] if isinstance(result, (tuple, list)) else [result]


def names_of(results):
    """The names of the nodes; of operations that torch has in parts (a matrix product in three steps), only that there is one."""
    return [None if getattr(r, "grad_fn", None) is None else r.grad_fn.name() for r in results]


def weighted(t, results):
    """A scalar that depends on every element with a weight of its own."""
    total = t.zeros((), dtype=t.float64)
    for number, result in enumerate(results):
        if isinstance(result, t.Tensor) and result.requires_grad:
            total = total + (result.double() * (t.arange(float(result.numel()), dtype=t.float64).view(result.shape) + number + 1)).sum()
    return total


#: Where torch's node is of another operation, because it computes in other steps.
OTHER_NODES = {"norm", "einsum", "outer", "tile", "repeat_interleave", "std", "matmul", "chunk"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_gradients(name):
    def program(t):
        x, y = inputs(t)
        results = leaves_of(EXAMPLES[name](t, x, y))
        total = weighted(t, results)
        if total.requires_grad:
            total.backward()
        return x, y, [r.detach() if isinstance(r, t.Tensor) else r for r in results], [] if name in OTHER_NODES else names_of(results)

    same(program)


def run_in_place(t, name, x, y):
    method = getattr(t.Tensor, f"{name}_")
    arguments = {
        **dict.fromkeys(("add", "sub", "mul", "div", "remainder", "pow"), (y + 0.013,)),
        **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor"), (y.detach(),)),
        "clamp": (0.3, 0.7),
        "as_strided": ((2, 2), (2, 1), 1),
        "masked_fill": (y > 0.5, 2.0),
        "lerp": (y, 0.3),
        "addcmul": (y, y),
        "addcdiv": (y, y),
        "scatter": (1, t.tensor([[0, 1], [2, 1]]), y[:, :2]),
        **dict.fromkeys(("cumsum", "cumprod"), (1,)),
        "floor_divide": (0.3,),
        "addmm": (x @ y.t(), y),
    }.get(name, ())
    if name.startswith("bitwise"):
        return method(x > 0.5, *([y > 0.5] if name != "bitwise_not" else []))
    base = (
        x.detach() * 1 if name in ("floor_divide", "logical_not", "logical_and", "logical_or", "logical_xor") or len(name) == 2 else x * 1
    )
    result = method(base, *arguments)
    assert result is base
    return result


@pytest.mark.parametrize("name", sorted(name[:-1] for name in FUNCTIONS if name.endswith("_") and name[:-1] in EXAMPLES))
def test_gradients_in_place(name):
    def program(t):
        x, y = inputs(t)
        result = run_in_place(t, name, x, y)
        if result.requires_grad:
            weighted(t, [result]).backward()
        return x, y, result.detach(), names_of([result])

    same(program)


METHODS = {
    "repeat": lambda t, x: x.repeat(2, 1),
    "expand": lambda t, x: x[:1].expand(3, -1),
    "view": lambda t, x: x.view(3, 2),
    "unfold": lambda t, x: x.unfold(1, 2, 1),
    "to": lambda t, x: x.float(),
    "index": lambda t, x: [x[0], x[:, 1:], x[t.tensor([0, 0])], x[x > 0.5], x[..., None]],
    "T": lambda t, x: [x.T, x.mT],
    "iteration": lambda t, x: list(x),
    "copy_": lambda t, x: t.zeros(2, 3, dtype=t.float64).copy_(x),
    "copy_ into a graph": lambda t, x: [(x * 1).copy_(t.ones(2, 3)), (x * 1).fill_(2), (x * 1).zero_()],
    "setitem": lambda t, x: t.zeros(3, dtype=t.float64).index_put_((t.tensor([0, 1]),), x[0, :2]),
    "softmax": lambda t, x: [t.nn.functional.softmax(x, 1), t.nn.functional.log_softmax(x, 1)],
    "linear": lambda t, x: [t.nn.functional.linear(x, x), t.nn.functional.linear(x, x, x[:, 0])],
}


@pytest.mark.parametrize("name", METHODS)
def test_gradients_of_methods(name):
    def program(t):
        x, _ = inputs(t)
        results = leaves_of(METHODS[name](t, x))
        weighted(t, results).backward()
        return x, names_of(results)

    same(program)


# -- the graph


def leaf(t, *values):
    return t.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


GRAPH = {
    "accumulation": lambda t, x: [(x * 2).sum().backward(), (x * 3).sum().backward(), x][2:],
    "a tensor used twice": lambda t, x: [(x * x + x).sum().backward(), x][1:],
    "retain_graph": lambda t, x: [(y := (x * x).sum()), y.backward(retain_graph=True), y.backward(), x][3:],
    "two heads": lambda t, x: [t.autograd.backward([x.sum(), (x * x).sum()]), x][1:],
    "gradient": lambda t, x: [(x * x).backward(t.tensor([1.0, 2.0, 3.0])), x][1:],
    "grad": lambda t, x: t.autograd.grad((x * x).sum(), x),
    "grad of several": lambda t, x: t.autograd.grad([x.sum(), (x * x).sum()], [x]),
    "grad leaves no .grad": lambda t, x: [t.autograd.grad((x * x).sum(), x), x.grad],
    "grad of an inner tensor": lambda t, x: [(y := x * 2), t.autograd.grad((y * y).sum(), [y, x])][1:],
    "allow_unused": lambda t, x: t.autograd.grad(x.sum(), [x, leaf(t)], allow_unused=True),
    "materialize_grads": lambda t, x: t.autograd.grad(x.sum(), [x, leaf(t)], materialize_grads=True),
    "grad_outputs": lambda t, x: t.autograd.grad(x * x, x, grad_outputs=t.ones(3) * 2),
    "inputs": lambda t, x: [(w := leaf(t)), (x * w).sum().backward(inputs=[w]), x, w][2:],
    "create_graph": lambda t, x: [(g := t.autograd.grad((x**3).sum(), x, create_graph=True)[0]), g.sum().backward(), x],
    "third derivative": lambda t, x: t.autograd.grad(
        t.autograd.grad(t.autograd.grad((x**4).sum(), x, create_graph=True)[0].sum(), x, create_graph=True)[0].sum(), x
    ),
    "gradient penalty": lambda t, x: [
        (w := leaf(t, 0.3, -0.2, 0.5)),
        (g := t.autograd.grad(t.tanh(x * w).sum(), x, create_graph=True)[0]),
        ((g.norm() - 1) ** 2).backward(),
        w,
        x,
    ][3:],
    "Hessian-vector product": lambda t, x: [
        (g := t.autograd.grad((x**3).sum() * x.prod(), x, create_graph=True)[0]),
        t.autograd.grad(g, x, grad_outputs=t.tensor([1.0, 0.0, -1.0])),
    ][1:],
    "create_graph through views and writes": lambda t, x: [
        (y := x * 1),
        y[1:].mul_(x[:2]),
        (g := t.autograd.grad((y**2).sum(), x, create_graph=True)[0]),
        t.autograd.grad(g.sum(), x),
    ][2:],
    "backward with create_graph": lambda t, x: [
        (x**3).sum().backward(create_graph=True),
        (g := x.grad),
        setattr(x, "grad", None),
        g.sum().backward(),
        x,
    ][4:],
    "no_grad": lambda t, x: [no_grad_results(t, x)],
    "detach": lambda t, x: [(x * x.detach()).sum().backward(), x, x.detach().requires_grad][1:],
    "detached parts": lambda t, x: [(y := x * 2), (y.detach() * x).sum().backward(), x][2:],
    "retain_grad": lambda t, x: [(y := x * 2), y.retain_grad(), y.retains_grad, (y * y).sum().backward(), y.grad, x.retain_grad(), x][2:],
    "zero grad": lambda t, x: [x.sum().backward(), x.grad.zero_(), x.sum().backward(), x][3:],
    "set grad": lambda t, x: [setattr(x, "grad", t.ones(3)), x.sum().backward(), x][2:],
    "is_leaf": lambda t, x: [x.is_leaf, (x * 2).is_leaf, t.ones(1).is_leaf, x.detach().is_leaf, x.grad_fn, x.requires_grad],
    "next_functions": lambda t, x: walk((x * 2 + x.exp()).sum().grad_fn),
    "next_functions, constants": lambda t, x: walk((x * t.ones(3) - 1).mean().grad_fn),
    "matrices": lambda t, x: walk((x.view(1, 3) @ x.view(3, 1) + 1).relu().grad_fn),
    "variable": lambda t, x: [(n := (x * 2).grad_fn.next_functions[0][0]), n.variable is x, n.name()][1:],
    "requires_grad_": lambda t, x: [
        x.requires_grad_(False).requires_grad,
        x.requires_grad_().requires_grad,
        t.ones(1).requires_grad_().is_leaf,
    ],
    "Variable": lambda t, x: t.autograd.Variable(t.ones(2), requires_grad=True),
    "integers beside": lambda t, x: [(x * t.arange(3)).sum().backward(), x][1:],
    "dtypes meet": lambda t, x: [(x * t.ones(3, dtype=t.float64)).sum().backward(), (x.half() * 2).sum().backward(), x][2:],
    "broadcast": lambda t, x: [(x * t.ones(2, 3) + x[0]).sum().backward(), x][1:],
    "comparison": lambda t, x: [x > 1, x.argmax(), x.max() == 3, t.isnan(x), x.long()],
}


def no_grad_results(t, x):
    flags = []
    with t.no_grad():
        flags += [(x * 2).requires_grad, t.is_grad_enabled()]
        with t.enable_grad():
            flags += [(x * 2).requires_grad, t.is_grad_enabled()]
        x.mul_(2)
    flags.append(t.is_grad_enabled())
    with t.inference_mode():
        flags.append((x * 2).requires_grad)
    with t.set_grad_enabled(False):
        flags.append((x * 2).requires_grad)
    t.set_grad_enabled(False)
    flags.append((x * 2).requires_grad)
    t.set_grad_enabled(True)

    @t.no_grad()
    def called(v):
        return v * 2

    @t.no_grad
    def plain(v):
        return v * 2

    @t.no_grad()
    def generator(v):
        yield v * 2
        yield (v * 3)

    @t.enable_grad()
    def enabled(v):
        return v * 2

    @t.inference_mode()
    def inference(v):
        return v * 2

    flags += [f(x).requires_grad for f in (called, plain, enabled, inference)]
    for item in generator(x):
        flags += [item.requires_grad, t.is_grad_enabled()]
    with t.no_grad():
        flags.append(enabled(x).requires_grad)
    try:
        with t.no_grad():
            raise KeyError
    except KeyError:
        flags.append(t.is_grad_enabled())
    return flags, x


def walk(node, depth=4):
    """The names of a graph, as nested tuples."""
    if node is None or not depth:
        return None
    return re.sub(r"^torch::autograd::", "", node.name()), tuple((walk(child, depth - 1), index) for child, index in node.next_functions)


@pytest.mark.parametrize("name", GRAPH)
@pytest.mark.filterwarnings("ignore:Using backward\\(\\) with create_graph:UserWarning")
def test_graph(name):
    same(lambda t: GRAPH[name](t, leaf(t)))


HOOKS = {
    "tensor hook": lambda t, x, log: [(y := x * 2), y.register_hook(log), (y * y).sum().backward(), x],
    "replacing hook": lambda t, x, log: [(y := x * 2), y.register_hook(lambda g: g * 10), (y * y).sum().backward(), x],
    "leaf hook": lambda t, x, log: [
        x.register_hook(log),
        x.register_hook(lambda g: g * 2),
        x.register_hook(log),
        (x * x).sum().backward(),
        x,
    ],
    "hook after use": lambda t, x, log: [(y := x * 2), x.register_hook(log), y.sum().backward(), x],
    "removed hook": lambda t, x, log: [(h := x.register_hook(log)), h.remove(), x.sum().backward(), x],
    "node hook": lambda t, x, log: [(y := (x * 2)), y.grad_fn.register_hook(lambda i, o: log((i, o))), y.sum().backward(), x],
    "node prehook": lambda t, x, log: [(y := (x * 2)), y.grad_fn.register_prehook(lambda o: (o[0] * 5,)), y.sum().backward(), x],
    "after accumulation": lambda t, x, log: [
        x.register_post_accumulate_grad_hook(lambda p: log(p.grad.clone())),
        (x * 2).sum().backward(),
        x,
    ],
    "hooks and grad": lambda t, x, log: [(y := x * 2), y.register_hook(lambda g: g * 10), t.autograd.grad(y.sum(), x)],
    "hook on a leaf and grad": lambda t, x, log: [x.register_hook(lambda g: g * 10), t.autograd.grad((x * 2).sum(), x)],
    "hook sees the sum": lambda t, x, log: [(y := x * 2), y.register_hook(log), (y * y + y).sum().backward()],
    "hook with create_graph": lambda t, x, log: [
        (y := x * x),
        y.register_hook(lambda g: g * 2),
        (g := t.autograd.grad(y.sum(), x, create_graph=True)[0]),
        t.autograd.grad(g.sum(), x),
    ][2:],
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks(name):
    def program(t):
        seen = []
        results = HOOKS[name](t, leaf(t), lambda value: seen.append(value))
        return seen, [r for r in results if isinstance(r, (t.Tensor, tuple)) and not (isinstance(r, t.Tensor) and r.grad_fn is not None)]

    same(program)


# -- a derivative of one's own


def functions(t):
    class Cube(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x**3 * scale

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x**2 * ctx.scale, None

    class Two(t.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b, a + b

        @staticmethod
        def backward(ctx, g, h):
            a, b = ctx.saved_tensors
            return (g * b + h if ctx.needs_input_grad[0] else None), (g * a + h if ctx.needs_input_grad[1] else None)

    class Later(t.autograd.Function):
        @staticmethod
        def forward(x):
            return x.exp()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(output)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    class Rounded(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, g):
            return g

    class Sorted(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            values, indices = x.sort()
            ctx.mark_non_differentiable(indices)
            ctx.save_for_backward(indices)
            return values, indices

        @staticmethod
        def backward(ctx, g, unused):
            return t.zeros_like(g).scatter(0, ctx.saved_tensors[0], g)

    class Bad(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return g

    return {cls.__name__: cls for cls in (Cube, Two, Later, Rounded, Sorted, Bad)}


FUNCTION_PROGRAMS = {
    "save_for_backward": lambda t, f, x: [f["Cube"].apply(x, 2.0).sum().backward(), x][1:],
    "grad_fn": lambda t, f, x: [f["Cube"].apply(x, 2.0).grad_fn.name(), f["Cube"].apply(x.detach(), 1.0).requires_grad],
    "two outputs": lambda t, f, x: [sum(f["Two"].apply(x, x * 2)).sum().backward(), x][1:],
    "one output used": lambda t, f, x: [f["Two"].apply(x, t.ones(3))[0].sum().backward(), x][1:],
    "setup_context": lambda t, f, x: [f["Later"].apply(x).sum().backward(), x][1:],
    "straight through": lambda t, f, x: [(f["Rounded"].apply(x * 1.4) * x).sum().backward(), x][1:],
    "non-differentiable output": lambda t, f, x: [
        (y := f["Sorted"].apply(-x)),
        (y[0] * t.arange(3.0)).sum().backward(),
        y[1].requires_grad,
        x,
    ][2:],
    "double backward": lambda t, f, x: t.autograd.grad(t.autograd.grad(f["Cube"].apply(x, 2.0).sum(), x, create_graph=True)[0].sum(), x),
    "in no_grad": lambda t, f, x: [t.no_grad()(f["Cube"].apply)(x, 1.0).requires_grad],
}


@pytest.mark.parametrize("name", FUNCTION_PROGRAMS)
def test_functions(name):
    same(lambda t: FUNCTION_PROGRAMS[name](t, functions(t), leaf(t)))


# -- errors

FREED = "Trying to backward through the graph a second time"
MODIFIED = "one of the variables needed for gradient computation has been modified by an inplace operation"


def twice(y):
    y.backward()
    y.backward()


ERRORS = {
    "second backward": (lambda t, x: twice((x * x).sum()), FREED),
    "second backward of a function": (lambda t, x: twice(functions(t)["Cube"].apply(x, 1.0).sum()), FREED),
    "not a scalar": (lambda t, x: (x * 2).backward(), "grad can be implicitly created only for scalar outputs"),
    "no history": (lambda t, x: t.ones(1).backward(), "element 0 of tensors does not require grad and does not have a grad_fn"),
    "no_grad": (lambda t, x: t.no_grad()(lambda: x.sum())().backward(), "does not require grad and does not have a grad_fn"),
    "gradient's shape": (
        lambda t, x: (x * 2).backward(t.ones(2)),
        r"Mismatch in shape: grad_output\[0\] has a shape of torch.Size\(\[2\]\)",
    ),
    "leaf": (lambda t, x: x.add_(1), "a leaf Variable that requires grad is being used in an in-place operation"),
    "leaf, operator": (lambda t, x: x.__iadd__(1), "a leaf Variable that requires grad is being used in an in-place operation"),
    "leaf, item": (
        lambda t, x: x.__setitem__(0, 1.0),
        "a view of a leaf Variable that requires grad is being used in an in-place operation",
    ),
    "leaf, view": (lambda t, x: x[:2].mul_(2), "a view of a leaf Variable that requires grad is being used in an in-place operation"),
    "leaf, zero_": (lambda t, x: x.zero_(), "a leaf Variable that requires grad is being used in an in-place operation"),
    "leaf, uniform_": (lambda t, x: x.uniform_(), "a leaf Variable that requires grad is being used in an in-place operation"),
    "saved input": (lambda t, x: [(y := x * 1), (z := y * y), y.add_(1), z.sum().backward()], MODIFIED),
    "saved input, at version": (
        lambda t, x: [(y := x * 1), (z := y**2), y.add_(1), z.sum().backward()],
        r"is at version 1; expected version 0 instead",
    ),
    "saved input, described": (
        lambda t, x: [(y := x * 1), (z := y**2), y.add_(1), z.sum().backward()],
        r"\[torch.FloatTensor \[3\]\], which is output 0 of",
    ),
    "saved result": (lambda t, x: [(y := x.exp()), y.mul_(2), y.sum().backward()], MODIFIED),
    "saved result of sigmoid": (lambda t, x: [(y := x.sigmoid()), y.mul_(2), y.sum().backward()], MODIFIED),
    "saved result of relu": (lambda t, x: [(y := x.relu()), y.mul_(2), y.sum().backward()], MODIFIED),
    "saved result of softmax": (lambda t, x: [(y := t.nn.functional.softmax(x, 0)), y.mul_(2), y.sum().backward()], MODIFIED),
    "saved, written through a view": (lambda t, x: [(y := x * 1), (z := y * y), y[0].zero_(), z.sum().backward()], MODIFIED),
    "saved weight": (lambda t, x: [(y := x.view(1, 3) @ x.view(3, 1)), t.no_grad()(x.add_)(1), y.sum().backward()], MODIFIED),
    "saved by a function": (
        lambda t, x: [(y := x * 1), (z := functions(t)["Cube"].apply(y, 1.0)), y.add_(1), z.sum().backward()],
        MODIFIED,
    ),
    "expanded": (
        lambda t, x: (x * 1)[:1].expand(3).mul_(2),
        "more than one element of the written-to tensor refers to a single memory location",
    ),
    "piece": (lambda t, x: (x * 1).split(1)[0].mul_(2), "Output 0 of Split.* is a view and is being modified inplace"),
    "row of a loop": (lambda t, x: [row.mul_(2) for row in x * 1], "Output 0 of Unbind.* is a view and is being modified inplace"),
    "unused": (lambda t, x: t.autograd.grad(x.sum(), leaf(t)), "appears to not have been used in the graph"),
    "input without grad": (lambda t, x: t.autograd.grad(x.sum(), t.ones(1)), "One of the differentiated Tensors does not require grad"),
    "number of gradients": (
        lambda t, x: functions(t)["Bad"].apply(x, x).sum().backward(),
        r"returned an incorrect number of gradients \(expected 2, got 1\)",
    ),
    "hook without grad": (lambda t, x: t.ones(1).register_hook(print), "cannot register a hook on a tensor that doesn't require gradient"),
    "retain_grad without grad": (lambda t, x: t.ones(1).retain_grad(), "can't retain_grad on Tensor that has requires_grad=False"),
    "detach_ of a view": (lambda t, x: (x * 1)[0].detach_(), "Can't detach views in-place"),
    "empty inputs": (lambda t, x: x.sum().backward(inputs=[]), "cannot be empty"),
    "out=": (lambda t, x: t.add(x, 1, out=t.empty(3)), "out=... arguments don't support automatic differentiation"),
    "wrong grad": (
        lambda t, x: setattr(x, "grad", t.ones(2)),
        "attempting to assign a gradient of size '\\[2\\]' to a tensor of size '\\[3\\]'",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    program, text = ERRORS[name]
    same_error(lambda t: program(t, leaf(t)), RuntimeError, text)


def test_writes_that_are_allowed():
    """In-place operations on values that nothing saved, and under no_grad on leaves."""

    def program(t):
        x = leaf(t)
        y = x + 1
        y.mul_(2)
        y += x
        y[0] = 5
        z = y.exp()
        (y.sum() + z.sum()).backward()
        with t.no_grad():
            x -= 0.1 * x.grad
            x.grad.zero_()
        return x, y.detach(), x.is_leaf

    same(program)


# -- size and speed


def test_deep_graph():
    x = leaf(shim)
    y = x
    for _ in range(10_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    del y  # and the graph is given back without recursion


def test_changing_numbers_and_indices_compile_nothing():
    x = shim.rand(40, 3, requires_grad=True)

    def step(i):
        y = x * i + x[i] - i / 2
        y = y.clamp(max=float(i)) + x[i : i + 3].sum() + x[:, i % 3].mean() + y[i, i % 3]
        y.add_(i).mul_(0.5 * i)
        y[i] = i
        y.sum().backward()

    for i in range(1, 5):
        step(i)
    before = count_states()
    for i in range(5, 36):
        step(i)
    assert count_states() == before


# -- retained gradients of what was written in place


def _set_first(b):
    b[0] = 5.0


@pytest.mark.parametrize(
    "write", [lambda b: b.mul_(3), _set_first, lambda b: b.clamp_(max=1.0), lambda b: b.copy_(b.detach() * 0 + 1), lambda b: b.t_()]
)
def test_a_retained_gradient_is_of_the_written_value(write):
    def program(t):
        a = t.ones(2, requires_grad=True)
        b = a * 2
        b.retain_grad()
        write(b)
        (b**2).sum().backward()
        return a.grad, b.grad, b.retains_grad

    same(program)


def test_a_retained_gradient_of_a_view_whose_base_was_written():
    def program(t):
        a = t.ones(2, requires_grad=True)
        b = a * 2
        view = b[:1]
        view.retain_grad()
        b.mul_(3)
        (view**2).sum().backward()
        return view.grad, a.grad

    same(program)


def test_a_retained_gradient_is_taken_before_prehooks_of_the_node():
    def program(t):
        a = t.ones(2, requires_grad=True)
        b = a * 2
        b.retain_grad()
        b.grad_fn.register_prehook(lambda gradients: (gradients[0] * 5,))
        b.sum().backward()
        return a.grad, b.grad

    same(program)
