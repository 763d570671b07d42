"""The step of training as a pure function."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import funnn
import funnn.torch as ftorch
from funnn import functional as F
from funnn import optim
from funnn.layers import BatchNorm1d, CrossEntropyLoss, Dropout, Layer, Linear, LinearCrossEntropyLoss, MSELoss, Sequential

NET = Sequential(Linear(2, 3, bias=False), BatchNorm1d(3), Linear(3, 2))
X, TARGET = jnp.array([[0.3, 1.0], [2.0, -0.5], [-1.2, 0.7], [0.1, 0.4]]), jnp.array([0, 1, 1, 0])
KEY = jax.random.key(0)


def by_hand(steps):
    params, state = NET.init(KEY)
    optimizer = optim.sgd(lr=0.1, momentum=0.9)
    opt_state, losses = optimizer.init(params), []
    for _ in range(steps):

        def loss_of(params, state=state):
            y, new = NET.apply(params, state, X, train=True)
            return F.cross_entropy(y, TARGET), new

        (loss, state), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        losses.append(loss)
    return params, state, losses


def close(got, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, expected)


@pytest.mark.parametrize("loss", [F.cross_entropy, CrossEntropyLoss()], ids=["function", "layer"])
def test_steps_are_those_written_by_hand(loss):
    init, step, evaluate = funnn.train_step(NET, loss, optim.sgd(lr=0.1, momentum=0.9))
    train_state, losses = init(KEY), []
    for _ in range(3):
        train_state, metrics = step(train_state, (X, TARGET))
        losses.append(metrics["loss"])
    params, state, expected = by_hand(3)
    close((train_state.params, train_state.state, losses), (params, state, expected))
    assert train_state.step == 3 and train_state.step.dtype == jnp.int32
    y, _ = NET.apply(params, state, X)
    close(evaluate(train_state, (X, TARGET)), {"loss": F.cross_entropy(y, TARGET)})


def test_a_step_is_traced_once():
    traced = []

    def loss(output, target):
        traced.append(output)
        return F.cross_entropy(output, target)

    init, step, _ = funnn.train_step(NET, loss, optim.sgd(lr=0.1, momentum=0.9))
    train_state = init(KEY)
    for _ in range(3):
        train_state, _ = step(train_state, (X, TARGET))
    assert len(traced) == 1


def test_a_scan_over_batches():
    init, step, _ = funnn.train_step(NET, F.cross_entropy, optim.sgd(lr=0.1, momentum=0.9))
    train_state, metrics = jax.lax.scan(step, init(KEY), (jnp.stack([X] * 3), jnp.stack([TARGET] * 3)))
    params, _, losses = by_hand(3)
    close((train_state.params, list(metrics["loss"])), (params, losses))


def test_the_old_state_is_given_away_and_nothing_else():
    params, state = NET.init(KEY)
    init, step, evaluate = funnn.train_step(NET, F.cross_entropy, optim.sgd(lr=0.1))
    train_state = init(KEY, params, state)
    evaluate(train_state, (X, TARGET))
    step(train_state, (X, TARGET))
    assert train_state.params["0"]["weight"].is_deleted() and train_state.key.is_deleted()
    close(params["0"]["weight"], NET.init(KEY)[0]["0"]["weight"])
    assert not KEY.is_deleted() and not X.is_deleted()
    close(init(KEY).params, params)  # what the layer draws from the same key


def test_stochastic_layers_draw_anew_in_each_step():
    layer = Dropout()
    init, step, evaluate = funnn.train_step(layer, lambda y: (y.sum(), {"kept": y > 0}), optim.sgd())
    masks, batch = [], (jnp.ones((1, 64)),)
    train_state = init(KEY)
    for _ in range(2):
        train_state, metrics = step(train_state, batch)
        masks.append(metrics["kept"])
    assert (masks[0] != masks[1]).any() and 0 < masks[0].sum() < 64
    again, metrics = step(init(KEY), batch)
    assert (metrics["kept"] == masks[0]).all() and evaluate(again, batch)["kept"].all()
    assert (step(init(jax.random.key(1)), batch)[1]["kept"] != masks[0]).any()


def test_several_inputs_and_metrics():
    class Scaled(Layer):
        inner: Layer

        def forward(self, x, factor):
            return self.inner(x) * factor

    def loss(y, target, weight):
        return (weight * (y - target) ** 2).mean(), {"largest": abs(y).max()}

    init, step, evaluate = funnn.train_step(Scaled(Linear(2, 1)), loss, optim.sgd(lr=0.01))
    for inputs in ((X, 2.0), [X, 2.0]):
        train_state, metrics = step(init(KEY), (inputs, jnp.ones((4, 1)), jnp.ones((4, 1))))
        assert sorted(metrics) == ["grad_norm", "largest", "loss"]
    y, _ = Linear(2, 1).apply(train_state.params["inner"], {}, X)
    close(evaluate(train_state, ((X, 2.0), 1.0, 1.0)), {"loss": ((2 * y - 1) ** 2).mean(), "largest": abs(2 * y).max()})


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.chain(optax.add_noise(0.1, 0.5, key=jax.random.key(3)), optax.sgd(0.1)),
        optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau()),
        optax.lbfgs(),
        optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(),
        optax.MultiSteps(optax.adam(0.1), 2),
    ],
    ids=["noise", "plateau", "lbfgs", "accumulated", "MultiSteps"],
)
def test_optimizers_of_optax(optimizer):
    init, step, _ = funnn.train_step(Linear(2, 2), F.cross_entropy, optimizer)
    train_state, metrics = jax.lax.scan(step, init(KEY), (jnp.stack([X] * 6), jnp.stack([TARGET] * 6)))
    assert metrics["loss"][-1] < metrics["loss"][0] and train_state.step == 6


def test_a_modules_own_pair():
    module = ftorch.nn.Sequential(ftorch.nn.Linear(2, 3), ftorch.nn.Tanh())
    layer, params, state = ftorch.to_functional(module)
    init, step, _ = funnn.train_step(layer, F.mse_loss, optim.sgd(lr=0.1))
    train_state, _ = step(init(KEY, params, state), (X, jnp.zeros((4, 3))))
    optimizer = ftorch.optim.SGD(module.parameters(), lr=0.1)
    ftorch.nn.functional.mse_loss(module(ftorch.tensor(np.asarray(X))), ftorch.zeros(4, 3)).backward()
    optimizer.step()
    close(train_state.params["0"]["weight"], module[0].weight.detach().numpy())


def test_a_modules_buffers_of_64_bits():
    """What a module counts in int64 is counted as JAX's mode has it, without a warning."""
    layer, params, state = ftorch.to_functional(ftorch.nn.BatchNorm1d(2))
    init, step, _ = funnn.train_step(layer, F.mse_loss, optim.sgd(lr=0.1))
    train_state, _ = step(init(KEY, params, state), (X, jnp.zeros((4, 2))))
    count = train_state.state["num_batches_tracked"]
    assert (count, count.dtype) == (1, jnp.int32)


def test_sharded_over_two_devices():
    code = """if True:
        import jax, jax.numpy as jnp, numpy as np, warnings
        from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
        import funnn
        from funnn import functional as F, optim, sharding
        from funnn.layers import Linear
        warnings.simplefilter("error")
        init, step, _ = funnn.train_step(Linear(2, 4), F.cross_entropy, optim.adam())
        batch = jnp.ones((4, 2)), jnp.zeros(4, int)
        mesh, rules = Mesh(np.array(jax.devices()), ("d",)), [("weight", P("d"))]
        _, alone = step(init(jax.random.key(0)), batch)
        made = jax.jit(init, out_shardings=sharding.named_shardings(jax.eval_shape(init, jax.random.key(0)), mesh, rules))
        for state in (sharding.shard(init(jax.random.key(0)), mesh, rules), made(jax.random.key(0))):
            state, metrics = step(state, jax.device_put(batch, NamedSharding(mesh, P("d"))))
            parts = state.params["weight"], state.opt_state.slots["exp_avg"]["weight"]
            print(len(mesh.devices), *(part.sharding.spec for part in parts), bool(abs(metrics["loss"] - alone["loss"]) < 1e-6))
        """
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.stdout == "2 P('d',) P('d',) True\n" * 2, result.stderr


def test_errors():
    with pytest.raises(TypeError, match=r"layer must be a funnn Layer, got Linear; .*torch.to_functional"):
        funnn.train_step(ftorch.nn.Linear(1, 1), F.mse_loss, optim.sgd())
    with pytest.raises(TypeError, match=r"optimizer must be an optax transformation .* got float"):
        funnn.train_step(NET, F.mse_loss, 0.1)
    with pytest.raises(ValueError, match=r"(?s)LinearCrossEntropyLoss.* has parameters \['linear'\].*put it into the layer"):
        funnn.train_step(NET, LinearCrossEntropyLoss(2, 3), optim.sgd())
    init, step, _ = funnn.train_step(Linear(2, 2), MSELoss(reduction="none"), optim.sgd())
    with pytest.raises(ValueError, match=r"must be a scalar, got shape \(4, 2\)"):
        step(init(KEY), (X, X))
    with pytest.raises(TypeError, match=r"a tuple \(inputs, \*targets\), or a dict .*, got an array of shape \(4, 2\)"):
        step(init(KEY), X)
