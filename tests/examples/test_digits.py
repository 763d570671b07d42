"""The examples: data, the torch-style script under both libraries, and the two ways side by side."""

import gzip
import io
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import funnn
from funnn import __main__, _digits, _digits_picture
from funnn import _digits_report as report
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


@pytest.fixture
def comparison_of(monkeypatch):
    """Run the command; returns its exit code and what the training gave."""

    def run(*arguments):
        results, train = [], _digits.digits
        monkeypatch.setattr(_digits, "digits", lambda *args: results.append(train(*args)) or results[-1])
        return __main__.main(["digits", *map(str, arguments)]), results[-1]

    return run


def test_digits_with_its_defaults(capsys, tmp_path, comparison_of):
    picture = tmp_path / "sheet.png"
    code, result = comparison_of("--picture", picture)
    printed = capsys.readouterr()
    assert code == 0 and printed.err == ""
    assert min(result.accuracy) >= 0.95
    assert result.losses.shape == (30, 2) and result.losses[-1].max() < 0.1 < 2 < result.losses[0, 0]
    # Roundings grow about tenfold an epoch (in float64 the styles agree to 2e-8 in the third and 5e-4 in the eighth), and in float32 a learning rate of
    # 0.0500001 moves the functional loss of the third by 0.005.
    assert np.abs(result.losses[:2, 0] - result.losses[:2, 1]).max() < 1e-5
    assert set(result.speed) == {"functional", "torch style", "torch style, compiled"} and min(result.speed.values()) > 0
    assert result.accuracy[0] == pytest.approx((result.predictions == result.labels).mean(), abs=1e-6)
    np.testing.assert_allclose(result.probabilities.sum(1), 1, rtol=1e-5)
    lines = printed.out.splitlines()
    assert re.search(r"functional +test accuracy 0\.\d{4}", printed.out)
    assert re.search(r"They give the same answer for 3[4-6]\d of 360 test images", printed.out)
    (functional,) = (line for line in lines if re.match("  functional   [▁▂▃▄▅▆▇█]{30}$", line))
    assert (
        functional[15] == "█"
        and functional[-1] in "▁▂▃"
        and re.match("  torch style  ██[▁▂▃▄▅▆▇█]{28}$", lines[lines.index(functional) + 1])
    )
    table = lines[lines.index("  digit         right  accuracy  taken for") + 1 :][:10]
    assert sum(int(line.split()[1]) for line in table) == (result.predictions == result.labels).sum()
    assert "median of 5 windows" in printed.out and f"Picture: {picture}" in printed.out and "python -m funnn run" in printed.out
    assert max(map(len, lines)) <= 80 + len(str(picture)) and not re.search(r"[\r\x1b]", printed.out)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size < 150_000


def test_one_epoch_of_files(folder, capsys, tmp_path, comparison_of, monkeypatch):
    monkeypatch.setattr(_digits, "_WINDOWS", 1)
    picture = tmp_path / "sheet.svg"
    code, result = comparison_of("--data", folder, "--epochs", 1, "--batch-size", 5, "--picture", picture)
    printed = capsys.readouterr().out
    assert code == 0 and result.losses.shape == (1, 2) and np.abs(result.losses[0, 0] - result.losses[0, 1]) < 1e-4
    assert "5 training and 2 test images of 6×6" in printed and "1 epoch, batches of 5" in " ".join(printed.split())
    assert "<svg" in picture.read_text()


def comparison(losses, images, labels, probabilities):
    return _digits.Comparison(np.asarray(losses, float), (0.5, 0.5), images, labels, probabilities, train_count=7, speed={})


def answers_of(labels, answers):
    return np.eye(10)[np.asarray(answers)] * 0.9 + 0.01


@pytest.mark.parametrize("kind", ["all right", "all wrong", "not finite", "zero"])
@pytest.mark.parametrize("size, columns", [(8, 80), (8, 20), (28, 80), (28, 30)])
def test_report_and_picture(kind, size, columns, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", str(columns))
    labels = np.arange(25) % 10
    images = np.random.default_rng(0).random((25, 1, size, size)).astype(np.float32)
    probabilities = answers_of(labels, labels if kind != "all wrong" else (labels + 1) % 10)
    losses = np.full((40, 2), {"not finite": np.nan, "zero": 0}.get(kind, 0.5))
    losses[0] = np.inf if kind == "not finite" else 2
    report.losses(losses)
    report.answers(images, labels, probabilities)
    report.speeds({"functional": [1000.0, 3000.0, 2000.0], "torch style": [10.0]})
    report.suggestions()
    lines = capsys.readouterr().out.splitlines()
    if columns == 80:
        assert max(map(len, lines)) <= 80 and "  functional               2,000  (1,000 to 3,000)" in lines
    drawn = [line for line in lines if set(line) & set("░▒▓") and set(line) <= set(" ░▒▓█")]
    assert len(drawn) == min(size, 14) and max(map(len, drawn)) <= columns
    assert ("No answer is wrong. The first test images" in lines) == (kind != "all wrong")
    assert any("no finite numbers" in line for line in lines) == (kind == "not finite") or columns < 80
    if (size, columns) == (8, 80):
        _digits_picture.draw(comparison(losses, images, labels, probabilities), tmp_path / "sheet.png")
        assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_table_of_answers(capsys):
    labels, answers = np.array([3, 3, 3, 3, 5]), np.array([3, 8, 8, 9, 5])
    report.answers(np.zeros((5, 1, 8, 8)), labels, answers_of(labels, answers))
    lines = capsys.readouterr().out.splitlines()
    assert "      3      1 of    4     0.250  8 (2×), 9 (1×)" in lines and "      5      1 of    1     1.000" in lines
    assert "      0      0 of    0         -" in lines and "  8, but is 3       8, but is 3       9, but is 3" in lines
    assert report.mistakes(labels, answers_of(labels, answers) * [[1], [1], [1.1], [0.9], [1]]).tolist() == [2, 1, 3]


def test_sparkline():
    assert report.sparkline(np.array([8.0, 4, 2, 1, np.nan]), np.array([1.0, 8]), 10) == "█▆▃▁?"
    assert report.sparkline(np.linspace(8, 1, 100), np.array([1.0, 8]), 5) == "█▇▆▄▁"
    assert report.sparkline(np.array([2.0, 2.0]), np.array([2.0]), 5) == "▁▁"


def test_output_without_such_characters(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    report.say("8×8 ▁█ ░█")
    assert stream.buffer.getvalue() == b"8x8 _# .#\n"


def test_without_matplotlib(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert __main__._write_picture(None, None) is False
    assert "matplotlib is missing: pip install 'funnn[examples]'" in capsys.readouterr().out


def test_a_picture_that_cannot_be_written(monkeypatch, capsys, tmp_path):
    def full(comparison, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_digits_picture, "draw", full)
    monkeypatch.setattr(_digits, "digits", lambda *args: None)
    assert __main__.main(["digits", "--picture", str(tmp_path / "sheet.png")]) == 1
    assert "sheet.png can't be written (No space left on device); --picture FILE" in capsys.readouterr().out
    assert __main__.main(["digits"]) == 0  # nobody asked for it


def test_what_to_try_next_is_there(capsys):
    report.suggestions()
    files = re.findall(r"(?:notebooks|docs)/\S+", capsys.readouterr().out)
    assert len(files) >= 4 and [file for file in files if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--epochs", "0"], "argument --epochs: expected a whole number of at least 1, got 0"),
        (["--batch-size", "x"], "argument --batch-size: expected a whole number, got 'x'"),
        (["--batch-size", "1438"], "argument --batch-size: expected at most 1437"),
        (["--lr", "nan"], "argument --lr: expected a number above 0, such as 0.05, got 'nan'"),
        (["--seed", "-1"], "argument --seed: expected a whole number from 0"),
        (["--data", "/nowhere"], "argument --data: /nowhere is not a folder"),
        (["--picture", "sheet.doc"], "argument --picture: expected a file name that ends in .png, .jpg, .pdf, .svg, got 'sheet.doc'"),
        (["--picture", "/nowhere/sheet.png"], "argument --picture: there is no folder /nowhere; make it first"),
    ],
)
def test_arguments_are_checked(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.main(["digits", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("tqdm", [True, False])
def test_progress(tqdm, terminal, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    with _digits.Progress("letters", 3, unit="letter") as progress:
        step = progress.watch(lambda images, labels: len(images))
        assert [step("ab", None), step("ab", None), step("ab", None), step("c", None)] == [2, 2, 2, 1]
        progress.advance(0.12345)
        progress.advance(0.01)
    printed = capsys.readouterr()
    assert printed.out == "" and progress.first_steps > 0
    if not terminal:
        assert printed.err == ""
        return
    shown = [line.rstrip() for line in printed.err.split("\r") if line.strip()]
    assert sum("letters, compiling" in line for line in shown) == 3  # two calls with two letters, one with one
    if not tqdm:
        assert "letters: letter 1 of 3, loss 0.1235" in shown and printed.err.endswith(f"\r{'':59}\r")
