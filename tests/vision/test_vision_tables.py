"""What expressions give on funnn.torchvision and what torchvision gave: functions, transforms with their draws, ops, utils, datasets."""

from __future__ import annotations

import json
import re
import warnings

import pytest

pytest.importorskip("PIL", reason="images are Pillow's")

import funnn.torch as torch
import funnn.torchvision as vision
from tests import exhaustive
from tests.vision.cases import TABLES, namespace, result
from tests.vision.files import write
from tests.vision.record import FILE
from tests.vision.summaries import differences

RECORDED = json.loads(FILE.read_text())
CASES = [(table, expression) for table, expressions in TABLES.items() for expression in dict.fromkeys(expressions)]


def group(case: tuple[str, str]) -> tuple[object, ...]:
    """The table, the function, and of what kind the image is: the first expression of each runs every time."""
    table, text = case
    return table, *re.findall(r"(?:F|T|v2|ops|utils|D)\.\w+", text)[:1], "pil" in text, "u8" in text


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names in expressions, in a folder with the datasets' files."""
    folder = tmp_path_factory.mktemp("files")
    write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield namespace(torch, vision)


@pytest.mark.parametrize(("table", "expression"), exhaustive.one_each(CASES, group, ids=lambda case: case[1]))
def test_an_expression(table, expression, names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = json.loads(json.dumps(result(expression, names)))
    assert differences(got, RECORDED[table][expression]) == []


def test_the_table_has_no_more_and_no_less():
    assert {table: list(rows) for table, rows in RECORDED.items() if table != "models"} == {
        table: list(dict.fromkeys(expressions)) for table, expressions in TABLES.items()
    }


def test_the_first_test_can_fail(names):
    expected = RECORDED["functions"]["F.hflip(u8)"]
    assert differences(result("F.hflip(u8)", names), expected) == []
    for other in ("F.vflip(u8)", "F.hflip(u8.float())", "F.hflip(u8)[:1]", "F.hflip(pil)", "F.hflip(u8).roll(1)", "F.hflip(3)"):
        assert differences(result(other, names), expected) != []
