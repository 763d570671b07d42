"""Custom functions, the graph's places and hooks, inference mode, anomaly detection and forward mode, against PyTorch's."""

import warnings

import pytest
import torch
from twin import same, same_error

import funnn.torch as shim
from funnn.engine.state import thread

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def leaf(t, *values):
    return t.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


def make(t, forward, backward=lambda ctx, g: g, **more):
    """A custom function, as class F."""
    members = {"forward": forward, "backward": backward, **more}
    return type("F", (t.autograd.Function,), {n: staticmethod(m) if callable(m) else m for n, m in members.items()})


def note(ctx, x, k, save=True):
    """Forward that looks at its context."""
    ctx.seen = ctx.needs_input_grad, type(ctx).__name__, ctx.name(), len(ctx.next_functions)
    ctx.save_for_backward(x, None)
    return x * 2


def dirty(ctx, x):
    ctx.mark_dirty(x)
    return x.mul_(2)


def two(ctx, x):
    ctx.set_materialize_grads(False)
    return x * 2, x * 3


def cubed(t):
    def forward(ctx, x):
        y = x**3
        ctx.save_for_backward(x, y)
        return y

    return make(t, forward, lambda ctx, g: g * 3 * ctx.saved_tensors[1] / ctx.saved_tensors[0])


def later(t, **more):
    return make(
        t, lambda x, k=2.0: x * k, lambda ctx, g: (g * ctx.k, None), setup_context=lambda ctx, i, o: setattr(ctx, "k", i[1]), **more
    )


def through(y, x):
    y.sum().backward()
    return x


FUNCTIONS = {
    "context": lambda t, x: [(y := make(t, note, lambda c, g: (g, None)).apply(x, t.ones(2))), y.grad_fn.seen, through(y, x)][1:],
    "context in no_grad": lambda t, x: t.no_grad()(make(t, lambda c, x: (setattr(t, "seen", c.needs_input_grad), x * 2)[1]).apply)(x),
    "grad_fn is the context": lambda t, x: (
        (y := make(t, note).apply(x, 3)).grad_fn.seen and [y.grad_fn.saved_tensors, y.grad_fn.needs_input_grad]
    ),
    "saved output": lambda t, x: through(cubed(t).apply(x), x),
    "saved output, twice": lambda t, x: t.autograd.grad(t.autograd.grad(cubed(t).apply(x).sum(), x, create_graph=True)[0].sum(), x),
    "further None": lambda t, x: through(make(t, lambda c, x: x * 2, lambda c, g: (g, None, None)).apply(x), x),
    "gradient summed": lambda t, x: through(make(t, lambda c, x: x * 2, lambda c, g: g.expand(2, 3)).apply(x), x),
    "gradient's dtype": lambda t, x: through(make(t, lambda c, x: x * 2, lambda c, g: g.double()).apply(x), x),
    "None and a number out": lambda t, x: make(t, lambda c, x: (x * 2, None, 3)).apply(x)[1:],
    "a list out": lambda t, x: make(t, lambda c, x: [x * 2]).apply(x),
    "nested arguments": lambda t, x: through(make(t, lambda c, x, d: x * d["k"][0], lambda c, g: (g, None)).apply(x, {"k": [2]}), x),
    "an input out": lambda t, x: [(y := make(t, lambda c, x: x, lambda c, g: g * 5).apply(x)) is x, through(y, x)],
    "a view out": lambda t, x: through(make(t, lambda c, x: x[:2], lambda c, g: t.nn.functional.pad(g * 7, (0, 1))).apply(x), x),
    "dirty": lambda t, x: [(y := x * 1), make(t, dirty, lambda c, g: g * 2).apply(y) is y, y._version, y.grad_fn.name(), through(y, x)][1:],
    "missing gradients": lambda t, x: through(make(t, two, lambda c, g, h: (g is None, h)[1]).apply(x)[1], x),
    "missing as zeros": lambda t, x: through(make(t, lambda c, x: (x * 2, x[:2]), lambda c, g, h: g + h.sum()).apply(x)[1], x),
    "keywords": lambda t, x: [through(later(t).apply(x, k=3.0), x), make(t, lambda c, x, k=1: x * k).apply(x, k=2).detach()],
    "complex": lambda t, x: through(make(t, lambda c, z: z * 2j, lambda c, g: g * -2j).apply(x.to(t.complex64)).abs(), x),
    "integers": lambda t, x: make(t, lambda c, x: (x * 2).long()).apply(x),
    "enable_grad inside": lambda t, x: through(make(t, lambda c, x: t.enable_grad()(lambda: x * 2)(), lambda c, g: g * 9).apply(x), x),
    "vjp in the place of backward": lambda t, x: through(
        type("F", (t.autograd.Function,), {"forward": staticmethod(lambda c, x: x * 2), "vjp": staticmethod(lambda c, g: g * 4)}).apply(x),
        x,
    ),
    "hooks of the node": lambda t, x: [
        (y := make(t, lambda c, x, k: x * k, lambda c, g: (g, None)).apply(x, 2)),
        (seen := []),
        y.grad_fn.register_hook(lambda i, o: seen.append((len(i), len(o)))),
        through(y, x),
        seen,
    ][3:],
    "once_differentiable": lambda t, x: through(
        make(t, lambda c, x: x * 2, t.autograd.function.once_differentiable(lambda c, g: g * 2)).apply(x), x
    ),
    "Function in vmap": lambda t, x: [
        t.vmap(later(t, generate_vmap_rule=True).apply)(x),
        t.func.grad(lambda v: t.vmap(later(t, generate_vmap_rule=True).apply)(v).sum())(x.detach()),
    ],
    "vmap rule": lambda t, x: t.vmap(later(t, vmap=lambda info, dims, x, k: (x * k + info.batch_size, dims[0])).apply)(x.detach()),
    "jvp rule": lambda t, x: t.func.jvp(later(t, jvp=lambda c, x, k: x * 11).apply, (x.detach(),), (t.ones(3),)),
    "Function in grad": lambda t, x: t.func.grad(lambda v: later(t).apply(v).sum())(x.detach()),
    "InplaceFunction": lambda t, x: t.autograd.function.InplaceFunction(True).inplace,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    same(lambda t: FUNCTIONS[name](t, leaf(t)))


def raising(t, x):
    raise NotImplementedError


ERRORS = {
    "too many": (
        lambda t, x: through(make(t, lambda c, x: x * 2, lambda c, g: (g, g)).apply(x), x),
        RuntimeError,
        r"\(expected 1, got 2\)",
    ),
    "for a number": (
        lambda t, x: through(make(t, lambda c, x, k: x * 2, lambda c, g: (g, g)).apply(x, 3), x),
        RuntimeError,
        "returned a gradient different than None at position 2, but the corresponding forward input was not a Variable",
    ),
    "type": (
        lambda t, x: through(make(t, lambda c, x: x * 2, lambda c, g: 3).apply(x), x),
        RuntimeError,
        r"expected Variable or None \(got int\)",
    ),
    "list": (
        lambda t, x: through(make(t, lambda c, x: x * 2, lambda c, g: [g]).apply(x), x),
        RuntimeError,
        r"expected Variable or None \(got list",
    ),
    "shape": (
        lambda t, x: through(make(t, lambda c, x: x * 2, lambda c, g: g[:2]).apply(x), x),
        RuntimeError,
        r"Function FBackward returned an invalid gradient at index 0 - got \[2\] but expected shape compatible with \[3\]",
    ),
    "saved": (
        lambda t, x: make(t, lambda c, x: c.save_for_backward(3)).apply(x),
        TypeError,
        "can only save variables, but argument 0 is of type int",
    ),
    "dirty leaf": (
        lambda t, x: make(t, dirty).apply(x),
        RuntimeError,
        "a leaf Variable that requires grad has been used in an in-place operation",
    ),
    "dirty, not returned": (
        lambda t, x: make(t, lambda c, x: (c.mark_dirty(x), x * 1)[1]).apply(x * 1),
        RuntimeError,
        "Some elements marked as dirty during the forward method were not returned as output",
    ),
    "called": (lambda t, x: make(t, note)()(x), RuntimeError, "Legacy autograd function with non-static forward method is deprecated"),
    "no forward": (lambda t, x: type("F", (t.autograd.Function,), {}).apply(x), NotImplementedError, "must implement the forward function"),
    "no backward": (
        lambda t, x: through(type("F", (t.autograd.Function,), {"forward": staticmethod(lambda c, x: x * 2)}).apply(x), x),
        NotImplementedError,
        "must implement either the backward or vjp method",
    ),
    "differentiated twice": (
        lambda t, x: (
            t.autograd.grad(
                (make(t, lambda c, x: x * 2, t.autograd.function.once_differentiable(lambda c, g: g * 2)).apply(x) ** 2).sum(),
                x,
                create_graph=True,
            )[0]
            .sum()
            .backward()
        ),
        RuntimeError,
        "trying to differentiate twice a function that was marked with @once_differentiable",
    ),
    "no setup_context": (lambda t, x: t.vmap(make(t, note).apply)(x, x), RuntimeError, "it must override the setup_context staticmethod"),
    "no vmap rule": (lambda t, x: t.vmap(later(t).apply)(x), RuntimeError, "You tried to vmap over F, but it does not have vmap support"),
    "two vmap rules": (
        lambda t, x: t.vmap(later(t, generate_vmap_rule=True, vmap=raising).apply)(x),
        RuntimeError,
        "it has both generate_vmap_rule=True and an overrid+en vmap staticmethod",
    ),
    "no jvp": (lambda t, x: t.func.jvp(later(t).apply, (x,), (x,)), NotImplementedError, "You must implement the jvp function"),
    "inference tensor saved": (lambda t, x: x * inferred(t), RuntimeError, "Inference tensors cannot be saved for backward"),
    "inference tensor saved by a function": (
        lambda t, x: make(t, note, lambda c, g: (g, None)).apply(inferred(t), x),
        RuntimeError,
        "Inference tensors cannot be saved for backward",
    ),
    "inference tensor written": (
        lambda t, x: inferred(t).add_(1),
        RuntimeError,
        "Inplace update to inference tensor outside InferenceMode is not allow",
    ),
    "inference tensor requires grad": (
        lambda t, x: inferred(t).requires_grad_(),
        RuntimeError,
        "Setting requires_grad=True on inference tensor outside",
    ),
    "inference tensor's version": (lambda t, x: inferred(t)._version, RuntimeError, "Inference tensors do not track version counter"),
    "hooks disabled": (lambda t, x: hooks_disabled(t), RuntimeError, "not here"),
    "gradient edge": (
        lambda t, x: t.autograd.graph.get_gradient_edge(x.detach()),
        RuntimeError,
        "get the gradient edge for a Tensor that does not",
    ),
    "mode": (lambda t, x: t.autograd.graph.register_multi_grad_hook([x], print, mode="a"), ValueError, "Expects mode to be one of"),
    "no level": (
        lambda t, x: t.autograd.forward_ad.make_dual(x, x),
        RuntimeError,
        "Trying to create a dual Tensor for forward AD but no level exists",
    ),
    "two levels": (lambda t, x: nested(t), RuntimeError, "Nested forward mode AD is not supported at the moment"),
    "tangent's shape": (
        lambda t, x: dual(t, lambda v: v, t.ones(2)),
        RuntimeError,
        "a forward gradient that has a different size than that",
    ),
    "integers": (lambda t, x: dual(t, lambda v: v, t.ones(3).long()), ValueError, "to be floating point or complex, but got: torch.int64"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    program, error, text = ERRORS[name]
    same_error(lambda t: program(t, leaf(t)), error, text)
    assert not thread.saved_hooks and thread.duals is None


def inferred(t):
    with t.inference_mode():
        return t.ones(3)


def hooks_disabled(t):
    with t.autograd.graph.disable_saved_tensors_hooks("not here"), t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: v):
        pass


def nested(t):
    with t.autograd.forward_ad.dual_level(), t.autograd.forward_ad.dual_level():
        pass


# -- the graph


def packed(t, x):
    """How often hooks run, in products and custom functions, and gradients through what they return."""
    seen = []
    with t.autograd.graph.saved_tensors_hooks(
        lambda v: (seen.append("pack"), v.tolist())[1], lambda v: (seen.append("unpack"), t.tensor(v))[1]
    ):
        y = cubed(t).apply(x * leaf(t, 2.0, 1.0, 0.5))
    y.sum().backward()
    return seen.count("pack"), seen.count("unpack"), x


def multi(t, x, mode, use):
    seen, w = [], leaf(t, 2.0, 1.0, 0.5)
    handle = t.autograd.graph.register_multi_grad_hook([x, w], lambda g: seen.append(g), mode=mode)
    for _ in range(2):
        (x * 2 + (w * 3 if use else 0)).sum().backward()
    handle.remove()
    (x * 2).sum().backward()
    return seen


def edges(t, x):
    y = x * 2
    edge = t.autograd.graph.get_gradient_edge(y)
    z = (y**2).sum()
    (by_edge,) = t.autograd.grad(z, [edge], retain_graph=True)
    (from_edge,) = t.autograd.grad(edge, x, t.ones(3), retain_graph=True)
    t.autograd.backward(z, inputs=[t.autograd.graph.get_gradient_edge(x)])
    return by_edge, from_edge, x, edge.output_nr, edge.node.name(), isinstance(edge.node, t.autograd.graph.Node)


GRAPH = {
    "saved_tensors_hooks": packed,
    "save_on_cpu": lambda t, x: [t.autograd.graph.save_on_cpu().__enter__(), (y := x * x), mode_off(t), through(y, x)][3],
    "multi-grad hook": lambda t, x: [multi(t, x, mode, use) for mode in ("all", "any") for use in (True, False)],
    "edges": edges,
    "increment_version": lambda t, x: [(y := x * 1), t.autograd.graph.increment_version(y), y._version][2],
    "inputs that are no leaves": lambda t, x: [(y := x * 2), (y**2).sum().backward(inputs=[y]), y.grad, x.grad][2:],
    "hook order": lambda t, x: order(t, x),
    "linear functions have no second derivative": lambda t, x: t.autograd.grad((x + x).sum(), x, create_graph=True)[0].requires_grad,
    "Variable": lambda t, x: [isinstance(x, t.autograd.Variable), t.autograd.Variable(t.ones(1)).requires_grad],
    "inference": lambda t, x: [inference_flags(t, x), (x + inferred(t)).detach(), (x * inferred(t).clone()).detach()],
    "inference, nested": lambda t, x: [t.inference_mode()(lambda: nested_inference(t, x))(), t.is_inference_mode_enabled()],
}


def mode_off(t):
    (thread.__setattr__("saved_hooks", ()) if t is shim else torch._C._autograd._pop_saved_tensors_default_hooks())


def order(t, x):
    seen, y = [], x * 2
    y.register_hook(lambda g: seen.append("first"))
    y.retain_grad()
    y.register_hook(lambda g: (seen.append("second"), g * 3)[1])
    y.grad_fn.register_prehook(lambda g: seen.append("prehook"))
    y.grad_fn.register_hook(lambda i, o: seen.append("hook"))
    x.register_hook(lambda g: seen.append("leaf"))
    x.register_post_accumulate_grad_hook(lambda p: seen.append("after"))
    y.sum().backward()
    return seen, y.grad, x


def inference_flags(t, x):
    with t.inference_mode():
        made = t.ones(2)
        made.add_(1)
        return [
            made.is_inference(),
            x[0].is_inference(),
            (x * 1).is_inference(),
            t.is_inference_mode_enabled(),
            t.is_grad_enabled(),
            made[0].is_inference(),
        ]


def nested_inference(t, x):
    with t.inference_mode(False):
        return t.is_inference_mode_enabled(), t.is_grad_enabled(), t.ones(1).is_inference(), (x * 2).requires_grad


@pytest.mark.parametrize("name", GRAPH)
def test_graph(name):
    same(lambda t: GRAPH[name](t, leaf(t)))


def anomaly(t, forward_too):
    x = leaf(t)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with t.autograd.set_detect_anomaly(forward_too):
            y = (t.sqrt(x * 0) * 0).sum()  # the place
        with t.autograd.detect_anomaly():
            y.backward()
    return seen


def test_anomaly_detection():
    same_error(lambda t: anomaly(t, True), RuntimeError, "Function 'SqrtBackward0' returned nan values in its 0th output")
    for forward_too, text in (
        (True, "Traceback of forward call that caused the error(.|\n)*# the place"),
        (False, "No forward pass information"),
    ):
        with pytest.warns(UserWarning, match=f"Error detected in SqrtBackward0. {text}"), pytest.raises(RuntimeError):
            with shim.autograd.set_detect_anomaly(forward_too):
                y = (shim.sqrt(leaf(shim) * 0) * 0).sum()  # the place
            with shim.autograd.set_detect_anomaly(True):
                y.backward()
    with shim.autograd.set_detect_anomaly(True, check_nan=False):
        assert shim.is_anomaly_enabled() and not shim.is_anomaly_check_nan_enabled()
        (shim.sqrt(leaf(shim) * 0) * 0).sum().backward()
    assert not shim.is_anomaly_enabled()


# -- forward mode


def dual(t, function, tangent=None, needs=False):
    """Value and tangent of a function, inside a level; the result afterwards."""
    fw = t.autograd.forward_ad
    x = t.tensor([0.5, 1.0, 2.0], requires_grad=needs)
    with fw.dual_level():
        y = function(fw.make_dual(x, t.tensor([1.0, 0.0, 2.0]) if tangent is None else tangent))
        parts = fw.unpack_dual(y)
        if needs:
            parts.tangent.sum().backward()
        else:
            print(y, fw.unpack_dual(x).tangent)
    return y.detach(), parts.primal.detach(), None if parts.tangent is None else parts.tangent.detach(), x


def test_a_tangent_is_one_tensor():
    def program(t):
        fw = t.autograd.forward_ad
        given = t.ones(2)
        with fw.dual_level():
            x = fw.make_dual(t.arange(2.0), given)
            y = x * 3
            found = fw.unpack_dual(y).tangent
            print(fw.unpack_dual(x).tangent is given, fw.unpack_dual(y).tangent is found, found)
        with fw.dual_level():
            print(fw.unpack_dual(x).tangent)

    same(program)


def written(v):
    y = v * 1
    y[1:].mul_(v[:2])
    return y


FORWARD = {
    "product": lambda t: dual(t, lambda v: v * v),
    "several": lambda t: dual(t, lambda v: (v.square() @ v).neg()),
    "views and writes": lambda t: dual(t, written),
    "no tangent": lambda t: dual(t, lambda v: t.ones(2)),
    "detach": lambda t: dual(t, lambda v: v.detach() * 2),
    "control flow": lambda t: dual(t, lambda v: v * 2 if v[0] < 1 else v),
    "back through the tangent": lambda t: dual(t, lambda v: v**3, needs=True),
    "a function's own": lambda t: dual(t, later(t, jvp=lambda c, x, k: x * 11).apply),
    "saved for forward": lambda t: dual(
        t, make(t, lambda c, x: (c.save_for_forward(x), x * 2)[1], jvp=lambda c, g: g * c.saved_tensors[0] * 100).apply
    ),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_mode(name):
    same(FORWARD[name])


def test_backward_after_a_level():
    def program(t):
        fw, x = t.autograd.forward_ad, leaf(t)
        with fw.dual_level():
            y = (fw.make_dual(x, t.ones(3)) ** 2).sum()
        y.backward()
        return x, y.detach()

    same(program)


def test_profiler():
    with shim.autograd.profiler.profile() as times:
        for _ in range(2):
            with shim.autograd.profiler.record_function("part"):
                shim.ones(2) + 1
    lines = times.key_averages().table(sort_by="cpu_time_total").splitlines()
    assert lines[1].split()[0] == "part" and lines[1].split()[-1] == "2"
    with pytest.raises(NotImplementedError, match=r"jax.profiler.trace"):
        shim.autograd.profiler.emit_nvtx()
