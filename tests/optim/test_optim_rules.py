"""Every rule against torch.optim: numbers after 20 steps, state names, options from torch's own test table, error texts."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch.testing._internal.common_optimizers import optim_db

from funnn import optim

NAMES = {"adadelta": "Adadelta", "adafactor": "Adafactor", "adagrad": "Adagrad", "adam": "Adam", "adamax": "Adamax", "asgd": "ASGD"}
NAMES |= {"muon": "Muon", "nadam": "NAdam", "radam": "RAdam", "rmsprop": "RMSprop", "rprop": "Rprop", "sgd": "SGD"}
PAIRS = {cls: (getattr(optim, name), getattr(optim, f"{name}_rule"), getattr(torch.optim, cls)) for name, cls in NAMES.items()}

CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "dampening": 0.1, "weight_decay": 0.01, "maximize": True}),
    ("SGD", {"lr": 0, "momentum": 1.5}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.0)}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "betas": (0.9, 0.5)}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.0, "decoupled_weight_decay": True, "amsgrad": True}),
    ("Adadelta", {"weight_decay": 0.1, "rho": 0.5}),
    ("Adafactor", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.5, "initial_accumulator_value": 0.1}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("ASGD", {"lr": 0.1, "t0": 5, "lambd": 0.1}),
    ("Muon", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Rprop", {"lr": 0.1, "etas": (0.4, 1.5)}),
]


def torch_table():
    """The option combinations that torch tests its optimizers with, without those that choose one of its implementations."""
    for info in optim_db:
        if info.optim_cls.__name__ in ("SGD", "Adam"):  # the others: tests/shim/test_optim_db.py, through the same rules
            for case in info.optim_inputs_func("cpu"):
                options = {name: float(value) if isinstance(value, torch.Tensor) else value for name, value in case.kwargs.items()}
                if options.keys() <= PAIRS[info.optim_cls.__name__][1].defaults.keys():
                    yield info.optim_cls.__name__, options


def gradients(shape, dtype, steps=20, seed=0):
    generator = np.random.default_rng(seed)
    scales = 10.0 ** generator.uniform(-3, 1, (steps,) + (1,) * len(shape))
    values = generator.normal(size=(steps, *shape)) * scales
    if np.issubdtype(dtype, np.complexfloating):
        values = values + 1j * generator.normal(size=values.shape)
    return values.astype(dtype)


def run_torch(name, options, start, grads):
    param = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = PAIRS[name][2]([param], **options)
    for grad in grads:
        param.grad = torch.from_numpy(grad)
        optimizer.step()
    return param.detach().numpy(), optimizer.state[param]


def run_rule(rule, options, start, grads):
    def step(carry, grad):
        param, state = carry
        delta, state = rule.update(grad, state, param, **options)
        assert delta.dtype == param.dtype
        return (param + delta, state), None

    start = jnp.asarray(start)
    carry = start, rule.init(start, **options)
    return jax.jit(lambda carry, grads: jax.lax.scan(step, carry, grads)[0])(carry, grads)


def check(name, options, dtype, tolerance):
    with jax.enable_x64(np.dtype(dtype).itemsize // (2 if np.dtype(dtype).kind == "c" else 1) == 8):
        grads = gradients((3, 2), dtype)
        start = gradients((3, 2), dtype, seed=1)[0]
        expected, torch_state = run_torch(name, options, start, grads)
        param, state = run_rule(PAIRS[name][1], options, start, grads)
        assert param.dtype == dtype
        np.testing.assert_allclose(param, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
        assert set(torch_state) <= set(state) <= set(torch_state) | ({"step"} if "momentum_buffer" in state else set())
        for key, value in torch_state.items():
            value = value.numpy()
            assert state[key].dtype == value.dtype
            np.testing.assert_allclose(state[key], value, rtol=tolerance, atol=tolerance * np.abs(value).max())


@pytest.mark.parametrize(("name", "options"), CASES + list(torch_table()), ids=str)
def test_float64(name, options):
    check(name, options, np.float64, 1e-12)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_float32(name, options):
    check(name, options, np.float32, 1e-6)


@pytest.mark.parametrize(
    ("name", "options"), [("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {"amsgrad": True, "weight_decay": 0.1})], ids=str
)
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex(name, options, dtype):
    check(name, options, dtype, 1e-12 if dtype == np.complex128 else 1e-6)


def test_torch_table_is_not_empty():
    table = list(torch_table())
    assert {name for name, _ in table} == {"SGD", "Adam"}
    assert len(table) >= 13


@pytest.mark.parametrize("name", PAIRS)
def test_names_and_defaults_are_torchs(name):
    function, rule, cls = PAIRS[name]
    ours, theirs = dict(inspect.signature(function).parameters), inspect.signature(cls).parameters
    more = [ours.pop(extra) for extra in ("eps_root", "stacked", "mask") if extra in ours]  # optax's and funnn's own, behind torch's
    assert all(parameter.kind is parameter.KEYWORD_ONLY and not parameter.default for parameter in more)
    assert ("mask" in [parameter.name for parameter in more]) == ("weight_decay" in theirs)
    for parameter in ours.values():
        assert parameter.default == theirs[parameter.name].default == rule.defaults[parameter.name]
        # torch has maximize among its switches, by position in some optimizers
        assert parameter.kind == theirs[parameter.name].kind or parameter.name == "maximize"
    ignored = {"params", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"}
    assert [p for p in theirs if p in ours] == list(ours)
    assert set(theirs) - set(ours) <= ignored
    static = {"ns_steps", "adjust_lr_fn"} if name == "Muon" else set()
    assert set(rule.flags) == {key for key, value in rule.defaults.items() if isinstance(value, bool)} | static


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_traced_numbers_give_the_same(name, options):
    """Numbers as traced scalars, as the shim passes them; also the ones that are 0, where the formula may not branch in Python."""
    rule = PAIRS[name][1]
    start, grads = jnp.array([[1.0, -2.0]]), gradients((1, 2), np.float32)
    flags = {key: value for key, value in options.items() if key in rule.flags}
    numbers = {**rule.defaults, **options}
    numbers = {key: value for key, value in numbers.items() if key not in rule.flags}
    expected, _ = run_rule(rule, options, start, grads)
    actual, _ = jax.jit(lambda numbers: run_rule(rule, numbers | flags, start, grads))(numbers)
    np.testing.assert_allclose(actual, expected, rtol=3e-5)  # 1 - 0.999 in float32
    with jax.enable_x64(True):  # double scalars, float32 parameters: the shim's case
        actual, _ = jax.jit(lambda numbers: run_rule(rule, numbers | flags, start, grads))(numbers)
        assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_traced_zero_momentum_is_plain_sgd_and_keeps_the_buffer_for_later():
    """torch, momentum changed from 0 to 0.9 after two steps: the buffer starts, undamped, at the third."""
    schedule = [0.0, 0.0, 0.9, 0.9, 0.0, 0.9]
    grads = gradients((2,), np.float32, steps=len(schedule))
    param = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([param], lr=0.1, momentum=0.5, dampening=0.3)
    x = jnp.zeros(2)
    state = optim.sgd_rule.init(x, momentum=jnp.asarray(0.0))
    update = jax.jit(lambda g, s, p, m: optim.sgd_rule.update(g, s, p, lr=0.1, momentum=m, dampening=0.3))
    for grad, momentum in zip(grads, schedule, strict=True):
        optimizer.param_groups[0]["momentum"] = momentum
        param.grad = torch.from_numpy(grad)
        optimizer.step()
        delta, state = update(grad, state, x, momentum)
        x = x + delta
        np.testing.assert_allclose(x, param.detach(), rtol=1e-6)
    assert state["step"] == 3
    assert update._cache_size() == 1


@pytest.mark.parametrize("rule", [optim.sgd_rule, optim.adam_rule], ids=lambda rule: rule.name)
@pytest.mark.parametrize("zero", [0, jnp.zeros(())], ids=["python", "array"])
def test_weight_decay_zero_is_no_weight_decay(rule, zero):
    param = jnp.array([jnp.inf, -jnp.inf, jnp.nan, 1.0, 1.0])
    grad = jnp.array([1.0, 1.0, 1.0, -0.0, 0.0])
    delta, _ = rule.update(grad, rule.init(param), param, lr=1.0, weight_decay=zero)
    assert jnp.isfinite(delta).all()
    if rule is optim.sgd_rule:
        assert jnp.signbit(delta).tolist() == [True, True, True, False, True]  # -lr · grad, the sign of zero kept


@pytest.mark.parametrize(("name", "options"), [CASES[4], CASES[10], CASES[12]], ids=str)
@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_nothing_promotes(name, options, dtype, x64):
    rule = PAIRS[name][1]
    param = jnp.ones(3, dtype)
    with jax.enable_x64(x64):
        state = rule.init(param, **options)
        traced = {key: jnp.asarray(value, float) if isinstance(value, float) else value for key, value in options.items()}
        delta, new = jax.jit(lambda g, s, p, o: rule.update(g, s, p, **o | {k: options[k] for k in rule.flags if k in options}))(
            jnp.ones(3, jnp.float32), state, param, {k: v for k, v in traced.items() if k not in rule.flags}
        )
    assert delta.dtype == dtype
    expected = {key: jnp.dtype(jnp.float32 if key == "step" else dtype) for key in state}
    assert {key: value.dtype for key, value in state.items()} == {key: value.dtype for key, value in new.items()} == expected
    assert not any(value.weak_type for value in [*state.values(), *new.values()])


def test_strict_promotion():
    with jax.numpy_dtype_promotion("strict"):
        for _, rule, _ in PAIRS.values():
            param = jnp.ones((1, 2), jnp.bfloat16)
            numbers = {"lr": jnp.asarray(0.1, jnp.float32), "weight_decay": jnp.asarray(0.1, jnp.float32)}
            state = rule.init(param, momentum=0.9)
            rule.update(param, state, param, **numbers)


@pytest.mark.parametrize("lr", [1e-3, jnp.float32(1e-3)], ids=["python", "array"])
def test_bias_correction_in_float32(lr):
    """The first step is lr · sign(grad); 1 - 0.999 in float32 would be off by 1e-5."""
    param = jnp.zeros(1)
    delta, _ = optim.adam_rule.update(jnp.ones(1), optim.adam_rule.init(param), param, lr=lr, eps=0)
    np.testing.assert_allclose(delta, -1e-3, rtol=3e-7)


ERRORS = [
    (optim.sgd, {"lr": -1}, "Invalid learning rate: -1; expected a number >= 0, use maximize=True to ascend"),
    (optim.sgd, {"momentum": -0.5}, "Invalid momentum value: -0.5; expected a number >= 0, usually 0 or 0.9"),
    (optim.sgd, {"weight_decay": -1}, "Invalid weight_decay value: -1; expected a number >= 0, 0 switches it off"),
    (optim.sgd, {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening; got momentum=0, dampening=0."),
    (
        optim.sgd,
        {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
        "got momentum=0.9, dampening=0.1. Pass momentum > 0 and dampening=0",
    ),
    (optim.adam, {"lr": -1}, "Invalid learning rate: -1;"),
    (optim.adam, {"eps": -1}, "Invalid epsilon value: -1; expected a number >= 0, usually 1e-8"),
    (optim.adam, {"betas": (1.0, 0.0)}, "Invalid beta parameter at index 0: 1.0; expected 0 <= beta < 1, usually 0.9"),
    (optim.adam, {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1; expected 0 <= beta < 1, usually 0.999"),
    (optim.adam, {"weight_decay": -1}, "Invalid weight_decay value: -1;"),
]


@pytest.mark.parametrize(("function", "options", "text"), ERRORS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_errors(function, options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        function(**options)
    theirs = {optim.sgd: torch.optim.SGD, optim.adam: torch.optim.Adam}[function]
    with pytest.raises(ValueError) as error:
        theirs([torch.nn.Parameter(torch.zeros(1))], **options)
    with pytest.raises(ValueError, match=re.escape(str(error.value))):  # torch's whole text is in ours
        function(**options)


def test_concrete_arrays_are_validated_and_traced_ones_pass():
    with pytest.raises(ValueError, match=re.escape("Invalid learning rate: -1.0")):
        optim.sgd(lr=jnp.asarray(-1.0))
    bad = jnp.asarray(-1.0)
    with pytest.raises(ValueError, match="Invalid learning rate"):
        jax.jit(lambda: optim.adam(lr=bad).init(jnp.zeros(1)))()
    jax.jit(lambda lr: optim.sgd(lr=lr, momentum=lr, nesterov=True).init(jnp.zeros(1)))(-1.0)
    jax.jit(lambda b: optim.adam(betas=(0.9, b)).init(jnp.zeros(1)))(2.0)


# Muon's bfloat16 and ASGD's float32 step size round away small differences; Rprop reads lr before the first step only.
@pytest.mark.parametrize("name", [name for name in PAIRS if name not in ("Muon", "ASGD", "Rprop")])
def test_differentiable_in_the_learning_rate(name):
    """Meta-learning: the derivative of the result in lr, against central differences."""
    with jax.enable_x64(True):
        rule = PAIRS[name][1]
        start, grads = np.array([1.0, -2.0]), gradients((2,), np.float64, steps=3)

        def result(lr):
            return run_rule(rule, {"lr": lr, "weight_decay": 0.1}, start, grads)[0].sum()

        expected = (result(0.1 + 1e-6) - result(0.1 - 1e-6)) / 2e-6
        np.testing.assert_allclose(jax.grad(result)(0.1), expected, rtol=1e-7)


def test_agrees_with_optax_where_they_coincide():
    start, grads = {"x": jnp.array([1.0, -2.0])}, gradients((2,), np.float32, steps=5)
    for ours, theirs in [
        (optim.adam(0.1), optax.adam(0.1)),
        (optim.sgd(0.1, 0.9), optax.sgd(0.1, 0.9)),
        (optim.sgd(0.1, 0.9, nesterov=True), optax.sgd(0.1, 0.9, nesterov=True)),
        (optim.adam(0.1, eps_root=0.3), optax.adam(0.1, eps_root=0.3)),
        (optim.adamw(0.1, weight_decay=0.2, eps_root=0.3), optax.adamw(0.1, weight_decay=0.2, eps_root=0.3)),
    ]:
        ends = []
        for optimizer in (ours, theirs):
            params, state = start, optimizer.init(start)
            for grad in grads:
                updates, state = optimizer.update({"x": jnp.asarray(grad)}, state, params)
                params = optax.apply_updates(params, updates)
            ends.append(params["x"])
        np.testing.assert_allclose(*ends, rtol=2e-5)
