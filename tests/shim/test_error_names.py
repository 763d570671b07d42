"""Errors of functions and modules are called as PyTorch's: a user reads RuntimeError or ValueError, not the name of a class of the core."""

import pickle

import pytest
import torch

import funnn.torch as shim
from funnn import errors

pytestmark = pytest.mark.filterwarnings("ignore")

WRONG = [
    lambda t, F: F.cross_entropy(t.ones(2, 3), t.tensor([1])),
    lambda t, F: F.nll_loss(t.ones(2, 3), t.tensor([1])),
    lambda t, F: F.nll_loss(t.ones(2, 3, 4, 4), t.ones(2, 3, 4).long()),
    lambda t, F: F.binary_cross_entropy(t.ones(2), t.ones(3)),
    lambda t, F: F.binary_cross_entropy_with_logits(t.ones(2), t.ones(3)),
    lambda t, F: F.gaussian_nll_loss(t.ones(10, 2, 3), t.ones(10, 2, 3), t.ones(10, 2, 2)),
    lambda t, F: F.batch_norm(t.ones(1, 3), t.zeros(3), t.ones(3), training=True),
    lambda t, F: F.instance_norm(t.ones(1, 3, 1)),
    lambda t, F: t.nn.BatchNorm1d(3)(t.ones(1, 3)),
    lambda t, F: t.nn.BatchNorm2d(3)(t.ones(1, 3)),
    lambda t, F: t.nn.InstanceNorm2d(3)(t.ones(1, 3)),
    lambda t, F: F.mse_loss(t.ones(2), t.ones(2), reduction="x"),
    lambda t, F: F.nll_loss(t.ones(2, 3), t.tensor([1, 1]), reduction="x"),
    lambda t, F: F.kl_div(t.ones(2), t.ones(2), reduction="x"),
    lambda t, F: F.dropout(t.ones(2), 2.0),
    lambda t, F: t.nn.Dropout(2.0),
    lambda t, F: F.alpha_dropout(t.ones(2), -1.0),
    lambda t, F: F.interpolate(t.ones(1, 1, 4)),
    lambda t, F: F.interpolate(t.ones(1, 1, 4), size=2, scale_factor=2),
    lambda t, F: F.interpolate(t.ones(1, 1, 4), size=2, mode="x"),
    lambda t, F: F.interpolate(t.ones(1, 1, 4), size=2, align_corners=True),
    lambda t, F: F.interpolate(t.ones(1, 1, 4), size=2, mode="bilinear"),
    lambda t, F: F.grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 2), mode="x"),
    lambda t, F: F.grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 2), padding_mode="x"),
    lambda t, F: F.affine_grid(t.ones(1, 2, 3), (1, 1, 2)),
    lambda t, F: F.embedding_bag(t.tensor([1, 2]), t.ones(4, 2)),
    lambda t, F: F.embedding_bag(t.tensor([[1, 2]]), t.ones(4, 2), t.tensor([0])),
    lambda t, F: F.embedding_bag(t.tensor([[1, 2]]), t.ones(4, 2), mode="x"),
    lambda t, F: F.embedding(t.tensor([1]), t.ones(4, 2), padding_idx=9),
    lambda t, F: F.pad(t.ones(2, 2), (1, 1, 1)),
    lambda t, F: F.pad(t.ones(2, 2), (1, 1), mode="x"),
    lambda t, F: F.pad(t.ones(2, 2), (1, 1, 1, 1, 1, 1)),
    lambda t, F: F.pad(t.ones(2, 2), (1, 1, 1, 1), mode="reflect"),
    lambda t, F: F.margin_ranking_loss(t.ones(2), t.ones(2, 2), t.ones(2)),
    lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, 1]), p=3),
    lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, 1]), weight=t.ones(2, 2)),
    lambda t, F: F.cross_entropy(t.ones(2, 3), t.tensor([0, 1]), weight=t.ones(4)),
    lambda t, F: F.cross_entropy(t.ones(2, 3), t.tensor([0, 1]), label_smoothing=2.0),
    lambda t, F: F.cosine_embedding_loss(t.ones(2, 3), t.ones(2, 3), t.ones(2, 2)),
    lambda t, F: F.huber_loss(t.ones(2), t.ones(2), delta=-1.0),
    lambda t, F: F.smooth_l1_loss(t.ones(2), t.ones(2), beta=-1.0),
    lambda t, F: F.hardtanh(t.ones(2), 1.0, -1.0),
    lambda t, F: F.glu(t.ones(3)),
    lambda t, F: F.gumbel_softmax(t.ones(2), tau=0.0),
    lambda t, F: F.layer_norm(t.ones(2, 3), (4,)),
    lambda t, F: F.group_norm(t.ones(2, 3), 2),
    lambda t, F: t.nn.GroupNorm(2, 3),
    lambda t, F: F.linear(t.ones(2, 3), t.ones(2, 4)),
    lambda t, F: F.conv2d(t.ones(1, 2, 3, 3), t.ones(1, 3, 2, 2)),
    lambda t, F: t.nn.Conv2d(3, 4, 2, groups=2),
    lambda t, F: t.nn.Conv2d(4, 4, 2, padding="x"),
    lambda t, F: t.nn.Conv2d(4, 4, 2, stride=2, padding="same"),
    lambda t, F: t.nn.Conv2d(4, 4, 2, padding_mode="x"),
    lambda t, F: t.nn.MultiheadAttention(5, 2),
    lambda t, F: t.nn.MultiheadAttention(4, 2)(t.ones(2, 2, 4), t.ones(2, 3, 4), t.ones(2, 2, 4)),
    lambda t, F: t.nn.Transformer(4, 2, 1, 1, 8)(t.ones(2, 2, 4), t.ones(2, 3, 4)),
    lambda t, F: t.nn.Transformer(4, 2, 1, 1, 8)(t.ones(2, 2, 5), t.ones(2, 2, 5)),
    lambda t, F: t.nn.TransformerEncoderLayer(4, 2, 8, activation="x"),
    lambda t, F: t.nn.LSTM(3, 4)(t.ones(2, 2, 2)),
    lambda t, F: t.nn.LSTM(3, 4)(t.ones(2, 2, 2, 2)),
    lambda t, F: t.nn.LSTM(3, 4, proj_size=5),
    lambda t, F: t.nn.RNN(3, 4, nonlinearity="x"),
    lambda t, F: t.nn.LSTMCell(3, 4)(t.ones(2, 2)),
    lambda t, F: t.nn.GRUCell(3, 4)(t.ones(2, 2, 3)),
    lambda t, F: t.nn.GRU(3, 4)(t.ones(2, 2, 3), t.ones(1, 2, 5)),
    lambda t, F: t.nn.Softmax2d()(t.ones(2, 2)),
    lambda t, F: F.fold(t.ones(1, 4, 5), (3, 3), 2),
    lambda t, F: F.pixel_shuffle(t.ones(1, 3, 2, 2), 2),
    lambda t, F: F.channel_shuffle(t.ones(1, 3, 2, 2), 2),
    lambda t, F: F.max_unpool2d(t.ones(1, 1, 2, 2), t.zeros(1, 1, 2, 2).long(), 2, output_size=(9, 9)),
    lambda t, F: F.max_pool2d(t.ones(1, 1, 2, 2), 3),
    lambda t, F: F.max_pool2d(t.ones(1, 1, 4, 4), 2, padding=2),
    lambda t, F: F.avg_pool2d(t.ones(1, 2, 2), 2, divisor_override=0),
    lambda t, F: F.ctc_loss(t.ones(5, 2, 3).log_softmax(-1), t.ones(2, 2).long(), t.tensor([5]), t.tensor([2, 2])),
    lambda t, F: F.scaled_dot_product_attention(t.ones(2, 3, 4), t.ones(2, 3, 5), t.ones(2, 3, 5)),
    lambda t, F: F.scaled_dot_product_attention(
        t.ones(2, 3, 4), t.ones(2, 3, 4), t.ones(2, 3, 4), attn_mask=t.ones(3, 3).bool(), is_causal=True
    ),
    lambda t, F: F.one_hot(t.tensor([3]), 2),
    lambda t, F: F.one_hot(t.tensor([-1])),
    lambda t, F: F.bilinear(t.ones(2, 3), t.ones(3, 3), t.ones(1, 3, 3)),
    lambda t, F: F.pairwise_distance(t.ones(2, 3), t.ones(2, 4)),
    lambda t, F: F.cosine_similarity(t.ones(2, 3), t.ones(2, 4)),
    lambda t, F: F.triplet_margin_loss(t.ones(2, 3), t.ones(2, 3), t.ones(3)),
    lambda t, F: F.triplet_margin_loss(t.ones(2, 3), t.ones(2, 3), t.ones(2, 3), margin=-1.0),
    lambda t, F: t.nn.AdaptiveLogSoftmaxWithLoss(4, 10, [5, 3]),
    lambda t, F: t.nn.Flatten(5)(t.ones(2)),
    lambda t, F: t.nn.Unflatten(1, (2, 2))(t.ones(2, 3)),
    lambda t, F: t.nn.Upsample(mode="x", size=3)(t.ones(1, 1, 2)),
    lambda t, F: F.prelu(t.ones(2, 3), t.ones(2)),
    lambda t, F: t.nn.Embedding(2, 3, padding_idx=5),
    lambda t, F: t.nn.CrossEntropyLoss(reduction="x")(t.ones(2, 3), t.tensor([0, 1])),
    lambda t, F: F.softmax(t.ones(2), 4),
]
WRONG += [
    lambda t, F: t.ones(2).cuda(),
    lambda t, F: t.zeros(2, device="cuda"),
    lambda t, F: t.nn.Linear(2, 2).cuda(),
    lambda t, F: t.ones(2, 2).to_sparse().cumsum(0),
]


def name_of(t, wrong):
    try:
        str(wrong(t, t.nn.functional))
    except Exception as error:
        return type(error).__name__, type(error).__module__
    return None


@pytest.mark.parametrize("wrong", WRONG, ids=map(str, range(len(WRONG))))
def test_names_of_errors(wrong):
    assert name_of(shim, wrong) == name_of(torch, wrong)


def test_they_are_still_the_cores_and_go_to_other_processes():
    with pytest.raises(errors.ShapeError, match="must be the same as input size") as caught:
        shim.nn.functional.binary_cross_entropy_with_logits(shim.ones(2), shim.ones(3))
    assert caught.type.__name__ == "ValueError" and isinstance(caught.value, RuntimeError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is errors.ShapeValueError and str(again) == str(caught.value)


def test_weights_of_classes_keep_their_type():
    """Which decides what the loss takes: it is not that of the parameters."""
    for t in (torch, shim):
        weight = t.ones(3, dtype=t.float64)
        assert t.nn.CrossEntropyLoss(weight).weight.dtype is t.float64
        x, target = t.zeros(2, 3), t.tensor([0, 2])
        assert t.nn.NLLLoss(weight)(x.double(), target).dtype is t.float64
        with pytest.raises(RuntimeError):
            t.nn.NLLLoss(weight)(x, target)
