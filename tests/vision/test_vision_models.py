"""Models: parameters by the seed, outputs, and one step's gradients are what torchvision's were; weights from a folder."""

from __future__ import annotations

import json
import urllib.error
import warnings

import pytest

import funnn.torch as torch
import funnn.torchvision as vision
from funnn.torchvision import models
from tests.vision.models import MODELS, TINY, result, tiny_result, title
from tests.vision.record import FILE
from tests.vision.summaries import differences

RECORDED = json.loads(FILE.read_text())["models"]


@pytest.mark.parametrize(("name", "options", "size", "trained"), MODELS, ids=[title(*case[:2]) for case in MODELS])
def test_a_model(name, options, size, trained):
    got = json.loads(json.dumps(result(torch, vision, name, options, size, trained)))
    assert differences(got, RECORDED[title(name, options)]) == []


@pytest.mark.parametrize("expression", TINY)
def test_a_tiny_model(expression):
    got = json.loads(json.dumps(tiny_result(torch, vision, expression, *TINY[expression])))
    assert differences(got, RECORDED[expression]) == []


def test_models_by_name():
    assert "resnet18" in models.list_models() and models.list_models(include="vgg*", exclude=["*_bn"]) == [
        "vgg11",
        "vgg13",
        "vgg16",
        "vgg19",
    ]
    assert "fcn_resnet50" in models.list_models(models.segmentation) and "resnet18" not in models.list_models(models.segmentation)
    assert models.get_model_builder("resnet18") is models.resnet18
    assert models.get_model_weights("resnet50") is models.get_model_weights(models.resnet50) is models.ResNet50_Weights
    with pytest.raises(ValueError, match="Unknown model resnet1"):
        models.get_model("resnet1")


def test_weights_know_their_transforms_and_categories():
    weights = models.get_weight("ResNet50_Weights.IMAGENET1K_V2")
    assert weights is models.ResNet50_Weights.DEFAULT and repr(weights) == "ResNet50_Weights.IMAGENET1K_V2"
    assert (len(weights.meta["categories"]), weights.meta["categories"][1], weights.meta["num_params"]) == (1000, "goldfish", 25557032)
    assert weights.url == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert repr(weights.transforms()).splitlines()[1:3] == ["    crop_size=[224]", "    resize_size=[232]"]
    assert weights.transforms()(torch.zeros(3, 300, 250, dtype=torch.uint8)).shape == (3, 224, 224)
    assert models.segmentation.FCN_ResNet50_Weights.DEFAULT.transforms()(torch.zeros(3, 52, 104)).shape == (3, 520, 1040)
    for wrong in ("ResNet50_Weights", "None_Weights.DEFAULT"):
        with pytest.raises(ValueError, match="weight"):
            models.get_weight(wrong)
    with pytest.raises(TypeError, match="expected ResNet18_Weights but received ResNet50_Weights"):
        models.resnet18(weights=weights)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder in which trained weights are looked for."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_weights_come_from_the_cache_folder(cache):
    torch.manual_seed(3)
    net = models.squeezenet1_1()
    torch.save(net.state_dict(), cache / "squeezenet1_1-b8a52dc0.pth")
    loaded = models.squeezenet1_1(weights="IMAGENET1K_V1")
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in net.state_dict().items())
    with pytest.warns(UserWarning) as caught:
        older = models.squeezenet1_1(pretrained=True)
    assert [str(warning.message)[:39] for warning in caught] == [
        "The parameter 'pretrained' is deprecate",
        "Arguments other than a weight enum or `",
    ]
    assert torch.equal(older.features[0].weight, net.features[0].weight)
    with pytest.raises(ValueError, match="'num_classes' expected value 1000 but got 3"):
        models.squeezenet1_1(weights="DEFAULT", num_classes=3)


def test_without_a_network_the_error_says_where_the_file_belongs(cache, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(urllib.error.URLError, match=r"no network.*put the file to .*squeezenet1_1-b8a52dc0\.pth"):
        models.squeezenet1_1(weights="DEFAULT")


def test_what_is_missing_says_so():
    for module, name in (
        (models, "detection"),
        (vision.ops, "deform_conv2d"),
        (vision.datasets, "Food101"),
        (vision.transforms.v2, "JPEG"),
    ):
        assert not hasattr(module, name)
        with pytest.raises(NotImplementedError, match=f"{name} is not supported: "):
            getattr(module, name)
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            module.nothing  # noqa: B018


def test_old_names_of_densenets_weights_are_understood():
    net = models.DenseNet(4, (2, 1), 8, num_classes=2)
    old = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in net.state_dict().items()}
    old = {key: value for key, value in old.items() if not key.endswith("num_batches_tracked")}
    assert set(old) != set(net.state_dict()) and str(net.load_state_dict(old)) == "<All keys matched successfully>"


def test_sizes_that_follow_from_arguments():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert models.mobilenet_v2(width_mult=0.5).features[0][0].weight.shape[0] == 16
    with pytest.raises(ValueError, match="3-element tuple"):
        models.resnet18(replace_stride_with_dilation=[True])
    with pytest.raises(AssertionError, match="indivisible"):
        models.vit_b_16(image_size=30)
