"""Sparse tensors, operation by operation: values, gradients, layouts and text."""

import copy
import io
import pickle
import re

import numpy as np
import pytest
import torch

import funnn.torch as shim
from funnn.engine.ops.sparse import construct
from tests.shim.twin import same, same_error

pytestmark = pytest.mark.filterwarnings(
    "ignore:(Sparse (invariant|CSR|CSC)|.*SparseTensor.* is deprecated|TypedStorage|.*it reads a sparse tensor)"
)


def operands(torch, grad=False):
    """Matrices 3×3: a sorted and not coalesced, c coalesced, u with duplicates, r compressed; dense ones, a vector, and h, with a dense dimension."""
    torch.manual_seed(0)
    values = torch.tensor([3.0, 4.0, 5.0, -6.0])
    index = torch.tensor([[0, 1, 1, 2], [2, 0, 2, 1]])
    made = {
        "a": torch.sparse_coo_tensor(index, values.clone(), (3, 3)),
        "c": torch.sparse_coo_tensor(index, values / 8, (3, 3)).coalesce(),
        "u": torch.sparse_coo_tensor(torch.tensor([[1, 0, 1, 1], [2, 2, 0, 0]]), values.clone(), (3, 3)),
        "r": torch.sparse_coo_tensor(index, values.clone(), (3, 3)).to_sparse_csr(),
        "h": torch.sparse_coo_tensor(index, torch.arange(8.0).reshape(4, 2), (3, 3, 2)),
        "d": torch.randn(3, 2),
        "e": torch.randn(3, 3),
        "v": torch.randn(3),
        "b": torch.sparse_coo_tensor(torch.tensor([[0, 0, 1], [1, 2, 0], [2, 0, 1]]), values[:3].clone(), (2, 3, 3)),
    }
    return {name: tensor.requires_grad_(grad) for name, tensor in made.items()}


def evaluate(expression, torch, grad):
    names = operands(torch, grad)
    result = eval(expression, {"torch": torch, "F": torch.nn.functional}, names)
    return result, names


def expressions(text):
    """Expressions, parted by semicolons and ends of lines."""
    return text.strip().replace("\n", "; ").split("; ")


SMOOTH = expressions(
    """
torch.sparse.mm(a, d); torch.sparse.mm(u, d); torch.sparse.mm(r, d); torch.sparse.mm(e, a); a @ d; u @ d; r @ d; e @ c; d.t() @ a; a @ v
torch.mv(r, v); torch.mm(a, d); torch.spmm(a, d); torch.mm(e, r); a @ c; torch.mm(c, a); torch.sparse.addmm(d, a, d, beta=0.5, alpha=2)
torch.addmm(d, c, d, beta=0.5, alpha=2); F.linear(a, d.t()); F.linear(c, d.t(), v[:2]); torch.bmm(b, torch.stack([d, d]))
torch.sparse.sum(a); torch.sparse.sum(a, 0); torch.sparse.sum(c, dim=1); torch.sparse.sum(u, 0); torch.sparse.sum(a, (0, 1))
torch.sparse.sum(h, 2); torch.sparse.sum(h, (1, 2)); torch.sparse.sum(h, (0, 1)); a.sum(); c.sum(); r.sum(); torch.sparse.softmax(a, 1)
torch.sparse.softmax(c, 0); torch.sparse.log_softmax(c, 1); torch.sparse.softmax(h, 2); torch.sparse.softmax(h, 0); a.t(); c.T
a.transpose(0, 1); a.permute(1, 0); r.t(); h.transpose(0, 1); a.mT; a * 2; c / 2; 2 * c; -c; a ** 2; c.pow(2); a.relu(); F.relu(c)
a.abs(); c.abs(); a.neg(); c + c; a + c; c - a; e + a; e - c; e + r; r + r; torch.add(e, c, alpha=2); c * c; c * e; e * c; r * r
a.clone(); r.clone(); e.sparse_mask(c.detach()); e.sparse_mask(a.detach()); e.to_sparse(); e.to_sparse_csr(); e.to_sparse_csc()
e.to_sparse(1); a.to_dense(); u.to_dense(); r.to_dense(); h.to_dense(); c.coalesce(); u.coalesce(); a.to_sparse_csr(); r.to_sparse_coo()
r.to_sparse_csc(); c.values(); r.values(); torch.stack([a, c]); a.to(torch.float64); c.double(); r.double()
torch.sparse.sampled_addmm(r, d, d.t()); torch.sparse.mm(r, d, "mean"); torch.sparse.mm(r, d, "amax")
"""
)

ROUGH = expressions(
    """
a; c; u; r; h; a.detach(); c.data; u.sin(); c.tanh(); c.sqrt(); a.sign(); c.floor(); c.log1p(); c.isnan(); r.abs(); r.sin(); r * 2
u.neg(); c.square(); c * v; c.long(); c.bool(); c.half(); a.to(torch.complex64); c.type(torch.float64); c * torch.tensor(2.0)
c / torch.tensor(2.0); c.long() / 2; c.long() * 2.5; a + a; a + u; u + a; u + u; c + u; u - u; a * u; u * a; c * u; u * u
torch.sparse.mm(u, c); c.float_power(2); c.nan_to_num(); torch.cat([a, u]); torch.cat([c, c], 1); torch.vstack([a, a])
torch.hstack([a, a]); torch.cat([h, h], 2); a.unsqueeze(0); a.unsqueeze(-1); h.unsqueeze(3); a[1]; u[1]; c[1][0]; u[1, 0]; c[0, 1]
c[:, 2]; c[..., 2]; c[None]; h[0]; h[0, 2]; h[..., 0]; r[1]; r[1, 2]; a.select(0, 2); list(c); c.unbind(1)
a.index_select(0, torch.tensor([1, 0, 1])); u.index_select(1, torch.tensor([2, 0])); h.index_select(2, torch.tensor([1])); a.sum(0)
c.sum(1, keepdim=True); c.sum(-1); r.sum(0, keepdim=True); c.long().sum(); c.sum(dtype=torch.float64); a.norm(); c.norm(1)
torch.norm(a, float("inf")); c.any(); torch.zeros_like(a); torch.zeros_like(r); torch.zeros_like(c, layout=torch.sparse_csr)
a.narrow_copy(0, 1, 2); torch.empty_like(a); torch.smm(a, d); torch.hspmm(a, d); a.sum((0, 1), keepdim=True)
torch.zeros(2, 2, layout=torch.sparse_coo); torch.zeros(2, 2, layout=torch.sparse_csr); c.new_zeros(2, 2)
torch.sparse.spdiags(torch.arange(9).reshape(3, 3), torch.tensor([0, -1, 2]), (4, 4))
torch.sparse.spdiags(torch.ones(4), torch.tensor(1), (4, 5))
torch.sparse.spdiags(torch.ones(2, 4), torch.tensor([0, 1]), (4, 4), layout=torch.sparse_csr); e.sparse_mask(u)
c.sparse_mask(u.coalesce()); u.sparse_mask(c); torch.eye(3).to_sparse(); torch.zeros(3, 0).to_sparse(); torch.tensor(3.0).to_sparse()
torch.eye(3).to_sparse(layout=torch.sparse_csr); torch.sparse_coo_tensor((3, 3)); torch.sparse_coo_tensor(size=(2, 3))
torch.sparse_coo_tensor([[0, 1]], [1, 2]); torch.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (4,), dtype=torch.float64)
torch.sparse_coo_tensor(torch.tensor([[0.0, 1.0]]), v[:2]); torch.sparse_coo_tensor([[0, 0, 1]], [True, True, False], (2,)).coalesce()
torch.sparse_coo_tensor([[0]], [[1.0, 2.0]], (3, 2)); torch.sparse_csr_tensor([0, 1, 2], [0, 1], [1.0, 2.0])
torch.sparse_csr_tensor([0, 1, 2], [0, 1], [1.0, 2.0], (2, 3), dtype=torch.float64)
torch.sparse_csc_tensor([0, 1, 2], [0, 1], [1.0, 2.0], (2, 2))
torch.sparse_compressed_tensor([0, 1, 2], [0, 1], [1, 2], (2, 2), layout=torch.sparse_csr)
torch.sparse.FloatTensor(torch.tensor([[0, 1], [2, 0]]), torch.tensor([3.0, 4.0]), torch.Size([2, 3])); torch.sparse.FloatTensor(3, 3)
c.indices(); a._indices(); a._values(); a._nnz(); a.is_coalesced(); c.is_coalesced(); r.crow_indices(); r.col_indices()
r.t().ccol_indices(); r.t().row_indices(); a.sparse_dim(); h.dense_dim(); e.sparse_dim(); e.dense_dim(); a.shape; a.size(0); a.dim()
a.numel(); len(a); a.stride(); a.is_contiguous(); a.element_size(); a.is_sparse; r.is_sparse; r.is_sparse_csr; e.is_sparse; a.type()
c.long().type(); repr(a.layout); repr(r.layout); repr(torch.sparse_bsr); repr(type(a)); a.get_device(); isinstance(a, torch.Tensor)
isinstance(a, torch.FloatTensor); isinstance(a, torch.sparse.FloatTensor); torch.is_tensor(a); c.coalesce() is c; c.float() is c
c.cpu() is c; c.to_sparse() is c; c.clone().mul_(2); c.clone().div_(2); a.clone().add_(a); c.clone().neg_(); c.clone().sin_()
c.clone().zero_(); c.clone().copy_(c * 3); c.clone().sub_(c); r.clone().mul_(2); e.clone().add_(a); e.clone().mul_(c)
e.clone().sub_(c, alpha=2); c._values().mul_(2)
"""
)


@pytest.mark.parametrize("expression", SMOOTH)
def test_values_and_gradients(expression):
    def program(torch):
        result, names = evaluate(expression, torch, True)
        (result.to_dense() if result.layout is not torch.strided else result).pow(2).sum().backward()
        return result.detach(), names

    same(program)


@pytest.mark.parametrize("expression", [*SMOOTH, *ROUGH])
def test_text(expression):
    def program(torch):
        result, _ = evaluate(expression, torch, False)
        print(re.sub(r"(?<![.\d])-0\.(?!\d)", " 0.", str(result)))
        return result

    same(program)


REFUSED = {
    RuntimeError: expressions(
        """
a + e; 1 + a; a - 1; a / c; c ** 0; u.indices(); u.values(); e.coalesce(); e.indices(); a.crow_indices(); r.indices(); a.reshape(9)
a.view(9); a.expand(2, 3, 3); a.item(); a.tolist(); a.data_ptr(); bool(a); r.stride(); a @ d.double(); torch.sparse.mm(c, c.double())
a @ d[:2]; a @ v[:2]; torch.cat([a, e]); a.copy_(e); a.t().values(); a.contiguous(); a.nbytes; h.transpose(1, 2); h.permute(2, 0, 1)
torch.bmm(torch.ones(2, 2, 3), torch.stack([a, a])); torch.sparse_coo_tensor([[0, 1]], [1.0])
torch.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (2, 2)); c.requires_grad_().mul_(2); torch.sparse_coo_tensor([[0]], [1], requires_grad=True)
torch.sparse_coo_tensor([[0]], [[1.0]], (1, 2)); torch.sparse_coo_tensor([[5]], [1.0], (3,), check_invariants=True)
torch.sparse_coo_tensor([[-1]], [1.0], (3,), check_invariants=True)
torch.sparse_coo_tensor([[0, 0]], [1.0, 2.0], (3,), is_coalesced=True, check_invariants=True)
torch.sparse_csr_tensor([0, 1, 3], [0, 1], [1.0, 2.0], (2, 2), check_invariants=True)
torch.sparse_csr_tensor([0, 1, 2], [0, 5], [1.0, 2.0], (2, 2), check_invariants=True)
torch.sparse_csr_tensor([1, 1, 2], [0, 1], [1.0, 2.0], (2, 2), check_invariants=True)
torch.sparse_csr_tensor([0, 2, 2], [1, 0], [1.0, 2.0], (2, 2), check_invariants=True)
torch.sparse_csr_tensor([0, 2, 2], [1, 0], [1.0, 2.0], (3, 2), check_invariants=True)
"""
    ),
    NotImplementedError: expressions(
        """
torch.exp(a); a > 0; a == a; a[0:2]; a[torch.tensor([0])]; a.max(); a.mean(); F.softmax(a, 1); F.dropout(a); torch.ones_like(a)
torch.equal(a, a); a.storage(); a.squeeze(); a.nonzero(); e._nnz(); torch.linalg.norm(a)
"""
    ),
    TypeError: expressions(
        """
a.numpy(); torch.sparse_coo_tensor(); torch.sparse_coo_tensor([[0]], [1.0], 3); torch.sparse.softmax(a)
"""
    ),
    IndexError: expressions(
        """
a[7]; a[0, 0, 0]; a.sum(5); a.transpose(0, 5); torch.sparse.softmax(a, 2); torch.sparse.mm(a, v)
"""
    ),
}


@pytest.mark.parametrize(("expression", "error"), [(expression, error) for error, each in REFUSED.items() for expression in each])
def test_refused(expression, error):
    same_error(lambda torch: evaluate(expression, torch, False), error, ".")


@pytest.mark.parametrize(
    ("expression", "text"),
    [("torch.exp(a)", "to_dense"), ("a.to_sparse_bsr((1, 1))", "dense dimensions"), ("torch.sparse.spsolve", "indices")],
)
def test_what_is_not_there_says_the_way_round(expression, text):
    with pytest.raises(NotImplementedError, match=text):
        evaluate(expression, shim, False)


def test_hooks_leaves_and_second_derivatives():
    def program(torch):
        names = operands(torch, True)
        c, d = names["c"], names["d"]
        c.register_hook(lambda gradient: print(gradient.layout, gradient._nnz()))
        torch.sparse.mm(c, d).sum().backward()
        torch.sparse.mm(c, d).sum().backward()  # is added to the first
        print(c.grad.coalesce(), c.is_leaf, (c * 2).is_leaf, (c * 2).grad_fn.name())
        twice = c * 2
        twice.retain_grad()
        torch.sparse.mm(twice, d.detach()).pow(2).sum().backward()
        (gradient,) = torch.autograd.grad(torch.sparse.mm(c.detach(), d).pow(3).sum(), d, create_graph=True)
        gradient.pow(2).sum().backward()
        (alone,) = torch.autograd.grad(torch.sparse.mm(c, d.detach()).pow(2).sum(), c)
        given = torch.sparse_coo_tensor(c.detach().indices(), torch.ones(4), c.shape)
        names["a"].grad = given
        (names["a"] * 3).backward(given)
        with torch.no_grad():
            print((c * 2).requires_grad)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            print(torch.sparse.mm(c.detach(), d.detach()).dtype)
        relu, dropout = torch.nn.ReLU(inplace=True), torch.nn.Dropout().eval()
        print(relu(c.detach().clone()), dropout(c.detach()), torch.result_type(c, 2), torch.is_inference(c), c[0][2].item())
        return c, d, alone, twice.grad, names["a"], c.detach(), c.data

    same(program)


def test_gather_and_parts_of_the_same_indices():
    def program(torch):
        x = torch.arange(6.0).reshape(2, 3).requires_grad_()
        picked = torch.gather(x, 1, torch.tensor([[0, 0], [2, 1]]), sparse_grad=True)
        (picked * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        print(x.grad)
        index, values = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]]), torch.arange(4.0, requires_grad=True)
        a, b = (torch.sparse_coo_tensor(index[:, part], values[part], (3, 3)) for part in (slice(2), slice(2, 4)))
        (a + b * 2).to_dense().square().sum().backward()
        return (a + b).to_dense().detach(), (a * a + b).to_dense().detach(), values.grad

    same(program)


def test_a_freed_graph_and_changed_indices():
    def twice(torch):
        values = torch.ones(2, requires_grad=True)
        matrix = torch.sparse_coo_tensor([[0, 1], [1, 0]], values, (2, 2))
        for _ in range(2):
            (matrix @ torch.ones(2, 1)).sum().backward()

    def changed(torch):
        index, values = torch.tensor([[0, 1], [1, 0]]), torch.ones(2, requires_grad=True)
        matrix = torch.sparse_coo_tensor(index, values, (2, 2))
        index.zero_()
        (matrix.to_dense() * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        return matrix._indices(), values.grad

    same(changed)  # torch reads the indices as they are then
    same_error(twice, RuntimeError, "second time")


#: Of a sparse a (2, 3), a dense d (3, 2) and a dense vector v (3).
PRODUCTS = [
    *("a @ d", "t.sparse.mm(a, d)", "t.sparse.addmm(t.ones(2, 2), a, d)", "t.addmm(t.ones(2, 2), a, d)", "a @ v", "t.mv(a, v)", "a * d.T"),
    *("d.T * a", "t.mm(d[:2], a)", "t.nn.functional.linear(d.T, a)", "a * 2", "d.T + a", "t.sparse.mm(a, a.t())"),
]


@pytest.mark.parametrize("written", ["d.mul_(2), v.mul_(2)", "a._values().mul_(2)", "a.values().mul_(2)"])
@pytest.mark.parametrize("expression", PRODUCTS)
@pytest.mark.parametrize("wants", [True, False])
def test_what_is_written_before_backward(expression, written, wants):
    """torch's error where the derivative reads what was written; else the gradients."""

    def result(t):
        a = t.tensor([[1.0, 0, 2], [0, 3, 0]])
        a = (a.to_sparse_csr() if written.startswith("a.values") else a.to_sparse()).requires_grad_(wants)
        leaf = t.ones(3, 2, requires_grad=True)
        names = {"t": t, "a": a, "d": leaf * 2, "v": leaf[:, 0] * 2}
        try:
            y = eval(expression, names)
            with t.no_grad():
                eval(written, names)
            (y.to_dense() if y.layout != t.strided else y).sum().backward()
        except RuntimeError as error:
            return str(error).partition(":")[0]
        return None if leaf.grad is None else leaf.grad.to_dense().tolist()

    expected = result(torch)
    if expected is None or isinstance(expected, list) or "modified by an inplace operation" in expected:
        assert result(shim) == expected


def test_files_go_both_ways():
    def content(torch):
        names = operands(torch)
        parameter = torch.nn.Parameter(names["c"])
        return {**{name: names[name] for name in "acurhd"}, "t": names["r"].t(), "p": parameter, "layout": torch.sparse_csr}

    for writer, reader in ((torch, shim), (shim, torch), (shim, shim)):
        file = io.BytesIO()
        writer.save(content(writer), file)
        file.seek(0)
        found, expected = reader.load(file), content(reader)
        for name, item in expected.items():
            assert str(found[name]) == str(item), name
            if name in "acuh":
                assert found[name].is_coalesced() == item.is_coalesced()
    file = io.BytesIO()
    torch.save(torch.sparse_coo_tensor([[7]], [1.0], (2,), check_invariants=False), file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="size is inconsistent with indices"):
        shim.load(file)


def test_modules_copies_and_batches():
    def program(torch):
        names = operands(torch)
        module = torch.nn.Module()
        module.register_buffer("adjacency", names["c"])
        module.weight = torch.nn.Parameter(names["a"])
        print(module.state_dict(), module.weight, module.double().weight.dtype, module.float())
        module.load_state_dict({"adjacency": names["c"] * 2, "weight": names["a"] * 3})
        del module.weight  # which torch cannot copy
        other = copy.deepcopy(module).double()
        other.adjacency.add_(other.adjacency)
        print(other.adjacency, module.adjacency, copy.copy(names["r"]), pickle.loads(pickle.dumps(names["u"])))
        torch.testing.assert_close(names["c"], names["c"].clone())
        for wrong in (names["c"] * 2, torch.eye(3).to_sparse()):
            try:
                torch.testing.assert_close(names["c"], wrong)
            except AssertionError as error:
                print(str(error).splitlines()[0][:25])

    same(program)
    same_error(lambda torch: torch.utils.data.default_collate([operands(torch)["c"]] * 2), RuntimeError, "Batches of sparse tensors")


def test_invariants_are_checked_where_a_program_asks():
    def program(torch):
        checks = torch.sparse.check_sparse_tensor_invariants
        before = checks.is_enabled()
        with checks():
            inside = checks.is_enabled()
            with checks(False):
                torch.sparse_coo_tensor([[5]], [1.0], (3,))
            try:
                torch.sparse_coo_tensor([[5]], [1.0], (3,))
            except RuntimeError as error:
                print(error)
        checks.enable()
        on = checks.is_enabled()
        checks.disable()
        return before, inside, on, checks.is_enabled(), checks(False)(checks.is_enabled)()

    same(program)


def test_beside_compiled_functions_and_transformations():
    names = operands(shim)
    matrix, d = names["c"], names["d"]
    expected = shim.mm(matrix, d)
    for mode in ("default", "reduce-overhead"):
        compiled = shim.compile(lambda x: shim.mm(matrix, x), mode=mode)
        for _ in range(6):
            assert shim.equal(compiled(d), expected)
    gradient = shim.func.grad(lambda x: shim.sparse.mm(matrix, x).pow(2).sum())(d)
    assert shim.allclose(gradient, 2 * matrix.to_dense().T @ expected)
    assert shim.allclose(shim.func.vmap(lambda x: shim.mm(matrix, x))(shim.stack([d, 2 * d]))[1], 2 * expected)
    values, index = shim.rand(4), matrix.indices()

    def of_values(values):
        made = shim.sparse_coo_tensor(index, values, (3, 3))
        return (shim.sparse.mm(made * made + made, d) + shim.mm(made, d) + made.t().coalesce().to_dense()[:, :2]).sin().sum()

    def densely(values):
        made = shim.zeros(3, 3).index_put((index[0], index[1]), values)
        return ((made * made + made) @ d + made @ d + made.t()[:, :2]).sin().sum()

    for transformed in (
        shim.func.grad,
        shim.func.hessian,
        shim.func.jacfwd,
        lambda f: lambda x: shim.func.jvp(f, (x,), (shim.ones(4),))[1],
    ):
        assert shim.allclose(transformed(of_values)(values), transformed(densely)(values), 1e-4, 1e-5)
    batch = shim.stack([values, 2 * values])
    assert shim.allclose(shim.func.vmap(of_values)(batch), shim.func.vmap(densely)(batch))
    assert shim.allclose(shim.autograd.functional.hessian(of_values, values), shim.func.hessian(densely)(values), 1e-4, 1e-5)
    module = shim.nn.Linear(2, 2)
    module.register_buffer("adjacency", matrix)
    module.forward = lambda x, plain=module.forward: shim.mm(module.adjacency, plain(x))
    layer, params, state = shim.to_functional(module)
    np.testing.assert_allclose(layer.apply(params, state, d._read())[0], module(d).detach().numpy(), rtol=1e-5)
    with shim.autograd.set_detect_anomaly(True):
        shim.sparse.mm(matrix.requires_grad_(), d).sum().backward()


def test_warnings_come_once_at_the_users_line(monkeypatch):
    monkeypatch.setattr("funnn.engine.types.warning._said", set())
    monkeypatch.setattr(construct._settings, "checks", None)
    with pytest.warns(UserWarning, match="Sparse invariant checks are implicitly disabled") as found:
        for _ in range(2):
            shim.sparse_coo_tensor([[0]], [1.0], (2,))
    assert len(found) == 1
    assert found[0].filename == __file__
    with pytest.warns(UserWarning, match="Sparse CSR tensor support is in beta state"):
        shim.eye(2).to_sparse_csr()
