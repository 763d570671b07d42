"""Transformations inside forward: lifted ones split keys and carry state, JAX's own refuse what would be silently wrong."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.torch as ft
from funnn import errors
from funnn.layers import BatchNorm1d, Dropout, Layer, Linear, Repeat, Sequential, Tanh, lift

KEY = jax.random.key(0)
XS = jax.random.normal(jax.random.key(1), (5, 4, 3))


def layer_of(forward):
    """A layer with the children ``body`` and ``other`` and that forward."""
    return type("Made", (Layer,), {"__annotations__": {"body": Layer, "other": Layer}, "other": None, "forward": forward})


def run(forward, body, *args, other=None, train=True, jit=False, **kwargs):
    layer = layer_of(forward)(body, other)
    params, state = layer.init(KEY)

    def apply(params, state, *args):
        return layer.apply(params, state, *args, key=KEY, train=train, **kwargs)

    return (jax.jit(apply) if jit else apply)(params, state, *args), params, state


def distinct(y):
    return len({np.asarray(row).tobytes() for row in y})


TRANSFORMATIONS = {
    "scan": lambda f, xs: jax.lax.scan(lambda carry, x: (carry, f(x)), 0, xs)[1],
    "vmap": lambda f, xs: jax.vmap(f)(xs),
    "cond": lambda f, xs: jax.lax.cond(xs.sum() > 0, lambda x: f(x[0]), lambda x: x[0], xs),
    "checkpoint": lambda f, xs: jax.checkpoint(lambda x: f(x[0]))(xs),
    "while_loop": lambda f, xs: jax.lax.while_loop(lambda c: c[1] < 3, lambda c: (f(c[0]), c[1] + 1), (xs[0], 0))[0],
    "jit": lambda f, xs: jax.jit(f)(xs[0]),
    "grad": lambda f, xs: jax.grad(lambda x: f(x).sum())(xs[0]),
}


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("body", [Dropout(0.5), BatchNorm1d(3)], ids=["draws", "assigns"])
def test_what_would_be_silently_wrong_is_refused(transformation, body, jit):
    with pytest.raises(errors.TransformedLayerError) as caught:
        run(lambda self, xs: TRANSFORMATIONS[transformation](self.body, xs), Sequential(Tanh(), body), XS, jit=jit)
    text = str(caught.value)
    assert type(body).__name__ in text and "'body.1'" in text and "funnn.layers.scan(function, self.1, carry, xs)" in text
    assert ("draws random numbers" if isinstance(body, Dropout) else "assigns its buffer '") in text


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_layers_that_neither_draw_nor_assign_may_be_used_anywhere(transformation):
    body = Sequential(Linear(3, 3), BatchNorm1d(3), Dropout(0.5))
    (y, state), params, before = run(lambda self, xs: TRANSFORMATIONS[transformation](self.body, xs), body, XS, train=False)
    expected = TRANSFORMATIONS[transformation](lambda x: body.apply(params["body"], before["body"], x)[0], XS)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert state is not None


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_scan_draws_anew_and_carries_state(jit):
    def forward(self, xs):
        return lift.scan(lambda layer, carry, x: (carry + 1, layer(x)), self.body, 0, xs)

    ((count, ys), _), _, _ = run(forward, Dropout(0.5), jnp.ones((4, 1000)), jit=jit)
    assert count == 4 and distinct(ys) == 4
    ((_, ys), state), params, before = run(forward, BatchNorm1d(3), XS, jit=jit)
    for x, y in zip(XS, ys, strict=True):
        expected, before["body"] = BatchNorm1d(3).apply(params["body"], before["body"], x, train=True)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state, before)
    assert int(state["body"]["num_batches_tracked"]) == len(XS)


def test_scan_over_stacked_layers_beside_a_shared_one():
    class Net(Layer):
        each: Layer
        norm: Layer

        def forward(self, x):
            def step(layers, x, _):
                each, norm = layers
                return norm(each(x)), x

            return lift.scan(step, (self.each, self.norm), x, length=3, params=("stacked", "shared"), state=("stacked", "carried"))

    net = Net(Linear(3, 3), BatchNorm1d(3))
    singles = [Linear(3, 3).init(jax.random.key(i))[0] for i in range(3)]
    params, state = net.init(KEY)
    params["each"] = jax.tree.map(lambda *a: jnp.stack(a), *singles)
    (y, seen), new = net.apply(params, state, XS[0], train=True)
    x, kept = XS[0], state["norm"]
    for number, single in enumerate(singles):
        np.testing.assert_allclose(seen[number], x, rtol=1e-5, atol=1e-6)
        x, kept = net.norm.apply(params["norm"], kept, Linear(3, 3).apply(single, {}, x)[0], train=True)
    np.testing.assert_allclose(y, x, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), new["norm"], kept)


def test_vmap_draws_for_each_member():
    (ys, _), _, _ = run(lambda self, xs: lift.vmap(lambda layer, x: layer(x), self.body)(xs), Dropout(0.5), jnp.ones((4, 1000)))
    assert distinct(ys) == 4


def test_states_under_vmap():
    def forward(mode):
        return lambda self, xs: lift.vmap(lambda layer, x: layer(x), self.body, state=mode)(xs)

    with pytest.raises(errors.TransformedLayerError, match="BatchNorm1d at 'body' assigns a buffer where all use the same state"):
        run(forward("shared"), BatchNorm1d(3), XS)
    (_, state), params, before = run(forward("mean"), BatchNorm1d(3), XS)
    each = [BatchNorm1d(3).apply(params["body"], before["body"], x, train=True)[1] for x in XS]
    np.testing.assert_allclose(state["body"]["running_var"], np.mean([s["running_var"] for s in each], 0), rtol=1e-5)
    assert (
        state["body"]["num_batches_tracked"] == 1
        and state["body"]["num_batches_tracked"].dtype == before["body"]["num_batches_tracked"].dtype
    )
    layer = layer_of(forward("stacked"))(BatchNorm1d(3))
    stacked = {"body": jax.tree.map(lambda a: jnp.stack([a] * len(XS)), before["body"])}
    _, state = layer.apply(params, stacked, XS, train=True)
    np.testing.assert_allclose(state["body"]["running_var"], [s["running_var"] for s in each], rtol=1e-5)


def test_an_ensemble_by_stacked_params():
    layer = layer_of(lambda self, x: lift.vmap(lambda layer, x: layer(x), self.body, in_axes=None, params="stacked")(x))(Linear(3, 2))
    params = {"body": jax.vmap(lambda key: Linear(3, 2).init(key)[0])(jax.random.split(KEY, 4))}
    y, _ = layer.apply(params, {}, XS[0])
    for number in range(4):
        single = jax.tree.map(lambda a, n=number: a[n], params["body"])
        np.testing.assert_allclose(y[number], Linear(3, 2).apply(single, {}, XS[0])[0], rtol=1e-5, atol=1e-6)


def test_axis_names_reach_the_members():
    def forward(self, xs):
        return lift.vmap(lambda layer, x: layer(x) + jax.lax.psum(x.sum(), "members"), self.body, axis_name="members")(xs)

    (ys, _), params, _ = run(forward, Linear(3, 3), XS)
    np.testing.assert_allclose(ys, Linear(3, 3).apply(params["body"], {}, XS)[0] + XS.sum(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("chosen", [True, False])
def test_cond_and_switch(chosen, jit):
    def by_cond(self, x):
        return lift.cond(x.sum() > 0, lambda layers, x: layers[0](x), lambda layers, x: layers[1](x), (self.body, self.other), x)

    def by_switch(self, x):
        return lift.switch(
            (x.sum() <= 0).astype(int), [lambda d, x: d["a"](x), lambda d, x: d["b"](x)], {"a": self.body, "b": self.other}, x
        )

    x = jnp.abs(XS[0]) if chosen else -jnp.abs(XS[0])
    for forward in (by_cond, by_switch):
        (y, state), params, before = run(forward, BatchNorm1d(3), x, other=Sequential(BatchNorm1d(3, momentum=0.5)), jit=jit)
        used, unused = ("body", "other") if chosen else ("other", "body")
        layer = BatchNorm1d(3) if chosen else Sequential(BatchNorm1d(3, momentum=0.5))
        expected, new = layer.apply(params[used], before[used], x, train=True)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), (state[used], state[unused]), (new, before[unused]))


def test_while_loop():
    def forward(self, x):
        return lift.while_loop(
            lambda layer, v: v[0] < 3,
            lambda layer, v: (v[0] + 1, layer(v[1]), v[2].at[v[0]].set(v[1][0])),
            self.body,
            (0, x, jnp.zeros((3, 1000))),
        )

    ((count, _, seen), _), _, _ = run(forward, Dropout(0.1), jnp.ones((1, 1000)))
    zeros = [set(np.flatnonzero(np.asarray(row) == 0)) for row in seen]
    assert count == 3 and zeros[0] == set() and zeros[1] < zeros[2]
    (_, state), _, _ = run(
        lambda self, x: lift.while_loop(lambda layer, v: v[0] < 3, lambda layer, v: (v[0] + 1, layer(v[1])), self.body, (0, x)),
        BatchNorm1d(3),
        XS[0],
    )
    assert state["body"]["num_batches_tracked"] == 3
    with pytest.raises(errors.TransformedLayerError, match="assign none in the condition"):
        run(lambda self, x: lift.while_loop(lambda layer, x: layer(x).sum() < 0, lambda layer, x: x, self.body, x), BatchNorm1d(3), XS[0])


def test_remat_takes_any_arguments():
    class Block(Layer):
        body: Layer

        def forward(self, x, scale, flag=True, name=None):
            assert flag is True and name == "a"
            return self.body(x) * scale

    def forward(self, x):
        return lift.remat(lambda layer, *args, **kwargs: layer(*args, **kwargs), self.body)(x, 2.0, flag=True, name="a")

    body = Block(Sequential(Linear(3, 3), Dropout(0.5), BatchNorm1d(3)))
    (y, state), params, _ = run(forward, body, XS[0])
    plain, _ = layer_of(lambda self, x: self.body(x, 2.0, name="a"))(body), None
    assert y.shape == (4, 3) and state["body"]["body"]["2"]["num_batches_tracked"] == 1
    grads = jax.grad(lambda p: (layer_of(forward)(body).apply(p, state, XS[0])[0] ** 2).sum())(params)
    expected = jax.grad(lambda p: (plain.apply(p, state, XS[0])[0] ** 2).sum())(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), grads, expected)


def test_any_other_transformation_by_pure_and_update():
    def forward(self, x):
        call, variables = lift.pure(lambda layer, x: layer(x).sum(), self.body)
        (_, variables), slope = jax.value_and_grad(lambda x: call(variables, x), has_aux=True)(x)
        lift.update(self.body, variables)
        return slope

    (slope, state), params, before = run(forward, BatchNorm1d(3), XS[0] ** 2)
    expected = jax.grad(lambda x: BatchNorm1d(3).apply(params["body"], before["body"], x, train=True)[0].sum())(XS[0] ** 2)
    np.testing.assert_allclose(slope, expected, atol=1e-5)
    assert state["body"]["num_batches_tracked"] == 1


def test_lifted_forms_nest_and_self_may_be_lifted():
    class Net(Layer):
        body: Layer

        def once(self, x):
            return self.body(x)

        def forward(self, xs):
            def row(self, carry, x):
                return carry, lift.vmap(lambda self, x: self.once(x), self, state="mean")(x)

            return lift.scan(row, self, None, xs)[1]

    net = Net(Sequential(Dropout(0.5), BatchNorm1d(100)))
    y, state = net.apply(*net.init(KEY), jnp.ones((3, 4, 2, 100)), key=KEY, train=True)
    assert distinct(y.reshape(12, -1)) == 12 and state["body"]["1"]["num_batches_tracked"] == 3


def test_modules_run_the_same_forward():
    layer = layer_of(lambda self, xs: lift.scan(lambda layer, carry, x: (layer(carry + x), carry), self.body, xs[0] * 0, xs))(
        Sequential(Linear(3, 3), Tanh())
    )
    params, state = layer.init(KEY)
    module = ft.from_functional(layer, params, state)
    xs = ft.tensor(np.asarray(XS), requires_grad=True)
    last, ys = module(xs)
    expected, _ = layer.apply(params, state, XS)
    for a, b in zip((last, ys), expected, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-5, atol=1e-6)
    ys.sum().backward()
    np.testing.assert_allclose(xs.grad.numpy(), jax.grad(lambda x: layer.apply(params, state, x)[0][1].sum())(XS), rtol=1e-4, atol=1e-5)
    for forward in (
        lambda self, xs: lift.vmap(lambda body, x: body(x), self.body)(xs),
        lambda self, xs: lift.remat(lambda body, x: body(x), self.body)(xs),
        lambda self, xs: lift.cond(xs.sum() > 1e9, lambda body, x: x, lambda body, x: body(x), self.body, xs),
        lambda self, xs: lift.while_loop(lambda body, v: v.sum() > 1e9, lambda body, v: body(v), self.body, self.body(xs)),
    ):
        layer = layer_of(forward)(Linear(3, 3))
        params, state = layer.init(KEY)
        np.testing.assert_allclose(
            ft.from_functional(layer, params, state)(xs).detach().numpy(), layer.apply(params, state, XS)[0], rtol=1e-5, atol=1e-6
        )


def test_wrong_arguments():
    for bad, text in ((Linear(3, 3), "a description"), ((), "the layers that its function calls"), (3, "3 of type int")):
        with pytest.raises(TypeError, match=text):
            run(lambda self, xs, bad=bad: lift.scan(lambda layer, c, x: (c, x), bad, None, xs), Tanh(), XS)
    with pytest.raises(ValueError, match="params must be one of"):
        run(lambda self, xs: lift.scan(lambda layer, c, x: (c, x), self.body, None, xs, params="stack"), Tanh(), XS)
    with pytest.raises(ValueError, match="state must be one of"):
        run(lambda self, xs: lift.scan(lambda layer, c, x: (c, x), self.body, None, xs, state=("carried", "carried")), Tanh(), XS)
    with pytest.raises(ValueError, match="scan needs xs"):
        run(lambda self, xs: lift.scan(lambda layer, c, x: (c, x), self.body, None), Tanh(), XS)


def test_repeat_with_inputs_and_outputs_of_each():
    class Block(Layer):
        body: Layer

        def forward(self, x, shift, own):
            y = self.body(x) + shift + own["bias"]
            return y, y.sum()

    layer = Repeat(Block(Linear(3, 3)), 4, has_aux=True)
    params, state = layer.init(KEY)
    each = {"bias": jnp.arange(4.0)[:, None] * jnp.ones(3)}
    (y, sums), _ = layer.apply(params, state, XS[0], 0.5, each=each)
    x, expected = XS[0], []
    for number in range(4):
        x = Linear(3, 3).apply(jax.tree.map(lambda a, n=number: a[n], params["layer"]["body"]), {}, x)[0] + 0.5 + number
        expected.append(x.sum())
    np.testing.assert_allclose(y, x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sums, jnp.stack(expected), rtol=1e-5, atol=1e-5)


def test_nothing_of_a_transformation_is_left_in_the_program():
    """A lifted scan without draws and buffers has the operations of JAX's own."""
    layer = layer_of(lambda self, xs: lift.scan(lambda layer, c, x: (layer(c + x), c), self.body, xs[0], xs)[1])(Linear(3, 3))
    params, _ = layer.init(KEY)

    def by_hand(params, xs):
        return jax.lax.scan(lambda c, x: (Linear(3, 3).apply(params["body"], {}, c + x)[0], c), xs[0], xs)[1]

    texts = [jax.jit(f).lower(params, XS).as_text() for f in (lambda p, xs: layer.apply(p, {}, xs)[0], by_hand)]
    assert len(texts[0].splitlines()) == len(texts[1].splitlines())
