"""Averages of models: the same numbers, state and text as torch.optim.swa_utils."""

import copy
import pickle

import pytest
from twin import same, same_error

AVERAGES = {
    "mean": lambda u: {},
    "mean of buffers too": lambda u: {"use_buffers": True},
    "ema": lambda u: {"avg_fn": u.get_ema_avg_fn(0.9)},
    "ema of lists": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9), "use_buffers": True},
    "swa": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "swa of lists": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "own": lambda u: {"avg_fn": lambda average, current, count: average + current * count},
}


def model_of(t):
    return t.nn.Sequential(t.nn.Linear(2, 3), t.nn.BatchNorm1d(3))


@pytest.mark.parametrize("case", AVERAGES)
def test_averages(case):
    def program(t):
        net, x = model_of(t), t.randn(4, 2)
        averaged = t.optim.swa_utils.AveragedModel(net, **AVERAGES[case](t.optim.swa_utils))
        for i in range(4):
            with t.no_grad():
                net[0].weight.add_(0.1 * i)
                net[1].running_mean.add_(i)
                net[1].num_batches_tracked.add_(3)
            averaged.update_parameters(net)
        print(averaged, list(averaged.state_dict()), averaged.n_averaged.item())
        averaged.eval()
        return averaged.state_dict(), averaged(x).detach()

    same(program)


def test_copies_and_files():
    def program(t):
        net = model_of(t)
        averaged = t.optim.swa_utils.AveragedModel(net)
        averaged.update_parameters(net)
        for other in (copy.deepcopy(averaged), pickle.loads(pickle.dumps(averaged))):
            other.update_parameters(model_of(t))
            print(other.n_averaged)
        again = t.optim.swa_utils.AveragedModel(model_of(t))
        print(again.load_state_dict(averaged.state_dict()))
        return again.state_dict()

    same(program)


def test_update_bn():
    def program(t):
        net = model_of(t)
        net.eval()
        t.optim.swa_utils.update_bn([t.randn(5, 2) for _ in range(3)], net)
        first = [v.clone() for v in net.buffers()]
        t.optim.swa_utils.update_bn([(t.randn(5, 2), "label") for _ in range(2)], net, device="cpu")
        print(net.training, net[1].momentum, net[0].weight.grad)
        t.optim.swa_utils.update_bn([], t.nn.Linear(1, 1))
        return first, net.state_dict()

    same(program)


def test_training_with_swa():
    """The example of torch's documentation."""

    def program(t):
        net, x = model_of(t), t.randn(6, 2)
        optimizer = t.optim.SGD(net.parameters(), lr=0.1)
        averaged = t.optim.swa_utils.AveragedModel(net)
        falling = t.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
        constant = t.optim.swa_utils.SWALR(optimizer, anneal_strategy="linear", anneal_epochs=2, swa_lr=0.05)
        for epoch in range(6):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
            if epoch > 2:
                averaged.update_parameters(net)
                constant.step()
            else:
                falling.step()
        t.optim.swa_utils.update_bn([x], averaged)
        return averaged.state_dict(), optimizer.param_groups[0]["lr"]

    same(program)


def test_errors():
    same_error(lambda t: t.optim.swa_utils.get_ema_avg_fn(1.5), ValueError, r"Invalid decay value 1.5 provided.*\[0,1\] range")
    same_error(lambda t: t.optim.swa_utils.get_ema_multi_avg_fn(-1), ValueError, "Invalid decay value -1 provided")
    same_error(
        lambda t: t.optim.swa_utils.AveragedModel(t.nn.Linear(1, 1), avg_fn=max, multi_avg_fn=max), AssertionError, "Only one of avg_fn"
    )

    def swalr(t, **options):
        t.optim.swa_utils.SWALR(t.optim.SGD([t.ones(1)], lr=1), 0.1, **options)

    same_error(lambda t: swalr(t, anneal_strategy="x"), ValueError, "anneal_strategy must be one of 'cos' or 'linear'")
    same_error(lambda t: swalr(t, anneal_epochs=-1), ValueError, "anneal_epochs must be equal or greater than 0, got -1")
