"""Pages of the site that are made at build time from the live namespaces: the table torch → funnn, and the reference.

They are not kept in the repository. PyTorch is not needed: ``funnn.torch`` has its names, and says why it lacks the others.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import funnn.torch as torch
from funnn import checkpoint, data, errors, init, layers, optim, sharding
from funnn import functional as F
from funnn.optim import schedules

#: What torch.nn has and the layers do not, because a description needs no such thing, and what stands for it.
WITHOUT_LAYER = {
    "Module": ("`Layer`", "a frozen value; parameters come from `init`"),
    "ModuleList": ("`LayerList`", "a field that holds a list of layers becomes one"),
    "ModuleDict": ("`LayerDict`", "a field that holds a dict of layers becomes one"),
    "Parameter": ("`Param` in `spec`", "the array itself is in `params`"),
    "ParameterList": ("entries of `spec`", ""),
    "ParameterDict": ("entries of `spec`", ""),
    "Container": ("`Layer`", ""),
    "DataParallel": ("`funnn.sharding`", ""),
    "CrossMapLRN2d": ("`LocalResponseNorm`", ""),
    "UninitializedParameter": ("-", "sizes are given to the constructor"),
    "UninitializedBuffer": ("-", "sizes are given to the constructor"),
    "RNNBase": ("`RNN`, `LSTM`, `GRU`", ""),
    "RNNCellBase": ("`RNNCell`, `LSTMCell`, `GRUCell`", ""),
    "NonDynamicallyQuantizableLinear": ("`Linear`", ""),
}

#: Schedulers whose function has another name than theirs in snake case.
SCHEDULES = {"CosineAnnealingWarmRestarts": "cosine_annealing_warm_restarts", "ChainedScheduler": "chained"}

#: Names that people look for and that are missing: the module, and a few of each family. The reason is asked from the library.
MISSING: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (torch, "torch", ("sparse_bsr_tensor", "sspaddmm")),
    (torch, "torch", ("quantize_per_tensor",)),
    (torch.ao.quantization, "torch.ao.quantization", ("prepare", "quantize_fx")),
    (torch, "torch", ("nested",)),
    (torch, "torch", ("float4_e2m1fn_x2", "uint4")),
    (torch, "torch", ("Event",)),
    (torch.cuda, "torch.cuda", ("nvtx",)),
    (torch, "torch", ("lobpcg",)),
    (torch.masked, "torch.masked", ("MaskedTensor",)),
    (torch.nn, "torch.nn", ("quantized",)),
    (torch.utils, "torch.utils", ("bottleneck",)),
    (torch.autograd, "torch.autograd", ("SavedTensor",)),
    (torch.backends.cuda, "torch.backends.cuda", ("preferred_linalg_library",)),
    (torch.func, "torch.func", ("rearrange",)),
)

#: What chooses parameters for optimizers: what torch has in its place, the name in funnn.optim, and the difference.
PARTS = (
    ("param_groups of an Optimizer", "param_groups", "groups are chosen by path or by type of layer"),
    ("requires_grad_(False)", "freeze", "a part of the optimizer"),
    ("lr of param_groups", "scale_by_path", "a factor of each update, behind any optimizer"),
    ("weight_decay of param_groups", "decay_mask", "`mask` of an optimizer"),
    ("-", "stacked_axes", "for parameters that `Repeat` stacks"),
)

#: The other namespaces of torch: what pure functions take instead. Written by hand, because they are of other libraries.
ELSEWHERE = (
    ("torch.Tensor's methods, torch.add, torch.matmul, …", "jax.numpy", "arrays are immutable: `x.at[i].set(v)` for `x[i] = v`"),
    ("torch.linalg, torch.fft", "jax.numpy.linalg, jax.numpy.fft", ""),
    ("torch.special", "jax.scipy.special, jax.nn", ""),
    ("torch.autograd, torch.func", "jax.grad, jax.vjp, jax.jvp, jax.vmap", "there is no tape"),
    ("torch.distributions", "jax.random, jax.scipy.stats", "funnn.torch has torch's classes"),
    ("torch.compile", "jax.jit", ""),
    ("torch.utils.checkpoint", "jax.checkpoint, `funnn.layers.Remat`", ""),
    ("torch.utils.data.DataLoader", "any iterable, `funnn.data.prefetch`, `funnn.data.stack`", "the loader of funnn.torch will do as well"),
    ("torch.amp.autocast", "`funnn.layers.Policy`", "types belong to the layer, not to a region of code"),
    ("torch.save, torch.load", "`funnn.checkpoint.save_pt`, `load_pt`", "NumPy arrays instead of tensors"),
    ("torch.nn.utils.clip_grad_norm_", "optax.clip_by_global_norm", "a part of the optimizer, by optax.chain"),
    ("torch.amp.GradScaler", "`funnn.LossScale`", "an argument of `funnn.train_step`"),
    ("torch.optim.swa_utils", "`funnn.train_step(…, ema=0.999)`, optax.incremental_update", ""),
    (
        "torch.nn.parallel, torch.distributed",
        "`funnn.sharding`, `funnn.distributed`",
        "`python -m funnn launch` runs programs that use them",
    ),
    ("torch.manual_seed", "jax.random.key", "every draw takes a key"),
)


def public_names(module: ModuleType, wanted: Callable[[Any], bool]) -> list[str]:
    """The public names of a module whose objects are wanted, in the alphabet's order."""
    return sorted((name for name in vars(module) if not name.startswith("_") and wanted(getattr(module, name))), key=str.lower)


def layer_names() -> list[str]:
    """Every class in funnn.layers."""
    return public_names(layers, inspect.isclass)


def function_names() -> list[str]:
    """Every function in funnn.functional, without the decorator."""
    return sorted(name for name in F.__all__ if name != "public")


def optimizer_names() -> list[str]:
    """Every optimizer of torch.optim."""
    return [
        name
        for name in public_names(torch.optim, lambda o: inspect.isclass(o) and issubclass(o, torch.optim.Optimizer))
        if name != "Optimizer"
    ]


def scheduler_names() -> list[str]:
    """Every scheduler of torch.optim.lr_scheduler."""
    return [name for name in public_names(torch.optim.lr_scheduler, inspect.isclass) if name != "LRScheduler"]


def initialiser_names() -> list[str]:
    """Every initialiser in place of torch.nn.init, and calculate_gain."""
    names = public_names(torch.nn.init, inspect.isroutine)
    return [name for name in names if name.endswith("_") or name == "calculate_gain"]


# -- the table


def difference_in_docstring(owner: Any) -> str:
    """What a docstring says behind the name of its source in torch: ``Source: torch.nn.functional.one_hot, which always returns int64.``"""
    text = source_of(owner)
    named = re.search(r"torch\.[\w.]*\w((, |, torch\.nn\.)\w*\d[dD]\w*)*", text)
    if named is None:
        return ""
    if "what torch" in text:
        return text[text.index("what torch") :]
    rest = text[named.end() :]
    # A citation may stand behind the name; what follows its full stop is said of the difference.
    rest = rest.lstrip(".;, ").strip() if not re.match(r"; [A-Z]", rest) else rest.partition(". ")[2].strip()
    return "" if "takes a key" in rest else re.sub(r"^which ", "torch's ", rest)


def source_of(owner: Any) -> str:
    """What a docstring says of its source."""
    found = re.search(r"[Ss]ource: (.*?)(?:\n\n|\Z)", inspect.getdoc(owner) or "", re.DOTALL)
    return "" if found is None else " ".join(found[1].split())


def name_in_torch(name: str, owner: Any) -> str:
    """The name in torch that a function stands for, or "-"."""
    if hasattr(torch.nn.functional, name):
        return f"nn.functional.{name}"
    if hasattr(torch, name):
        return name
    named = re.search(rf"torch\.((?:nn\.attention\.)?{name}_?)\b", source_of(owner))
    return named[1] if named else "-"


def parameters(function: Callable) -> list[str]:
    """Names of a callable's arguments."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


def sentence(*parts: str) -> str:
    """Parts as one cell of a table."""
    return "; ".join(part.rstrip(".") for part in parts if part).replace("|", "\\|")


def path_of(prefix: str, module: ModuleType, name: str) -> str:
    """Where an object is defined. Its public path may be that of a submodule of the same name, as ``funnn.optim.adam`` is."""
    owner = getattr(module, name)
    path = f"{owner.__module__}.{name}"
    return path if path.startswith(prefix) and hasattr(sys.modules[owner.__module__], name) else f"{prefix}.{name}"


def link(page: str, path: str) -> str:
    """A public name with a link to its place in the reference."""
    prefix, _, name = path.rpartition(".")
    return f"[`{name}`](api/{page}.md#{path_of(prefix, sys.modules[prefix], name)})"


def function_row(name: str) -> tuple[str, str, str]:
    """The row of one function."""
    function = getattr(F, name)
    notes = [difference_in_docstring(function)]
    key = getattr(function, "key_name", None)
    if key:
        notes.insert(0, f"draws from `{key}`, an argument that torch lacks")
    if "inplace" in parameters(function):
        notes.append("`inplace` is ignored")
    if "lengths" in parameters(function):
        notes.append("`lengths` instead of packed sequences")
    return name_in_torch(name, function), link("functional", f"funnn.functional.{name}"), sentence(*notes)


def draws(layer: type) -> bool:
    """Whether a layer's code asks for a random key."""
    functions = [
        value for base in layer.__mro__[:-2] if base is not layers.Layer for value in vars(base).values() if inspect.isfunction(value)
    ]
    return any("make_key" in getattr(inspect.unwrap(function), "__code__", sentence.__code__).co_names for function in functions)


def layer_row(name: str) -> tuple[str, str, str]:
    """The row of one layer."""
    layer = getattr(layers, name)
    there = "nn.ModuleList" if name == "LayerList" else f"nn.{name}" if hasattr(torch.nn, name) else "-"
    notes = [difference_in_docstring(layer)] if there != "-" else []
    if issubclass(layer, layers.Layer) and layer is not layers.Layer:
        arguments = parameters(layer)
        if "dropout" in arguments:
            notes.append("in training with `dropout` above 0, `apply` needs `key`")
        elif draws(layer):
            notes.append("in training, `apply` needs `key`")
        if "track_running_stats" in arguments:
            notes.append("running statistics are in `state`")
        if "inplace" in arguments:
            notes.append("`inplace` is ignored")
    if there == "-":
        notes.append("no counterpart in torch" if issubclass(layer, layers.Layer) else "a part of the contract")
    if layer is layers.Buffer:
        notes.append("an entry of `spec`; the array itself is in `state`")
    return there, link("layers", f"funnn.layers.{name}"), sentence(*notes)


def rows_without_layer() -> Iterable[tuple[str, str, str]]:
    """What torch.nn has more than funnn.layers."""
    for name in public_names(torch.nn, inspect.isclass):
        if hasattr(layers, name):
            continue
        here, note = WITHOUT_LAYER.get(name, ("-", ""))
        if name.startswith("Lazy"):
            here, note = link("layers", f"funnn.layers.{name.removeprefix('Lazy')}"), "sizes are given to the constructor"
        yield f"nn.{name}", here, note


def optimizer_row(name: str) -> tuple[str, str, str]:
    """The row of one optimizer."""
    here = snake(name) if name == "SparseAdam" else name.lower()
    function = getattr(optim, here)
    absent = [f"`{a}`" for a in parameters(getattr(torch.optim, name)) if a not in (*parameters(function), "params")]
    if name == "LBFGS":
        return (
            f"optim.{name}",
            link("optim", "funnn.optim.lbfgs"),
            "minimises a function of a pytree by itself: a loop in Python, no transformation",
        )
    without = f"without {', '.join(absent)}" if absent else ""
    return f"optim.{name}", link("optim", f"funnn.optim.{here}"), sentence("an optax transformation", without)


def parts_rows() -> Iterable[tuple[str, str, str]]:
    """What chooses parameters for optimizers."""
    for there, here, note in PARTS:
        yield there, link("optim", f"funnn.optim.{here}"), note


def snake(name: str) -> str:
    """CosineAnnealingLR as cosine_annealing_lr."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def scheduler_row(name: str) -> tuple[str, str, str]:
    """The row of one scheduler."""
    here, there = SCHEDULES.get(name, snake(name)), f"lr_scheduler.{name}"
    if not hasattr(schedules, here):
        return there, "`optax.contrib.reduce_on_plateau`", "it has no closed form as a function of the step"
    return there, link("optim", f"funnn.optim.schedules.{here}"), "a function of the step: give it as `lr`"


def initialiser_row(name: str) -> tuple[str, str, str]:
    """The row of one initialiser."""
    here = name.rstrip("_")
    note = "" if here == name else "returns a new array: `(source, shape, …)` instead of a tensor"
    return f"nn.init.{name}", link("init", f"funnn.init.{here}"), note


def missing_row(owner: Any, kind: str, names: tuple[str, ...]) -> tuple[str, str]:
    """Names of one family, and what the error says when one is looked up."""
    reasons = set()
    for name in names:
        try:
            getattr(owner, name)
        except NotImplementedError as error:
            reasons.add(str(error).partition(": ")[2])
        else:
            raise AssertionError(f"{kind}.{name} is there: take it out of MISSING")
    return ", ".join(f"`{kind}.{name}`" for name in names), sentence(" / ".join(sorted(reasons)))


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; the first column in code."""
    lines = [
        head,
        ("---",) * len(head),
        *((f"`{row[0]}`" if row[0] not in ("-",) and "`" not in row[0] else row[0], *row[1:]) for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def torch_table() -> str:
    """The page torch → funnn."""
    head = ("torch", "functional world", "difference")
    sections = [
        ("Functions", table(head, map(function_row, function_names()))),
        ("Layers and losses", table(head, [*map(layer_row, layer_names()), *rows_without_layer()])),
        ("Optimizers", table(head, [*map(optimizer_row, optimizer_names()), *parts_rows()])),
        ("Schedulers", table(head, map(scheduler_row, scheduler_names()))),
        ("Initialisers", table(head, map(initialiser_row, initialiser_names()))),
        ("The rest of torch, for pure functions", table(head, ELSEWHERE)),
        ("Not in funnn.torch", table(("names", "the way round"), (missing_row(*family) for family in MISSING))),
    ]
    intro = f"""---
hide:
  - toc
---

# torch → functional world

For everything below, `funnn.torch` has the torch name itself; this table says what its counterpart for pure functions is. It is made from
the library when the site is built. It has {len(function_names())} functions and {len(layer_names())} classes of `funnn.layers`. A dash in the first
column means that torch has no such name; an empty last column means: same arguments, same defaults, same numbers up to rounding.

Two differences hold throughout and are not repeated: arrays are immutable, and the in-place forms of functions (`relu_`) exist in `funnn.torch`
only; the deprecated arguments `size_average` and `reduce` of losses work as they do in torch.
"""
    return "\n\n".join([intro, *(f'## {title}\n\n<div class="wide" markdown>\n\n{text}\n\n</div>' for title, text in sections)]) + "\n"


# -- the reference


def topic(owner: Any) -> str:
    """The topic of an object: the file that it is written in, in words."""
    module = inspect.unwrap(owner).__module__ if not inspect.isclass(owner) else owner.__module__
    return module.rpartition(".")[2].strip("_").replace("_", " ").capitalize()


def grouped(prefix: str, module: ModuleType, names: Iterable[str]) -> str:
    """The names of a module under their topics."""
    topics: dict[str, list[str]] = {}
    for name in names:
        topics.setdefault(topic(getattr(module, name)), []).append(name)
    parts = []
    for title in sorted(topics):
        parts.append(f"## {title}\n")
        parts += [f"::: {path_of(prefix, module, name)}\n" for name in topics[title]]
    return "\n".join(parts)


def listed(prefix: str, names: Iterable[str]) -> str:
    """The names of a module, one after the other."""
    module = importlib.import_module(prefix)
    return "\n".join(f"::: {path_of(prefix, module, name)}\n" for name in names)


def reference_pages() -> dict[str, str]:
    """The pages of the reference by their path in the site."""
    layer_order = [name for name in layer_names() if name not in ("Layer", "Param", "Buffer", "Policy")]
    functions = public_names(optim, inspect.isfunction)
    rules = [name for name in functions if name == "transformation"]
    parts = [name for _, name, _ in PARTS]
    optimizers = [name for name in functions if name not in (*rules, *parts)]
    schedule_names = [
        name for name in public_names(schedules, inspect.isfunction) if name not in ("cycle_share", "anneal", "one_cycle_ends", "swa_share")
    ]
    init_names = [name for name in public_names(init, inspect.isfunction) if name not in ("fan", "random_source")]
    error_names = public_names(errors, inspect.isclass)
    pages = {
        "functional": (
            "funnn.functional",
            "Pure functions of `jax.Array`, with the names, the argument order and the defaults of torch.nn.functional. Functions that draw random"
            " numbers take `key`.",
            grouped("funnn.functional", F, function_names())
            + "\n## A cache of keys and values\n\n"
            + listed("funnn.functional", ("KVCache",))
            + "\n## Your own functions\n\n::: funnn.functional.public\n",
        ),
        "layers": (
            "funnn.layers",
            "Layers are frozen values. `init` draws parameters and state, `apply` runs the layer on them.",
            "## The contract\n\n"
            + listed("funnn.layers", ("Layer", "Param", "Buffer", "Policy"))
            + "\n"
            + "## Changing a layer\n\n"
            + listed("funnn.layers", public_names(layers, inspect.isfunction))
            + "\n::: funnn.layers._surgery.Place\n\n"
            + grouped("funnn.layers", layers, layer_order),
        ),
        "optim": (
            "funnn.optim",
            "torch's update rules as optax transformations, and its schedules as functions of the step.",
            listed("funnn.optim", optimizers)
            + "\n## Parts of the parameters\n\n"
            + listed("funnn.optim", parts)
            + "\n## Rules of your own\n\n"
            + listed("funnn.optim", (*rules, "Rule", "RuleState"))
            + "\n## Schedules\n\n"
            + listed("funnn.optim.schedules", schedule_names),
        ),
        "init": (
            "funnn.init",
            "Initial values as pure functions of a random source: a JAX key, or torch's generator.",
            listed("funnn.init", init_names),
        ),
        "checkpoint": (
            "funnn.checkpoint",
            "Nested dicts ↔ state_dict, torch's files without PyTorch, and checkpoints of training.",
            listed("funnn.checkpoint", public_names(checkpoint, lambda o: inspect.isfunction(o) or inspect.isclass(o))),
        ),
        "training": (
            "Training, data, sharding, summary",
            "What stands around layers in a training program.",
            listed("funnn.train", ("train_step", "TrainStep", "TrainState", "LossScale", "LossScaleState", "Ema", "MeanMetrics"))
            + listed("funnn.data", public_names(data, lambda o: inspect.isfunction(o)))
            + listed("funnn.generation", ("generate", "beam_search", "Generated", "Model"))
            + listed("funnn.sharding", public_names(sharding, lambda o: inspect.isfunction(o) or inspect.isclass(o)))
            + listed("funnn.distributed", ("initialize",))
            + listed("funnn._summary", ("summary", "Summary", "Row"))
            + listed("funnn._nans", ("find_nans", "NanSource"))
            + listed("funnn._export", ("export", "load_exported", "Exported"))
            + "\n## Exceptions\n\n"
            + listed("funnn.errors", error_names),
        ),
        "torch": (
            "funnn.torch",
            "Its names are torch's, and torch's documentation is theirs. Here are the names that torch lacks, and those that do something else"
            " underneath.",
            "::: funnn.torch._bridge.functional.to_functional\n\n::: funnn.torch._bridge.functional.from_functional\n\n"
            "::: funnn.engine.dispatch.from_jax.from_jax\n\n::: funnn.torch._compile.compile\n\n"
            "::: funnn.engine.tensor.generator.Generator\n",
        ),
    }
    return {f"api/{name}.md": f"# {title}\n\n{text}\n\n{body}" for name, (title, text, body) in pages.items()}


def source_pages() -> dict[str, str]:
    """The examples as pages: what they say of themselves, and their code."""
    made = {}
    for name in EXAMPLES:
        code = (Path(__file__).resolve().parents[1] / "funnn" / "examples" / f"{name}.py").read_text()
        made[f"source/{name}.md"] = f"# {name}.py\n\n[Back to the examples](../examples.md)\n\n```python\n{code}```\n"
    return made


#: The programs of funnn.examples that the gallery shows.
EXAMPLES = (
    "digits_functional",
    "digits_torch",
    "char_gpt",
    "ddpm",
    "ppo",
    "resnet",
    "lstm_tagger",
    "lstm_tagger_torch",
    "transformer",
    "gpt2",
    "llama",
    "vit",
)

#: Paths of the pages that this file makes.
PAGES = (
    "torch-table.md",
    *(f"api/{name}.md" for name in ("functional", "layers", "optim", "init", "checkpoint", "training", "torch")),
    *(f"source/{name}.md" for name in EXAMPLES),
)


def pages() -> dict[str, str]:
    """All pages by path."""
    made = {"torch-table.md": torch_table(), **reference_pages(), **source_pages()}
    assert tuple(made) == PAGES, tuple(made)
    return made


if __name__ == "__main__":
    print(torch_table())
