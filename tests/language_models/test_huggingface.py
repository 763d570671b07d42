"""GPT-2, Llama and ViT against transformers: what it said is recorded, and asked again where it is installed."""

from __future__ import annotations

import importlib.util
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.functional as F
from funnn import checkpoint
from funnn.examples import gpt2, llama, vit
from funnn.generation import beam_search, generate
from funnn.layers import MixtureOfExperts
from tests.language_models import record
from tests.language_models.models import BEAMS, FILE, MASK, MODELS, NEW, TOKENS, WRITERS, inputs, load
from tests.quick import quick

RECORDED = json.loads(FILE.read_text())
#: float32 through two blocks, of logits up to about 8
CLOSE = {"rtol": 1e-5, "atol": 2e-5}
live = pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers")


def padded(tokens, width=NEW):
    """transformers' texts end with the longest; ours are as long as they might have been."""
    tokens = np.asarray(tokens)
    return np.pad(tokens, [(0, 0)] * (tokens.ndim - 1) + [(0, width - tokens.shape[-1])], constant_values=1)


def logits_of(name, shapes):
    model, params = load(name, shapes)
    y, _ = quick(model.apply)(params, {}, inputs(name))
    return y if name == "ViT" else y[0]


def compare(name, expected):
    logits = logits_of(name, expected["shapes"])
    if name == "ViT":
        np.testing.assert_allclose(logits, expected["logits"], **CLOSE)
        return
    np.testing.assert_allclose(logits[:, -2:], expected["logits"], **CLOSE)
    assert jnp.linalg.norm(logits).item() == pytest.approx(expected["norm"], rel=1e-5)
    model, params = load(name, expected["shapes"])
    write = quick(partial(generate, model, pad=1, max_new_tokens=NEW), static_argnames="stop")
    search = quick(partial(beam_search, model, pad=1, max_new_tokens=NEW, beams=BEAMS), static_argnames=("stop", "length_penalty"))
    mask = jnp.asarray(MASK)
    np.testing.assert_array_equal(write(params, {}, jnp.asarray(TOKENS), mask=mask).tokens, expected["greedy"])
    stopped = write(params, {}, jnp.asarray(TOKENS), mask=mask, stop=expected["stop"])
    np.testing.assert_array_equal(stopped.tokens, padded(expected["stopped"]))
    for row in expected["beams"]:
        stop = () if row["stop"] is None else row["stop"]
        found = search(params, {}, jnp.asarray(TOKENS), mask=mask, stop=stop, length_penalty=row["length_penalty"])
        np.testing.assert_allclose(found.scores, row["scores"], rtol=1e-4, err_msg=str(row))
        np.testing.assert_array_equal(found.tokens, padded(row["tokens"]), err_msg=str(row))


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_tokens_are_those_recorded(name):
    compare(name, RECORDED[name])


@live
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_tokens_are_those_of_transformers(name):
    compare(name, record.answers(name))


@live
@pytest.mark.parametrize("name", MODELS)
def test_saved_models_load(name, tmp_path):
    model, shapes = record.make_model(name)
    model.save_pretrained(tmp_path)
    example = MODELS[name][3]
    ours = example.from_config(json.loads((tmp_path / "config.json").read_text()))
    params = example.from_huggingface(checkpoint.load_safetensors(tmp_path / "model.safetensors"), ours)
    y, _ = quick(ours.apply)(params, {}, inputs(name))
    np.testing.assert_allclose(y if name == "ViT" else y[0], logits_of(name, shapes), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_a_token_at_a_time_gives_the_logits_of_the_whole(name):
    model, params = load(name, RECORDED[name]["shapes"])
    tokens = jnp.asarray(TOKENS)
    (whole, none), _ = model.apply(params, {}, tokens)
    assert none is None
    step = jax.jit(lambda params, tokens, cache: model.apply(params, {}, tokens, cache=cache)[0])
    cache = model.init_cache(2, 9)
    for i in range(9):
        logits, cache = step(params, tokens[:, i : i + 1], cache)
        np.testing.assert_allclose(logits[:, 0], whole[:, i], **CLOSE)
    assert step._cache_size() == 1
    segments = jnp.where(jnp.arange(9) < 4, 0, 1)[None].repeat(2, 0)
    (packed, _), _ = model.apply(params, {}, tokens, F.segment_positions(segments), segments=segments)
    (second, _), _ = model.apply(params, {}, tokens[:, 4:])
    np.testing.assert_allclose(packed[:, :4], whole[:, :4], **CLOSE)
    np.testing.assert_allclose(packed[:, 4:], second, **CLOSE)


def test_what_the_models_do_not_have_is_refused():
    with pytest.raises(NotImplementedError, match="rope_type 'default' or 'linear' or 'llama3', but got 'yarn'"):
        llama.from_config({**MODELS["Llama"][2], "rope_scaling": {"rope_type": "yarn"}})
    with pytest.raises(NotImplementedError, match="activation_function"):
        gpt2.from_config({**MODELS["GPT-2"][2], "activation_function": "relu"})
    with pytest.raises(NotImplementedError, match="n_inner None or 128, but got 7"):
        gpt2.from_config({**MODELS["GPT-2"][2], "n_inner": 7})
    with pytest.raises(NotImplementedError, match="hidden_act 'gelu', but got 'relu'"):
        vit.from_config({**MODELS["ViT"][2], "num_channels": 3, "hidden_act": "relu"})
    with pytest.raises(ValueError, match="image_size must be divisible by patch_size, but got 10 and 4"):
        vit.ViT(10, 4)


@pytest.mark.parametrize("name", MODELS)
def test_initial_models_train(name):
    model, _ = load(name, RECORDED[name]["shapes"])
    params, state = model.init(jax.random.key(0))

    def loss(params):
        y, _ = model.apply(params, state, inputs(name), train=True, key=jax.random.key(1))
        if name == "ViT":
            return F.cross_entropy(y, jnp.array([1, 4]))
        return F.cross_entropy(y[0][:, :-1].reshape(-1, 61), jnp.asarray(TOKENS)[:, 1:].reshape(-1))

    first, gradients = quick(jax.value_and_grad(loss))(params)
    assert all(np.isfinite(g).all() and g.any() for path, g in checkpoint.flatten(gradients).items() if not path.endswith("k.bias"))
    moved = loss(jax.tree.map(lambda p, g: p - 0.01 * g, params, gradients))
    assert moved < first


def test_a_deeper_model_is_no_longer_program():
    """The blocks are one scan, caches included."""

    def lines(depth):
        model = llama.Llama(7, width=8, hidden=8, depth=depth, heads=2)
        params, cache = jax.eval_shape(lambda: (model.init(jax.random.key(0))[0], model.init_cache(1, 4)))
        step = jax.jit(lambda params, cache, token: model.apply(params, {}, token, cache=cache)[0])
        return len(step.lower(params, cache, jax.ShapeDtypeStruct((1, 1), jnp.int32)).as_text().splitlines())

    assert lines(2) == lines(12)


def test_gpt2_draws_its_weights_as_its_authors_did():
    model, _ = load("GPT-2", RECORDED["GPT-2"]["shapes"])
    drawn = checkpoint.unstack_layers(checkpoint.flatten(model.init(jax.random.key(0))[0]), "h.{}.")
    for name, array in drawn.items():
        if array.ndim == 2:
            expected = 0.02 / 2 if name.endswith(("attn.out.weight", "mlp.down.weight")) else 0.02
            assert array.std().item() == pytest.approx(expected, rel=0.1), name
        else:
            assert (array == (1 if name.endswith("weight") else 0)).all(), name


@live
def test_experts_are_mixtrals():
    import torch
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func

    config = MixtralConfig(hidden_size=8, intermediate_size=6, num_local_experts=4, num_experts_per_tok=2)
    block, x = MixtralSparseMoeBlock(config).eval(), torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    weights = {name: jnp.asarray(p.detach().numpy()) for name, p in block.named_parameters()}
    gate, up = jnp.split(weights["experts.gate_up_proj"], 2, 1)
    params = {"router": {"weight": weights["gate.weight"]}, "gate": gate, "up": up, "down": weights["experts.down_proj"]}
    (y, losses), _ = MixtureOfExperts(8, 6, 4).apply(params, {}, jnp.asarray(x.numpy()))
    with torch.no_grad():
        expected = block(x)
        logits = x.reshape(-1, 8) @ block.gate.weight.T
    np.testing.assert_allclose(y, (expected[0] if isinstance(expected, tuple) else expected), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(losses.load_balancing, load_balancing_loss_func((logits,), 4, 2), rtol=1e-5)


@live
def test_filters_and_alibi_are_those_of_transformers():
    import torch
    from transformers.generation import logits_process as warpers
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)) * 3
    for ours, value, theirs in (
        (F.top_k_filter, 7, warpers.TopKLogitsWarper(7)),
        (F.top_p_filter, 0.3, warpers.TopPLogitsWarper(0.3)),
        (F.top_p_filter, 0.95, warpers.TopPLogitsWarper(0.95)),
        (F.min_p_filter, 0.1, warpers.MinPLogitsWarper(0.1)),
    ):
        np.testing.assert_array_equal(ours(jnp.asarray(logits.numpy()), value), theirs(None, logits.clone()))
    for heads in (1, 6, 8):
        bias = build_alibi_tensor(torch.ones(1, 5), heads, torch.float32).reshape(heads, 5)  # of the last query, up to a number
        np.testing.assert_allclose(F.alibi_bias(jnp.array([4]), jnp.arange(5), heads)[:, 0], bias - bias[:, -1:], rtol=1e-6)
