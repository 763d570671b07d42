"""Under ``run``, classes, objects and errors print as PyTorch's; what is pickled there is found without it, and the other way round."""

import contextlib
import io
import pickle
import textwrap

import pytest
import torch
from twin import mask

import funnn.torch as shim
from funnn._run import load_script

OBJECTS = """
    import traceback
    import torch
    import torch.distributions as D
    from torch.nn.utils import prune
    from torch.optim import lr_scheduler
    from torch.utils.data import DataLoader, RandomSampler, TensorDataset

    x, net = torch.ones(2, requires_grad=True), torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    objects = [
        *(x, net, optimizer, lr_scheduler.StepLR(optimizer, 1), D.Normal(0.0, 1.0), D.AffineTransform(0, 1), D.constraints.positive),
        *(prune.RandomUnstructured(0.5), TensorDataset(x.detach()), DataLoader([1]), RandomSampler([1]), torch.float32, torch.Size([1])),
        *(torch.device("cpu"), torch.Generator(), (x * 2).grad_fn, x.max(0), torch.finfo(), torch.strided, torch.no_grad(), torch.autocast("cpu")),
        *(torch.enable_grad(), torch.inference_mode(), x.untyped_storage(), net.register_forward_hook(print), torch.nn.LSTM(2, 2)),
        *(torch.nn.Parameter(x.detach()), torch.nn.utils.rnn.pack_sequence([x.detach()]), torch.optim.swa_utils.AveragedModel(net)),
        *(torch.amp.GradScaler("cpu", enabled=False), torch.optim.Adafactor(net.parameters()), torch.autograd.graph.save_on_cpu()),
    ]
"""
PRINTED = (
    OBJECTS
    + """
    for value in objects:
        print(type(value), object.__repr__(value), type(value).__module__, type(value).__qualname__)
    print(torch.autograd.Function, torch.cuda.OutOfMemoryError, torch.linalg.LinAlgError, torch.nn.modules.conv._ConvNd, torch.FloatTensor)

    class Model(torch.nn.Module):
        pass

    print(Model, Model())
    for wrong in (
        lambda: net(x.reshape(1, 2, 1)),
        lambda: torch.nn.BatchNorm2d(3)(x),
        lambda: torch.linalg.inv(torch.zeros(2, 2)),
        lambda: torch.nn.functional.gelu(torch.tensor([1])),
        lambda: torch.nn.functional.cross_entropy(torch.ones(2, 3), torch.tensor([1])),
        lambda: torch.nn.Embedding(2, 3)(torch.tensor([5])),
    ):
        try:
            wrong()
        except Exception as error:
            print(traceback.format_exception_only(error)[0].partition(":")[0])
    """
)
PICKLED = (
    OBJECTS
    + """
    import pickle

    kinds = [type(value) for value in objects if type(value).__module__ != "builtins"]
    pickles = [[pickle.dumps(kind), pickle._dumps(kind)] for kind in kinds] + [[pickle.dumps((net, optimizer))]]
    """
)


@pytest.fixture
def script(tmp_path):
    def run(text):
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(text))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            return load_script(path, "__main__"), mask(printed.getvalue())

    return run


def test_what_is_printed(script):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(textwrap.dedent(PRINTED), {"__name__": "__main__", "torch": torch})
    assert script(PRINTED)[1] == mask(printed.getvalue())
    assert shim.optim.Adam.__module__ == "funnn.torch.optim.adam" and shim.no_grad.__module__.startswith("funnn.")


def test_pickles_of_either_form_in_the_other(script):
    names, _ = script(PICKLED)
    *pickles, (trained,) = names["pickles"]
    assert [[pickle.loads(each) for each in both] for both in pickles] == [[kind, kind] for kind in names["kinds"]]
    net, optimizer = pickle.loads(trained)
    assert optimizer.param_groups[0]["params"][0].shape == net.weight.shape
    mine = [pickle.dumps(kind) for kind in names["kinds"]]
    read, _ = script(f"import pickle, torch\nkinds = [pickle.loads(each) for each in {mine!r}]\nassert kinds[1] is torch.nn.Linear")
    assert read["kinds"] == names["kinds"]


def test_sources_are_found(script):
    names, _ = script("import inspect, torch\ntext = inspect.getsource(torch.nn.Linear) + inspect.getsource(torch.distributions.Normal)")
    assert "class Linear" in names["text"] and "class Normal" in names["text"]


def test_classes_of_torchvision_print_as_its_own(script):
    """As torchvision prints them, which is not installed beside the tests."""
    text = """
    import pickle
    from torchvision import datasets, models, transforms

    net = models.squeezenet1_0(num_classes=2)
    copy = pickle.loads(pickle.dumps(net, 4))
    print(type(net), type(copy), transforms.RandomCrop, datasets.FakeData)
    """
    _, printed = script(text)
    names = "models.squeezenet.SqueezeNet", "models.squeezenet.SqueezeNet", "transforms.transforms.RandomCrop", "datasets.fakedata.FakeData"
    assert printed.split("> ") == [
        *(f"<class 'torchvision.{name}'" for name in names[:-1]),
        f"<class 'torchvision.{names[-1]}'>\n",
    ]
