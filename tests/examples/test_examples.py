"""The examples with pictures: each runs for a few steps, learns and draws; what they write themselves is compared with what it stands for."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn.examples import _plot, char_gpt, ddpm, lstm_tagger, lstm_tagger_torch, ppo, resnet
from funnn.layers import Linear
from tests.quick import quick

KEY = jax.random.key(0)


@pytest.fixture
def picture(tmp_path):
    """A file that has to be a PNG picture after the test."""
    pytest.importorskip("matplotlib", reason="it draws the picture: the extra examples")
    path = tmp_path / "picture.png"
    yield path
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


# -- each of them, from the command line's arguments to the picture


def test_char_gpt(picture, capsys):
    losses = char_gpt.main(["--steps", "40", "--batch-size", "4", "--width", "32", "--context", "16", "--out", str(picture)])
    assert losses.shape == (40,) and losses[-5:].mean() < losses[:5].mean() - 0.5
    assert capsys.readouterr().out.count("\nAlice ") == 11


def test_ddpm(picture, capsys):
    losses = ddpm.main(["--steps", "40", "--batch-size", "32", "--width", "32", "--out", str(picture)])
    assert losses.shape == (40,) and losses[-5:].mean() < losses[:5].mean() - 0.1
    assert "of 100 digits made are nearest" in capsys.readouterr().out


def test_ppo(picture, capsys):
    returns = ppo.main(["--steps", "20480", "--seeds", "2", "--out", str(picture)])
    assert returns.shape == (2, 20) and returns[:, -5:].mean() > returns[:, :5].mean() + 20
    assert "mean return of 100 new episodes" in capsys.readouterr().out


def test_resnet(picture, capsys):
    curves = resnet.main(["--steps", "30", "--batch-size", "64", "--width", "4", "--out", str(picture)])
    assert {name: curve.shape for name, curve in curves.items()} == dict.fromkeys(
        ["train loss", "test loss", "train accuracy", "test accuracy"], (2,)
    )
    assert curves["train loss"][1] < curves["train loss"][0] and curves["train accuracy"][1] > curves["train accuracy"][0]
    assert "epoch   2" in capsys.readouterr().out


def test_lstm_tagger(picture, capsys):
    metrics = lstm_tagger.main(["--steps", "40", "--batch-size", "16", "--out", str(picture)])
    assert metrics["loss"].shape == (40,) and metrics["loss"][-1] < 0.7 * metrics["loss"][0] and metrics["accuracy"][-1] > 0.6
    assert "we     pronoun" in capsys.readouterr().out


# -- what they are made of


def test_a_letter_at_a_time_gives_what_the_whole_sequence_gives():
    net = char_gpt.gpt(width=16, heads=2, depth=2, context=6)
    params, state = quick(net.init)(KEY)
    numbers = jax.random.randint(KEY, (1, 6), 0, len(char_gpt.LETTERS))
    one = quick(net.apply)
    whole, same = one(params, state, numbers)
    jax.tree.map(np.testing.assert_array_equal, same, state)
    for position in range(6):
        logits, state = one(params, state, numbers[:, position : position + 1], jnp.int32(position))
        np.testing.assert_allclose(logits[0, 0], whole[0, position], rtol=1e-4, atol=1e-5)


def test_a_full_memory_forgets_the_oldest_letter():
    layer = char_gpt.Attention(8, 2, context=4, qkv=Linear(8, 24), out=Linear(8, 8))
    params, state = layer.init(KEY)
    x = jax.random.normal(KEY, (1, 7, 8))
    one = quick(layer.apply)
    for position in range(7):
        y, state = one(params, state, x[:, position : position + 1], jnp.int32(position))
    whole, _ = one(params, state, x[:, -4:])
    np.testing.assert_allclose(y[0, 0], whole[0, -1], rtol=1e-4, atol=1e-5)


def test_the_text():
    assert char_gpt.TEXT.startswith("CHAPTER I\nDown the Rabbit-Hole\nAlice was beginning to get very tired") and char_gpt.TEXT.isascii()
    assert char_gpt.decode(char_gpt.encode("Alice").tolist()) == "Alice"


def test_the_noise_of_the_diffusion():
    assert ddpm.ALPHA_BAR[0] > 0.999 and ddpm.ALPHA_BAR[-1] < 1e-4
    images = jnp.full((3, 64), 2.0)
    (noisy, time, label), noise = quick(partial(ddpm.draw_batch, batch_size=500))(images, jnp.arange(3), KEY)
    left = ddpm.ALPHA_BAR[time][:, None]
    np.testing.assert_allclose(noisy, np.sqrt(left) * 2 + np.sqrt(1 - left) * noise, rtol=1e-5, atol=1e-5)
    assert (label.min(), label.max(), time.min() < 10, time.max() > 190) == (0, 2, True, True)


def test_tiles():
    image = ddpm.tiles(np.arange(2 * 3 * 64.0).reshape(2, 3, 64))
    assert image.shape == (17, 26) and np.isnan(image[8]).all()
    np.testing.assert_array_equal(image[9:17, 18:26], np.arange(5 * 64, 6 * 64).reshape(8, 8))


def test_the_cart_pole():
    """Against the equations written out in NumPy, with Gym's constants; and when an episode ends."""
    environment = ppo.CartPole(jnp.array([0.0, 0.1, 0.05, -0.2]), jnp.int32(3), jnp.int32(7))
    move = quick(ppo.move)
    after, moved = move(environment, jnp.int32(1), KEY)
    x, v, angle, turning = 0.0, 0.1, 0.05, -0.2
    push = (10 + 0.05 * turning**2 * np.sin(angle)) / 1.1
    rate = (9.8 * np.sin(angle) - np.cos(angle) * push) / (0.5 * (4 / 3 - 0.1 * np.cos(angle) ** 2 / 1.1))
    expected = [x + 0.02 * v, v + 0.02 * (push - 0.05 * rate * np.cos(angle) / 1.1), angle + 0.02 * turning, turning + 0.02 * rate]
    np.testing.assert_allclose(after.physics, expected, rtol=1e-5)
    assert (after.time, after.last, moved.fallen, moved.over) == (4, 7, False, False)
    after, moved = move(environment._replace(physics=jnp.array([0.0, 0, 0.3, 0])), jnp.int32(1), KEY)
    assert (after.time, after.last, moved.fallen, moved.over) == (0, 4, True, True) and abs(after.physics).max() <= 0.05
    after, moved = move(environment._replace(time=jnp.int32(499)), jnp.int32(1), KEY)
    assert (after.time, after.last, moved.fallen, moved.over) == (0, 500, False, True)


def test_advantages():
    shape = 5, ppo.ENVIRONMENTS
    values, next_values = np.random.default_rng(0).normal(size=(2, *shape))
    fallen, over = np.zeros(shape, bool), np.zeros(shape, bool)
    fallen[1] = over[1] = over[3] = True  # a fall, and the end of the time
    moved = ppo.Moved(jnp.zeros((*shape, 4)), jnp.asarray(fallen), jnp.asarray(over))
    played = ppo.Played(jnp.zeros((*shape, 4)), jnp.zeros(shape, int), jnp.zeros(shape), jnp.asarray(values), moved)
    advantages, following = np.zeros(shape), 0.0
    for t in reversed(range(5)):
        error = 1 - 0.99 + 0.99 * next_values[t] * (1 - fallen[t]) - values[t]
        advantages[t] = following = error + 0.99 * 0.95 * following * (1 - over[t])
    np.testing.assert_allclose(ppo.estimate_advantages(played, jnp.asarray(next_values)), advantages, rtol=1e-4, atol=1e-5)


def test_augmentation_changes_images_a_little():
    images = jnp.asarray(resnet.load_digits()[0][:50])
    augment = quick(resnet.augment)
    np.testing.assert_allclose(augment(images, KEY, 0.0, 0.0, 0.0), images, atol=1e-5)
    changed = augment(images, KEY, 0.125, 0.17, 0.1)
    assert changed.shape == images.shape and 0.02 < jnp.abs(changed - images).mean() < 0.2


def test_the_corpus():
    corpus = lstm_tagger.make_corpus(50)
    texts = {" ".join(word for word, _ in sentence) for sentence in corpus}
    assert len(texts) == 50 and lstm_tagger.SHOWN not in texts and corpus == lstm_tagger.make_corpus(50)
    assert all(word in lstm_tagger.WORDS[tag].split() for sentence in corpus for word, tag in sentence)
    words, tags = lstm_tagger.pad(corpus[:4])
    assert words.shape == tags.shape and (tags == lstm_tagger.IGNORED).sum() == sum(
        words.shape[1] - len(sentence) for sentence in corpus[:4]
    )
    assert lstm_tagger.word_accuracy(corpus, corpus) < 1


def test_the_torch_twin_gives_the_losses_of_pytorch(capsys):
    pytest.importorskip("torch", reason="PyTorch runs the example, too")
    source = Path(lstm_tagger_torch.__file__).read_text(encoding="utf-8")
    assert source.count("import funnn.torch as torch") == 1
    program = {"__name__": "twin"}
    exec(compile(source.replace("import funnn.torch as torch", "import torch"), "twin", "exec"), program)
    arguments = ["--epochs", "2", "--sentences", "3"]
    expected = program["main"](arguments)
    by_torch = capsys.readouterr().out
    np.testing.assert_allclose(lstm_tagger_torch.main(arguments), expected, rtol=1e-5)
    assert capsys.readouterr().out == by_torch and "can: " in by_torch


def test_both_taggers_have_the_same_names():
    params, _ = lstm_tagger.tagger().init(KEY)
    words, tags = len(lstm_tagger.VOCABULARY), len(lstm_tagger.TAGS)
    shapes = {f"{child}.{name}": leaf.shape for child, leaves in params.items() for name, leaf in leaves.items()}
    module = lstm_tagger_torch.LSTMTagger(16, 32, words, tags)
    assert shapes == {name: tuple(leaf.shape) for name, leaf in module.state_dict().items()}


# -- pictures


def test_without_matplotlib_a_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SystemExit, match=r"needs matplotlib.*pip install 'funnn\[examples\]'"):
        _plot.new_figure(1, 1)


@pytest.mark.parametrize("name", ["char_gpt", "ddpm", "lstm_tagger", "ppo", "resnet"])
def test_the_docstring_says_how_the_picture_is_made(name):
    path = f"docs/pictures/{name}.png"
    assert f"python -m funnn.examples.{name} --out {path}" in importlib.import_module(f"funnn.examples.{name}").__doc__
    assert 10_000 < (Path(__file__).parents[2] / path).stat().st_size < 150_000
