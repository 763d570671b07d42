"""Attention layers and transformers beyond the table: initial values, torch's fast path, masks, layers and modules as arguments."""

import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F
import funnn.torch as ft
from funnn import checkpoint, layers
from funnn.errors import ArgumentError, AssertedError, KeyRequiredError, ShapeError


def flat(layer, seed=0):
    return checkpoint.flatten(layer.init(jax.random.key(seed))[0])


def same_modules(make):
    """The same initial values, text and next random number in both libraries."""
    made = []
    for t in (torch, ft):
        t.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its nested tensors
            made.append((make(t), t.rand(3).numpy()))
    (theirs, after), (ours, ours_after) = made
    assert repr(ours) == repr(theirs)
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for name, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[name].numpy(), rtol=1e-6, atol=1e-7, err_msg=name)
    np.testing.assert_array_equal(after, ours_after)
    return theirs, ours


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.nn.MultiheadAttention(4, 2, add_bias_kv=True, kdim=3),
        lambda t: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2, 8, activation=t.nn.Tanh()), 3, norm=t.nn.LayerNorm(4)),
        lambda t: t.nn.TransformerDecoder(t.nn.TransformerDecoderLayer(4, 2, 8, activation=t.nn.functional.gelu), num_layers=2),
        lambda t: t.nn.Transformer(4, 2, 2, 3, 8),
        lambda t: t.nn.Transformer(4, 2, 2, 1, 8, custom_encoder=t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2, 8), 1)),
        lambda t: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2, 8), 0),
    ],
)
def test_modules_start_from_torchs_numbers(make):
    same_modules(make)


def test_initial_values_are_torchs_distributions():
    values = flat(layers.MultiheadAttention(32, 2, add_bias_kv=True))
    bound = np.sqrt(6 / (96 + 32))
    assert np.abs(values["in_proj_weight"]).max() <= bound
    np.testing.assert_allclose(values["in_proj_weight"].std(), bound / np.sqrt(3), rtol=0.05)
    assert not values["in_proj_bias"].any() and not values["out_proj.bias"].any()
    assert values["bias_k"].any() and values["bias_v"].any()


def test_copies_start_equal_and_a_transformers_do_not():
    encoder = layers.TransformerEncoder(layers.TransformerEncoderLayer(4, 2, 8), 3)
    values = flat(encoder)
    for name in [name.removeprefix("layers.0.") for name in values if name.startswith("layers.0.")]:
        np.testing.assert_array_equal(values[f"layers.0.{name}"], values[f"layers.2.{name}"])
    jax.jit(lambda params: jax.tree.map(lambda a: a + 1, params), donate_argnums=0)(encoder.init(jax.random.key(0))[0])  # no array twice
    values = flat(layers.Transformer(4, 2, 2, 1, 8))
    first, second = (values[f"encoder.layers.{i}.linear1.weight"] for i in (0, 1))
    assert np.abs(first - second).max() > 0.1
    assert np.abs(first).max() <= np.sqrt(6 / 12)


def test_reset_draws_as_torch_does():
    theirs, ours = same_modules(lambda t: t.nn.MultiheadAttention(4, 2))
    torch.manual_seed(2), ft.manual_seed(2)
    theirs._reset_parameters(), ours._reset_parameters()
    for name, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), theirs.state_dict()[name].numpy(), rtol=1e-6, atol=1e-7)


def test_modules_among_the_arguments_are_taken_as_torch_takes_them():
    """encoder_layer is copied; norm and custom parts become children themselves."""
    layer, norm = ft.nn.TransformerEncoderLayer(4, 2, 8), ft.nn.LayerNorm(4)
    encoder = ft.nn.TransformerEncoder(layer, 2, norm)
    assert encoder.norm is norm and encoder.layers[0] is not layer
    assert all(a is not b for a, b in zip(encoder.layers[0].parameters(), encoder.layers[1].parameters(), strict=True))
    np.testing.assert_array_equal(encoder.layers[1].linear1.weight.detach().numpy(), layer.linear1.weight.detach().numpy())
    assert ft.nn.Transformer(4, 2, custom_encoder=encoder, num_decoder_layers=1).encoder is encoder

    class Double(ft.nn.Module):
        def forward(self, x):
            return 2 * x

    own = ft.nn.TransformerEncoderLayer(4, 2, 8, 0.0, Double(), batch_first=True)
    assert own(ft.zeros(1, 2, 4)).shape == (1, 2, 4) and "(activation): Double()" in repr(own)


def test_the_output_projection_is_a_linear_module():
    """Programs that walk over their modules and initialise each Linear expect it."""
    assert isinstance(ft.nn.MultiheadAttention(4, 2).out_proj, ft.nn.Linear)


@pytest.mark.parametrize("activation", ["gelu", F.silu, layers.Tanh()])
def test_layers_with_functions_are_values(activation):
    a, b = (layers.TransformerEncoderLayer(4, 2, 8, activation=activation) for _ in range(2))
    assert a == b and hash(a) == hash(b) and pickle.loads(pickle.dumps(a)) == a
    assert a != layers.TransformerEncoderLayer(4, 2, 8)
    traces = 0

    @jax.jit
    def run(params, x):
        nonlocal traces
        traces += 1
        return a.apply(params, {}, x)[0]

    params, _ = a.init(jax.random.key(0))
    run(params, jnp.ones((3, 2, 4))), run(params, jnp.ones((3, 2, 4)))
    assert traces == 1


@pytest.mark.parametrize("norm_first", [False, True])
def test_torchs_fast_path_gives_the_same_numbers(norm_first):
    """torch.no_grad and eval: torch runs fused kernels. Compared where a position is not padded; torch's stack leaves zeros in padded ones."""
    layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=norm_first)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested tensors are a prototype
        theirs = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).eval()
        with torch.no_grad():
            expected = theirs(x, src_key_padding_mask=padding)
    assert norm_first or not expected[padding].any()
    ours = layers.TransformerEncoder(layers.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=norm_first), 2)
    params, _ = checkpoint.from_state_dict(theirs.state_dict(), *ours.init(jax.random.key(0)))
    y, _ = ours.apply(params, {}, jnp.asarray(x.numpy()), src_key_padding_mask=jnp.asarray(padding.numpy()))
    np.testing.assert_allclose(y[~padding.numpy()], expected[~padding].numpy(), rtol=1e-5, atol=1e-6)


def test_a_decoder_does_not_look_ahead():
    layer = layers.TransformerDecoderLayer(4, 2, 8)
    params, _ = layer.init(jax.random.key(0))
    tgt, memory = jax.random.normal(jax.random.key(1), (5, 1, 4)), jnp.ones((3, 1, 4))
    mask = layers.Transformer.generate_square_subsequent_mask(5)

    def run(tgt, **kwargs):
        return layer.apply(params, {}, tgt, memory, **kwargs)[0]

    for kwargs in ({"tgt_mask": mask}, {"tgt_mask": mask, "tgt_is_causal": True}, {"tgt_mask": mask < 0}):
        changed = run(tgt.at[3].add(1.0), **kwargs) - run(tgt, **kwargs)
        assert not changed[:3].any() and changed[3:].any()


def test_the_causal_mask():
    expected = torch.nn.Transformer.generate_square_subsequent_mask(4)
    np.testing.assert_array_equal(layers.Transformer.generate_square_subsequent_mask(4), expected.numpy())
    ours = ft.nn.Transformer.generate_square_subsequent_mask(4, dtype=ft.float64)
    assert isinstance(ours, ft.Tensor) and ours.dtype is ft.float64
    np.testing.assert_array_equal(ours.numpy(), expected.double().numpy())


def test_dropout_needs_a_key_only_where_there_is_some():
    x = jnp.ones((3, 2, 4))
    for dropout in (0.0, 0.5):
        layer = layers.MultiheadAttention(4, 2, dropout)
        params, _ = layer.init(jax.random.key(0))
        if dropout:
            with pytest.raises(KeyRequiredError, match="MultiheadAttention"):
                layer.apply(params, {}, x, x, x, train=True)
        else:
            layer.apply(params, {}, x, x, x, train=True)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: layers.MultiheadAttention(4, 3), AssertedError, "embed_dim must be divisible by num_heads, but got embed_dim=4"),
        (lambda: layers.MultiheadAttention(0, 3), ValueError, "embed_dim and num_heads must be greater than 0"),
        (lambda: layers.TransformerEncoderLayer(4, 2, activation="tanh"), ArgumentError, "activation should be relu/gelu, not tanh"),
    ],
)
def test_messages_of_constructors(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("src", "tgt", "text"),
    [
        ((5, 3, 4), (5, 2, 4), "the batch number of src and tgt must be equal"),
        ((5, 2, 3), (5, 2, 4), "equal to d_model=4, but got 3 and 4"),
    ],
)
def test_messages_of_the_transformer(src, tgt, text):
    layer = layers.Transformer(4, 2, 1, 1, 8)
    with pytest.raises(ShapeError, match=text):
        layer.apply(*layer.init(jax.random.key(0)), jnp.ones(src), jnp.ones(tgt))
