"""Learning-rate schedulers: the digits of torch's over 50 steps, alone and together, resumed, from either library's state."""

import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from twin import same, same_error

import funnn.torch as shim
from funnn.optim import schedules


class Fall:
    """A function with a state that state_dict keeps."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return self.rate**epoch


CASES = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, [lambda epoch: 0.95**epoch, Fall(0.9)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.9 + epoch / 1000),
    "StepLR": lambda s, o: s.StepLR(o, 7, gamma=0.3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [30, 5, 12, 12], gamma=0.5),
    "ConstantLR": lambda s, o: s.ConstantLR(o, factor=0.4, total_iters=9),
    "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.2, end_factor=0.7, total_iters=11),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=23, power=2.5),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 12, eta_min=1e-3),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, T_mult=2, eta_min=1e-4),
    "CosineAnnealingWarmRestarts, even": lambda s, o: s.CosineAnnealingWarmRestarts(o, 8),
    "CyclicLR": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.3, step_size_up=4, step_size_down=9, mode="triangular2"),
    "CyclicLR, exp_range": lambda s, o: s.CyclicLR(o, 0.01, 0.3, step_size_up=6, mode="exp_range", gamma=0.97, cycle_momentum=False),
    "CyclicLR, own": lambda s, o: s.CyclicLR(o, 0.01, 0.3, step_size_up=6, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, [0.5, 0.2], total_steps=50),
    "OneCycleLR, three": lambda s, o: s.OneCycleLR(
        o, 0.5, epochs=5, steps_per_epoch=10, pct_start=0.25, anneal_strategy="linear", three_phase=True
    ),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.ExponentialLR(o, 0.9), s.CosineAnnealingWarmRestarts(o, 4)], [6, 20]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, total_iters=4), s.ExponentialLR(o, 0.9)]),
    "ReduceLROnPlateau": lambda s, o: s.ReduceLROnPlateau(o, "min", factor=0.5, patience=2, cooldown=3, min_lr=[1e-3, 1e-2]),
    "ReduceLROnPlateau, max": lambda s, o: s.ReduceLROnPlateau(o, "max", patience=1, threshold=0.3, threshold_mode="abs", min_lr=1e-5),
    "SWALR": lambda s, o: s.SWALR(o, [0.05, 0.001], anneal_epochs=13),
    "SWALR, linear": lambda s, o: s.SWALR(o, 0.05, anneal_epochs=20, anneal_strategy="linear"),
}
every = pytest.mark.parametrize("case", CASES)
CLOSED = ["StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR"]


@pytest.fixture(autouse=True)
def _fresh_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def optimizer_of(t, kind="SGD", lr=0.1, **options):
    groups = [{"params": [t.nn.Parameter(t.zeros(1))]}, {"params": [t.nn.Parameter(t.zeros(1))], "lr": 0.03}]
    options = {"momentum": 0.9, **options} if kind == "SGD" else options
    return getattr(t.optim, kind)(groups, lr=lr, **options)


def make(t, case, optimizer):
    names = type("names", (), {**vars(t.optim.lr_scheduler), "SWALR": t.optim.swa_utils.SWALR})
    return CASES[case](names, optimizer)


def advance(optimizer, schedulers, steps, start=0):
    """What the groups hold after each step, to the last digit."""
    seen = []
    for step in range(start, start + steps):
        optimizer.step()
        for scheduler in schedulers:
            if hasattr(scheduler, "patience"):
                scheduler.step(math.sin(step) / (1 + step))
            else:
                scheduler.step()
        values = [scheduler.get_last_lr() for scheduler in schedulers]
        seen.append((values, [(group["lr"], group.get("momentum", group.get("betas"))) for group in optimizer.param_groups]))
    return seen


@every
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_alone(case, kind):
    def program(t):
        optimizer = optimizer_of(t, kind)
        scheduler = make(t, case, optimizer)
        print(scheduler, optimizer)
        print(*advance(optimizer, [scheduler], 49), sep="\n")
        state = scheduler.state_dict()
        print(optimizer, list(state), {name: value for name, value in state.items() if name != "_schedulers"})

    same(program)


@pytest.mark.parametrize("case", [case for case in CASES if "Cycl" not in case and "Sequential" not in case])
def test_two_on_one_optimizer(case):
    def program(t):
        optimizer = optimizer_of(t)
        pair = [make(t, case, optimizer), t.optim.lr_scheduler.StepLR(optimizer, 10, gamma=0.7)]
        print(*advance(optimizer, pair, 50), sep="\n")

    same(program)


@pytest.mark.parametrize("case", [*CLOSED, "LambdaLR", "CosineAnnealingWarmRestarts", "CosineAnnealingWarmRestarts, even"])
def test_step_to_an_epoch(case):
    def program(t):
        optimizer = optimizer_of(t)
        scheduler = make(t, case, optimizer)
        for epoch in (3, 0, 40, 7, 12, 13):
            optimizer.step()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                scheduler.step(epoch)
            print(epoch, scheduler.get_last_lr(), scheduler.last_epoch, [w.category.__name__ for w in caught])
            if epoch == 7:
                scheduler.step()
                print(scheduler.get_last_lr())

    same(program)


CASE_ARGUMENTS = {
    "LambdaLR": {"lr_lambda": [lambda epoch: 0.95**epoch, Fall(0.9)]},
    "MultiplicativeLR": {"lr_lambda": lambda epoch: 0.9 + epoch / 1000},
    "StepLR": {"step_size": 7, "gamma": 0.3},
    "MultiStepLR": {"milestones": [30, 5, 12, 12], "gamma": 0.5},
    "ConstantLR": {"factor": 0.4, "total_iters": 9},
    "LinearLR": {"start_factor": 0.2, "end_factor": 0.7, "total_iters": 11},
    "ExponentialLR": {"gamma": 0.93},
    "PolynomialLR": {"total_iters": 23, "power": 2.5},
    "CosineAnnealingLR": {"T_max": 12, "eta_min": 1e-3},
    "CosineAnnealingWarmRestarts": {"T_0": 5, "T_mult": 2, "eta_min": 1e-4},
    "CosineAnnealingWarmRestarts, even": {"T_0": 8},
    "CyclicLR": {"base_lr": [0.01, 0.02], "max_lr": 0.3, "step_size_up": 4, "step_size_down": 9, "mode": "triangular2"},
    "CyclicLR, exp_range": {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 6, "mode": "exp_range", "gamma": 0.97, "cycle_momentum": False},
    "CyclicLR, own": {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 6, "scale_fn": lambda x: 1 / (1 + x), "scale_mode": "iterations"},
    "OneCycleLR": {"max_lr": [0.5, 0.2], "total_steps": 50},
    "OneCycleLR, three": {"max_lr": 0.5, "total_steps": 50, "pct_start": 0.25, "anneal_strategy": "linear", "three_phase": True},
}


@pytest.mark.parametrize("case", CASE_ARGUMENTS)
def test_last_epoch(case):
    def program(t):
        optimizer = optimizer_of(t)
        first = make(t, case, optimizer)
        advance(optimizer, [first], 9)
        kept = optimizer.state_dict()
        again = optimizer_of(t)
        again.load_state_dict(kept)
        scheduler = getattr(t.optim.lr_scheduler, case.split(",")[0])(again, **CASE_ARGUMENTS[case], last_epoch=9)
        print(*advance(again, [scheduler], 10, start=9), sep="\n")

    same(program)


@every
@pytest.mark.parametrize("source", [torch, shim], ids=["from torch", "from ours"])
def test_resumed_in_the_middle_it_goes_on_exactly(case, source):
    """State saved by either library after 20 steps, loaded here."""
    whole = optimizer_of(shim)
    expected = advance(whole, [make(shim, case, whole)], 49)
    optimizer = optimizer_of(source)
    scheduler = make(source, case, optimizer)
    advance(optimizer, [scheduler], 20)
    resumed_optimizer = optimizer_of(shim)
    resumed = make(shim, case, resumed_optimizer)
    resumed.load_state_dict(scheduler.state_dict())
    resumed_optimizer.load_state_dict(optimizer.state_dict())
    assert advance(resumed_optimizer, [resumed], 29, start=20) == expected[20:]


@pytest.mark.parametrize("case", [case for case in CASES if "Sequential" not in case])
def test_pytorch_goes_on_from_our_state(case):
    whole = optimizer_of(torch)
    expected = advance(whole, [make(torch, case, whole)], 49)
    optimizer = optimizer_of(shim)
    scheduler = make(shim, case, optimizer)
    advance(optimizer, [scheduler], 20)
    resumed_optimizer = optimizer_of(torch)
    resumed = make(torch, case, resumed_optimizer)
    resumed.load_state_dict(scheduler.state_dict())
    resumed_optimizer.load_state_dict(optimizer.state_dict())
    assert advance(resumed_optimizer, [resumed], 29, start=20) == expected[20:]


@pytest.mark.parametrize("case", ["ExponentialLR", "CosineAnnealingLR", "LambdaLR", "OneCycleLR", "ReduceLROnPlateau"])
def test_lr_as_a_tensor(case):
    def program(t):
        lr = t.tensor(0.1, dtype=t.float64)
        optimizer = optimizer_of(t, lr=lr)
        scheduler = make(t, case, optimizer)
        seen = advance(optimizer, [scheduler], 12)
        print(optimizer.param_groups[0]["lr"] is lr, type(optimizer.param_groups[1]["lr"]).__name__)
        return [values[0][1] for values, _ in seen], lr, [float(x) for x in scheduler.get_last_lr()]

    same(program, (1e-12, 1e-15))


# -- warnings and errors


def test_warnings():
    def program(t):
        optimizer = optimizer_of(t)
        scheduler = t.optim.lr_scheduler.StepLR(optimizer, 2)
        for act in (scheduler.step, scheduler.get_lr, optimizer.step, scheduler.step, lambda: scheduler.step(5)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                act()
            print([(w.category.__name__, str(w.message)[:60]) for w in caught])
        second = t.optim.lr_scheduler.StepLR(optimizer_of(t), 2)
        second.optimizer.step = lambda: None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            second.step()
        print([str(w.message)[:60] for w in caught])

    same(program)


ERRORS = {
    "no optimizer": (lambda s, o: s.StepLR(None, 2), TypeError, "NoneType is not an Optimizer"),
    "last_epoch": (lambda s, o: s.StepLR(o, 2, last_epoch=3), KeyError, r"param 'initial_lr' is not specified in param_groups\[0\]"),
    "lambdas": (lambda s, o: s.LambdaLR(o, [abs]), ValueError, "Expected 2 lr_lambdas, but got 1"),
    "no function": (lambda s, o: s.MultiplicativeLR(o, 3), TypeError, "lr_lambda should be a function, but got int"),
    "constant": (lambda s, o: s.ConstantLR(o, 2.0), ValueError, "Constant multiplicative factor expected to be between 0 and 1"),
    "linear start": (lambda s, o: s.LinearLR(o, 0), ValueError, "Starting multiplicative factor expected to be greater than 0"),
    "linear end": (lambda s, o: s.LinearLR(o, 1, 2), ValueError, "Ending multiplicative factor expected to be between 0 and 1"),
    "T_0": (lambda s, o: s.CosineAnnealingWarmRestarts(o, 0), ValueError, "Expected positive integer T_0, but got 0"),
    "T_mult": (lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 1.5), ValueError, "Expected integer T_mult >= 1, but got 1.5"),
    "epoch": (lambda s, o: s.CosineAnnealingWarmRestarts(o, 1).step(-1), ValueError, "Expected non-negative epoch, but got -1"),
    "cyclic mode": (lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="x"), ValueError, "mode is invalid and scale_fn is None"),
    "cyclic lr": (lambda s, o: s.CyclicLR(o, [0.1], 0.2), ValueError, "base_lr must have the same length as optimizer.param_groups"),
    "one cycle": (lambda s, o: s.OneCycleLR(o, 0.1), ValueError, "You must define either total_steps OR"),
    "one cycle steps": (lambda s, o: s.OneCycleLR(o, 0.1, 0), ValueError, "Expected positive integer total_steps, but got 0"),
    "one cycle epochs": (
        lambda s, o: s.OneCycleLR(o, 0.1, epochs=1, steps_per_epoch=-1),
        ValueError,
        "Expected positive integer steps_per",
    ),
    "one cycle pct": (lambda s, o: s.OneCycleLR(o, 0.1, 9, pct_start=2), ValueError, "Expected float between 0 and 1 pct_start, but got 2"),
    "one cycle anneal": (lambda s, o: s.OneCycleLR(o, 0.1, 9, anneal_strategy="x"), ValueError, "anneal_strategy must be one of"),
    "one cycle over": (lambda s, o: [s.OneCycleLR(o, 0.1, 2)] and advance(o, [s.OneCycleLR(o, 0.1, 2)], 3), ValueError, "Tried to step 3"),
    "plateau": (lambda s, o: s.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0"),
    "plateau mode": (lambda s, o: s.ReduceLROnPlateau(o, "mid"), ValueError, "mode mid is unknown!"),
    "plateau threshold": (lambda s, o: s.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold mode x is unknown!"),
    "plateau min": (lambda s, o: s.ReduceLROnPlateau(o, min_lr=[0]), ValueError, "expected 2 min_lrs, got 1"),
    "chained": (lambda s, o: s.ChainedScheduler([]), ValueError, "ChainedScheduler expects at least one scheduler to be chained"),
    "chained plateau": (lambda s, o: s.ChainedScheduler([s.ReduceLROnPlateau(o)]), ValueError, "does not support `ReduceLROnPlateau`"),
    "sequential": (
        lambda s, o: s.SequentialLR(o, [s.StepLR(o, 2)], [3]),
        ValueError,
        "number of schedulers 1 and the number of milestones",
    ),
    "sequential none": (lambda s, o: s.SequentialLR(o, [], []), ValueError, "SequentialLR expects at least one scheduler, but got no"),
    "sequential type": (lambda s, o: s.SequentialLR(o, [3], []), TypeError, "SequentialLR at index 0 should have `optimizer`"),
    "base": (lambda s, o: s.LRScheduler(o), NotImplementedError, ""),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    program, error, text = ERRORS[case]
    same_error(lambda t: program(t.optim.lr_scheduler, optimizer_of(t)), error, text)


def test_momentum_is_needed_for_cycles():
    for name, arguments in (("CyclicLR", (0.1, 0.2)), ("OneCycleLR", (0.1, 9))):
        same_error(
            lambda t, n=name, a=arguments: getattr(t.optim.lr_scheduler, n)(optimizer_of(t, "Adagrad"), *a),
            ValueError,
            "optimizer must support momentum or beta1",
        )


def test_a_users_scheduler():
    def program(t):
        class Halved(t.optim.lr_scheduler.LRScheduler):
            def get_lr(self):
                return [base / (1 + self.last_epoch) for base in self.base_lrs]

        class Closed(t.optim.lr_scheduler._LRScheduler):
            def get_lr(self):
                return [group["lr"] for group in self.optimizer.param_groups]

            def _get_closed_form_lr(self):
                return [base * self.last_epoch for base in self.base_lrs]

        optimizer = optimizer_of(t)
        print(*advance(optimizer, [Halved(optimizer)], 5), sep="\n")
        closed = Closed(optimizer)
        closed.step(3)
        print(closed.get_last_lr(), list(closed.state_dict()))

    same(program)


# -- the same schedules as functions of the step


FUNCTIONS = {
    "LambdaLR": lambda lr: schedules.lambda_lr(lr, lambda epoch: 0.95**epoch),
    "MultiplicativeLR": lambda lr: schedules.multiplicative_lr(lr, lambda epoch: 0.9 + epoch / 1000),
    "StepLR": lambda lr: schedules.step_lr(lr, 7, gamma=0.3),
    "MultiStepLR": lambda lr: schedules.multi_step_lr(lr, [30, 5, 12, 12], gamma=0.5),
    "ConstantLR": lambda lr: schedules.constant_lr(lr, factor=0.4, total_iters=9),
    "LinearLR": lambda lr: schedules.linear_lr(lr, start_factor=0.2, end_factor=0.7, total_iters=11),
    "ExponentialLR": lambda lr: schedules.exponential_lr(lr, 0.93),
    "PolynomialLR": lambda lr: schedules.polynomial_lr(lr, total_iters=23, power=2.5),
    "CosineAnnealingLR": lambda lr: schedules.cosine_annealing_lr(lr, 12, eta_min=1e-3),
    "CosineAnnealingWarmRestarts": lambda lr: schedules.cosine_annealing_warm_restarts(lr, 5, T_mult=2, eta_min=1e-4),
    "CosineAnnealingWarmRestarts, even": lambda lr: schedules.cosine_annealing_warm_restarts(lr, 8),
    "CyclicLR": lambda lr: schedules.cyclic_lr(0.01, 0.3, step_size_up=4, step_size_down=9, mode="triangular2"),
    "CyclicLR, exp_range": lambda lr: schedules.cyclic_lr(0.01, 0.3, step_size_up=6, mode="exp_range", gamma=0.97),
    "CyclicLR, own": lambda lr: schedules.cyclic_lr(0.01, 0.3, 6, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"),
    "OneCycleLR": lambda lr: schedules.one_cycle_lr(0.5, 50),
    "OneCycleLR, three": lambda lr: schedules.one_cycle_lr(0.5, 50, pct_start=0.25, anneal_strategy="linear", three_phase=True),
    "SequentialLR": lambda lr: schedules.sequential_lr(
        [schedules.linear_lr(lr, 0.1, total_iters=5), schedules.exponential_lr(lr, 0.9), schedules.cosine_annealing_warm_restarts(lr, 4)],
        [6, 20],
    ),
    "ChainedScheduler": lambda lr: schedules.chained(
        lr, [schedules.constant_lr(1.0, 0.1, total_iters=4), schedules.exponential_lr(1.0, 0.9)]
    ),
    "SWALR": lambda lr: schedules.swa_lr(lr, 0.05, anneal_epochs=13),
    "SWALR, linear": lambda lr: schedules.swa_lr(lr, 0.05, anneal_epochs=20, anneal_strategy="linear"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_schedules_as_functions(case):
    optimizer = optimizer_of(torch)
    scheduler = make(torch, case, optimizer)
    expected = [optimizer.param_groups[0]["lr"], *(groups[0][0] for _, groups in advance(optimizer, [scheduler], 49))]
    schedule = FUNCTIONS[case](0.1)
    np.testing.assert_allclose([schedule(step) for step in range(50)], expected, rtol=1e-11, atol=1e-16)
    with jax.enable_x64(True):
        traced = jax.jit(jax.vmap(schedule))(jnp.arange(50))
    np.testing.assert_allclose(traced, expected, rtol=1e-9, atol=1e-12)


def test_every_scheduler_is_here():
    assert set(torch.optim.lr_scheduler.__all__) <= set(vars(shim.optim.lr_scheduler))
    tested = {case.split(",")[0] for case in CASES}
    assert set(torch.optim.lr_scheduler.__all__) - {"LRScheduler"} <= tested
