"""Every entry of PyTorch's own database of modules through the pure layers: outputs, gradients, buffers, refused input."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from funnn import checkpoint, layers
from funnn import functional as F
from tests import module_samples
from tests.layers.test_cases import assert_close, grad_of
from tests.module_samples import ModuleErrorEnum, module_db, name_of, total
from tests.quick import quick

MOST = 2  # samples a module and mode; a fixed random choice of those that have more
LAZY = "a Layer is a value with its sizes given; the lazy classes are Modules of funnn.torch"
#: Classes that have no layer: name -> reason.
NO_LAYER = {name_of(info): LAZY for info in module_db if info.is_lazy}
#: Samples that cannot pass: name -> (which, reason).
CANNOT: dict[str, tuple[Callable, str]] = {}
#: Error inputs that are no errors here: name -> (pattern of torch's message, reason).
NO_ERROR: dict[str, tuple[str, str]] = {
    "Embedding": (
        "index out of range|scalar type",
        "values of arrays are not looked at (the row is NaN), and any integer dtype is an index",
    ),
    "NLLLoss": ("expected scalar type", "any integer dtype is a target"),
    "CrossEntropyLoss": ("expected target dtype to be Long", "any integer dtype is a target"),
}
#: Differences from (2e-5, 1e-5) for outputs and (1e-4, 1e-4) for gradients, each with its reason beside it.
TOLERANCES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {}
#: How a module among the constructor's arguments becomes a layer.
LAYER_OF: dict[type, Callable] = {
    torch.nn.TransformerEncoderLayer: lambda module: layers.TransformerEncoderLayer(
        module.self_attn.embed_dim,
        module.self_attn.num_heads,
        module.linear1.out_features,
        module.dropout.p,
        given(module.activation),
        module.norm1.eps,
        module.self_attn.batch_first,
        module.norm_first,
        module.linear1.bias is not None,
    )
}

INFOS = [info for info in module_db if name_of(info) not in NO_LAYER]
every_info = pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)


def given(value: Any) -> Any:
    """A constructor's argument for funnn."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    if isinstance(value, torch.nn.Module):
        return LAYER_OF[type(value)](value)
    if value in (torch.nn.functional.relu, torch.nn.functional.gelu):
        return getattr(F, value.__name__)
    return value


def layer_of(info: Any, constructor: Any) -> layers.Layer:
    kwargs = {name: given(value) for name, value in constructor.kwargs.items() if name not in ("device", "dtype")}
    return getattr(layers, name_of(info))(*map(given, constructor.args), **kwargs)


def to_jax(value: Any) -> Any:
    return jnp.asarray(value.detach().numpy()) if isinstance(value, torch.Tensor) else value


def samples(info: Any, train: bool) -> list:
    return module_samples.samples(info, train, MOST, *CANNOT.get(name_of(info), ())[:1])


@pytest.mark.filterwarnings("ignore")
@every_info
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_samples(info, train):
    if not train and not info.train_and_eval_differ:
        pytest.skip("train and eval do not differ")
    chosen, failures = samples(info, train), []
    assert chosen, f"{info.name} has no sample left"
    for sample in chosen:
        try:
            compare(info, sample, train)
        except Exception as error:
            constructor = sample.constructor_input
            failures.append(f"{constructor.args} {constructor.kwargs}: {type(error).__name__}: {str(error)[:300]}")
    assert not failures, f"{len(failures)} of {len(chosen)} samples fail:\n" + "\n".join(failures[:5])


def compare(info: Any, sample: Any, train: bool) -> None:
    constructor, inputs = sample.constructor_input, sample.forward_input
    theirs = info.module_cls(*constructor.args, **constructor.kwargs).train(train)
    layer = layer_of(info, constructor)
    assert repr(layer) == repr(theirs)
    params, state = checkpoint.from_state_dict(theirs.state_dict(), *layer.init(jax.random.key(0)))
    leaves, tree = jax.tree.flatten((inputs.args, inputs.kwargs))
    arrays = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
    live = [i for i in arrays if leaves[i].requires_grad]  # targets have no gradient in some of torch's losses
    leaves = [x.detach().requires_grad_(i in live) if i in arrays else x for i, x in enumerate(leaves)]

    def scalar(params, chosen):
        filled = [to_jax(x) for x in leaves]
        for i, x in zip(live, chosen, strict=True):
            filled[i] = x
        args, kwargs = jax.tree.unflatten(tree, filled)
        y, new_state = layer.apply(params, state, *args, **kwargs, key=jax.random.key(1), train=train)
        return jnp.asarray(total(y), jnp.float32), (y, new_state)

    gradients = quick(jax.grad(scalar, argnums=(0, 1), has_aux=True))
    (grads, input_grads), (y, new_state) = gradients(params, [to_jax(leaves[i]) for i in live])
    args, kwargs = jax.tree.unflatten(tree, leaves)
    expected = theirs(*args, **kwargs)
    summed = total(expected)
    summed.backward() if getattr(summed, "requires_grad", False) else None
    tolerance, gradient_tolerance = TOLERANCES.get(name_of(info), ((2e-5, 1e-5), (1e-4, 1e-4)))
    assert_close(y, expected, tolerance, "output")
    for name, parameter in theirs.named_parameters():
        assert_close(checkpoint.flatten(grads)[name], grad_of(parameter), gradient_tolerance, name)
    for i, gradient in zip(live, input_grads, strict=True):
        assert_close(gradient, grad_of(leaves[i]), gradient_tolerance, f"gradient of input {i}")
    for name, buffer in theirs.named_buffers():
        assert_close(checkpoint.flatten(new_state)[name], buffer, (1e-5, 1e-5), name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("info", [info for info in INFOS if info.module_error_inputs_func is not None], ids=lambda info: info.name)
def test_error_inputs(info):
    """What torch refuses, in the constructor or in forward, is refused, by a class that torch's users would catch."""
    pattern = NO_ERROR.get(name_of(info), (r"(?!)", ""))[0]
    refused = 0
    for bad in info.module_error_inputs_func(info, "cpu", torch.float32, False, True):
        if re.search(pattern, bad.error_regex):
            continue
        constructor, inputs = bad.module_error_input.constructor_input, bad.module_error_input.forward_input
        with (
            jax.enable_x64(True),
            pytest.raises((bad.error_type, NotImplementedError)) as info_,
        ):  # some inputs are refused for being float64
            layer = layer_of(info, constructor)
            if bad.error_on is ModuleErrorEnum.FORWARD_ERROR:
                params, state = layer.init(jax.random.key(0))
                args, kwargs = jax.tree.map(to_jax, (inputs.args, inputs.kwargs))
                layer.apply(params, state, *args, **kwargs, key=jax.random.key(1), train=True)
        assert len(str(info_.value)) > 15
        refused += 1
    assert refused or pattern != r"(?!)"


def test_every_entry_has_its_layer():
    assert {name_of(info) for info in INFOS} - set(dir(layers)) == set()


def test_no_list_names_what_is_not_there():
    names = {name_of(info) for info in module_db}
    assert {*CANNOT, *NO_ERROR, *TOLERANCES} <= names
    assert all(np.isfinite(value) for pair in TOLERANCES.values() for part in pair for value in part)
