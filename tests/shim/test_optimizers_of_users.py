"""Optimizers as programs write them, in the idioms of public repositories: the same numbers, state and text as on torch."""

import collections
import copy
import importlib
import math

import pytest
from twin import same, same_error

PRECISE = (1e-9, 1e-9)


def lamb(t):
    """``.data``, numbers in the state, Python that looks at values."""

    class Lamb(t.optim.Optimizer):
        def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6):
            super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    grad, state = p.grad.data, self.state[p]
                    if len(state) == 0:
                        state["step"], state["m"], state["v"] = 0, t.zeros_like(p.data), t.zeros_like(p.data)
                    state["step"] += 1
                    beta1, beta2 = group["betas"]
                    state["m"].mul_(beta1).add_(grad, alpha=1 - beta1)
                    state["v"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                    norm = p.data.pow(2).sum().sqrt().clamp(0, 10)
                    update = state["m"] / state["v"].sqrt().add(group["eps"])
                    size = update.pow(2).sum().sqrt()
                    state["ratio"] = 1.0 if norm == 0 or size == 0 else (norm / size).item()
                    p.data.add_(update, alpha=-group["lr"] * state["ratio"])

    return lambda params: Lamb(params, lr=0.05)


def madgrad(t):
    """A count beside the parameters' state."""

    class Madgrad(t.optim.Optimizer):
        def __init__(self, params, lr=0.05, momentum=0.9, eps=1e-6):
            super().__init__(params, {"lr": lr, "momentum": momentum, "eps": eps})

        @t.no_grad()
        def step(self, closure=None):
            self.state.setdefault("k", t.tensor([0], dtype=t.long))
            for group in self.param_groups:
                scale = group["lr"] * math.sqrt(self.state["k"].item() + 1)
                for p in group["params"]:
                    state = self.state[p]
                    if "s" not in state:
                        state["sum"], state["s"], state["x0"] = t.zeros_like(p), t.zeros_like(p), p.detach().clone()
                    state["sum"].addcmul_(p.grad, p.grad, value=scale)
                    state["s"].add_(p.grad, alpha=scale)
                    z = state["x0"].addcdiv(state["s"], state["sum"].pow(1 / 3).add_(group["eps"]), value=-1)
                    p.data.mul_(group["momentum"]).add_(z, alpha=1 - group["momentum"])
            self.state["k"] += 1

    return Madgrad


def lookahead(t):
    """A wrapper that never calls Optimizer.__init__."""

    class Lookahead(t.optim.Optimizer):
        def __init__(self, inner):
            self._optimizer_step_pre_hooks = self._optimizer_step_post_hooks = {}
            self.inner, self.param_groups, self.defaults = inner, inner.param_groups, inner.defaults
            self.state = collections.defaultdict(dict)
            for group in self.param_groups:
                group.setdefault("count", 0)

        @t.no_grad()
        def step(self, closure=None):
            loss = self.inner.step(closure)
            for group in self.param_groups:
                group["count"] += 1
                for p in group["params"]:
                    state = self.inner.state[p]
                    if "slow" not in state:
                        state["slow"] = t.empty_like(p).copy_(p)
                    if group["count"] % 2 == 0:
                        p.copy_(state["slow"].add_(p - state["slow"], alpha=0.5))
            return loss

        def state_dict(self):
            return self.inner.state_dict()

        def load_state_dict(self, state):
            self.inner.load_state_dict(state)
            self.param_groups = self.inner.param_groups

    return lambda params: Lookahead(t.optim.AdamW(params, lr=0.1))


def with_foreach(t):
    """Lists of tensors at once."""

    class Belief(t.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.05, "b1": 0.9, "b2": 0.99})

        @t.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                params = group["params"]
                for p in params:
                    if not self.state[p]:
                        self.state[p].update(m=t.zeros_like(p), s=t.zeros_like(p))
                grads, m, s = [p.grad for p in params], [self.state[p]["m"] for p in params], [self.state[p]["s"] for p in params]
                t._foreach_lerp_(m, grads, 1 - group["b1"])
                t._foreach_mul_(s, group["b2"])
                t._foreach_addcmul_(s, *[t._foreach_sub(grads, m)] * 2, 1 - group["b2"])
                root = t._foreach_sqrt(s)
                t._foreach_add_(root, 1e-8)
                t._foreach_addcdiv_(params, m, root, -group["lr"])

    return Belief


def centralized(t):
    """A subclass of one of torch's."""

    class Centralized(t.optim.Adam):
        @t.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad.dim() > 1:
                        p.grad.data.add_(-p.grad.data.mean(dim=1, keepdim=True))
            return super().step(closure)

    return lambda params: Centralized(params, lr=0.05)


@pytest.mark.parametrize("make", [lamb, madgrad, lookahead, with_foreach, centralized], ids=lambda make: make.__name__)
def test_training(make):
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2)).double()
        optimizer = make(t)(net.parameters())
        schedule = t.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        x, y = t.randn(16, 3, dtype=t.float64), t.randn(16, 2, dtype=t.float64)

        def train(net, optimizer, steps):
            for _ in range(steps):
                optimizer.zero_grad()
                t.nn.functional.mse_loss(net(x), y).backward()
                optimizer.step()

        train(net, optimizer, 3)
        schedule.step()
        saved = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
        train(net, optimizer, 2)
        results = [p.detach().clone() for p in net.parameters()]
        net.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        train(net, optimizer, 2)
        print(optimizer, [bool((p == q).all()) for p, q in zip(net.parameters(), results, strict=True)])
        return results, saved[1]

    same(program, PRECISE)


def test_sharpness_aware():
    """An optimizer around another one on the same groups, with parameters that come back by ``p.data = old``."""

    def program(t):
        class SAM(t.optim.Optimizer):
            def __init__(self, params, base, rho=0.05, **options):
                super().__init__(params, {"rho": rho, **options})
                self.base = base(self.param_groups, **options)
                self.param_groups = self.base.param_groups
                self.defaults.update(self.base.defaults)

            @t.no_grad()
            def step(self, closure=None):
                closure = t.enable_grad()(closure)
                norm = t.norm(t.stack([p.grad.norm(p=2) for group in self.param_groups for p in group["params"]]), p=2)
                for group in self.param_groups:
                    for p in group["params"]:
                        self.state[p]["old"] = p.data.clone()
                        p.add_(p.grad * (group["rho"] / norm).to(p))
                self.zero_grad()
                closure()
                for group in self.param_groups:
                    for p in group["params"]:
                        p.data = self.state[p]["old"]
                self.base.step()

        net, x = t.nn.Linear(3, 2).double(), t.randn(8, 3, dtype=t.float64)
        optimizer = SAM(net.parameters(), t.optim.SGD, lr=0.1, momentum=0.9)

        def closure():
            loss = net(x).square().mean()
            loss.backward()
            return loss

        for _ in range(4):
            optimizer.zero_grad()
            closure()
            optimizer.step(closure)
        print(optimizer)
        return net.state_dict(), optimizer.base.state_dict()["state"]

    same(program, PRECISE)


# -- what such programs rely on


def test_a_parameter_that_is_there_twice_steps_twice():
    def program(t):
        results = []
        for name in ("SGD", "Adam"):
            p, q = t.nn.Parameter(t.ones(2)), t.nn.Parameter(t.ones(1))
            with pytest.warns(UserWarning, match="duplicate parameters"):
                optimizer = getattr(t.optim, name)([p, q, p], lr=0.1)
            p.grad, q.grad = t.tensor([1.0, -2.0]), t.ones(1)
            for _ in range(3):
                optimizer.step()
            results += [p.detach(), q.detach(), optimizer.state_dict()]
        return results

    same(program)


def test_state_is_there_only_where_it_is_needed():
    def program(t):
        p = t.nn.Parameter(t.ones(2))
        p.grad = t.ones(2)
        optimizer = t.optim.SGD([p], lr=0.1)
        optimizer.step()
        print(len(optimizer.state), optimizer.state_dict()["state"])
        optimizer.state[p]["mine"] = 3
        optimizer.step()
        print(optimizer.state_dict()["state"])

    same(program)


def test_errors():
    def without_options(t):
        p = t.nn.Parameter(t.ones(2))
        p.grad = t.ones(2)
        optimizer = t.optim.SGD([p], lr=0.1)
        del optimizer.param_groups[0]["momentum"]
        optimizer.step()

    same_error(without_options, KeyError, "momentum")

    def required(t):
        option = importlib.import_module(f"{t.__name__}.optim.optimizer").required
        assert repr(option) == "<required parameter>"
        t.optim.Optimizer([t.nn.Parameter(t.ones(1))], {"lr": option})

    same_error(required, ValueError, "didn't specify a value of required optimization parameter lr")


def test_foreach():
    def program(t):
        xs, ys = [t.tensor([0.5, -2.0]), t.tensor([[3.0]])], [t.tensor([2.0, 3.0]), t.tensor([[0.25]])]
        written = [x.clone() for x in xs]
        print(t._foreach_add_(written, ys, alpha=2)[0] is written[0], type(t._foreach_neg(xs)))
        results = [written, t._foreach_pow(2, xs), t._foreach_norm(xs, float("inf")), t._foreach_addcdiv(xs, xs, ys, t.tensor([1.0, 2.0]))]
        results += [
            t._foreach_addcmul(xs, xs, ys, value=3),
            t._foreach_mul(xs, t.tensor(3.0)),
            t._foreach_maximum(xs, 0.0),
            t._foreach_max(xs),
        ]
        return [*results, t._foreach_clamp_max(xs, [1.0, 2.0]), t._foreach_powsum(xs, 2), t._foreach_lerp(xs, ys, 0.25)]

    same(program)
    same_error(lambda t: t._foreach_add([], 1), RuntimeError, "must have at least one tensor")
    same_error(lambda t: t._foreach_add([t.ones(1)], [t.ones(1)] * 2), RuntimeError, "must have the same number of tensors, got 1 and 2")
    same_error(lambda t: t._foreach_add(t.ones(1), 1), TypeError, r"_foreach_add\(\)")


# -- other tensors in the place of the parameters


def test_swapped_tensors():
    def program(t):
        p, q = t.nn.Parameter(t.ones(2)), t.tensor([5.0, 6.0, 7.0])
        optimizer = t.optim.SGD([p], lr=0.1)
        p.grad = t.ones(2)
        t.utils.swap_tensors(p, q)
        print(type(p).__name__, type(q).__name__, optimizer.param_groups[0]["params"][0] is p, p.grad, p)
        (q * q).sum().backward()
        net = t.nn.Linear(2, 1)
        optimizer = t.optim.SGD(net.parameters(), lr=0.1)
        old = net.weight
        net.load_state_dict({name: 2 * value for name, value in net.state_dict().items()}, assign=True)
        net(t.ones(1, 2)).sum().backward()
        optimizer.step()  # of the parameters that are the module's no more
        print(net.weight is old, optimizer.param_groups[0]["params"][0] is old)
        return q, net.state_dict(), old.detach()

    same(program)

    def in_a_graph(t):
        p = t.nn.Parameter(t.ones(2))
        loss = p.sum()
        t.utils.swap_tensors(p, t.nn.Parameter(t.zeros(2)))
        loss.backward()

    same_error(in_a_graph, RuntimeError, "swap")


def test_swapped_in_parameters_and_state():
    def program(t):
        p, other = t.nn.Parameter(t.ones(2)), t.nn.Parameter(t.zeros(2))
        optimizer = t.optim.SGD([p], lr=0.1, momentum=0.5)
        p.grad, other.grad = t.ones(2), t.ones(2)
        optimizer.step()
        state = copy.deepcopy(optimizer.state_dict())
        state["param_groups"][0]["lr"] = 1.0
        with t.optim.swap_in_optimizer_params_and_state(optimizer, {"p": other}, state):
            optimizer.step()
        print(optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["params"][0] is p)
        optimizer.step()
        return p.detach(), other.detach(), state["state"], optimizer.state_dict()["state"]

    same(program)

    def too_few(t):
        p = t.nn.Parameter(t.ones(2))
        p.grad = t.ones(2)
        optimizer = t.optim.SGD([p], lr=0.1, momentum=0.5)
        optimizer.step()
        with t.optim.swap_in_optimizer_params_and_state(optimizer, {}, optimizer.state_dict()):
            pass

    same_error(too_few, RuntimeError, "the explicit parameter state to match optimizer.param_groups|explicit parameter state must match")
