"""The rooms of the package: each imports only from those below it, and no files import each other in a circle."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import funnn

#: The rooms, the ground floor first. A file belongs to the room with the longest name that begins its own.
ROOMS = """
    errors _types _other_torch _frames _service _service_process
    functional
    init
    layers
    optim
    checkpoint
    _flops sharding distributed train data generation _summary _nans _export _compilation_cache
    engine.state engine.types
    engine.program
    engine.random
    engine.memory
    engine.tape
    engine.tensor
    engine.dispatch
    engine.backward
    engine.transform
    engine.ops.kit
    engine.ops.elementwise engine.ops.views engine.ops.indexing engine.ops.reduce engine.ops.linalg engine.ops.fourier engine.ops.make
    engine.ops.sparse
    engine.ops.nn
    engine.ops engine
    torch._mentioned
    torch._unsupported torch._former_modules torch.__future__ torch.version torch.return_types
    torch.fft torch.linalg torch.special torch.signal torch.masked torch.sparse torch.functional torch.random torch.storage torch.jit torch._utils torch.types
    torch._namespace torch._logging
    torch._compiling torch._inductor
    torch.accelerator torch.backends torch.cpu torch.cuda torch.amp
    torch.autograd
    torch.futures
    torch.distributed
    torch.multiprocessing
    torch.nn
    torch.distributed.tensor torch.distributed._tensor
    torch.distributed.tensor.parallel torch.distributed.fsdp torch.distributed._composable
    torch.func torch.optim torch.testing torch.serialization torch._bridge torch.overrides torch.distributions torch._dynamo
    torch.distributed.checkpoint
    torch._compiled_parts
    torch._C
    torch.fx
    torch.distributed.pipelining
    torch._compile
    torch.compiler
    _torch_names
    _import_torch
    _answers.torch _answers.torchvision
    torch._aten torch._checks torch._tensor_str torch._jit_internal torch.onnx torch._absent_device
    torch.__config__ torch.hub torch.library torch.quasirandom
    torch.utils
    torch._profile torch.autograd.profiler
    torch.profiler
    torch
    torchvision._optional torchvision._missing torchvision._download
    torchvision.transforms torchvision.tv_tensors torchvision.transforms.v2
    torchvision.io torchvision.utils torchvision.ops
    torchvision.models torchvision.datasets
    torchvision
    _check _check.names _check.sources
    _check.status
    _check.command
    _port _port.edits
    _port.imports _port.verify _port.expressions
    _port.layers
    _port.command
    _huge_pages
    _run _run_notebook
    examples
    _digits _digits_report _digits_picture
    __main__
    __init__
"""
#: What is imported inside a function, because a program may do without it: optional packages, what a command loads when it is given,
#: and internals of JAX that a release may not have.
INSIDE_FUNCTIONS = {
    "_digits": {"tqdm.tqdm"},
    "_run_notebook": {
        "ipykernel",
        "nbformat",
        "nbclient.NotebookClient",
        "nbclient.exceptions.CellExecutionError",
        "nbclient.exceptions.DeadKernelError",
    },
    "_run": {"jax", "funnn._compilation_cache", "funnn.engine.program.report", "funnn.torch", "funnn.torch.autograd.profiler"},
    "__main__": {
        "jax",
        "importlib.metadata",
        "funnn",
        "funnn._huge_pages",
        "funnn._run",
        "funnn._run_notebook",
        "funnn.torch.distributed._agent",
        "funnn._check.command",
        "funnn._port.command",
        "funnn._digits",
        "funnn._digits_report",
        "funnn._digits_picture",
        "funnn.examples.data",
    },
    "checkpoint._safetensors_file": {"safetensors.numpy"},
    "checkpoint._orbax": {"orbax.checkpoint"},
    "examples._plot": {"matplotlib.figure.Figure"},
    "functional._cudnn": {"jax.experimental.rnn"},
    "engine.program.forked_jax": {
        "jax._src.xla_bridge.backends_are_initialized",
        "jax._src.array",
        "jax._src.compiler",
        "jax._src.pjit",
        "jax._src.util",
        "jax._src.interpreters.mlir",
        "jax._src.interpreters.pxla",
    },
    "_service_process": {"jaxlib._jax"},
    "distributed": {"jax._src.distributed.global_state"},
    "engine.program.interpret.special": {"scipy.special"},
    "engine.program.interpret.products": {"scipy.fft"},
    "engine.ops.linalg.ldl": {"scipy.linalg.lapack"},
    "torch.quasirandom": {"scipy.stats.qmc"},
    "torch.distributed._cluster": {"jax._src.lib._jax", "jax._src.lib.xla_client"},
    "torch.distributed.store": {"fcntl", "msvcrt"},
    "torch.distributed.run": {"jax.local_device_count"},
    "torch.fx.graph": {"tabulate.tabulate"},
    "torch.utils.data._transport": {"cloudpickle"},
}
HEIGHTS = {room: height for height, line in enumerate(ROOMS.strip().splitlines()) for room in line.split()}
ROOT = Path(funnn.__file__).parent


def sources() -> dict[str, str]:
    """The text of each file of the package, by its module's name without ``funnn.``"""
    found = {}
    for file in ROOT.rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = file.read_text()
    return found


def room_of(name: str) -> str:
    fitting = [room for room in HEIGHTS if name == room or name.startswith(f"{room}.")]
    assert fitting, f"funnn.{name} is in no room: add it to the list"
    return max(fitting, key=len)


def imports(text: str, known: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """What a file imports, and whether outside of functions; what is for type checkers alone is left out."""
    tree = ast.parse(text)
    typing = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in ast.walk(node)
    }
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name is from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("funnn.") in known or not name.startswith("funnn") else node.module for name in names]
        else:
            continue
        for name in names:
            yield name, id(node) not in inside


def edges(files: Mapping[str, str]) -> dict[str, set[str]]:
    """The files that each file imports, with the packages on the way to them, whose ``__init__`` runs too; not those that it lies in."""
    found: dict[str, set[str]] = {}
    for name, text in files.items():
        targets = {target.removeprefix("funnn.") for target, _ in imports(text, files) if target.startswith("funnn.")}
        packages = {target.rsplit(".", count)[0] for target in targets for count in range(1, target.count(".") + 1)}
        around = {package for package in packages if name.startswith(f"{package}.")}
        found[name] = {target for target in targets | (packages - around) if target in files and target != name}
    return found


def upward(files: Mapping[str, str]) -> list[str]:
    """The imports of a room above, as "file → file"."""
    return [
        f"{name} → {target}"
        for name, targets in edges(files).items()
        for target in sorted(targets)
        if HEIGHTS[room_of(target)] > HEIGHTS[room_of(name)]
    ]


def circle(files: Mapping[str, str]) -> list[str]:
    """The files of one circle of imports, if there is one."""
    graph, done = edges(files), set()
    for start in graph:
        path: list[str] = []
        stack = [(start, iter(sorted(graph[start])))]
        path.append(start)
        while stack:
            name, rest = stack[-1]
            target = next((item for item in rest if item not in done), None)
            if target is None:
                done.add(name)
                stack.pop()
                path.pop()
            elif target in path:
                return [*path[path.index(target) :], target]
            else:
                path.append(target)
                stack.append((target, iter(sorted(graph[target]))))
    return []


def test_no_import_points_up():
    assert upward(sources()) == []


def test_no_circle():
    assert circle(sources()) == []


def test_inside_functions_stands_what_the_list_says():
    files = sources()
    found = {name: {target for target, outside in imports(text, files) if not outside} for name, text in files.items()}
    assert {name: targets for name, targets in found.items() if targets} == INSIDE_FUNCTIONS


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("engine.memory.storage", "from funnn.engine.tensor.tensor import Tensor"),
        ("engine.tape.node", "def f():\n    from funnn.torch.autograd import backward"),
        ("engine.dispatch.call", "import funnn.torch"),
        ("torch.nn.modules.module", "if True:\n    from funnn.torch import optim"),
        ("functional.activation", "from funnn.layers import Linear"),
    ],
)
def test_a_planted_upward_import_is_found(file, line):
    files = sources()
    files[file] += f"\n{line}\n"
    assert any(found.startswith(f"{file} → ") for found in upward(files))


def test_a_planted_circle_is_found():
    files = sources()
    files["engine.random.engine"] += "\nfrom funnn.engine.random.mt19937 import MT19937\n"
    assert {"engine.random.engine", "engine.random.mt19937"} <= set(circle(files))


def test_a_lower_room_loads_no_higher_one():
    """Importing a type loads no operation, and the engine no part of funnn.torch."""
    import subprocess
    import sys

    program = "import sys, {0}\nprint(sorted({{'.'.join(name.split('.')[:3]) for name in sys.modules if name.startswith(('funnn.engine.', 'funnn.torch'))}}))"

    def loaded(module: str) -> str:
        return subprocess.run([sys.executable, "-c", program.format(module)], capture_output=True, text=True, check=True).stdout.strip()

    assert loaded("funnn.engine.types.dtype") == "['funnn.engine.state', 'funnn.engine.types']"
    assert "funnn.torch" not in loaded("funnn.engine.ops")


def test_the_architecture_page_names_every_room_and_no_file_that_is_not_there():
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+(?:\w+\.py)?|\w+\.py)`", page))
    there = {name for name in named if (ROOT / name).exists() or (ROOT.parent / name).exists()}
    assert named == there and len(named) > 40
    rooms = {room for room in HEIGHTS if room.startswith("engine.") and room.count(".") == 1}
    assert {room for room in rooms if f"`{room.replace('.', '/')}/`" not in page and f"`{room.replace('.', '/')}.py`" not in page} == set()
