"""Every configuration of PyTorch's database of optimizers: the same gradients give the same parameters, state and refusals."""

import io

import numpy as np
import pytest
import torch
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db
from twin import compare

import funnn.torch as shim

OPTIONS = [(info.optim_cls.__name__, entry.kwargs) for info in optim_db for entry in info.optim_inputs_func(device="cpu")]
OPTIONS += [
    *(("Adam", options) for options in ({"lr": 0.1, "betas": (0.0, 0.0)}, {"eps": 0.0, "lr": 1e-2, "decoupled_weight_decay": True})),
    *(("RAdam", {"betas": (0.5, 0.9), "lr": 0.1}), ("NAdam", {"betas": (0.0, 0.9), "decoupled_weight_decay": True})),
    *(("ASGD", {"t0": 5, "alpha": 0.5, "lambd": 0.1}), ("RMSprop", {"momentum": 0.9, "lr": torch.tensor(0.1)})),
    *(("Adafactor", {"eps": (1e-2, 0.5)}), ("Adafactor", {"lr": torch.tensor(0.3)}), ("Adagrad", {"lr_decay": 0.1, "eps": 1e-2})),
    *(("Muon", {"nesterov": False}), ("Muon", {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.5})),
    *(("SGD", {"momentum": 0.9, "dampening": 0.9, "maximize": True}), ("Rprop", {"lr": torch.tensor(0.1), "maximize": True})),
]
OPTIONS = [(name, options) for name, options in OPTIONS if name != "LBFGS"]  # which has its own file
STEPS = 20
WIDENED = ("ASGD", "NAdam")  # torch's load_state_dict turns their float32 counters into the parameter's float64, which rounds differently
TENSOR_LR = (1e-6, 1e-7)  # torch does the arithmetic of an lr in a float32 tensor in float32, here it is in float64
WIDER = (1e-7, 1e-7)
HALF = (1e-2, 1e-3)  # Muon's directions are computed in bfloat16, where the order of a sum is seen


def parameters(t, name):
    """A matrix and a vector of both precisions, the same numbers in both libraries."""
    shapes = [(3, 2)] if name == "Muon" else [(3, 2), (2,)]
    numbers = np.random.default_rng(0)
    made = []
    for dtype in ("float64", "float32"):
        made += [t.nn.Parameter(t.tensor(numbers.normal(size=shape), dtype=getattr(t, dtype))) for shape in shapes]
    return made


def give_gradients(t, params, step, name):
    numbers = np.random.default_rng(step + 1)
    for param in params:
        values = numbers.normal(size=param.shape)
        if name == "SparseAdam":  # rows without a gradient
            values[step % 2] = 0.0
        param.grad = t.tensor(values, dtype=param.dtype)
        if name == "SparseAdam":
            param.grad = param.grad.to_sparse(1)


def convert(t, options):
    return {name: t.tensor(value.numpy()) if isinstance(value, torch.Tensor) else value for name, value in options.items()}


def run(t, name, options, steps=STEPS):
    params = parameters(t, name)
    optimizer = getattr(t.optim, name)(params, **convert(t, options))
    for step in range(steps):
        give_gradients(t, params, step, name)
        optimizer.step()
    return params, optimizer


def translated(value, t, kind):
    """Nested containers with the tensors of the other library."""
    if isinstance(value, kind):
        return t.tensor(value.numpy())
    if isinstance(value, dict):
        return {name: translated(item, t, kind) for name, item in value.items()}
    return type(value)(translated(item, t, kind) for item in value) if isinstance(value, (list, tuple)) else value


def compare_all(ours, theirs, name, options, resumed=False):
    """Parameters and state, each precision at its own tolerance."""
    shared = (
        HALF
        if name == "Muon"
        else WIDER
        if resumed and name in WIDENED
        else TENSOR_LR
        if isinstance(options.get("lr"), torch.Tensor)
        else None
    )
    (params, optimizer), (their_params, their_optimizer) = ours, theirs
    assert repr(optimizer) == repr(their_optimizer)
    state, their_state = optimizer.state_dict(), their_optimizer.state_dict()
    assert list(state["state"]) == list(their_state["state"])
    for i, (param, other) in enumerate(zip(params, their_params, strict=True)):
        tolerance = (1e-9, 1e-9) if other.dtype == torch.float64 else (1e-5, 1e-6)
        tolerance = tolerance if shared is None else tuple(map(max, shared, tolerance))
        compare(param.detach(), other.detach(), f"parameter {i}", tolerance)
        if resumed and name in WIDENED:
            continue  # the state differs in dtype
        entries, their_entries = state["state"].get(i, {}), dict(their_state["state"].get(i, {}))
        assert list(entries) == list(their_entries)
        compare(entries, their_entries, f"state {i}", tolerance)
    compare(state["param_groups"], their_state["param_groups"], "groups")


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=lambda value: str(value).replace(" ", ""))
def test_numbers_state_and_text(name, options):
    compare_all(run(shim, name, options), run(torch, name, options), name, options)


FIRST = {}
for _name, _options in OPTIONS:
    FIRST.setdefault(_name, _options)


@pytest.mark.parametrize("name", FIRST)
def test_resumed_in_the_middle_it_goes_on_exactly(name):
    params, optimizer = run(shim, name, FIRST[name])
    before, saved_from = run(shim, name, FIRST[name], steps=7)
    fresh = [shim.nn.Parameter(p.detach().clone()) for p in before]
    file = io.BytesIO()
    torch.save(translated(saved_from.state_dict(), torch, shim.Tensor), file)  # as a file that PyTorch can read and write
    file.seek(0)
    resumed = getattr(shim.optim, name)(fresh, lr=123.0)
    resumed.load_state_dict(torch.load(file))
    for step in range(7, STEPS):
        give_gradients(shim, fresh, step, name)
        resumed.step()
    compare([p.detach().numpy() for p in fresh], [p.detach().numpy() for p in params], tolerance=WIDER if name in WIDENED else (0, 0))
    assert repr(resumed) == repr(optimizer)


@pytest.mark.parametrize("name", FIRST)
def test_pytorch_goes_on_from_our_state(name):
    options = FIRST[name]
    before, saved_from = run(shim, name, options, steps=7)
    params = [torch.nn.Parameter(torch.tensor(p.detach().numpy())) for p in before]
    optimizer = getattr(torch.optim, name)(params)
    optimizer.load_state_dict(translated(saved_from.state_dict(), torch, shim.Tensor))
    for step in range(7, STEPS):
        give_gradients(torch, params, step, name)
        optimizer.step()
    compare_all(run(shim, name, options), (params, optimizer), name, options, resumed=True)


# What only torch's implementation can't do: here these work.
ACCEPTED = ("lr as Tensor doesn't work with foreach", "betas must be either both", "betas\\[0\\] as a Tensor is not supported")
# Parameters of sparse layout do not exist here.
ACCEPTED += ("dense params required",)
ERRORS = [
    (info.optim_cls.__name__, entry)
    for info in optim_db
    for entry in info.optim_error_inputs_func("cpu", torch.float32)
    if not entry.optimizer_error_input.desc.startswith(ACCEPTED)
]


@pytest.mark.parametrize(
    ("name", "entry"), ERRORS, ids=lambda value: getattr(getattr(value, "optimizer_error_input", value), "desc", value)
)
def test_error_inputs(name, entry):
    given = entry.optimizer_error_input
    made = {}

    def ours(value):
        if isinstance(value, torch.Tensor):
            if value not in made:
                made[value] = shim.tensor(value.detach().numpy())
                made[value] = shim.nn.Parameter(made[value]) if isinstance(value, torch.nn.Parameter) else made[value]
                if value.grad is not None:
                    made[value].grad = shim.tensor(value.grad.numpy())
            return made[value]
        if isinstance(value, dict):
            return {key: ours(item) for key, item in value.items()}
        return type(value)(map(ours, value)) if isinstance(value, (list, tuple)) else value

    params = [torch.nn.Parameter(torch.ones(2, 2))] if given.params is None else given.params
    if name == "LBFGS" and isinstance(params, list) and isinstance(params[0], dict):
        params = [dict(group) for group in params]
    expecting = pytest.warns if issubclass(entry.error_type, Warning) else pytest.raises
    for t, arguments, options in ((shim, ours(params), ours(given.kwargs)), (torch, params, given.kwargs)):
        if entry.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR:
            with expecting(entry.error_type, match=entry.error_regex):
                getattr(t.optim, name)(arguments, **options)
        else:
            optimizer = getattr(t.optim, name)(arguments, **options)
            with expecting(entry.error_type, match=entry.error_regex):
                optimizer.step()


@pytest.mark.parametrize("name", ["Adam", "NAdam", "ASGD", "Adagrad"])
def test_counts_are_in_the_default_dtype_if_that_is_float64(name):
    ends = []
    for t in (shim, torch):
        t.set_default_dtype(t.float64)
        try:
            ends.append(run(t, name, {}, steps=3))
        finally:
            t.set_default_dtype(t.float32)
    compare_all(*ends, name, {})
