"""The examples in PyTorch's own docstrings print here what they print there."""

import builtins
import contextlib
import doctest
import importlib
import inspect
import io
import itertools
import math
import random
import re
import sys
import warnings

import numpy as np
import pytest
import torch

import funnn.torch as ft

MODULES = (
    *(
        "",
        "nn",
        "nn.functional",
        "nn.init",
        "nn.utils",
        "nn.utils.rnn",
        "nn.utils.parametrize",
        "nn.utils.parametrizations",
        "nn.utils.prune",
    ),
    *("linalg", "fft", "special", "optim", "optim.lr_scheduler", "optim.swa_utils", "distributions", "distributions.transforms", "masked"),
    *(
        "autograd",
        "autograd.functional",
        "autograd.graph",
        "autograd.forward_ad",
        "func",
        "utils",
        "utils.data",
        "utils.checkpoint",
        "sparse",
    ),
    *(
        "signal.windows",
        "amp",
        "random",
        "nn.attention",
        "nn.attention.flex_attention",
        "nn.attention.bias",
        "library",
        "futures",
        "overrides",
    ),
)
#: Names whose examples are refused here by a NotImplementedError that says the way round.
REFUSED = re.compile(
    r"torch\.(Tensor\.to_sparse(_bsc|_bsr|_csc|_csr)?|sparse_bs[cr]_tensor|Event|Stream|quantize\w+|quantized_\w+"
    r"|autograd\.enforce_grad_layout_policy|func\.(functionalize|rearrange)|Tensor\.grad_dtype"
    r"|utils\.(ThroughputBenchmark|generate_methods_for_privateuse1_backend|rename_privateuse1_backend)|sparse\.as_sparse_gradcheck"
    r"|masked\.is_masked_tensor|library\.(get_kernel|triton_op)"
    r"|overrides\.(get_ignored_functions|get_testing_overrides|redispatch_function))"
)
#: Names whose examples print what PyTorch does not define, and are left out: memory that nobody has written; a seed of the operating system; the order of
#: equal elements; roundings of what is ill-conditioned.
UNDEFINED = re.compile(
    r"torch\.(Tensor\.new_empty(_strided)?|empty(_strided|_like)?|nn\.utils\.skip_init|(Generator\.)?seed|sort|fft\.hfft[2n]"
    r"|linalg\.solve_triangular|cholesky_inverse)"
)
#: Names whose examples print something else, and why.
DIFFERENT = {
    **dict.fromkeys(["set_flush_denormal"], "XLA's setting, which it does not change"),
    **dict.fromkeys(["autograd.graph.saved_tensors_hooks"], "nodes save other tensors than PyTorch's"),
    **dict.fromkeys(["set_default_dtype"], "complex numbers for float16 are complex64"),
    **dict.fromkeys(["vmap"], "functions print as Python's"),
    **dict.fromkeys(["autograd.graph.register_multi_grad_hook"], "an object's own text"),
}
_NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:e[-+]?\d+)?")
_ANOTHER_DEVICE = re.compile(r"cuda|xpu|mps|mtia")


def documented():
    """Name and statements of every public object whose docstring has examples."""
    found, seen = {}, set()

    def add(name, item):
        text = inspect.getdoc(item)
        if not text or ">>>" not in text or text in seen:
            return
        seen.add(text)
        blocks = []
        for block in text.split("\n\n"):
            with contextlib.suppress(ValueError):  # some are no doctests
                blocks += doctest.DocTestParser().get_examples(block)
        # what follows a statement about a device that is not here goes on with it
        statements = list(itertools.takewhile(lambda source: not _ANOTHER_DEVICE.search(source), [example.source for example in blocks]))
        if statements and not UNDEFINED.fullmatch(name):
            found[name] = statements

    for key in sorted(set(vars(torch.Tensor)) | set(dir(torch.Tensor))):
        if not key.startswith("_"):
            add(f"torch.Tensor.{key}", getattr(torch.Tensor, key, None))
    for path in MODULES:
        module = importlib.import_module(f"torch.{path}".rstrip("."))
        for key in sorted(vars(module)):
            item = vars(module)[key]
            if key.startswith("_") or inspect.ismodule(item):
                continue
            name = f"{module.__name__}.{key}"
            add(name, item)
            if inspect.isclass(item) and item.__module__.startswith("torch") and not issubclass(item, torch.Tensor):
                for method in sorted(vars(item)):
                    if not method.startswith("_") and callable(vars(item)[method]):
                        add(f"{name}.{method}", vars(item)[method])
    return found


EXAMPLES = documented()


def importing(library):
    """``__import__`` for which a library is torch."""

    def find(name, globals=None, locals=None, fromlist=(), level=0):
        if name != "torch" and not name.startswith("torch."):
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = importlib.import_module(library.__name__ + name.removeprefix("torch"))
        for part in fromlist or ():
            if not hasattr(module, part):
                try:
                    importlib.import_module(f"{module.__name__}.{part}")
                except ModuleNotFoundError as error:
                    if isinstance(error, NotImplementedError):
                        raise
        return module if fromlist else library

    return find


def run(library, statements, printed):
    """Append what each statement prints; an exception, by its class alone, is the end."""
    library.set_default_device(None)
    library.set_default_dtype(library.float32)
    library.set_printoptions(profile="default")
    library.set_grad_enabled(True)
    library.use_deterministic_algorithms(False)
    library.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    names = {"torch": library, "nn": library.nn, "F": library.nn.functional, "optim": library.optim, "np": np, "math": math}
    names |= {"__name__": "__main__", "__builtins__": {**vars(builtins), "__import__": importing(library)}}
    for statement in statements:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                exec(compile(statement, "<example>", "single"), names)
            except Exception as error:
                printed.append(error)
                return
        printed.append(text.getvalue())


def plain(text):
    return "".join(re.sub(r"0x[0-9a-f]+", "", text).replace("funnn.torch.", "torch.").replace("torch._C.", "torch.").split())


def alike(ours, theirs):
    """Whether two texts are the same, up to roundings."""
    ours, theirs = plain(ours), plain(theirs)
    if _NUMBER.sub("#", ours) != _NUMBER.sub("#", theirs):
        return False
    pairs = zip(_NUMBER.findall(ours), _NUMBER.findall(theirs), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=1e-3, abs_tol=1e-4) for a, b in pairs)


def differences(name):
    """The first statement that prints something else, with what it prints; None where there is none."""
    statements, ours, theirs = EXAMPLES[name], [], []
    run(torch, statements, theirs)
    run(ft, statements, ours)
    for statement, a, b in zip(statements, ours, theirs, strict=False):
        if isinstance(a, Exception) and not isinstance(b, Exception):
            return statement, a, b
        if isinstance(b, Exception):
            same = isinstance(a, Exception) and (isinstance(a, type(b)) or type(a).__name__ == type(b).__name__)
            return None if same else (statement, a, b)
        if not alike(a, b):
            return statement, a, b
    return None


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    """The examples change settings, and write files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "displayhook", lambda value: None if value is None else print(repr(value)))
    yield
    for library in (torch, ft):
        run(library, [], [])


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name):
    found = differences(name)
    if REFUSED.fullmatch(name):
        assert found is not None and isinstance(found[1], NotImplementedError)
    elif name.removeprefix("torch.") in DIFFERENT:
        assert found is not None, "it need not be in the list"
    else:
        assert found is None, found
