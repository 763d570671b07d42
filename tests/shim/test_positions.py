"""Arguments by position where a program may give them so: constructors of modules, and calls that test_overloads.py does not make up."""

from __future__ import annotations

import inspect
import warnings

import pytest
import torch
from torch.testing._internal.common_modules import module_db
from twin import same, same_error

import funnn.torch as shim


def _positional(info) -> list[list]:
    """The constructor's arguments of the database, all that can stand by position, with a device and a dtype."""
    found = []
    for sample in info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=True)[:3]:
        constructor = sample.constructor_input
        signature = inspect.signature(info.module_cls)
        if "args" in signature.parameters:  # of the recurrent ones; here they are written out
            signature = inspect.signature(getattr(shim.nn, info.module_cls.__name__))
        bound = signature.bind(*constructor.args, **constructor.kwargs)
        given = bound.arguments | {"device": "cpu", "dtype": "the dtype"}
        values = []
        for item in signature.parameters.values():
            if item.kind is not item.POSITIONAL_OR_KEYWORD or (item.name == "device" and info.module_cls in (torch.nn.RNN, torch.nn.GRU)):
                break  # where PyTorch has a proj_size before it, which may not be given
            values.append(given.get(item.name, item.default))
        if not any(isinstance(value, (torch.nn.Module, torch.Tensor)) or callable(value) for value in values):
            found.append(values)
    return found


@pytest.mark.parametrize("info", module_db, ids=lambda info: info.name.replace("nn.", ""))
def test_constructors(info):
    ours = getattr(shim.nn, info.module_cls.__name__, None)
    if ours is None:
        return
    for values in _positional(info):
        made = []
        for library, kind in ((torch, info.module_cls), (shim, ours)):
            args = [library.float64 if value == "the dtype" else value for value in values]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = kind(*args)
            parameters = [(name, str(value.dtype)) for name, value in module.named_parameters()]
            made.append((repr(module), parameters))
        assert made[0] == made[1]


def _rnn(t):
    x, h = t.linspace(-1, 1, 12).reshape(2, 3, 2), t.zeros(1, 3, 4)
    weights = [t.linspace(-1, 1, n * m).reshape(n, m) for n, m in ((16, 2), (16, 4))] + [t.zeros(16), t.zeros(16)]
    return x, h, weights


PROGRAMS = {
    "lstm": lambda t: (lambda x, h, w: t.lstm(x, (h, h), w, True, 1, 0.0, False, False, False))(*_rnn(t)),
    "lstm by name": lambda t: (
        lambda x, h, w: t.lstm(
            input=x, hx=(h, h), params=w, has_biases=True, num_layers=1, dropout=0.0, train=False, bidirectional=False, batch_first=False
        )
    )(*_rnn(t)),
    "lstm_cell by name": lambda t: (lambda x, h, w: t.lstm_cell(input=x[0], hx=(h[0], h[0]), w_ih=w[0], w_hh=w[1]))(*_rnn(t)),
    "batch_norm by name": lambda t: t.batch_norm(
        input=t.arange(6.0).reshape(3, 2),
        weight=None,
        bias=None,
        running_mean=t.zeros(2),
        running_var=t.ones(2),
        training=False,
        momentum=0.1,
        eps=1e-5,
        cudnn_enabled=True,
    ),
    "grid_sampler by name": lambda t: t.grid_sampler(
        input=t.arange(4.0).reshape(1, 1, 2, 2), grid=t.zeros(1, 1, 1, 2), interpolation_mode=0, padding_mode=0, align_corners=False
    ),
    "scatter with a reduction": lambda t: t.zeros(3).scatter_(dim=0, index=t.tensor([0, 1]), value=2.0, reduce="add"),
    "where of a condition": lambda t: t.where(condition=t.tensor([True, False])),
    "tensordot": lambda t: t.tensordot(a=t.ones(2, 3), b=t.ones(3, 2), dims=1),
    "split of a function": lambda t: t.split(tensor=t.arange(4), split_size_or_sections=[1, 3], dim=0),
    "split of a method": lambda t: t.arange(4).split(split_size=2),
    "unique_consecutive": lambda t: t.tensor([1, 1, 2]).unique_consecutive(return_counts=True),
    "embedding by name": lambda t: t.embedding(weight=t.eye(3), indices=t.tensor([2, 0])),
    "normalize into": lambda t: (lambda out: (t.nn.functional.normalize(t.eye(2) * 3, 2.0, 1, 1e-12, out), out))(t.empty(2, 2)),
    "zeros into, with gradients": lambda t: t.zeros(2, out=t.empty(2), requires_grad=True),
    "softmax of a dtype": lambda t: t.nn.functional.softmax(t.ones(2), 0, 3, t.float64),
    "kl_div without a reduction": lambda t: t.kl_div(t.zeros(2), t.ones(2)),
    "variance of one": lambda t: [t.tensor([[1.0, 2.0]]).var(0), t.tensor([1.0, 2.0]).std(correction=2), t.tensor([3.0]).std(correction=0)],
    "power of truth": lambda t: [t.tensor([True, False]) ** 2, t.tensor([True, False]) ** 0],
    "Tensor of a tensor": lambda t: (lambda x: (t.Tensor(x), t.Tensor(x).dtype, t.Tensor(x).zero_(), x))(t.tensor([1, 2])),
    "mode of inference": lambda t: [t.inference_mode().mode, t.inference_mode(False).mode, t.no_grad().prev],
    "mode of gradients": lambda t: (lambda mode: (mode.mode, mode.prev))(t.set_grad_enabled(True)),
    "kernels of attention": lambda t: [int(kernel) for kernel in t.nn.attention._cur_sdpa_kernel_backends()],
    "modules of amp": lambda t: [
        t.cuda.amp.autocast_mode.autocast is t.cuda.amp.autocast,
        t.cuda.amp.grad_scaler.GradScaler is t.cuda.amp.GradScaler,
        t.cpu.amp.autocast_mode.autocast is t.cpu.amp.autocast,
        t.cuda.amp.common.amp_definitely_not_available(),
        t.torch is t,
        t.linalg.LinAlgError.__name__,
    ],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(PROGRAMS[name])


def test_chosen_kernels_of_attention():
    def program(t):
        kernels, seen = t.nn.attention.SDPBackend, []
        for priority in (False, True):
            with t.nn.attention.sdpa_kernel([kernels.MATH, kernels.FLASH_ATTENTION], set_priority=priority):
                seen += [[int(kernel) for kernel in t.nn.attention._cur_sdpa_kernel_backends(priority)]]
        return seen

    same(program)


def test_saved_tensors_as_arrays():
    """Hooks that keep what is saved as NumPy arrays."""

    def program(t):
        weight, x = t.linspace(-1, 1, 6).reshape(2, 3).requires_grad_(), t.linspace(0, 1, 3)
        with t.autograd.graph.saved_tensors_hooks(lambda saved: saved.detach().numpy(), t.from_numpy):
            loss = (t.tanh(weight * x) * weight).sum() + t.softmax(weight, 1).pow(2).sum()
        loss.backward()
        return weight.grad

    same(program)


OVERLAPS = {
    "cat into an operand": lambda t: (lambda x: t.cat((x, x), out=x))(t.ones(2)),
    "gather into its input": lambda t: (lambda x: t.gather(x, 0, t.tensor([0, 1]), out=x))(t.ones(2)),
    "a part over another": lambda t: (lambda x: t.add(x[:3], 1, out=x[1:]))(t.ones(4)),
    "exp over a part": lambda t: (lambda x: t.exp(x[:4], out=x[3:7]))(t.ones(8)),
    "a product over its transpose": lambda t: (lambda x: t.mul(x, 2, out=x.t()))(t.ones(3, 2)),
}


@pytest.mark.parametrize("name", OVERLAPS)
def test_out_over_an_operand(name):
    same_error(OVERLAPS[name], RuntimeError, "refer to a single memory location")


def test_out_is_the_operand():
    same(lambda t: (lambda x: [t.add(x, 1, out=x), t.sin(x[::2], out=x[1::2]), x])(t.zeros(4)))


def test_no_gpu():
    if not torch.cuda.is_available():
        for program in (lambda t: t.ones(1).cuda(), lambda t: t.ones(1).to("cuda"), lambda t: t.zeros(1, device="cuda")):
            same_error(program, AssertionError, "Torch not compiled with CUDA enabled")
            with pytest.raises(RuntimeError):
                program(shim)
