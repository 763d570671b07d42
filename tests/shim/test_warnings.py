"""PyTorch's warnings: class, text and number, at every call where there, and once in a program where there."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

import funnn.torch as shim


def net(t):
    return [t.nn.Parameter(t.ones(2))]


def schedule(t, kind, *args):
    optimizer = t.optim.SGD(net(t), lr=0.1, momentum=0.9)
    return optimizer, getattr(t.optim.lr_scheduler, kind)(optimizer, *args)


def encoder(t, heads=2, **options):
    return t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(8 if heads == 2 else 9, heads, **options), 1)


def losses(t):
    a, b = t.zeros(10, 1), t.zeros(10)
    for loss in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        getattr(t.nn.functional, loss)(a, b)
        getattr(t.nn.functional, loss)(t.zeros(4, 1), t.zeros(1, 4))
    for _ in range(2):
        t.nn.MSELoss()(a, b), t.nn.L1Loss()(a, b), t.nn.SmoothL1Loss()(a, b)


def size_average(t):
    f = t.nn.functional
    f.mse_loss(t.zeros(2), t.zeros(2), size_average=True), f.cross_entropy(t.zeros(2, 3), t.tensor([0, 1]), reduce=False)
    t.nn.L1Loss(size_average=False), t.nn.CrossEntropyLoss(reduce=True)


def implicit_dim(t):
    f, x = t.nn.functional, t.zeros(2, 3)
    for _ in range(2):
        f.softmax(x), f.log_softmax(x), f.softmin(x)
    t.nn.Softmax()(x), t.nn.LogSoftmax()(x)


def upsampling(t):
    f, x = t.nn.functional, t.zeros(1, 1, 2, 2)
    f.upsample(x, scale_factor=2), f.upsample_nearest(x, scale_factor=2), f.upsample_bilinear(x, scale_factor=2)
    f.grid_sample(x, t.zeros(1, 2, 2, 2)), f.affine_grid(t.zeros(1, 2, 3), (1, 1, 2, 2))


def transformers(t):
    encoder(t), encoder(t, batch_first=True, norm_first=True), encoder(t, 3, batch_first=True), encoder(t, batch_first=True, bias=False)
    encoder(t, batch_first=True, activation=t.nn.functional.silu), encoder(t, batch_first=True)
    t.nn.Transformer(8, 2, 1, 1, 8), t.nn.Transformer(8, 2, 1, 1, 8, batch_first=True)


def masks(t):
    attention, x = t.nn.MultiheadAttention(8, 2), t.zeros(3, 2, 8)
    for _ in range(2):
        attention(x, x, x, key_padding_mask=t.zeros(2, 3).bool(), attn_mask=t.zeros(3, 3))


def backward_with_create_graph(t):
    x = t.ones(2, requires_grad=True)
    (x**2).sum().backward(create_graph=True)


def gradient_of_no_leaf(t):
    x = t.ones(2, requires_grad=True) * 2
    print(x.grad, x.grad)
    x.retain_grad()
    x.grad, t.ones(2).grad


def schedulers(t):
    for kind, *args in [
        ("StepLR", 1),
        ("ConstantLR",),
        ("LinearLR",),
        ("ExponentialLR", 0.9),
        ("CosineAnnealingLR", 3),
        ("CyclicLR", 0.1, 0.2),
        ("OneCycleLR", 0.1, 5),
    ]:
        _, scheduler = schedule(t, kind, *args)
        scheduler.step(), scheduler.get_lr()
    optimizer, scheduler = schedule(t, "StepLR", 1)
    optimizer.step(), scheduler.step(1), scheduler.step(2)


def initialisers(t):
    for name in (
        "uniform_",
        "normal_",
        "xavier_uniform_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "orthogonal_",
        "trunc_normal_",
        "ones_",
        "zeros_",
    ):
        getattr(t.nn.init, name)(t.empty(0, 3))
    for name, *args in (("uniform",), ("normal",), ("constant", 1.0), ("xavier_uniform",), ("eye",)):
        getattr(t.nn.init, name)(t.empty(2, 3), *args)
    t.nn.init.trunc_normal_(t.empty(2, 2), mean=5.0, std=1.0, a=-1.0, b=1.0)
    t.nn.Linear(0, 3)


def recurrent_dropout(t):
    t.nn.LSTM(2, 3, proj_size=2)(t.ones(4, 2)), t.nn.LSTM(2, 3, proj_size=2).double()(t.ones(4, 2).double())
    t.nn.LSTM(2, 2, dropout=0.5), t.nn.GRU(2, 2, 1, dropout=0.1), t.nn.RNN(2, 2, dropout=0.1)


def transposes(t):
    t.zeros(2, 3, 4).T, t.zeros(3).T, t.tensor(1.0).T, t.zeros(2, 2).T, t.tensor(1.0).mT, t.tensor(1.0).H


def older_names(t):
    x = t.eye(2)
    t.qr(x), t.svd(x), t.cholesky(x), t.lu(x), t.chain_matmul(x, x), t.triangular_solve(x, x), t.lu_solve(x, *t.linalg.lu_factor(x))
    t.cross(t.ones(3, 3), t.ones(3, 3)), t.linalg.cross(t.ones(3), t.ones(3)), t.range(0, 3), t.meshgrid(t.arange(2), t.arange(2))
    t.stft(t.ones(16), 4, return_complex=False), t.norm(x), t.nn.functional.tanh(x), t.nn.functional.sigmoid(x), x // 2
    t.autograd.Variable(t.ones(2), volatile=True), t.set_default_tensor_type(t.FloatTensor)


def older_overloads(t):
    return t.add(t.ones(2), 2, t.ones(2)), t.ones(2).addcdiv_(-0.5, t.ones(2), t.ones(2)) if t is None else None


def out_that_is_resized(t):
    for _ in range(2):
        t.add(t.ones(3), 1, out=t.ones(2))


def copies(t):
    x = t.ones(2)
    t.tensor(x), t.as_tensor(x), x.new_tensor(x), t.tensor([np.ones(2)])
    array = np.ones(2)
    array.setflags(write=False)
    t.from_numpy(array)


def conversions(t):
    z = t.tensor([1 + 2j])
    z.float(), z.to(t.float64), z.real, t.zeros(1).copy_(z)
    t.where(t.tensor([1, 0], dtype=t.uint8), t.ones(2), t.zeros(2)), t.arange(3)[t.tensor([1, 0, 1], dtype=t.uint8)]


def operations(t):
    x, i, f = t.ones(3), t.tensor([0]), t.nn.functional
    for _ in range(2):
        t.istft(t.stft(t.ones(32), 8, window=t.ones(8), return_complex=True), 8)
        x.index_reduce(0, i, t.ones(1), "mean"), x.scatter(0, i, t.ones(1), reduce="add"), x.scatter(0, i, 1.0, reduce="add")
        f.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2), padding="same"), f.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 3), padding="same")
        f.softmax(t.ones(2, dtype=t.complex64), 0, dtype=t.float32), f.log_softmax(t.ones(2, dtype=t.complex64), 0, dtype=t.float32)
        f.dropout2d(t.ones(2, 3, 4), training=False), f.dropout3d(t.ones(2, 3), training=False)


def degrees_of_freedom(t):
    t.std(t.ones(1)), t.var(t.ones(1)), t.ones(1).std(), t.var_mean(t.ones(1)), t.cov(t.ones(1)), t.ones(2, 0).std(1), t.ones(3).std()


def dropout(t):
    f = t.nn.functional
    f.dropout2d(t.ones(2, 3)), f.dropout2d(t.ones(2, 3, 4)), f.dropout3d(t.ones(2, 3)), t.nn.Dropout2d()(t.ones(2, 3, 4))


def hooks(t):
    for register, wants in (("register_backward_hook", True), ("register_full_backward_hook", False)):
        module = t.nn.Linear(2, 2)
        getattr(module, register)(lambda *args: None)
        module(t.ones(1, 2, requires_grad=wants)).sum().backward()


def modules(t):
    (
        t.nn.Linear(2, 2).state_dict({}, "a."),
        t.nn.Linear(2, 2).to(t.complex64),
        t.nn.Hardtanh(min_value=0.0, max_value=1.0),
        t.nn.KLDivLoss()(t.zeros(2, 2), t.ones(2, 2)),
    )
    t.nn.InstanceNorm1d(3)(t.ones(2, 4, 5)), t.nn.LazyLinear(2)


def checkpoints(t):
    x = t.ones(1, 2, requires_grad=True)
    t.utils.checkpoint.checkpoint(lambda v: v * 2, x), t.utils.checkpoint.checkpoint_sequential([t.nn.Linear(2, 2)], 1, x)
    t.utils.checkpoint.checkpoint(lambda v: v * 2, t.ones(2), use_reentrant=True)


def loaders(t):
    t.utils.data.DataLoader([1, 2], num_workers=1000), list(t.utils.data.DataLoader([1, 2], pin_memory=True))
    t.utils.data.random_split([1], [0.5, 0.5]), t.utils.data.ConcatDataset([[1], [2]]).cummulative_sizes


def others(t):
    with t.autograd.detect_anomaly():
        pass
    t.autocast("cuda"), t.optim.SGD([*net(t)] * 2, lr=0.1), t.cuda.amp.autocast(enabled=False)


PROGRAMS = [
    *(
        losses,
        size_average,
        implicit_dim,
        upsampling,
        transformers,
        masks,
        backward_with_create_graph,
        gradient_of_no_leaf,
        schedulers,
        initialisers,
    ),
    *(
        recurrent_dropout,
        transposes,
        older_names,
        older_overloads,
        out_that_is_resized,
        copies,
        conversions,
        operations,
        degrees_of_freedom,
        dropout,
        hooks,
        modules,
    ),
    *(checkpoints, loaders, others),
]


def said(t, program):
    """(class, text) of all warnings; of those of C++, without the line that gave them."""
    before = t.is_warn_always_enabled()
    t.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            program(t)
    finally:
        t.set_warn_always(before)
    return [
        (w.category.__name__, re.sub(r"\s*\(Triggered internally.*", "", str(w.message), flags=re.DOTALL).replace("funnn.torch", "torch"))
        for w in found
    ]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_warnings(program):
    expected = said(torch, program)
    assert said(shim, program) == expected


def test_once_in_a_program():
    """And where the user's line is, not funnn's."""
    text = (
        "import warnings, funnn.torch as torch\n"
        "warnings.simplefilter('always')\n"
        "for _ in range(3): torch.meshgrid(torch.arange(2), torch.arange(2))\n"
        "for _ in range(2): torch.nn.functional.mse_loss(torch.zeros(2, 1), torch.zeros(2))\n"
        "net = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(4, 2, 4, batch_first=True), 1).requires_grad_(False).eval()\n"
        "for _ in range(2): net(torch.zeros(1, 2, 4), src_key_padding_mask=torch.tensor([[False, True]]))\n"
    )
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    lines = [line for line in run.stderr.splitlines() if "Warning" in line]
    assert [line.partition(": UserWarning: ")[0] for line in lines] == ["<string>:3", "<string>:4", "<string>:4", "<string>:6"], run.stderr
    assert "The PyTorch API of nested tensors is in prototype stage" in lines[-1]


@pytest.mark.parametrize("loss", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_sizes_that_then_fail_are_warned_of_first(loss):
    """The warning comes before the error, at each call, with and without a gradient."""

    def program(t):
        texts = []
        for grad in (False, True, True):
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                with pytest.raises(RuntimeError, match="The size of tensor a"):
                    getattr(t.nn.functional, loss)(t.ones(3, 4, requires_grad=grad), t.ones(2))
            texts.append([str(each.message) for each in given])
        return texts

    assert program(shim) == program(torch)
