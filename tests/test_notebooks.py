"""The notebooks as they are stored: run from a clean kernel, without errors, with pictures. ``notebooks/run.py`` runs them and compares what they print."""

import base64
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
FILES = sorted(FOLDER.glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def cells(path, kind="code"):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def outputs(path):
    return [output for cell in cells(path) for output in cell["outputs"]]


def pictures(path):
    return [base64.b64decode(output["data"]["image/png"]) for output in outputs(path) if "image/png" in output.get("data", {})]


def test_there_are_ten():
    assert [path.name[:2] for path in FILES] == [f"{number:02}" for number in range(1, 11)]


@every_notebook
def test_outputs_are_those_of_one_run_from_a_clean_kernel(path):
    assert [cell["execution_count"] for cell in cells(path)] == list(range(1, len(cells(path)) + 1))
    assert all(output["output_type"] != "error" and output.get("name") != "stderr" for output in outputs(path))


@every_notebook
def test_it_has_pictures_of_a_size_for_a_repository(path):
    sizes = [len(picture) for picture in pictures(path)]
    html = ["".join(output["data"]["text/html"]) for output in outputs(path) if "text/html" in output.get("data", {})]
    assert sizes or html
    assert max(sizes, default=0) < 160_000 and path.stat().st_size < 1_000_000


@every_notebook
def test_it_has_a_title_and_leads_on(path):
    texts = ["".join(cell["source"]) for cell in cells(path, "markdown")]
    assert texts[0].startswith("# ")
    others = [other.name for other in FILES if other != path]
    assert any(name in texts[-1] for name in others), "the last text links to another notebook"


@every_notebook
def test_metadata(path):
    metadata = json.loads(path.read_text())["metadata"]
    assert metadata["kernelspec"]["name"] == "python3" and metadata["language_info"] == {"name": "python"}
    assert set(metadata) <= {"kernelspec", "language_info", "funnn"} and set(metadata.get("funnn", {})) <= {"quick"}


def test_most_are_quick():
    assert sum(json.loads(path.read_text())["metadata"].get("funnn", {}).get("quick", False) for path in FILES) >= 4
