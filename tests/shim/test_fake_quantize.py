"""Quantising and back, against PyTorch: values, gradients, nodes, refusals."""

import math

import pytest
import torch
from twin import same

import funnn.torch as ft

VALUES = [-1.0, 0.05, 0.15, 1.25, math.nan, 300.0, -0.25, math.inf, -math.inf, 0.0, 0.449, -3.0]
CHANNELS = {"scale": [0.1, 0.2], "points": [3, 2]}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("tensors", [False, True])
def test_one_scale(dtype, tensors):
    same(lambda t: one_scale(t, dtype, tensors))


def one_scale(t, dtype, tensors):
    x = t.tensor(VALUES, dtype=getattr(t, dtype), requires_grad=True)
    scale, point = (t.tensor(0.1), t.tensor(5, dtype=t.int32)) if tensors else (0.1, 5)
    y = t.fake_quantize_per_tensor_affine(x, scale, point, 0, 15)
    y.sum().backward()
    return y.detach(), x.grad, type(y.grad_fn).__name__


@pytest.mark.parametrize("points", ["int32", "float32", "float16"])
def test_a_scale_for_each_channel(points):
    same(lambda t: scales(t, points))


def scales(t, points):
    x = t.tensor(VALUES).reshape(2, 6).requires_grad_()
    scale, point = t.tensor(CHANNELS["scale"]), t.tensor(CHANNELS["points"], dtype=getattr(t, points))
    y = t.fake_quantize_per_channel_affine(x, scale, point, 0, 0, 7)
    y.sum().backward()
    return y.detach(), x.grad, type(y.grad_fn).__name__


REFUSED = {
    "zero point outside": lambda t: t.fake_quantize_per_tensor_affine(t.ones(2), 0.1, 50, 0, 15),
    "turned range": lambda t: t.fake_quantize_per_tensor_affine(t.ones(2), 0.1, 5, 15, 0),
    "whole numbers": lambda t: t.fake_quantize_per_tensor_affine(t.arange(2), 0.1, 5, 0, 15),
    "points of int64": lambda t: t.fake_quantize_per_channel_affine(t.ones(2, 3), t.ones(2), t.tensor([1, 2]), 0, 0, 7),
    "other channels": lambda t: t.fake_quantize_per_channel_affine(t.ones(2, 3), t.ones(2), t.ones(2), 1, 0, 7),
    "unlike sizes": lambda t: t.fake_quantize_per_channel_affine(t.ones(2, 3), t.ones(2), t.ones(3), 1, 0, 7),
    "points outside": lambda t: t.fake_quantize_per_channel_affine(t.ones(2, 3), t.ones(2), t.tensor([3, 9]).int(), 0, 0, 7),
    "axis": lambda t: t.fake_quantize_per_channel_affine(t.ones(2, 3), t.ones(2), t.ones(2), 5, 0, 7),
    "axis from the end": lambda t: t.fake_quantize_per_channel_affine(t.ones(2, 3), t.ones(2), t.ones(2), -2, 0, 7),
    "scale of float64": lambda t: t.fake_quantize_per_channel_affine(t.ones(2, 3), t.ones(2).double(), t.ones(2), 0, 0, 7),
    "scale of two dimensions": lambda t: t.fake_quantize_per_channel_affine(t.ones(2, 3), t.ones(1, 2), t.ones(2), 0, 0, 7),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    texts = []
    for t in (torch, ft):
        with pytest.raises((RuntimeError, IndexError, NotImplementedError)) as caught:
            REFUSED[name](t)
        texts.append((type(caught.value), str(caught.value)))
    (kind, theirs), (own, ours) = texts
    assert own is kind and ours.startswith(theirs.rstrip("."))
