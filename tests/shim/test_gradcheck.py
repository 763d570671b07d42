"""torch.autograd.functional and gradcheck, against PyTorch's."""

import pytest
from twin import same, same_error

FUNCTIONAL = ("jacobian", "hessian", "vjp", "jvp", "vhp", "hvp")


def inputs(t):
    x = t.tensor([0.5, -1.2, 2.0], dtype=t.float64)
    return x, t.tensor([1.5, 0.3, -0.7], dtype=t.float64)


def number(a, b=None):
    return (a**3 * (1 if b is None else b**2)).sum()


def several(a, b):
    return a.sin() * b, (a * b).sum()


def lists(value):
    """In forward mode PyTorch gives lists in the place of some of the tuples, and leaves a history on what has no use for it."""
    return [lists(item) for item in value] if isinstance(value, (tuple, list)) else value.detach()


PROGRAMS = {
    "jacobian": lambda t, f, x, y: [f.jacobian(t.sin, x), f.jacobian(several, (x, y)), f.jacobian(lambda a, b: a * b, (x, y))],
    "jacobian, vectorize": lambda t, f, x, y: [f.jacobian(several, (x, y), vectorize=True), f.jacobian(t.sin, x, vectorize=True)],
    "jacobian, forward": lambda t, f, x, y: lists(f.jacobian(several, (x, y), vectorize=True, strategy="forward-mode")),
    "jacobian, strict": lambda t, f, x, y: f.jacobian(lambda a, b: a * b, (x, y), strict=True),
    "jacobian, independent": lambda t, f, x, y: [
        f.jacobian(lambda a, b: (a, t.ones(2)), (x, y)),
        f.jacobian(lambda a: t.ones(2), x, vectorize=True),
    ],
    "hessian": lambda t, f, x, y: [f.hessian(number, x), f.hessian(number, (x, y))],
    "hessian, vectorize": lambda t, f, x, y: [
        f.hessian(number, (x, y), vectorize=True),
        lists(f.hessian(number, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode")),
    ],
    "hessian, linear": lambda t, f, x, y: f.hessian(lambda a: a.sum(), x),
    "vjp": lambda t, f, x, y: [f.vjp(t.sin, x, y), f.vjp(several, (x, y), (x, y[0])), f.vjp(number, x)],
    "jvp": lambda t, f, x, y: [f.jvp(t.sin, x, y), f.jvp(several, (x, y), (y, x)), f.jvp(number, x[0])],
    "vhp": lambda t, f, x, y: [f.vhp(number, x, y), f.vhp(number, (x, y), (y, x)), f.vhp(number, x[0])],
    "hvp": lambda t, f, x, y: [f.hvp(number, x, y), f.hvp(number, (x, y), (y, x)), f.hvp(number, x[0]), f.hvp(lambda a: a.sum(), x, y)],
    **{
        f"{name} with create_graph": lambda t, f, x, y, name=name: [
            (v := x.clone().requires_grad_()),
            (
                r := getattr(f, name)(
                    number,
                    v,
                    *([t.tensor(2.0, dtype=t.float64)] if name == "vjp" else [] if name in ("jacobian", "hessian") else [y]),
                    create_graph=True,
                )
            ),
            sum(o.pow(2).sum() for o in (r if isinstance(r, tuple) else (r,))).backward(),
            v.grad,
        ][3]
        for name in FUNCTIONAL
    },
    "no graph without create_graph": lambda t, f, x, y: [
        f.jacobian(t.sin, x.clone().requires_grad_()).requires_grad,
        f.vjp(t.sin, x, y)[0].requires_grad,
    ],
    "jacobian with create_graph and vectorize": lambda t, f, x, y: [
        (v := x.clone().requires_grad_()),
        f.jacobian(t.sin, v, create_graph=True, vectorize=True).pow(2).sum().backward(),
        v.grad,
    ][2],
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore")
def test_functional(name):
    same(lambda t: PROGRAMS[name](t, t.autograd.functional, *inputs(t)))


ERRORS = {
    "strict": (
        lambda t, f, x, y: f.jacobian(lambda a: t.ones(2), x, strict=True),
        RuntimeError,
        "Output 0 of the user-provided function does not require",
    ),
    "strict, one input": (lambda t, f, x, y: f.jacobian(lambda a, b: a, (x, y), strict=True), RuntimeError, "is independent of input 1"),
    "strict hessian": (
        lambda t, f, x, y: f.hessian(lambda a: a.sum(), x, strict=True),
        RuntimeError,
        "with respect to input 0 is independent of the",
    ),
    "strict and vectorize": (
        lambda t, f, x, y: f.jacobian(t.sin, x, strict=True, vectorize=True),
        RuntimeError,
        "`strict=True` and `vectorized=True`",
    ),
    "strict vhp": (lambda t, f, x, y: f.vhp(lambda a: a.sum(), x, y, strict=True), RuntimeError, "independent of the input"),
    "forward, a loop": (
        lambda t, f, x, y: f.jacobian(t.sin, x, strategy="forward-mode"),
        NotImplementedError,
        "implemented for `vectorize=True`",
    ),
    "not a tensor": (
        lambda t, f, x, y: f.jacobian(lambda a: 3, x),
        TypeError,
        "must be either a Tensor or a tuple of Tensors but the given outputs",
    ),
    "no number": (
        lambda t, f, x, y: f.hessian(t.sin, x),
        RuntimeError,
        "The Tensor returned by the function given to hessian should contain a single",
    ),
    "two numbers": (
        lambda t, f, x, y: f.hvp(lambda a: (a.sum(), a.sum()), x, y),
        RuntimeError,
        "The function given to hvp should return a single Tensor",
    ),
    "no v": (
        lambda t, f, x, y: f.vjp(t.sin, x),
        RuntimeError,
        "The vector v can only be None if the user-provided function returns a single Tensor",
    ),
    "no v, jvp": (
        lambda t, f, x, y: f.jvp(t.sin, x),
        RuntimeError,
        "The vector v can only be None if the input to the user-provided function is a",
    ),
    "v's shape": (
        lambda t, f, x, y: f.vjp(t.sin, x, y[:2]),
        RuntimeError,
        r"v has invalid size: should be torch.Size\(\[3\]\) but got torch.Size\(\[2\]\)",
    ),
    "v's length": (lambda t, f, x, y: f.vjp(t.sin, x, (x, y)), RuntimeError, "The given v should contain a single Tensor"),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.filterwarnings("ignore")
def test_functional_errors(name):
    program, error, text = ERRORS[name]
    same_error(lambda t: program(t, t.autograd.functional, *inputs(t)), error, text)


# -- gradcheck


def wrong(t):
    class Wrong(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0] * 3

    return Wrong.apply


def leaves(t, kind="float64"):
    return [v.to(getattr(t, kind)).requires_grad_() for v in inputs(t)]


CHECKS = {
    "right": lambda t, g, x, y: [g(lambda a, b: (a.sin() * b, a.sum()), (x, y)), g(t.exp, x, fast_mode=True)],
    "an input without gradient": lambda t, g, x, y: g(lambda a, b, k: a * b * k, (x, y.detach(), 2)),
    "wrong": lambda t, g, x, y: [g(wrong(t), x, raise_exception=False), g(wrong(t), x, raise_exception=False, fast_mode=True)],
    "tolerance": lambda t, g, x, y: g(wrong(t), x, atol=10.0),
    "forward": lambda t, g, x, y: g(lambda a, b: a.sin() * b, (x, y), check_forward_ad=True, check_batched_forward_grad=True),
    "batched": lambda t, g, x, y: g(lambda a: a.sin(), x, check_batched_grad=True),
    "complex": lambda t, g, x, y: g(lambda a, b: (a * b).abs() + (a * a).real, leaves(t, "complex128")),
    "complex out": lambda t, g, x, y: g(lambda a: a.to(t.complex128) * 2j, x),
    "dtypes": lambda t, g, x, y: g(lambda a: a * 2, x, check_grad_dtypes=True),
    "second": lambda t, g, x, y: [
        t.autograd.gradgradcheck(lambda a, b: a.sin() * b, (x, y)),
        t.autograd.gradgradcheck(t.exp, x, check_fwd_over_rev=True),
        t.autograd.gradgradcheck(t.exp, x, t.ones(3, dtype=t.float64, requires_grad=True)),
    ],
}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.filterwarnings("ignore")
def test_gradcheck(name):
    same(lambda t: CHECKS[name](t, t.autograd.gradcheck, *leaves(t)))


CHECK_ERRORS = {
    "no gradient": (lambda t, g, x, y: g(t.sin, x.detach()), ValueError, "gradcheck expects at least one input tensor to require gradient"),
    "expanded": (lambda t, g, x, y: g(t.sin, x[:1].expand(3)), RuntimeError, "has a dimension with stride 0"),
    "batched without backward": (
        lambda t, g, x, y: g(t.sin, x, check_batched_grad=True, check_backward_ad=False, check_forward_ad=True),
        AssertionError,
        "requires check_backward_ad to be True",
    ),
}


@pytest.mark.parametrize("name", CHECK_ERRORS)
@pytest.mark.filterwarnings("ignore")
def test_gradcheck_errors(name):
    program, error, text = CHECK_ERRORS[name]
    same_error(lambda t: program(t, t.autograd.gradcheck, *leaves(t)), error, text)


def test_a_mismatch_shows_both_jacobians():
    import funnn.torch as shim

    with pytest.raises(
        shim.autograd.GradcheckError, match=r"Jacobian mismatch for output 0 with respect to input 0,\nnumerical:tensor(.|\n)*analytical"
    ):
        shim.autograd.gradcheck(wrong(shim), leaves(shim)[0])


def test_gradcheck_warns_of_single_precision():
    import funnn.torch as shim

    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double precision"):
        shim.autograd.gradcheck(shim.sin, leaves(shim, "float32")[0], atol=1.0)
