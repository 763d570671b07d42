"""Image files, downloads, checksums, what happens without Pillow, and ``import torchvision`` under ``python -m funnn run``."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("PIL", reason="images are Pillow's")

import funnn.torch as torch
from funnn import _run
from funnn.torchvision import datasets, transforms, utils
from funnn.torchvision import io as vision_io
from funnn.torchvision.io import ImageReadMode
from tests.vision.cases import image

IMAGE = torch.from_numpy(image(12, 15).transpose(2, 0, 1).copy())


@pytest.mark.parametrize(("mode", "channels"), [("UNCHANGED", 3), ("GRAY", 1), ("GRAY_ALPHA", 2), ("RGB", 3), ("RGB_ALPHA", 4)])
def test_png_files(tmp_path, mode, channels):
    path = str(tmp_path / "a.png")
    vision_io.write_png(IMAGE, path)
    got = vision_io.read_image(path, ImageReadMode[mode])
    assert got.shape == (channels, 12, 15) and got.dtype == torch.uint8
    assert torch.equal(vision_io.decode_image(vision_io.read_file(path), mode), got)
    if mode in ("UNCHANGED", "RGB"):
        assert torch.equal(got, IMAGE)


def test_other_files(tmp_path):
    assert torch.equal(vision_io.decode_png(vision_io.encode_png(IMAGE[:1])), IMAGE[:1])
    path = str(tmp_path / "a.jpg")
    vision_io.write_jpeg(IMAGE, path, quality=95)
    assert (vision_io.read_image(path).float() - IMAGE.float()).abs().mean() < 20
    for wrong in (IMAGE.float(), IMAGE[0], torch.cat([IMAGE, IMAGE])):
        with pytest.raises(RuntimeError, match=r"uint8|channels"):
            vision_io.encode_png(wrong)
    with pytest.raises(ValueError, match="between 1 and 100"):
        vision_io.encode_jpeg(IMAGE, quality=0)
    with pytest.raises(RuntimeError, match="Unsupported image file"):
        vision_io.decode_image(torch.zeros(9, dtype=torch.uint8))


def test_save_image_rounds(tmp_path):
    values = torch.tensor([0.0, 0.001, 0.002, 0.5, 1.0, 2.0]).reshape(1, 1, 6).expand(3, 1, 6)
    utils.save_image(values, tmp_path / "a.png")
    assert vision_io.read_image(str(tmp_path / "a.png"))[0, 0].tolist() == [0, 0, 1, 128, 255, 255]
    stream = io.BytesIO()
    utils.save_image(values, stream, format="png")
    assert stream.getvalue()[:4] == b"\x89PNG"


def serve(monkeypatch, files):
    """Answer downloads with these bytes."""

    def urlopen(request, timeout):
        name = request.full_url.rpartition("/")[2]
        if name not in files:
            raise OSError("no such file")
        return io.BytesIO(files[name])

    monkeypatch.setattr("urllib.request.urlopen", urlopen)


def idx(values):
    head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(head + values.astype(np.uint8).tobytes())


def test_mnist_is_downloaded_once_and_compared_with_checksums(tmp_path, monkeypatch):
    values = {"images-idx3": np.arange(2 * 784).reshape(2, 28, 28) % 256, "labels-idx1": np.array([3, 1])}
    files = {f"{part}-{kind}-ubyte.gz": idx(value) for part in ("train", "t10k") for kind, value in values.items()}
    resources = [(name, hashlib.md5(raw, usedforsecurity=False).hexdigest()) for name, raw in files.items()]
    Small = type("Small", (datasets.MNIST,), {"resources": resources})
    serve(monkeypatch, files)
    assert Small(tmp_path, download=True)[0][1] == 3
    serve(monkeypatch, {})
    dataset = Small(tmp_path, train=False, download=True)
    assert np.array_equal(np.asarray(dataset[1][0]), values["images-idx3"][1])
    dataset.data, dataset.targets = dataset.data.flip(0), dataset.targets + 1  # what is assigned counts
    assert dataset[1][1] == 2 and np.array_equal(np.asarray(dataset[1][0]), values["images-idx3"][0])
    serve(monkeypatch, dict.fromkeys(files, b"something else"))
    with pytest.raises(RuntimeError, match="MD5 checksum"):
        Small(tmp_path / "other", download=True)
    serve(monkeypatch, {})
    with pytest.raises(RuntimeError, match=r"Error downloading train-images.*where there is no network, put that file at"):
        Small(tmp_path / "third", download=True)
    with pytest.raises(RuntimeError, match=r"Dataset not found. You can use download=True to download it, or put train-images-idx3-ubyte"):
        Small(tmp_path / "fourth")


def test_cifar_with_another_checksum_is_refused(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(RuntimeError, match="Dataset not found or corrupted"):
        datasets.CIFAR10(tmp_path)


def test_a_program_imports_torchvision(tmp_path):
    script = tmp_path / "script.py"
    text = """
    import torch, torchvision
    import torchvision.transforms as transforms
    from torchvision import datasets, models
    from torchvision.models.resnet import BasicBlock, ResNet
    from torchvision.transforms import v2
    from torchvision.transforms.functional import hflip
    from torchvision.utils import make_grid

    ready = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    data = datasets.FakeData(6, (3, 8, 8), transform=ready)
    shapes = [tuple(x.shape) for x, y in torch.utils.data.DataLoader(data, batch_size=4, num_workers=1)]
    net = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=2)
    out = net(torch.zeros(2, 3, 8, 8))
    """
    script.write_text(textwrap.dedent(text))
    names = _run.run_script(script)
    assert names["shapes"] == [(4, 3, 8, 8), (2, 3, 8, 8)] and names["out"].shape == (2, 2)
    assert "torchvision" not in sys.modules


WITHOUT = """
import sys
sys.modules["PIL"] = None
import funnn.torch as torch
import funnn.torchvision as vision
x = torch.rand(3, 8, 8)
assert vision.transforms.RandomCrop(4)(x).shape == (3, 4, 4)
assert vision.utils.make_grid([x, x]).shape[0] == 3
assert vision.models.ResNet(vision.models.resnet.BasicBlock, [1, 1, 1, 1]).eval()(x[None]).shape == (1, 1000)
for call in (lambda: vision.transforms.ToPILImage()(x), lambda: vision.utils.save_image(x, "a.png"), lambda: vision.io.encode_png(x)):
    try:
        call()
    except ImportError as error:
        assert "needs pillow, which is not installed: pip install pillow" in str(error)
    else:
        raise AssertionError("no error")
print("fine")
"""


def test_without_pillow_what_needs_none_works():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert done.stdout.strip() == "fine", done.stderr


def test_normalize_keeps_no_tensor_of_inference_mode():
    normalize = transforms.Normalize([0.1, 0.2, 0.3], [0.4, 0.5, 0.7])
    with torch.inference_mode():
        normalize(torch.ones(3, 2, 2))
    x = torch.ones(3, 2, 2, requires_grad=True)
    normalize(x).sum().backward()
    assert torch.allclose(x.grad[:, 0, 0], 1 / torch.tensor([0.4, 0.5, 0.7]))
