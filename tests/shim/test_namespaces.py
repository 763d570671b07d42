"""The small namespaces that scripts ask about devices, limits and TorchScript: torch's answers on a machine without a GPU."""

import jax
import pytest
import torch
from twin import same, same_error

import funnn.torch as shim

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="PyTorch's answers here are those of a CPU")


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"])
def test_limits_of_floats(name):
    def program(t):
        info = t.finfo(getattr(t, name))
        print(info)
        return [getattr(info, key) for key in ("bits", "dtype", "eps", "max", "min", "tiny", "smallest_normal", "resolution")]

    same(program, tolerance=(1e-12, 0))


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_limits_of_integers(name):
    def program(t):
        info = t.iinfo(getattr(t, name))
        print(info, info == t.iinfo(getattr(t, name)))
        return info.bits, info.dtype, info.max, info.min

    same(program)


def test_limits_of_the_wrong_kind():
    same(lambda t: print(t.finfo() == t.finfo(t.float32), t.finfo() == t.finfo(t.float64)))
    same_error(lambda t: t.finfo(t.int8), TypeError, r"torch.finfo\(\) requires a floating point input type")
    same_error(lambda t: t.iinfo(t.float32), TypeError, r"torch.iinfo\(\) requires an integer input type")
    same_error(lambda t: t.iinfo(t.bool), TypeError, "torch.iinfo")


QUESTIONS = {
    "cuda": lambda t: (t.cuda.is_available(), t.cuda.device_count(), t.cuda.is_initialized(), t.cuda.is_bf16_supported()),
    "cuda memory": lambda t: (t.cuda.memory_allocated(), t.cuda.max_memory_allocated()),
    "accelerator": lambda t: (t.accelerator.is_available(), t.accelerator.device_count(), t.accelerator.current_accelerator()),
    "backends": lambda t: (t.backends.mps.is_available(), t.backends.cuda.is_built(), t.backends.cudnn.is_available()),
    "cudnn": lambda t: (t.backends.cudnn.enabled, t.backends.cudnn.benchmark, t.backends.cudnn.deterministic, t.backends.cudnn.version()),
    "jit": lambda t: (t.jit.is_scripting(), t.jit.is_tracing()),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_answers(name):
    same(QUESTIONS[name])


@pytest.mark.parametrize("name", ["current_device", "get_device_name", "get_device_properties", "get_device_capability"])
def test_no_gpu_to_ask(name):
    same_error(lambda t: getattr(t.cuda, name)(), AssertionError, "Torch not compiled with CUDA enabled")


def test_no_accelerator_to_ask():
    same_error(lambda t: t.accelerator.current_device_index(), RuntimeError, "Cannot access accelerator device when none is available")
    same_error(lambda t: t.accelerator.set_device_index(0), RuntimeError, "accelerator")


def test_settings_are_kept():
    shim.backends.cudnn.benchmark = True
    try:
        assert shim.backends.cudnn.benchmark
    finally:
        shim.backends.cudnn.benchmark = False


def test_torchscript_decorators():
    def program(t):
        @t.jit.ignore
        def one(x: t.Tensor) -> t.Tensor:
            return x + 1

        @t.jit.unused
        def two(x: t.Tensor) -> t.Tensor:
            return x * 2

        @t.jit.export
        def three(x: t.Tensor) -> t.Tensor:
            return x - 3

        return one(t.ones(2)), two(t.ones(2)), three(t.ones(2))

    same(program)


def test_torchscript_is_the_function_itself():
    net = shim.nn.Linear(2, 2)
    assert shim.jit.script(net) is net and shim.jit.trace(net, shim.ones(1, 2)) is net
    for name in ("save", "load"):
        with pytest.raises(NotImplementedError, match=f"torch.jit.{name} is not supported"):
            getattr(shim.jit, name)("file.pt")


def test_cuda_tensors_need_a_gpu():
    assert issubclass(shim.cuda.OutOfMemoryError, RuntimeError) and issubclass(torch.cuda.OutOfMemoryError, RuntimeError)
    with pytest.raises((RuntimeError, AssertionError), match="CUDA"):
        shim.ones(2).cuda()


def test_cuda_is_the_accelerator_that_jax_has(monkeypatch):
    from funnn.engine.types import device as _device

    monkeypatch.setattr(_device, "accelerated", lambda: True)
    _device.here.cache_clear()
    try:
        x = shim.ones(2)
        assert x.device == shim.device("cuda", 0) and x.is_cuda and not x.is_cpu and x.get_device() == 0
        assert x.to("cuda").device == x.cuda().device == shim.zeros(2, device=x.device).device == x.cpu().device == x.device
    finally:
        monkeypatch.undo()
        _device.here.cache_clear()
    assert x.device == shim.device("cpu") and not x.is_cuda and x.is_cpu
