"""Every entry of PyTorch's own database of modules as objects: construction, outputs, gradients, buffers, text, state_dict, pickling, errors."""

from __future__ import annotations

import pickle
from typing import Any

import jax
import pytest
import torch
from allowed import no_difference
from twin import compare, mask

import funnn.torch as shim
from tests.module_samples import ModuleErrorEnum, module_db, name_of, samples, total

every_info = pytest.mark.parametrize("info", module_db, ids=name_of)
#: Entries that are tested in training alone.
SLOW = dict.fromkeys(
    ("Transformer", "TransformerEncoder", "TransformerEncoderLayer", "TransformerDecoderLayer", "MultiheadAttention", "LSTM", "GRU", "RNN"),
    no_difference("their programs take seconds to compile, and their evaluation mode only leaves dropout out"),
)
OUTPUTS, GRADIENTS = (2e-5, 1e-5), (1e-4, 1e-4)
pytestmark = pytest.mark.filterwarnings("ignore")


def given(value: Any) -> Any:
    """A constructor's or forward's argument for the shim."""
    if isinstance(value, torch.Tensor):
        tensor = shim.tensor(value.detach().numpy(), dtype=getattr(shim, str(value.dtype).removeprefix("torch.")))
        return tensor.requires_grad_(value.requires_grad)
    if isinstance(value, torch.nn.TransformerEncoderLayer):
        attention = value.self_attn
        sizes = attention.embed_dim, attention.num_heads, value.linear1.out_features, value.dropout.p, given(value.activation)
        settings = value.norm1.eps, attention.batch_first, value.norm_first, value.linear1.bias is not None
        ours = shim.nn.TransformerEncoderLayer(*sizes, *settings)
        ours.load_state_dict(value.state_dict())
        return ours
    if isinstance(value, (torch.dtype, torch.device)):
        return getattr(shim, str(value).removeprefix("torch.")) if isinstance(value, torch.dtype) else str(value)
    if value in (torch.nn.functional.relu, torch.nn.functional.gelu):
        return getattr(shim.nn.functional, value.__name__)
    return value


def convert(tree: Any) -> Any:
    return jax.tree.map(given, tree, is_leaf=lambda leaf: leaf is None)


def made(info: Any, constructor: Any) -> tuple[Any, Any]:
    """The module of each library, from one seed."""
    args, kwargs = convert((constructor.args, constructor.kwargs))
    torch.manual_seed(1), shim.manual_seed(1)
    return info.module_cls(*constructor.args, **constructor.kwargs), getattr(shim.nn, name_of(info))(*args, **kwargs)


def leaf(value: Any) -> Any:
    return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value


@every_info
def test_module(info):
    for train in (True, False) if info.train_and_eval_differ and name_of(info) not in SLOW else (True,):
        (sample,) = samples(info, train, 1)
        run(*made(info, sample.constructor_input), sample.forward_input, train)


def run(theirs: Any, ours: Any, inputs: Any, train: bool) -> None:
    assert mask(repr(ours)) == mask(repr(theirs))
    if not getattr(ours, "cls_to_become", None):
        compare(ours.state_dict(), theirs.state_dict(), "initial", OUTPUTS)
        assert ours.state_dict()._metadata == theirs.state_dict()._metadata
    theirs.train(train), ours.train(train)
    inputs = jax.tree.map(leaf, (inputs.args, inputs.kwargs))
    own = convert(inputs)
    torch.manual_seed(2), shim.manual_seed(2)
    expected, got = theirs(*inputs[0], **inputs[1]), ours(*own[0], **own[1])
    compare(got, expected, "output", OUTPUTS)
    if getattr(total(expected), "requires_grad", False):
        total(expected).backward(), total(got).backward()
    compare(jax.tree.leaves(own), jax.tree.leaves(inputs), "inputs", GRADIENTS)
    compare(dict(ours.named_parameters()), dict(theirs.named_parameters()), "parameters", GRADIENTS)
    compare(dict(ours.named_buffers()), dict(theirs.named_buffers()), "buffers", OUTPUTS)
    again = pickle.loads(pickle.dumps(ours))
    assert repr(again) == repr(ours) and again.training is train and list(again.state_dict()) == list(ours.state_dict())
    other = again.load_state_dict(theirs.state_dict())  # torch's own tensors
    assert not other.missing_keys and not other.unexpected_keys


@pytest.mark.parametrize("info", [info for info in module_db if info.module_error_inputs_func is not None], ids=name_of)
def test_error_inputs(info):
    """What torch refuses, in the constructor or in forward, is refused by the same class of error (or one of several that it is)."""
    refused = 0
    for bad in info.module_error_inputs_func(info, "cpu", torch.float32, False, True):
        constructor, inputs = bad.module_error_input.constructor_input, bad.module_error_input.forward_input
        args, kwargs = convert((constructor.args, constructor.kwargs))
        with pytest.raises(bad.error_type) as caught:
            module = getattr(shim.nn, name_of(info))(*args, **kwargs)
            if bad.error_on is ModuleErrorEnum.FORWARD_ERROR:
                args, kwargs = convert((inputs.args, inputs.kwargs))
                module(*args, **kwargs)
        assert len(str(caught.value)) > 15 and not type(caught.value).__module__.startswith("funnn.")
        refused += 1
    assert refused


def test_no_list_names_what_is_not_there():
    assert set(SLOW) <= set(map(name_of, module_db))
