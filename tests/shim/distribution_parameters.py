"""What the tests of distributions share: parameters, distributions made of them in either library, gradients."""

from __future__ import annotations

import numpy as np

A, B = [0.5, 2.5], [1.5, 0.7]  # two positive parameters
LOC, PROBS, LOGITS = [0.3, -1.2], [0.2, 0.7], [-0.4, 1.1]
SHARES, SCORES = [[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]], [[0.1, -0.4, 1.0], [0.5, 0.2, -1.0]]
COVARIANCE = [[2.0, 0.5, 0.1], [0.5, 1.0, -0.2], [0.1, -0.2, 0.7]]


def leaves(t, parameters):
    return {name: t.tensor(value, requires_grad=True) if isinstance(value, list) else value for name, value in parameters.items()}


def made(t, name, parameters):
    return getattr(t.distributions, name)(**leaves(t, parameters))


def attempt(function):
    try:
        return function()
    except NotImplementedError:
        return "not implemented"


def gradients(t, output, inputs):
    """The gradients of a result, weighted, in the inputs; None where it has none."""
    if not (isinstance(output, t.Tensor) and output.requires_grad):
        return None
    weights = t.from_numpy(np.linspace(0.5, 1.5, output.numel()).reshape(output.shape)).to(output.dtype)
    return list(t.autograd.grad(output, inputs, weights, allow_unused=True, retain_graph=True))
