"""The choice of tests: each is in one part of the exhaustive run, and a test of every function runs every time."""

import re
import subprocess
import sys

import pytest

from tests import exhaustive
from tests.exhaustive import FREE, LONGEST, Part, affordable, read_costs

FILE = """
import pytest
from tests import exhaustive

@pytest.mark.parametrize("n, group", exhaustive.one_each([(1, "a"), (2, "a"), (3, "b")], lambda item: item[1], lambda item: f"{item[0]}{item[1]}"))
def test_one_each(n, group):
    pass

@exhaustive.mark
def test_long():
    pass

def test_samples():
    assert exhaustive.most(1, 4) == {most}
"""


def collected(tmp_path, *options, most, name=""):
    file = tmp_path / "test_file.py"
    file.write_text(FILE.replace("{most}", str(most)))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.conftest",
        f"--rootdir={tmp_path}",
        f"{file}{name}",
        *options,
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode in (0, 5), result.stdout + result.stderr
    return [line.split("::")[1].split()[0] for line in result.stdout.splitlines() if " PASSED" in line]


EVERY_TIME = ["test_one_each[1a]", "test_one_each[3b]", "test_samples"]
LONG = ["test_long", "test_one_each[2a]"]


def test_what_is_marked_runs_where_it_is_asked_for(tmp_path):
    assert collected(tmp_path, most=1) == EVERY_TIME
    assert sorted(collected(tmp_path, "-k", "test_", most=1)) == sorted([*EVERY_TIME, *LONG])
    assert collected(tmp_path, most=1, name="::test_long") == ["test_long"]


def test_the_parts_of_the_exhaustive_run_have_each_test_once(tmp_path):
    parts = [collected(tmp_path, "--exhaustive", f"{number}/2", most=4) for number in (0, 5)]
    assert sorted(name for part in parts for name in part) == sorted([*EVERY_TIME, *LONG])


def test_the_more_a_function_costs_the_smaller_the_share_that_runs():
    assert affordable(1000, 0.0) == affordable(1000, FREE / 1000) == 1000
    assert affordable(1, LONGEST) == 1 and affordable(1, LONGEST + 0.1) == 0
    assert affordable(3, 1.0) == 1 and affordable(12, FREE) == 3  # 12 · FREE seconds in all: the square root of 12 times FREE
    assert affordable(100_000, 1.0) == 100_000 * exhaustive.SMALLEST_SHARE
    shares = [affordable(count, 0.5) for count in range(1, 200)]
    assert shares == sorted(shares)


def test_a_choice_is_fixed_and_has_the_first():
    cases = [f"f.py::t[{number}]" for number in range(12)]
    few = exhaustive.of_every_run([*cases, "f.py::other"], {"f.py::t": FREE})
    assert len(few) == 4 and {"f.py::t[0]", "f.py::other"} < few
    assert few == exhaustive.of_every_run([*cases, "f.py::other"], {"f.py::t": FREE})


def test_the_costs_are_of_tests_that_exist():
    """A test that is renamed takes its line in ``tests/costs.tsv`` along: else it would run whole without a word."""
    root = exhaustive.COSTS.parent.parent
    defined = {
        path: set(re.findall(r"^def (test_\w+)", (root / path).read_text(), re.MULTILINE))
        for path in {name.split("::")[0] for name in read_costs()}
    }
    assert [name for name in read_costs() if name.split("::")[1] not in defined[name.split("::")[0]]] == []


@pytest.mark.parametrize("text", ["", "3", "1/0", "a/b", "-1/3", "tests/shim"])
def test_a_part_that_is_none(text):
    with pytest.raises(pytest.UsageError, match="expected a part such as 3/12, got"):
        Part.parse(text)


def test_nothing_is_chosen_here_unless_asked_for(pytestconfig):
    asked = pytestconfig.getoption("--exhaustive")
    assert exhaustive.chosen() == (asked if asked is None else Part.parse(asked))
