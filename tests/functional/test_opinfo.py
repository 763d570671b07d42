"""Every sample that PyTorch's own test suite feeds to these functions, in float32: outputs and gradients."""

import random
import warnings

import pytest
import torch
from oracle import compare

import funnn.functional as F

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

TWINS = {
    "nn.functional.linear": F.linear,
    "nn.functional.conv1d": F.conv1d,
    "nn.functional.conv2d": F.conv2d,
    "nn.functional.conv3d": F.conv3d,
    "nn.functional.max_pool1d": F.max_pool1d,
    "nn.functional.max_pool2d": F.max_pool2d,
    "nn.functional.max_pool3d": F.max_pool3d,
    "nn.functional.avg_pool1d": F.avg_pool1d,
    "nn.functional.avg_pool2d": F.avg_pool2d,
    "nn.functional.avg_pool3d": F.avg_pool3d,
    "nn.functional.relu": F.relu,
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "nn.functional.batch_norm": F.batch_norm,
    "nn.functional.layer_norm": F.layer_norm,
    "nn.functional.embedding": lambda weight, index, **kwargs: F.embedding(index, weight, **kwargs),  # as the sample orders them
    "nn.functional.mse_loss": F.mse_loss,
    "nn.functional.l1_loss": F.l1_loss,
    "nn.functional.nll_loss": F.nll_loss,
    "nn.functional.cross_entropy": F.cross_entropy,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "flatten": F.flatten,
    "unflatten": F.unflatten,
}

# What cannot pass: (operations whose names start so, the samples it concerns) -> reason
CANNOT = {
    ("nn.functional.max_pool", lambda args, kwargs: kwargs.get("return_indices")): "return_indices raises NotImplementedError",
    ("nn.functional.batch_norm", lambda args, kwargs: args[0].ndim < 2): "an empty input of rank 1 has no channel axis",
}
MOST = 14  # samples an operation; max pools have up to 1440, of which a fixed random choice runs


def _samples(op) -> list[tuple]:
    found = [((s.input, *s.args), s.kwargs) for s in op.sample_inputs("cpu", torch.float32, requires_grad=True)]
    found = [s for s in found if not any(op.name.startswith(name) and concerns(*s) for name, concerns in CANNOT)]
    return found if len(found) <= MOST else random.Random(0).sample(found, MOST)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", [op for op in op_db if op.name in TWINS and not op.variant_test_name], ids=lambda op: op.name)
def test_samples(op):
    failures, samples = [], _samples(op)
    for args, kwargs in samples:
        try:
            compare(TWINS[op.name], op.op, args, kwargs)
        except Exception as e:
            shown = [tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in args]
            failures.append(f"{shown} {kwargs}: {type(e).__name__}: {str(e)[:300]}")
    assert samples, f"{op.name} has no sample left"
    assert not failures, f"{len(failures)} of {len(samples)} samples fail:\n" + "\n".join(failures[:5])
