"""The way between the worlds: to_functional and from_functional, with equal numbers on both sides."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from networks import NETWORKS, lenet

import funnn.torch as shim
from funnn import Layer, checkpoint, init, layers
from funnn import functional as F
from funnn.errors import KeyRequiredError

nn = shim.nn


def close(got, expected, rtol=1e-6, atol=1e-6):
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=rtol, atol=atol)


def arrays(module):
    """All values of a module, its modes and its plain attributes."""
    state = {name: (value.detach().numpy().copy(), id(value)) for name, value in (*module.named_parameters(), *module.named_buffers())}
    plain = {name: {key: value for key, value in m.__dict__.items() if not key.startswith("_")} for name, m in module.named_modules()}
    return state, plain


def unchanged(module, before):
    state, plain = arrays(module)
    assert plain == before[1]
    assert state.keys() == before[0].keys()
    for name, (value, identity) in state.items():
        assert identity == before[0][name][1]
        np.testing.assert_array_equal(value, before[0][name][0])
        leaf = dict((*module.named_parameters(), *module.named_buffers()))[name]
        assert not isinstance(leaf._storage.array, jax.core.Tracer)


class Counting(nn.Module):
    """Buffers of its own: one written in place, one assigned; a plain attribute; dropout; a norm."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("calls", shim.tensor(0))
        self.register_buffer("total", shim.zeros(3))
        self.register_buffer("lost", shim.ones(3), persistent=False)
        self.last = None

    def forward(self, x, *, scale=1.0):
        self.calls.add_(1)
        self.total = self.total + x.detach().sum(0)
        self.last = y = self.norm(self.fc(x)) * scale * self.lost
        if scale == 13:
            raise RuntimeError("thirteen")
        return {"y": self.drop(y), "list": [y, (self.calls, 3)]}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.again = self.first

    def forward(self, x):
        return self.again(shim.tanh(self.second(self.first(x))))


# -- Modules as Layers


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_module_as_a_layer(make):
    shim.manual_seed(0)
    net, x = make(shim)
    net.eval()
    before, array = arrays(net), jnp.asarray(x.numpy())
    layer, params, state = shim.to_functional(net)
    assert repr(layer) == repr(net)
    assert set(checkpoint.to_state_dict(params, state)) == set(net.state_dict())

    def loss(params, array):
        y, _ = layer.apply(params, state, array)
        return jnp.sum(jnp.sin(y)), y

    (_, y), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, array)
    unchanged(net, before)
    expected = net(x)
    expected.sin().sum().backward()
    close(y, expected.detach().numpy(), 1e-5)
    flat = checkpoint.to_state_dict(grads)
    for name, parameter in net.named_parameters():
        if parameter.grad is None:
            assert not flat[name].any()
        else:
            close(flat[name], parameter.grad.numpy(), 1e-5, 1e-5)
    if make is not lenet:
        close(jax.jit(jax.vmap(lambda a: layer.apply(params, state, a[None])[0][0]))(array), y, 1e-5)
    unchanged(net, before)


def test_plain_modules_become_the_layers_they_come_from():
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()), nn.Dropout(0.2))
    layer, params, state = shim.to_functional(net)
    body = layers.Sequential(layers.BatchNorm1d(3), layers.ReLU())
    assert layer == layers.Sequential(layers.Linear(2, 3), body, layers.Dropout(0.2))
    assert list(params) == ["0", "1"] and list(state["1"]["0"]) == ["running_mean", "running_var", "num_batches_tracked"]


def hooked(fc):
    fc.register_forward_hook(lambda module, args, output: output * 2)


CHANGES = {
    "a hook": hooked,
    "a forward": lambda fc: setattr(fc, "forward", lambda x: F.linear(x, fc.weight) * 3),
    "a parameter more": lambda fc: fc.register_parameter("scale", nn.Parameter(shim.ones(1))),
    "a buffer more": lambda fc: fc.register_buffer("scale", shim.ones(1)),
    "a child": lambda fc: fc.add_module("child", nn.ReLU()),
    "no bias": lambda fc: setattr(fc, "bias", None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_modules_keep_their_change(change):
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    change(net[0])
    layer, params, state = shim.to_functional(net)
    x = shim.ones(2, 3)
    close(layer.apply(params, state, jnp.ones((2, 3)))[0], net(x).detach().numpy())


def test_a_module_used_twice_is_one():
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, nn.Tanh(), shared)
    layer, params, state = shim.to_functional(net)
    assert list(params) == ["0"]
    close(layer.apply(params, state, jnp.ones((2, 3)))[0], net(shim.ones(2, 3)).detach().numpy())


def test_weights_tied_between_plain_modules():
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Sequential(nn.Linear(3, 3)))
    net[2][0].weight = net[0].weight
    layer, params, state = shim.to_functional(net)
    assert sorted(checkpoint.to_state_dict(params)) == ["0.bias", "0.weight", "2.0.bias"]
    close(layer.apply(params, state, jnp.ones((2, 3)))[0], net(shim.ones(2, 3)).detach().numpy())


def test_tied_weights():
    net = Tied()
    layer, params, state = shim.to_functional(net)
    assert {name: sorted(tree) for name, tree in params.items()} == {"first": ["weight"], "second": ["bias"]}
    x = shim.randn(4, 3)
    grads = jax.grad(lambda p: jnp.sum(layer.apply(p, state, jnp.asarray(x.numpy()))[0]))(params)
    net(x).sum().backward()
    close(grads["first"]["weight"], net.first.weight.grad.numpy())


def test_train_mode_returns_the_new_buffers():
    net = Counting()
    twin = Counting()
    twin.load_state_dict(net.state_dict())
    layer, params, state = shim.to_functional(net)
    before, x = arrays(net), shim.randn(6, 3)
    apply = jax.jit(layer.apply, static_argnames="train")
    for _ in range(3):
        out, state = apply(params, state, jnp.asarray(x.numpy()), key=jax.random.key(0), train=True)
        with shim.no_grad():
            expected = twin(x)
        close(out["list"][0], expected["list"][0].numpy())
        assert out["list"][1][1] == 3
    unchanged(net, before)
    assert int(state["calls"]) == 3 and int(state["norm"]["num_batches_tracked"]) == 3
    for name, buffer in twin.named_buffers():
        close(checkpoint.to_state_dict(state)[name], buffer.numpy())
    _, same = layer.apply(params, state, jnp.asarray(x.numpy()))
    assert int(same["norm"]["num_batches_tracked"]) == 3 and int(same["calls"]) == 4
    checkpoint.to_state_dict(params, same)
    net.load_state_dict(checkpoint.to_state_dict(params, {k: v for k, v in same.items() if k != "lost"}))
    assert net.calls.item() == 4


def test_dropout_draws_from_the_key():
    net = Counting()
    layer, params, state = shim.to_functional(net)
    x = jnp.ones((6, 3)) + jnp.arange(6.0)[:, None]
    shim.manual_seed(3)
    expected = shim.rand(2).tolist()
    shim.manual_seed(3)

    def run(key):
        return layer.apply(params, state, x, key=key, train=True)[0]["y"]

    one, again, other = run(jax.random.key(1)), jax.jit(run)(jax.random.key(1)), run(jax.random.key(2))
    close(one, again, 1e-5)
    assert (one == 0).any() and ((one == 0) != (other == 0)).any()
    assert jax.vmap(run)(jax.random.split(jax.random.key(0), 3)).shape == (3, 6, 3)
    assert shim.rand(2).tolist() == expected  # the default generator was left alone
    with pytest.raises(KeyRequiredError, match=r"pass key=jax.random.key"):
        run(None)
    layer.apply(params, state, x)
    assert shim.rand(1).shape == (1,)


def test_the_module_is_unchanged_after_an_error():
    net = Counting()
    net.norm.eval()
    layer, params, state = shim.to_functional(net)
    before = arrays(net)
    for call in (layer.apply, jax.jit(lambda *args: layer.apply(*args, scale=13, train=True, key=jax.random.key(0)))):
        with pytest.raises(RuntimeError, match="thirteen"):
            call(params, state, jnp.ones((2, 3)), **({"scale": 13} if call == layer.apply else {}))
        unchanged(net, before)
    assert shim.is_grad_enabled() and net.fc.weight.requires_grad and not net.norm.training and net.training
    with pytest.raises(ValueError, match=r"params and state do not fit Counting: missing \['fc.bias'\], unknown \['fc.b'\]"):
        layer.apply({**params, "fc": {"weight": params["fc"]["weight"], "b": params["fc"]["bias"]}}, state, jnp.ones((2, 3)))
    unchanged(net, before)
    assert net(shim.ones(2, 3))["y"].requires_grad


def test_numpy_inputs_do_not_become_64_bit():
    net = Tied()
    layer, params, state = shim.to_functional(net)
    y, _ = layer.apply(params, state, np.ones((2, 3)))
    assert y.dtype == jnp.float32


def test_training_with_optax_and_back():
    shim.manual_seed(1)
    net, _ = NETWORKS["normalised"](shim)
    layer, params, state = shim.to_functional(net)
    x = jax.random.normal(jax.random.key(0), (32, 4))
    y = jnp.stack([x.sum(1), x[:, 0]], 1)
    optimizer = optax.adam(1e-2)

    traces = []

    @jax.jit
    def step(params, state, moments, key):
        traces.append(key)

        def loss(params):
            out, new = layer.apply(params, state, x, key=key, train=True)
            return jnp.mean((out - y) ** 2), new

        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(grads, moments)
        return optax.apply_updates(params, updates), state, moments, value

    moments, losses = optimizer.init(params), []
    for key in jax.random.split(jax.random.key(1), 60):
        params, state, moments, value = step(params, state, moments, key)
        losses.append(float(value))
    assert len(traces) == 1 and losses[-1] < 0.5 * losses[0]
    net.load_state_dict(checkpoint.to_state_dict(params, state))
    expected, _ = layer.apply(params, state, x)
    close(net.eval()(shim.tensor(np.asarray(x))).detach().numpy(), expected, 1e-5)


def test_a_module_inside_a_layer():
    shim.manual_seed(0)
    inner = Counting()
    part, params, state = shim.to_functional(inner)

    class Outer(Layer):
        part: Layer

        def forward(self, x):
            return self.part(x)["list"][0] * 2

    layer = Outer(part)
    y, new = layer.apply({"part": params}, {"part": state}, jnp.ones((4, 3)), key=jax.random.key(0), train=True)
    assert int(new["part"]["calls"]) == 1
    with shim.no_grad():
        close(y, inner(shim.ones(4, 3))["list"][0].numpy() * 2)


def test_layers_of_modules_have_no_init():
    layer, _, _ = shim.to_functional(Tied())
    with pytest.raises(NotImplementedError, match="use those that to_functional returned"):
        layer.init(jax.random.key(0))
    assert layer == shim.to_functional(layer.module)[0] and layer != shim.to_functional(Tied())[0]
    with pytest.raises(TypeError, match=r"to_functional takes a torch.nn.Module, got int"):
        shim.to_functional(3)


# -- Layers as Modules


class Residual(Layer):
    body: Layer
    scale: float = 1.0

    def spec(self):
        return {"gain": layers.Param((), init.ones)}

    def forward(self, x):
        return x * self.gain + F.relu(self.body(x)) * self.scale


class Steps(Layer):
    parts: list
    rate: float

    def forward(self, x):
        for part in self.parts:
            x = x + self.rate * part(x)
        return x


class HandWritten(Layer):
    """Its constructor takes something else than its fields."""

    def __init__(self, width):
        self.half, self.fc = width / 2, layers.Linear(width, width)

    def forward(self, x):
        return self.fc(x) * self.half


USERS = {
    "Sequential": lambda: layers.Sequential(layers.Linear(4, 8), layers.Tanh(), layers.LayerNorm(8), layers.Linear(8, 4)),
    "named": lambda: layers.Sequential({"fc": layers.Linear(4, 4), "act": layers.ReLU()}),
    "norm": lambda: layers.Sequential(layers.Linear(4, 4), layers.BatchNorm1d(4)),
    "a user's": lambda: Residual(layers.Linear(4, 4), 0.5),
    "a list": lambda: Steps([layers.Linear(4, 4), layers.Tanh()], rate=0.1),
    "nested": lambda: layers.Sequential(
        Residual(layers.Sequential(layers.Linear(4, 4), layers.Tanh())), Residual(layers.Linear(4, 4), scale=2.0)
    ),
}


@pytest.mark.parametrize("make", USERS.values(), ids=USERS)
@pytest.mark.parametrize("train", [True, False])
def test_a_layer_as_a_module(make, train):
    layer = make()
    params, state = layer.init(jax.random.key(0))
    net = shim.from_functional(layer, params, state).train(train)
    assert repr(net) == repr(layer)
    assert set(net.state_dict()) == set(checkpoint.to_state_dict(params, state))
    x = jax.random.normal(jax.random.key(1), (5, 4))

    def loss(params, x):
        y, new = layer.apply(params, state, x, train=train)
        return jnp.sum(jnp.sin(y)), (y, new)

    (grads, x_grad), (y, new) = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(params, x)
    tensor = shim.tensor(np.asarray(x), requires_grad=True)
    out = net(tensor)
    out.sin().sum().backward()
    close(out.detach().numpy(), y)
    close(tensor.grad.numpy(), x_grad, 1e-5)
    for name, parameter in net.named_parameters():
        # before a normalisation a bias has the gradient 0: what is left of sums that cancel, one by NumPy, the other by XLA
        close(parameter.grad.numpy(), checkpoint.to_state_dict(grads)[name], 1e-5, 3e-6)
    for name, buffer in net.named_buffers():
        close(buffer.numpy(), checkpoint.to_state_dict(new)[name])


@pytest.mark.parametrize("make", USERS.values(), ids=USERS)
def test_there_and_back(make):
    layer = make()
    params, state = layer.init(jax.random.key(0))
    again, params2, state2 = shim.to_functional(shim.from_functional(layer, params, state))
    assert again == layer
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), (params, state), (params2, state2)))


def test_a_layer_with_a_constructor_of_its_own():
    layer = HandWritten(4)
    params, state = layer.init(jax.random.key(0))
    x, net = jnp.ones((2, 4)), shim.from_functional(layer, params, state)
    again, params, state = shim.to_functional(net)
    for y in (net(shim.ones(2, 4)).detach().numpy(), again.apply(params, state, x)[0]):
        close(y, layer.apply(params, state, x)[0])
    assert again == layer


def test_training_a_module_leaves_the_arrays_alone():
    layer = USERS["norm"]()
    params, state = layer.init(jax.random.key(0))
    kept = jax.tree.map(np.array, (params, state))
    shim.manual_seed(4)
    expected = shim.rand(1).item()
    shim.manual_seed(4)
    net = shim.from_functional(layer, params, state)
    assert shim.rand(1).item() == expected  # nothing was drawn
    optimizer = shim.optim.SGD(net.parameters(), lr=0.1)
    net(shim.randn(4, 4)).sum().backward()
    optimizer.step()
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), kept, (params, state)))
    assert not np.allclose(net[1].running_mean.numpy(), 0)


def test_what_from_functional_refuses():
    layer = layers.Linear(2, 3)
    params, state = layer.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"missing \['bias'\]"):
        shim.from_functional(layer, {"weight": params["weight"]}, state)
    with pytest.raises(ValueError, match=r"unknown \['extra'\]"):
        shim.from_functional(layer, {**params, "extra": params["bias"]}, state)
    with pytest.raises(ValueError, match=r"weight has shape \(3,\), expected \(3, 2\)"):
        shim.from_functional(layer, {**params, "weight": params["bias"]}, state)
    with pytest.raises(TypeError, match="from_functional takes a funnn Layer, got Linear"):
        shim.from_functional(nn.Linear(2, 3), params, state)
    with pytest.raises(TypeError, match="use that Module"):
        shim.from_functional(*shim.to_functional(Tied()))


# -- one network, three ways


class LeNet(Layer):
    conv1: Layer = layers.Conv2d(1, 6, 3)
    conv2: Layer = layers.Conv2d(6, 16, 3)
    fc1: Layer = layers.Linear(16 * 6 * 6, 120)
    fc2: Layer = layers.Linear(120, 84)
    fc3: Layer = layers.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.flatten(x, 1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def test_lenet_is_the_same_as_layer_module_and_in_torch():
    torch.manual_seed(0)
    theirs, x = lenet(torch)
    target = torch.tensor([3, 7])
    theirs_out = theirs(x)
    torch.nn.functional.cross_entropy(theirs_out, target).backward()
    module, _ = lenet(shim)
    module.load_state_dict(theirs.state_dict())
    layer = LeNet()
    params, state = checkpoint.from_state_dict(theirs.state_dict(), *jax.eval_shape(layer.init, jax.random.key(0)))

    def loss(params):
        y, _ = layer.apply(params, state, jnp.asarray(x.numpy()))
        return F.cross_entropy(y, jnp.asarray(target.numpy())), y

    grads, y = jax.jit(jax.grad(loss, has_aux=True))(params)
    out = module(shim.tensor(x.numpy()))
    nn.functional.cross_entropy(out, shim.tensor(target.numpy())).backward()
    close(out.detach().numpy(), y)
    close(y, theirs_out.detach().numpy())
    flat = checkpoint.to_state_dict(grads)
    for (name, ours), reference in zip(module.named_parameters(), theirs.parameters(), strict=True):
        close(ours.grad.numpy(), flat[name])
        close(flat[name], reference.grad.numpy())


def straight_through(torch):
    """A module whose gradient ends in places, and which writes to its input's copy."""

    class Rounded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 3)
            self.norm = torch.nn.BatchNorm1d(3)

        def forward(self, x):
            h = self.linear(x)
            h = h + (h.round() - h).detach()
            with torch.no_grad():
                largest = h.abs().max()
            x = x.clone()
            x.mul_(2)
            return self.norm(h / largest) * x + x.detach(), x.detach() * 2

    torch.manual_seed(0)
    return Rounded()


def test_gradients_end_where_the_tape_ends():
    """At detach and under no_grad; in the pure function, and in a compiled one without backward inside."""
    x = torch.randn(4, 3)

    def gradients(library, model):
        y = library.tensor(x.tolist()).requires_grad_()
        out, constant = model(y)
        assert not constant.requires_grad
        out.square().sum().backward()
        return y.grad.numpy(), model.linear.weight.grad.numpy()

    expected = gradients(torch, straight_through(torch))
    layer, params, state = shim.to_functional(straight_through(shim))

    def loss(params, x):
        (out, constant), _ = layer.apply(params, state, x, train=True)
        return jnp.square(out).sum() + constant.sum()

    of_params, of_x = jax.jit(jax.grad(loss, (0, 1)))(params, jnp.asarray(x.numpy()))
    for got in (gradients(shim, straight_through(shim)), gradients(shim, shim.compile(straight_through(shim)))):
        for a, b in zip(got, expected, strict=True):
            close(a, b, 1e-5, 1e-5)
    close(of_x, expected[0], 1e-5, 1e-5)
    close(of_params["linear"]["weight"], expected[1], 1e-5, 1e-5)


@pytest.mark.parametrize("what", ["function", "hook"])
def test_a_gradient_in_python_is_refused(what):
    class Double(shim.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 5

    class Own(nn.Module):
        def forward(self, x):
            if what == "function":
                return Double.apply(x)
            y = x * 2
            y.register_hook(lambda g: g * 5)
            return y

    layer, params, state = shim.to_functional(Own())
    with pytest.raises(NotImplementedError, match="runs Python in the backward pass"):
        layer.apply(params, state, jnp.ones(2))
    x = shim.ones(2).requires_grad_()  # torch.compile runs it
    shim.compile(Own())(x).sum().backward()
    assert x.grad.tolist() == [5.0 if what == "function" else 10.0] * 2
    step = shim.compile(lambda x: shim.autograd.grad(Own()(x).sum(), x)[0])
    assert step(shim.ones(2).requires_grad_()).tolist() == [5.0 if what == "function" else 10.0] * 2


def test_gradients_end_inside_vmap_too():
    class Rows(nn.Module):
        def forward(self, x):
            return shim.func.vmap(lambda row: (row.detach() * row).sum())(x)

    layer, params, state = shim.to_functional(Rows())
    x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    assert jnp.array_equal(jax.grad(lambda x: layer.apply(params, state, x)[0].sum())(x), x)
