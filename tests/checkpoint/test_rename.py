"""rename, with rules and with those for transformers' models; stack_layers and unstack_layers."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnn import layers
from funnn.checkpoint import (
    GPT2,
    LLAMA,
    RESNET,
    VIT,
    LazyTensors,
    Rule,
    flatten,
    rename,
    stack_layers,
    unflatten,
    unstack_layers,
)


def lazy(flat, looked):
    """The mapping as LazyTensors that note what is looked up."""
    return LazyTensors({key: (lambda key=key: (looked.append(key), flat[key])[1]) for key in flat}, {"a": "b"})


# -- rename


def test_rules_are_applied_in_turn():
    flat = {"model.fc.kernel": np.ones((2, 3)), "model.fc.bias": np.ones(3), "step": 7}
    rules = [(r"^model\.", ""), Rule("kernel$", "weight", np.transpose), ("^step$", None), Rule("absent", "", optional=True)]
    renamed = rename(flat, rules)
    assert (
        list(renamed) == ["fc.weight", "fc.bias"] and renamed["fc.weight"].shape == (3, 2) and renamed["fc.bias"] is flat["model.fc.bias"]
    )
    assert rename({"h.1.w": 1}, [(r"h\.(\d)", lambda match: f"h.{int(match[1]) + 1}")]) == {"h.2.w": 1}
    assert rename({"a.b": 1, "c": 2}, lambda key: None if key == "c" else key.upper()) == {"A.B": 1}


def test_errors_of_rename():
    with pytest.raises(
        ValueError, match=r"these patterns are found in no key: 'z'; the first keys are 'a', 'b'\. Remove the rule, or use Rule"
    ):
        rename({"a": 1, "b": 2}, [("z", "y")])
    with pytest.raises(ValueError, match="'a' and 'b' both become 'c'; change a rule, or drop one of the keys"):
        rename({"a": 1, "b": 2}, [("a|b", "c")])
    with pytest.raises(ValueError, match="'a' and 'c' both become 'c'"):
        rename({"a": 1, "c": 2}, lambda key: "c")


def test_lazy_stays_lazy():
    looked = []
    tensors = lazy({"h.0.w": np.ones((2, 3)), "h.1.w": np.ones((2, 3)), "x": np.ones(1)}, looked)
    result = stack_layers(rename(tensors, [Rule("w$", "weight", np.transpose), ("x", None)]), "h.{}.")
    assert looked == [] and list(result) == ["h.layer.weight"] and result.metadata == {"a": "b"}
    assert result["h.layer.weight"].shape == (2, 3, 2) and looked == ["h.0.w", "h.1.w"]


# -- names of transformers' models


def named(text, shape=(2, 2)):
    """Arrays of a shape under names, of which those with ``#`` are there for the numbers 0 and 1, and all with the endings after a space."""
    names = [f"{line.split()[0]}{ending}" for line in text.strip().splitlines() for ending in line.split()[1:] or [""]]
    return {name.replace("#", n): np.arange(4.0).reshape(shape) for name in names for n in ("01" if "#" in name else "0")}


NAMES = {
    "gpt2": (
        GPT2,
        """
        transformer.wte.weight
        transformer.wpe.weight
        transformer.h.#.ln_1 .weight .bias
        transformer.h.#.attn.bias
        transformer.h.#.attn.masked_bias
        transformer.h.#.attn.c_attn .weight .bias
        transformer.h.#.attn.c_proj .weight .bias
        transformer.h.#.ln_2 .weight .bias
        transformer.h.#.mlp.c_fc .weight .bias
        transformer.h.#.mlp.c_proj .weight .bias
        transformer.ln_f .weight .bias
        lm_head.weight
        """,
        """
        tok_embed.weight
        pos_embed.weight
        h.#.ln1 .weight .bias
        h.#.attn.qkv .weight .bias
        h.#.attn.out .weight .bias
        h.#.ln2 .weight .bias
        h.#.mlp.up .weight .bias
        h.#.mlp.down .weight .bias
        ln_f .weight .bias
        head.weight
        """,
    ),
    "llama": (
        LLAMA,
        """
        model.embed_tokens.weight
        model.layers.#.input_layernorm.weight
        model.layers.#.self_attn.q_proj .weight .bias
        model.layers.#.self_attn.k_proj.weight
        model.layers.#.self_attn.v_proj.weight
        model.layers.#.self_attn.o_proj.weight
        model.layers.#.self_attn.rotary_emb.inv_freq
        model.layers.#.post_attention_layernorm.weight
        model.layers.#.mlp.gate_proj.weight
        model.layers.#.mlp.up_proj.weight
        model.layers.#.mlp.down_proj.weight
        model.norm.weight
        lm_head.weight
        """,
        """
        embed.weight
        h.#.norm1.weight
        h.#.attn.q .weight .bias
        h.#.attn.k.weight
        h.#.attn.v.weight
        h.#.attn.out.weight
        h.#.norm2.weight
        h.#.mlp.gate.weight
        h.#.mlp.up.weight
        h.#.mlp.down.weight
        norm.weight
        head.weight
        """,
    ),
    "vit": (
        VIT,
        """
        vit.embeddings.cls_token
        vit.embeddings.mask_token
        vit.embeddings.position_embeddings
        vit.embeddings.patch_embeddings.projection .weight .bias
        vit.encoder.layer.#.layernorm_before .weight .bias
        vit.encoder.layer.#.attention.attention.query .weight .bias
        vit.encoder.layer.#.attention.attention.key .weight .bias
        vit.encoder.layer.#.attention.attention.value .weight .bias
        vit.encoder.layer.#.attention.output.dense .weight .bias
        vit.encoder.layer.#.layernorm_after .weight .bias
        vit.encoder.layer.#.intermediate.dense .weight .bias
        vit.encoder.layer.#.output.dense .weight .bias
        vit.layernorm .weight .bias
        vit.pooler.dense .weight .bias
        classifier .weight .bias
        """,
        """
        cls_token
        pos_embed
        patch .weight .bias
        h.#.ln1 .weight .bias
        h.#.attn.q .weight .bias
        h.#.attn.k .weight .bias
        h.#.attn.v .weight .bias
        h.#.attn.out .weight .bias
        h.#.ln2 .weight .bias
        h.#.mlp.up .weight .bias
        h.#.mlp.down .weight .bias
        ln_f .weight .bias
        pooler .weight .bias
        head .weight .bias
        """,
    ),
    "resnet": (
        RESNET,
        """
        resnet.embedder.embedder.convolution.weight
        resnet.embedder.embedder.normalization .weight .running_mean .num_batches_tracked
        resnet.encoder.stages.0.layers.#.layer.0.convolution.weight
        resnet.encoder.stages.0.layers.#.layer.0.normalization .bias .running_var
        resnet.encoder.stages.3.layers.#.layer.2.convolution.weight
        resnet.encoder.stages.3.layers.0.shortcut.convolution.weight
        resnet.encoder.stages.3.layers.0.shortcut.normalization .weight .bias
        classifier.1 .weight .bias
        """,
        """
        conv1.weight
        bn1 .weight .running_mean .num_batches_tracked
        layer1.#.conv1.weight
        layer1.#.bn1 .bias .running_var
        layer4.#.conv3.weight
        layer4.0.downsample.0.weight
        layer4.0.downsample.1 .weight .bias
        fc .weight .bias
        """,
    ),
}


@pytest.mark.parametrize("model", NAMES)
def test_names_of_transformers(model):
    rules, theirs, ours = NAMES[model]
    renamed = rename(named(theirs), rules)
    assert list(renamed) == list(dict.fromkeys(named(ours)))
    turned = {key for key, array in renamed.items() if array[0, 1] == 2}
    conv1d = {f"h.{n}.{name}.weight" for n in "01" for name in ("attn.qkv", "attn.out", "mlp.up", "mlp.down")}
    assert turned == (conv1d if model == "gpt2" else set())
    bare = {
        key.removeprefix("transformer.").removeprefix("model.").removeprefix("vit.").removeprefix("resnet."): 1 for key in named(theirs)
    }
    if model != "gpt2":  # the base model's files have no prefix
        assert list(rename(bare, rules)) == list(renamed)
    with pytest.raises(ValueError, match="these patterns are found in no key"):
        rename({"other.weight": 1}, rules)


# -- stacked layers


@given(st.integers(1, 12), st.permutations(range(12)))
def test_stack_and_back(count, order):
    flat = {f"h.{n}.{name}": np.full((2,), n) for n in order if n < count for name in ("a", "b.c")} | {"z": np.ones(1)}
    stacked = stack_layers(flat, "h.{}.")
    assert set(stacked) == {"h.layer.a", "h.layer.b.c", "z"} and stacked["h.layer.a"][:, 0].tolist() == list(range(count))
    back = unstack_layers(stacked, "h.{}.")
    assert set(back) == set(flat) and all((back[key] == flat[key]).all() for key in flat)


def test_stacked_layers_are_those_of_repeat():
    block = layers.Linear(3, 3)
    one_by_one = layers.Sequential(*[copy.deepcopy(block) for _ in range(4)])
    params, state = one_by_one.init(jax.random.key(0))
    stacked = unflatten(stack_layers({f"h.{key}": value for key, value in flatten(params).items()}, "h.{}."))["h"]
    x = jnp.arange(3.0)
    expected, got = one_by_one.apply(params, state, x)[0], layers.Repeat(block, 4).apply(stacked, {}, x)[0]
    assert isinstance(stacked["layer"]["weight"], jax.Array)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_errors_of_stacking():
    x, y = np.ones(2), np.ones(3)
    for error, flat in {
        r"of 3 layers, not all have 'w': there is no 'h.1.w'; stack layers of one description only": {"h.0.w": x, "h.2.w": x},
        r"of 2 layers, not all have 'b': there is no 'h.1.b'": {"h.0.w": x, "h.0.b": x, "h.1.w": x},
        r"'h.0.w' has shape \(2,\) and type float64, 'h.1.w' has shape \(3,\)": {"h.0.w": x, "h.1.w": y},
        r"'h.0.w' has .* type float64, 'h.1.w' has .* type float32": {"h.0.w": x, "h.1.w": x.astype("f4")},
        r"no key begins with 'h.\{\}.'; the first keys are 'a'": {"a": x},
        r"'h.layer.w' is there already; rename it first": {"h.0.w": x, "h.layer.w": x},
        r"'h.0.w' and 'h.00.w' have the same number": {"h.0.w": x, "h.00.w": x},
    }.items():
        with pytest.raises(ValueError, match=f"stack_layers: {error}"):
            stack_layers(flat, "h.{}.")
    for error, flat in {
        r"no key begins with 'h.layer.'; the first keys are 'a'": {"a": x},
        r"first axes of different lengths: .*; all must have one element a layer": {"h.layer.a": x, "h.layer.b": y},
        r"'h.0.a' is there already; rename it first": {"h.layer.a": x, "h.0.a": x},
    }.items():
        with pytest.raises(ValueError, match=f"unstack_layers: {error}"):
            unstack_layers(flat, "h.{}.")
    for prefix in ("h.", "h.{}.{}.", "h.{}"):
        with pytest.raises(
            ValueError, match=r"prefix must have \{\} once, for the number, and something behind it, such as 'h.\{\}.', but is"
        ):
            stack_layers({"h.0.w": x}, prefix)
