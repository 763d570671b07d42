"""Numbers of 8 bits: they are converted, moved, compared and saved as PyTorch does, and nothing is computed in them."""

import io

import pytest
import torch

import funnn.torch as ft
from funnn.checkpoint import load_pt

NAMES = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
EQUAL = """
    y; y[1:3]; y[0].item(); y.tolist(); y.float(); y.double(); y.half(); y.bfloat16(); y[:2].to(t.int64); y.clone(); y.clone().copy_(x); y.clone().fill_(1)
    y == y; y != y; t.isnan(y); y.abs(); t.cat([y, y]); t.stack([y, y]); t.where(x > 1, y, y); y.reshape(2, 4).t().contiguous(); y.repeat(2); y.expand(2, 8)
    y.view(t.uint8); y.view(t.uint8).view(d); y.index_select(0, t.tensor([1])); y[t.tensor([1, 2])]; t.zeros(2, dtype=d); t.ones(2, 2, dtype=d)
    t.full((2,), 2.0, dtype=d); t.tensor([1.0, 2.0], dtype=d); t.empty(2, 3, dtype=d).shape; y.new_zeros(2); y.type(); y.element_size(); y.dtype; d.itemsize
    d.is_floating_point; d.is_signed; t.is_floating_point(y); t.zeros(3, dtype=t.int32).to(d); t.tensor([True]).to(d); x.half().to(d); x.double().to(d)
    t.nn.Parameter(y, requires_grad=False); y.clone().requires_grad_(); t.finfo(d).max; t.finfo(d).tiny; t.finfo(d).bits; y.detach(); y.cpu(); y.unsqueeze(0)
"""
REFUSED = """
    y + y; y + 1; y * 2.0; y + x; -y; y.sum(); y.max(); y @ y; y.exp(); t.equal(y, y); y.gt(y); y.flip(0); t.randn(2, dtype=d); t.promote_types(d, t.float32)
    t.relu(y); y.cumsum(0); y.sort(); y.mean()
"""


EXPONENTS = """
    y; y[:6]; y.float(); y.double(); y[6:7]; y.tolist(); y.clone(); y == y; t.isnan(y); y[0].item(); t.zeros(2, dtype=d); t.ones(2, 2, dtype=d)
    t.full((2,), 2.0, dtype=d); t.tensor([1.0, 2.0], dtype=d); t.tensor([0.0, -2.0], dtype=d); t.empty(2, 3, dtype=d).shape; y.new_zeros(2); y.type()
    x.half().to(d); x.double().to(d); x.bfloat16().to(d); t.tensor([3, 1]).to(d); t.tensor([True]).to(d); y.view(t.uint8); y.view(t.uint8).view(d)
    t.cat([y, y]); y.reshape(2, -1).t().contiguous(); y.repeat(2); y[t.tensor([1, 2])]; y.clone().fill_(1); t.where(x > 1, y, y); d.itemsize; d.is_signed
    d.is_floating_point; d.is_complex; t.finfo(d); t.finfo(d).bits; t.finfo(d).eps; t.finfo(d).resolution; y.clone().requires_grad_(); y.element_size()
"""


def cases(text):
    return [part.strip() for part in text.replace("\n", ";").split(";") if part.strip()]


def answer(t, name, code):
    d = getattr(t, name)
    x = t.tensor(
        [0.1, 1, 300, 500, 1e9, -1e-9, 3.3, float("inf"), *([0, -1, 1e-40, 1.5, 3, 6, float("nan"), 2.0**-126] if "e8m0" in name else [])]
    )
    return str(eval(code, {"t": t, "d": d, "x": x, "y": x.to(d)}))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_the_same(name):
    for code in cases(EQUAL):
        assert answer(ft, name, code) == answer(torch, name, code), code


def test_exponents():
    for code in cases(EXPONENTS):
        assert answer(ft, "float8_e8m0fnu", code) == answer(torch, "float8_e8m0fnu", code), code
    for code in ("y + y", "y.sum()", "-y", "t.promote_types(d, t.float32)", "t.full((2,), 0.0, dtype=d)"):
        for t in (torch, ft):
            with pytest.raises(RuntimeError):
                answer(t, "float8_e8m0fnu", code)


def test_every_number_becomes_the_exponent_that_torch_gives():
    bits = torch.arange(0, 2**32, 2**17 + 12345).to(torch.uint32).view(torch.float32)
    theirs = bits.to(torch.float8_e8m0fnu).view(torch.uint8).numpy()
    for ours in (ft.from_numpy(bits.numpy()), ft.from_numpy(bits.numpy()) + 0):
        assert (ours.to(ft.float8_e8m0fnu).view(ft.uint8).numpy() == theirs).mean() > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_what_is_refused(name):
    for code in cases(REFUSED):
        for t in (torch, ft):
            with pytest.raises(RuntimeError):  # NotImplementedError is one
                answer(t, name, code)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_there_and_back(name):
    bits = ft.arange(256).to(ft.uint8)
    wide = bits.view(getattr(ft, name)).float()
    assert str(wide) == str(torch.arange(256).to(torch.uint8).view(getattr(torch, name)).float())
    numbers = ~wide.isnan()
    assert (wide.to(getattr(ft, name)).view(ft.uint8)[numbers] == bits[numbers]).all()


@pytest.mark.parametrize("name", NAMES)
def test_conversions_of_many_numbers(name):
    x = torch.linspace(-700, 700, 4001) * torch.tensor([1.0, 1e-3, 100.0])[:, None]
    theirs = x.to(getattr(torch, name)).float()
    ours = ft.from_numpy(x.numpy()).to(getattr(ft, name)).float()
    assert torch.equal(torch.nan_to_num(theirs, -1), torch.nan_to_num(torch.from_numpy(ours.numpy().copy()), -1))


@pytest.mark.parametrize("name", [*NAMES, "float8_e8m0fnu"])
def test_files(name):
    theirs = torch.arange(256).to(torch.uint8).view(getattr(torch, name)).reshape(16, 16).t()
    file = io.BytesIO()
    torch.save(theirs, file)
    file.seek(0)
    ours = ft.load(file)
    file.seek(0)
    assert load_pt(file).tobytes() == theirs.contiguous().view(torch.uint8).numpy().tobytes()
    assert ours.dtype is getattr(ft, name) and ours.stride() == (1, 16)
    assert ours.contiguous().view(ft.uint8).tolist() == theirs.contiguous().view(torch.uint8).tolist()
    file = io.BytesIO()
    ft.save(ours, file)
    file.seek(0)
    back = torch.load(file)
    assert back.dtype is theirs.dtype and back.stride() == theirs.stride()
    assert torch.equal(back.contiguous().view(torch.uint8), theirs.contiguous().view(torch.uint8))


def test_gradients_pass_through_conversions():
    grads = []
    for t in (torch, ft):
        x = t.tensor([0.1, 1.0, 3.3], requires_grad=True)
        (x.to(t.float8_e4m3fn).float() * t.tensor([1.0, 2.0, 3.0])).sum().backward()
        grads.append(x.grad.tolist())
    assert grads[0] == grads[1]
