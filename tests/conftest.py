"""What all tests share: how their programs are compiled, which is where most of their time goes, and which of them run."""

import importlib.metadata
import importlib.util
import os
import re
from collections import defaultdict

import pytest

from tests import exhaustive

# XLA's newer code generator for fusions takes twice the time of the older one on the small programs here, and to compile one in parallel costs more than
# it saves. (Other versions may not have the switches.)
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    )

import jax  # after the flags, which it reads once

#: Files whose programs are compiled as users' are; those of the others run once, without most of XLA's optimisations (but under ``--exhaustive``).
OPTIMISED = {"test_compile", "test_contract", "test_digits", "test_functional", "test_linear_cross_entropy", "test_same_work", "test_seeds"}
#: What a file of tests imports that needs PyTorch.
ORACLE = re.compile(
    r"^\s*(?:import|from) (?:torch|oracle|twin|opinfo|tests\.module_samples|module_samples)\b|\bimport module_samples", re.MULTILINE
)


def pytest_addoption(parser):
    parser.addoption(
        "--exhaustive",
        nargs="?",
        const="0/1",
        metavar="PART",
        help="run the long tests as well, all with XLA's optimisations; PART as 3/12 takes one twelfth of all tests",
    )
    parser.addoption("--write-costs", action="store_true", help="write how long the tests took into tests/costs.tsv")


def pytest_configure(config):
    config.addinivalue_line("markers", "exhaustive: too long for every run; runs under --exhaustive, and where tests are named")
    if (text := config.getoption("--exhaustive")) is not None:
        exhaustive.choose(exhaustive.Part.parse(text))
    if config.getoption("--write-costs") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Costs())


class Costs:
    """Writes the durations of a run's tests, by function."""

    def __init__(self):
        self.durations = defaultdict(lambda: defaultdict(float))

    def pytest_runtest_logreport(self, report):
        self.durations[exhaustive.function_of(report.nodeid)][report.nodeid] += report.duration

    def pytest_sessionfinish(self):
        exhaustive.write_costs({name: list(cases.values()) for name, cases in self.durations.items()})


def pytest_ignore_collect(collection_path):
    """Where PyTorch is not installed, the files that compare with it are left out: what remains tests the core on any Python."""
    if collection_path.suffix == ".py" and collection_path.name.startswith("test_") and importlib.util.find_spec("torch") is None:
        return bool(ORACLE.search(collection_path.read_text())) or None
    return None


def pytest_collection_modifyitems(config, items):
    if (part := exhaustive.chosen()) is not None:
        runs = {item.nodeid for item in items if item.nodeid in part}
    elif config.option.keyword or config.option.markexpr or any("::" in argument for argument in config.args):
        return
    else:
        unmarked = [item.nodeid for item in items if item.get_closest_marker("exhaustive") is None]
        runs = exhaustive.of_every_run(unmarked, exhaustive.read_costs())
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in runs])
    items[:] = [item for item in items if item.nodeid in runs]


@pytest.fixture(autouse=True, scope="module")
def compilation(request):
    """Sets ``jax_disable_most_optimizations`` for a file of tests."""
    optimised = exhaustive.chosen() is not None or request.module.__name__.rpartition(".")[2] in OPTIMISED
    jax.config.update("jax_disable_most_optimizations", not optimised)
