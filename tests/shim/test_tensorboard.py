"""torch.utils.tensorboard: what is written is what PyTorch writes."""

import inspect
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorboardX
import torch
import torch.utils.tensorboard
from google.protobuf import text_format
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

import funnn
import funnn.torch as shim
import funnn.torch.utils.tensorboard

IMAGE = np.linspace(-0.2, 1.3, 3 * 5 * 7).reshape(3, 5, 7).astype(np.float32)
POINTS = np.arange(24.0).reshape(2, 4, 3)
LAYOUT = {"loss": {"all": ["Multiline", ["loss/train", "loss/test"]], "range": ["Margin", ["a", "b", "c"]]}}

#: Every method that writes records, as a program of the library and a writer.
WRITES = {
    "scalar": lambda t, w: w.add_scalar("loss/train (mean)", t.tensor([[2.5]], requires_grad=True), 3, walltime=7.0),
    "scalar_number": lambda t, w: w.add_scalar("loss", np.float32(0.1), global_step=np.int64(4)),
    "scalar_tensor": lambda t, w: w.add_scalar("new", 0.1, 1, new_style=True),
    "scalar_double": lambda t, w: w.add_scalar("new", 0.1, 1, new_style=True, double_precision=True),
    "scalar_bfloat16": lambda t, w: w.add_scalar("half", t.tensor(0.1, dtype=t.bfloat16)),
    "scalars": lambda t, w: w.add_scalars("run/14h", {"a": t.tensor(1.0), "b": 2, "a b": 0.5}, 5),
    "histogram": lambda t, w: w.add_histogram("layer 1", t.arange(-4.0, 5.0), 2),
    "histogram_auto": lambda t, w: w.add_histogram("w", t.arange(9).reshape(3, 3), bins="auto", walltime=3.0),
    "histogram_max_bins": lambda t, w: w.add_histogram("w", np.arange(9.0), bins=np.arange(11.0), max_bins=4),
    "histogram_raw": lambda t, w: w.add_histogram_raw(
        "raw", 0, 3.5, 4, t.tensor(6.0).item(), 9.5, t.tensor([1.0, 4.0]).tolist(), [1, 3], 6
    ),
    "image": lambda t, w: w.add_image("an image", t.tensor(IMAGE), 1),
    "image_hw": lambda t, w: w.add_image("grey", t.tensor((IMAGE[0] * 100).clip(0).astype(np.uint8)), dataformats="HW"),
    "images": lambda t, w: w.add_images("batch", t.tensor(np.stack([IMAGE] * 3)).permute(0, 2, 3, 1), 1, dataformats="NHWC"),
    "boxes": lambda t, w: w.add_image_with_boxes("boxed", t.tensor(IMAGE), t.tensor([[1, 1, 4, 3]]), rescale=2, labels="x"),
    "audio": lambda t, w: w.add_audio("sound", t.tensor(np.sin(np.arange(50.0)))[None], 2, sample_rate=8000),
    "text": lambda t, w: w.add_text("notes", "*früh*", 1),
    "pr_curve": lambda t, w: w.add_pr_curve("pr", t.tensor([0, 1, 1, 0]), t.tensor([0.1, 0.8, 0.4, 0.6]), 1, num_thresholds=5),
    "pr_curve_raw": lambda t, w: w.add_pr_curve_raw("pr", *(t.tensor([2.0, 1.0]) * i for i in range(6)), num_thresholds=2),
    "layout": lambda t, w: w.add_custom_scalars(LAYOUT),
    "multiline": lambda t, w: w.add_custom_scalars_multilinechart(["a", "b"], title="both"),
    "margin": lambda t, w: w.add_custom_scalars_marginchart(["a", "b", "c"], category="x"),
    "mesh": lambda t, w: w.add_mesh(
        "mesh", t.tensor(POINTS), faces=t.tensor([[[0, 1, 2]]] * 2), config_dict={"b": 1, "a": 2}, global_step=2
    ),
    "hparams": lambda t, w: w.add_hparams(
        {"lr": 0.1, "n": 2, "name": "adam", "on": True, "none": None, "t": t.tensor([0.5])},
        {"hparam/loss": t.tensor(2.0), "hparam/accuracy": 0.5},
        hparam_domain_discrete={"n": [1, 2], "name": ["adam", "sgd"]},
        run_name="one",
        global_step=3,
    ),
    **{
        f"tensor_{kind}": lambda t, w, kind=kind: w.add_tensor("values", t.tensor([[0, 1, 3]]).to(getattr(t, kind)), 4)
        for kind in ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "bool", "complex64", "complex128")
    },
    "purge": lambda t, w: type(w)(w.log_dir / "crashed", purge_step=3, filename_suffix=".end").close(),
    "closed": lambda t, w: (w.close(), w.add_scalar("again", 1.0, 1)),
}


def records(folder):
    """The events in every folder below, without the time at which they were written where none was given."""
    found = {}
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        for event in LegacyEventFileLoader(str(file)).Load():
            walltime = event.wall_time if event.wall_time < 1e6 else None
            texts = [(value.tag, value.SerializeToString(deterministic=True)) for value in event.summary.value]
            name = str(file.parent.relative_to(folder)), file.name.endswith(".end")
            found.setdefault(name, []).append((event.step, walltime, event.file_version, event.session_log.status, texts))
    return found


@pytest.mark.parametrize("name", WRITES)
def test_the_records_are_pytorchs(name, tmp_path, capsys):
    for library, folder in ((torch, tmp_path / "theirs"), (shim, tmp_path / "ours")):
        with library.utils.tensorboard.SummaryWriter(folder) as writer:
            assert writer.get_logdir() == folder
            WRITES[name](library, writer)
    theirs = records(tmp_path / "theirs")
    assert records(tmp_path / "ours") == theirs
    assert any(texts or status for events in theirs.values() for *_, status, texts in events)  # something was written


@pytest.mark.parametrize("name", ["figure", "figures", "video", "video_bytes"])
def test_what_other_packages_render(name, tmp_path, monkeypatch):
    """Figures and videos, with the packages that draw them replaced by the bytes that they are given."""
    for module in (torch.utils.tensorboard.summary, tensorboardX.summary):
        picture = module.Summary.Image
        monkeypatch.setattr(
            module, "make_video", lambda frames, fps, picture=picture: picture(encoded_image_string=frames.tobytes(), height=fps)
        )
    for module in (torch.utils.tensorboard.writer, tensorboardX.utils):
        monkeypatch.setattr(module, "figure_to_image", lambda figure, close: np.stack([IMAGE] * 2) if isinstance(figure, list) else IMAGE)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", types.ModuleType("backend_agg"))
    frames = np.stack([np.stack([IMAGE, IMAGE[::-1]])] * 2)
    calls = {
        "figure": lambda t, w: w.add_figure("a figure", object(), 1, close=False),
        "figures": lambda t, w: w.add_figure("figures", [object(), object()], 2, walltime=3.0),
        "video": lambda t, w: w.add_video("a video", t.tensor(frames), 1, fps=2),
        "video_bytes": lambda t, w: w.add_video("bytes", t.tensor((frames.clip(0, 1) * 255).astype(np.uint8)), 1, walltime=2.0),
    }
    for library in (torch, shim):
        with library.utils.tensorboard.SummaryWriter(tmp_path / library.__name__) as writer:
            calls[name](library, writer)
    theirs = records(tmp_path / "torch")
    assert records(tmp_path / "funnn.torch") == theirs and len(theirs[".", False][-1][-1][0][1]) > 100


def test_every_public_name_is_there():
    for name in ("SummaryWriter", "FileWriter", "RecordWriter"):
        assert hasattr(shim.utils.tensorboard, name)
    for name, method in vars(torch.utils.tensorboard.SummaryWriter).items():
        if not name.startswith("_") or name == "__init__":
            ours = inspect.signature(getattr(shim.utils.tensorboard.SummaryWriter, name))
            theirs = inspect.signature(method)
            assert [(p.name, p.default) for p in ours.parameters.values()] == [(p.name, p.default) for p in theirs.parameters.values()], (
                name
            )


def test_an_embeddings_files(tmp_path):
    for library in (torch, shim):
        with library.utils.tensorboard.SummaryWriter(tmp_path / library.__name__) as writer:
            images = library.tensor(np.linspace(0, 1, 3 * 3 * 4 * 4).reshape(3, 3, 4, 4).astype(np.float32))
            rows = [["a", 1], ["b", 2], ["c", 3]]
            writer.add_embedding(library.arange(6.0).reshape(3, 2), rows, images, 7, "a/b", ["name", "number"])
            writer.add_embedding(np.eye(2), tag="plain")
    theirs, ours = (tmp_path / library.__name__ for library in (torch, shim))
    for name in ("00007/a%2fb/tensors.tsv", "00007/a%2fb/metadata.tsv", "00007/a%2fb/sprite.png", "00000/plain/tensors.tsv"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    config = "projector_config.pbtxt"
    assert text_format.Parse((ours / config).read_text(), ProjectorConfig()) == text_format.Parse(
        (theirs / config).read_text(), ProjectorConfig()
    )


def test_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs, ours = (library.utils.tensorboard.SummaryWriter(comment="_x") for library in (torch, shim))
    for writer in (theirs, ours):
        writer.close()
        writer.close()
    assert ours.log_dir.split("_")[2:] == theirs.log_dir.split("_")[2:] and Path(ours.log_dir).parent == Path("runs")
    assert ours.default_bins == theirs.default_bins


def test_errors(tmp_path):
    with shim.utils.tensorboard.SummaryWriter(tmp_path) as writer:
        with pytest.raises(AssertionError, match=r"one element.*shape \(2,\)"):
            writer.add_scalar("x", shim.ones(2))
        with pytest.raises(NotImplementedError, match="numpy array or torch tensor are expected"):
            writer.add_histogram("x", [1.0, 2.0])
        with pytest.raises(ValueError, match="no element"):
            writer.add_histogram("x", shim.zeros(0))
        with pytest.raises(ValueError, match=r"2 != 1"):
            writer.add_histogram_raw("x", 0, 1, 1, 1, 1, [1, 2], [1])
        with pytest.raises(AssertionError, match="Expected 3 tags, got 2"):
            writer.add_custom_scalars_marginchart(["a", "b"])
        with pytest.raises(AssertionError, match=r"#labels should equal with #data points, got 1 and 2"):
            writer.add_embedding(np.eye(2), ["a"])
        with pytest.raises(TypeError, match="metric_dict should be a dictionary"):
            writer.add_hparams({}, [])
        with pytest.raises(TypeError, match=r"hparam_domain_discrete\[n\] should be a list of same type"):
            writer.add_hparams({"n": 1}, {}, {"n": ["a"]})
        with pytest.raises(ValueError, match=r"hparam_dict\['n'\] is a list"):
            writer.add_hparams({"n": []}, {})
        with pytest.raises(NotImplementedError, match=r"funnn.summary\(model"):
            writer.add_graph(shim.nn.Linear(1, 1), shim.ones(1))
        writer.add_text("graph", f"<pre>{funnn.summary(shim.nn.Linear(1, 1), shim.ones(1))}</pre>")


@pytest.mark.parametrize("package, call", [("matplotlib", "add_figure('x', None)"), ("onnx", "add_onnx_graph('x')")])
def test_packages_that_only_one_method_needs(package, call, tmp_path, monkeypatch, capsys):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)  # which is how a module is made one that can't be imported
    with shim.utils.tensorboard.SummaryWriter(tmp_path) as writer, pytest.raises(ModuleNotFoundError, match=package):
        eval(f"writer.{call}", {"writer": writer})


def test_without_the_library_the_error_names_the_extra():
    code = """if True:
        import sys
        sys.modules["tensorboardX"] = None
        try:
            import funnn.torch.utils.tensorboard
        except ImportError as error:
            print(error)
        """
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert text == "torch.utils.tensorboard needs tensorboardX; install it with: pip install 'funnn[tensorboard]'\n"


def test_pytorch_is_not_imported_with_it():
    code = "import funnn.torch.utils.tensorboard, sys; print([name for name in ('torch', 'tensorboard') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
