"""Params and state as torch's state_dict and back, with torch itself as the other side."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch

import funnn.checkpoint
from funnn import layers, optim
from funnn.checkpoint import StateDictError, flatten, from_state_dict, to_state_dict


def network():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2, bias=False))


PARAMS = {
    "0": {"weight": jnp.ones((4, 1, 3, 3)), "bias": jnp.ones(4)},
    "1": {"weight": jnp.ones(4), "bias": jnp.zeros(4)},
    "2": {},
    "3": {"weight": jnp.ones((2, 4)), "bias": None},
}
STATE = {"1": {"running_mean": jnp.zeros(4), "running_var": jnp.ones(4), "num_batches_tracked": jnp.zeros((), jnp.int32)}}


def test_keys_and_order_are_torchs():
    flat = to_state_dict(PARAMS, STATE)
    assert list(flat) == list(network().state_dict())
    assert flat["0.weight"] is PARAMS["0"]["weight"]


def test_own_arrays_come_before_children():
    assert list(to_state_dict({"child": {"w": 1}, "own": 2}, {"buffer": 3, "child": {"b": 4}})) == ["own", "buffer", "child.w", "child.b"]


def test_torch_to_funnn_and_back():
    model = network()
    model[1](torch.randn(3, 4, 2, 2))
    params, state = from_state_dict(model.state_dict(), PARAMS, STATE)
    assert jax.tree.structure(params) == jax.tree.structure(PARAMS)
    assert params["2"] == {}
    assert params["3"]["bias"] is None
    assert state["1"]["num_batches_tracked"].dtype == jnp.int32
    assert state["1"]["num_batches_tracked"] == 1
    other = network()
    other.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in to_state_dict(params, state).items()})
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


def test_abstract_templates():
    like = jax.eval_shape(lambda: (PARAMS, STATE))
    loaded = from_state_dict(to_state_dict(PARAMS, STATE), *like)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), loaded) == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), like)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded))


class Arraylike:
    def __array__(self, dtype=None, copy=None):
        return np.arange(3.0)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3),
        np.arange(3).astype(ml_dtypes.bfloat16),
        jnp.arange(3, dtype=jnp.bfloat16),
        Arraylike(),
        torch.arange(3),
        torch.arange(3.0, requires_grad=True),
        torch.nn.Parameter(torch.arange(3.0, dtype=torch.bfloat16)),
        torch.arange(3.0).to(torch.float8_e4m3fn),
        torch.arange(6.0)[::2] / 2,
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}.{getattr(value, 'dtype', '')}",
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32])
def test_sources_and_dtypes(value, dtype):
    params, _ = from_state_dict({"w": value}, {"w": jax.ShapeDtypeStruct((3,), dtype)})
    assert params["w"].dtype == dtype
    assert params["w"].tolist() == [0, 1, 2]


def test_64_bit_templates_keep_their_dtype():
    with jax.enable_x64(True):
        like = {"w": jnp.ones(2)}
    exact = np.array([1 / 3, 1e-300])
    params, _ = from_state_dict({"w": exact}, like)
    assert params["w"].dtype == np.float64
    assert (np.asarray(params["w"]) == exact).all()


@pytest.mark.parametrize("make", [lambda: torch.zeros(1024), lambda: np.zeros(1024, np.float32)], ids=["torch", "numpy"])
def test_values_are_copied(make):
    source = make()
    params, _ = from_state_dict({"w": source}, {"w": jax.ShapeDtypeStruct((1024,), jnp.float32)})
    source[:] = 1
    assert not params["w"].any()


def test_donating_the_result_leaves_the_source():
    source = jnp.ones(3)
    params, _ = from_state_dict({"w": source}, {"w": source})
    jax.jit(lambda p: p + 1, donate_argnums=0)(params["w"])
    assert source.tolist() == [1, 1, 1]


def test_one_element_fills_a_scalar_as_in_torch():
    params, _ = from_state_dict({"w": np.ones(1)}, {"w": jnp.zeros(())})
    assert params["w"].shape == ()


def test_one_error_lists_everything():
    flat = to_state_dict(PARAMS, STATE)
    del flat["0.bias"], flat["1.running_var"]
    flat |= {"4.weight": jnp.ones(1), "fc.bias": jnp.ones(1), "3.weight": jnp.ones((4, 2)), "0.weight": jnp.ones(4), "1.bias": "text"}
    with pytest.raises(StateDictError) as error:
        from_state_dict(flat, PARAMS, STATE, name="LeNet")
    assert isinstance(error.value, ValueError)
    assert isinstance(error.value, RuntimeError)
    assert str(error.value) == (
        "Error(s) in loading state_dict for LeNet:\n"
        '\tMissing key(s) in state_dict: "0.bias", "1.running_var". \n'
        '\tUnexpected key(s) in state_dict: "4.weight", "fc.bias". \n'
        "\tsize mismatch for 0.weight: copying a param with shape (4,) from checkpoint, the shape in current model is (4, 1, 3, 3).\n"
        '\tWhile copying the parameter named "1.bias", expected an array or tensor from checkpoint but received str.\n'
        "\tsize mismatch for 3.weight: copying a param with shape (4, 2) from checkpoint, the shape in current model is (2, 4).\n"
        "Load it into the model that saved it, or with strict=False to ignore missing and unexpected keys (never wrong shapes)."
    )


def test_the_text_is_torchs():
    """Each line of torch's message is in ours, with its class name and Size written as we write them."""
    model = network()
    flat = {key: value for key, value in model.state_dict().items() if key != "0.bias"} | {"extra": torch.ones(1), "1.bias": torch.ones(7)}
    with pytest.raises(RuntimeError) as theirs:
        model.load_state_dict(flat)
    with pytest.raises(RuntimeError) as ours:
        from_state_dict(flat, PARAMS, STATE, name="Sequential")
    assert str(ours.value).startswith(re.sub(r"torch\.Size\(\[(\d+)\]\)", r"(\1,)", str(theirs.value)))


def test_not_strict():
    flat = {"0.bias": np.full(4, 2.0), "unknown": np.ones(1)}
    params, state = from_state_dict(flat, PARAMS, STATE, strict=False)
    assert params["0"]["bias"].tolist() == [2, 2, 2, 2]
    assert params["0"]["weight"] is PARAMS["0"]["weight"]
    assert state["1"]["running_var"] is STATE["1"]["running_var"]
    with pytest.raises(StateDictError, match=r"size mismatch for 0.bias: .* \(5,\) .* \(4,\)\.\nstrict=False keeps the template's array"):
        from_state_dict({"0.bias": np.ones(5)}, PARAMS, STATE, strict=False)
    abstract = jax.eval_shape(lambda: PARAMS)
    with pytest.raises(StateDictError, match=r'Missing key\(s\) in state_dict: "0.weight", "1.weight"'):
        from_state_dict({"0.bias": np.ones(4), "1.bias": np.ones(4)}, abstract, strict=False)


def test_prefix_hint_with_a_template_of_shapes():
    net = layers.Sequential(layers.Linear(2, 3))
    template = jax.eval_shape(net.init, jax.random.key(0))  # which sorts the names
    state_dict = {"module.0.weight": np.ones((3, 2)), "module.0.bias": np.ones(3)}
    with pytest.raises(StateDictError, match=r'differ by the prefix "module\."; remove it'):
        from_state_dict(state_dict, *template)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.net."])
def test_prefix_hint(prefix):
    flat = to_state_dict(PARAMS)
    with pytest.raises(
        StateDictError, match=re.escape(f'The keys differ by the prefix "{prefix}"; remove it from the state_dict\'s keys.')
    ):
        from_state_dict({prefix + key: value for key, value in flat.items()}, PARAMS)
    with pytest.raises(StateDictError, match=re.escape(f'The keys differ by the prefix "{prefix}"; add it to the state_dict\'s keys.')):
        like = PARAMS
        for part in reversed(prefix[:-1].split(".")):
            like = {part: like}
        from_state_dict(flat, like)


def test_same_name_in_params_and_state():
    with pytest.raises(ValueError, match=r"'fc\.w' is in params and in state; rename the parameter or the buffer"):
        to_state_dict({"fc": {"w": 1}}, {"fc": {"w": 2}})
    with pytest.raises(ValueError, match="'fc' is in params and in state"):
        to_state_dict({"fc": {"w": 1}}, {"fc": 2})
    with pytest.raises(TypeError, match="expected nested dicts, got tuple"):
        to_state_dict((PARAMS, STATE))


def test_an_optimizers_state_is_refused_with_the_way():
    opt_state = optim.adam().init(PARAMS)
    with pytest.raises(TypeError, match="'opt' holds a RuleState, and a state_dict has dicts only; flatten and to_arrays take any pytree"):
        to_state_dict(PARAMS, {"opt": opt_state})
    with pytest.raises(TypeError, match=r"expected nested dicts, got RuleState; .*; flatten and to_arrays take any pytree"):
        to_state_dict(PARAMS, opt_state)


def test_templates_are_not_changed():
    before = {key: value.tolist() for key, value in flatten(PARAMS).items()}
    params, _ = from_state_dict({"0.bias": np.full(4, 2.0)}, PARAMS, strict=False)
    params["0"]["bias"] = None
    assert before == {key: value.tolist() for key, value in flatten(PARAMS).items()}


def test_torch_is_not_imported():
    code = (
        "import sys, numpy, jax; from funnn.checkpoint import from_state_dict;"
        "from_state_dict({'w': numpy.ones(2)}, {'w': jax.ShapeDtypeStruct((2,), 'float32')}); assert 'torch' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(funnn.checkpoint.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
