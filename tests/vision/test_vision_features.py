"""Feature extraction: the names that torchvision 0.29 gives, and the values that hooks see."""

import copy
import pickle

import pytest

import funnn.torch as torch
from funnn.torchvision import models
from funnn.torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

#: What torchvision names in the first block of a ResNet-18, and at its end.
BLOCK = ["conv1", "bn1", "relu", "conv2", "bn2", "add", "relu_1"]
END = ["layer4.1.add", "layer4.1.relu_1", "avgpool", "flatten", "fc"]


def network():
    torch.manual_seed(0)
    return models.resnet18(weights=None, num_classes=3).eval()


def test_names():
    train, evaluation = get_graph_node_names(network())
    assert train == evaluation
    assert train[:12] == ["x", "conv1", "bn1", "relu", "maxpool", *(f"layer1.0.{name}" for name in BLOCK)]
    assert train[-5:] == END and "layer2.0.downsample.0" in train

    class Branch(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.dropout(x) + x if self.training else x

    with pytest.warns(UserWarning, match="are a subsequence of those obtained in train mode"):
        assert get_graph_node_names(Branch()) == (["x", "dropout", "add"], ["x"])


def test_features_are_what_hooks_see():
    model, x, seen = network(), torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32), []
    extractor = create_feature_extractor(model, {"layer1": "one", "layer2.0.downsample": "two", "fc": "three"})
    copies = extractor, copy.deepcopy(extractor), pickle.loads(pickle.dumps(extractor))
    parts = model.layer1, model.layer2[0].downsample, model.fc
    handles = [part.register_forward_hook(lambda module, inputs, output: seen.append(output)) for part in parts]
    model(x)
    for handle in handles:
        handle.remove()
    for made in copies:
        features = made(x)
        assert list(features) == ["one", "two", "three"]
        for feature, expected in zip(features.values(), seen, strict=True):
            torch.testing.assert_close(feature, expected)
    assert extractor.conv1.weight is model.conv1.weight and not extractor.training


def test_modes_have_graphs_of_their_own():
    class Branch(torch.nn.Module):
        def forward(self, x):
            y = torch.nn.functional.dropout(x, 1.0) if self.training else x
            return torch.relu(y) + 1

    extractor = create_feature_extractor(Branch(), ["relu"], suppress_diff_warning=True)
    assert extractor(torch.ones(2))["relu"].tolist() == [0.0, 0.0]
    assert extractor.eval()(torch.ones(2))["relu"].tolist() == [1.0, 1.0]
    assert copy.deepcopy(extractor).train()(torch.ones(2))["relu"].tolist() == [0.0, 0.0]


def test_refusals():
    for text, options in {
        "node: 'layer9' is not present in model": {"return_nodes": ["layer9"]},
        "should be specified": {},
        "both should be specified": {"train_return_nodes": ["fc"]},
    }.items():
        with pytest.raises(ValueError, match=text):
            create_feature_extractor(network(), **options)
