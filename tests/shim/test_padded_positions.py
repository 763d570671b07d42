"""What TransformerEncoder gives for padded positions: 0 where torch leaves them out, in evaluation without gradients, else what the layers compute."""

import pytest
import torch
from twin import compare

import funnn.torch as shim

pytestmark = pytest.mark.filterwarnings("ignore")
LEFT, RIGHT = [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]], [[1, 0, 0, 1, 1], [0, 0, 1, 1, 1]]
CASES = {
    "evaluation": {},
    "with gradients": {"grad": True},
    "frozen parameters": {"grad": True, "frozen": True},
    "training": {"train": True},
    "a norm behind": {"norm": True},
    "a mask to add": {"floating": True},
    "not at the end": {"padding": RIGHT},
    "two masks": {"mask": True},
    "no nested tensor": {"enable_nested_tensor": False},
    "switched off": {"fast": False},
    "norm first": {"norm_first": True},
}


def encoded(
    t,
    *,
    grad=False,
    frozen=False,
    train=False,
    norm=False,
    floating=False,
    padding=LEFT,
    mask=False,
    fast=True,
    norm_first=False,
    **options,
):
    t.manual_seed(0)
    layer = t.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=norm_first)
    net = t.nn.TransformerEncoder(layer, 2, norm=t.nn.LayerNorm(8) if norm else None, **options).train(train).requires_grad_(not frozen)
    x, padded = t.randn(2, 5, 8), t.tensor(padding, dtype=t.bool)
    if floating:
        padded = t.zeros(2, 5).masked_fill(padded, float("-inf"))
    before = t.backends.mha.get_fastpath_enabled()
    t.backends.mha.set_fastpath_enabled(fast)
    try:
        with t.set_grad_enabled(grad):
            result = net(x, mask=t.zeros(5, 5) if mask else None, src_key_padding_mask=padded)
    finally:
        t.backends.mha.set_fastpath_enabled(before)
    return net.use_nested_tensor, result.detach()


@pytest.mark.parametrize("case", CASES)
def test_padded_positions(case):
    compare(encoded(shim, **CASES[case]), encoded(torch, **CASES[case]))
