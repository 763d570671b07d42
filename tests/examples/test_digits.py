"""The examples: data, the torch-style script under both libraries, and the two ways side by side."""

import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import funnn
from funnn import __main__, _digits
from funnn.examples.data import load_digits

ROOT = Path(funnn.__file__).parents[1]
SCRIPT = ROOT / "funnn" / "examples" / "digits_torch.py"


def python(*args, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, timeout=300, cwd=cwd, env=environment)


# -- data


def test_bundled_digits():
    from sklearn import datasets

    train_images, train_labels, test_images, test_labels = load_digits()
    assert train_images.shape == (1437, 1, 8, 8) and test_images.shape == (360, 1, 8, 8)
    assert train_images.dtype == test_images.dtype == np.float32 and train_labels.dtype == test_labels.dtype == np.int64
    assert train_images.min() == 0 and train_images.max() == 1
    original = datasets.load_digits()
    np.testing.assert_array_equal(test_images[:, 0] * 16, original.images[::5])
    np.testing.assert_array_equal(test_labels, original.target[::5])
    np.testing.assert_array_equal(train_images[:4, 0] * 16, original.images[1:5])
    assert set(train_labels) == set(test_labels) == set(range(10))


def idx(values, magic=None):
    values = np.asarray(values, np.uint8)
    magic = 0x800 + values.ndim if magic is None else magic
    return struct.pack(f">{1 + values.ndim}I", magic, *values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path):
    images = np.arange(5 * 6 * 6).reshape(5, 6, 6)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx([0, 1, 9, 3, 4])))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[:2])))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx([7, 8]))
    return tmp_path


def test_idx_files(folder):
    train_images, train_labels, test_images, test_labels = load_digits(str(folder))
    np.testing.assert_array_equal(train_images, np.arange(180, dtype=np.float32).reshape(5, 1, 6, 6) / np.float32(255))
    np.testing.assert_array_equal(test_images, train_images[:2])
    assert train_labels.tolist() == [0, 1, 9, 3, 4] and test_labels.tolist() == [7, 8]
    assert train_images.dtype == np.float32 and train_labels.dtype == np.int64


DAMAGE = {
    "truncated": ("train-images-idx3-ubyte", idx(np.zeros((5, 6, 6)))[:-1], r"truncated.*5×6×6 values, 196 bytes in all, but it has 195"),
    "long": ("t10k-labels-idx1-ubyte", idx([7, 8]) + b"x", "too long.*10 bytes in all, but it has 11"),
    "header": ("train-images-idx3-ubyte", b"\0\0\x08\x03", "truncated: it has 4 bytes, and its header alone takes 16"),
    "magic": ("t10k-labels-idx1-ubyte", idx([7, 8], 0x803), "no IDX file of labels.*0x00000803, expected 0x00000801"),
    "gzip": ("train-labels-idx1-ubyte.gz", b"no gzip", "damaged and can't be decompressed"),
    "cut gzip": ("train-labels-idx1-ubyte.gz", gzip.compress(idx([0, 1, 9, 3, 4]))[:-9], "damaged and can't be decompressed"),
    "count": ("t10k-labels-idx1-ubyte", idx([7]), "has 2 images, but .* has 1 labels"),
    "label": ("t10k-labels-idx1-ubyte", idx([7, 10]), "the label 10; expected digits 0 to 9"),
    "empty": ("train-images-idx3-ubyte", idx(np.zeros((0, 6, 6))), "empty.*0×6×6"),
    "size": ("train-images-idx3-ubyte", idx(np.zeros((5, 4, 6))), "images of 6×6, but .* of 4×6"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(folder, name):
    file, content, message = DAMAGE[name]
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_digits(folder)
    assert file in str(caught.value)


def test_missing_files(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte\.gz"):
        load_digits(folder)
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        load_digits(folder / "nowhere")


# -- the script


def test_the_script_prints_the_same_on_torch_and_on_funnn():
    options = ["--epochs", "4", "--seed", "3"]
    torch = python(SCRIPT, *options)
    ours = python("-m", "funnn", "run", SCRIPT, *options)
    assert torch.returncode == 0, torch.stderr
    assert ours.returncode == 0, ours.stderr
    assert "epoch   4  loss" in torch.stdout
    assert ours.stdout == torch.stdout


# -- the command


def test_digits_with_its_defaults(capsys):
    options = __main__.parser().parse_args(["digits"])
    result = _digits.digits(load_digits(), options.epochs, options.batch_size, options.seed, options.lr)
    printed = capsys.readouterr().out
    assert min(result.accuracy) >= 0.97
    assert result.losses.shape == (options.epochs, 2) and result.losses[-1, 0] < 0.1 < 2 < result.losses[0, 0]
    assert np.abs(result.losses[:, 0] - result.losses[:, 1]).max() < 1e-3
    assert set(result.speed) == {"functional", "torch style", "torch style, compiled"} and min(result.speed.values()) > 0
    assert re.search(r"functional +test accuracy 0\.\d{4}", printed) and "steps per second" in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--epochs", "0"], "argument --epochs: expected a whole number of at least 1, got 0"),
        (["--batch-size", "x"], "argument --batch-size: expected a whole number, got 'x'"),
        (["--batch-size", "1438"], "argument --batch-size: expected at most 1437"),
        (["--lr", "nan"], "argument --lr: expected a number above 0, such as 0.05, got 'nan'"),
        (["--seed", "-1"], "argument --seed: expected a whole number from 0"),
        (["--data", "/nowhere"], "argument --data: /nowhere is not a folder"),
    ],
)
def test_arguments_are_checked(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.main(["digits", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_progress_without_tqdm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(_digits.progress("abc", 3, "letters")) == ["a", "b", "c"]
    assert "\rletters: epoch 2 of 3" in capsys.readouterr().err
