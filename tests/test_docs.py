"""The documentation without MkDocs: links, navigation, the generated table, and the rules of code blocks."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from funnn import functional, layers, optim

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem.strip("_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = module_at(ROOT / "docs" / "_generate.py")
code_blocks = module_at(ROOT / ".ci" / "code_blocks.py")


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return generate.pages()


def anchors_of(text: str) -> set[str]:
    """The anchors of headings, as Python-Markdown makes them, and those of the reference."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    slugs = {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", heading)).strip().lower()) for heading in headings}
    return slugs | set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


def broken_links(path: Path, text: str, made: dict[str, str]) -> list[str]:
    """The relative links of a page that lead nowhere; ``made`` are pages of docs/ that exist only when the site is built."""
    broken = []
    for target in LINK.findall(CODE.sub("", text)):
        name, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (path.parent / name).resolve() if name else path
        docs = ROOT / "docs"
        generated = made.get(there.relative_to(docs).as_posix()) if there.is_relative_to(docs) else None
        found = generated is not None or there.exists()
        if not found or (anchor and anchor not in anchors_of(generated or there.read_text())):
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path, made):
    assert broken_links(path, path.read_text(), made) == []


def test_the_test_above_can_fail(made):
    text = (
        "[a](nowhere.md) [b](files.md#no-such-heading) [c](files.md#names) `[d](code.md)` [e](api/optim.md#funnn.optim.adam.adam) [f](#g)"
    )
    assert broken_links(ROOT / "docs" / "index.md", text, made) == ["nowhere.md", "files.md#no-such-heading", "#g"]


def test_links_of_generated_pages_lead_somewhere(made):
    for name, text in made.items():
        assert broken_links(ROOT / "docs" / name, text, made) == [], name


def test_navigation_lists_every_page():
    config = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r"^ +- .*?: (\S+\.md)$", config[config.index("\nnav:") :], re.MULTILINE)
    wanted = [path.name for path in PAGES[1:]] + [name for name in generate.PAGES if not name.startswith("source/")]
    assert sorted(listed) == sorted(wanted)


def test_notebooks_are_in_the_list():
    listed = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "notebooks.md").read_text(), re.MULTILINE)
    there = [path.name.partition("_")[0].lstrip("0") for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")]
    assert listed == [str(number) for number in range(1, 11)]
    assert set(there) <= set(listed)


def test_the_table_has_every_public_name(made):
    table = made["torch-table.md"]
    names = [name for name in functional.__all__ if name != "public"]
    names += [name for name in vars(layers) if not name.startswith("_") and inspect.isclass(getattr(layers, name))]
    names += [name for name in vars(optim) if not name.startswith(("_", "transformation")) and inspect.isfunction(getattr(optim, name))]
    assert [name for name in names if f"[`{name}`]" not in table] == []
    assert "| `nn.functional.relu` |" in table and "| `nn.Linear` |" in table and "| `optim.AdamW` |" in table


def test_the_reference_has_every_public_name(made):
    for prefix, page, names in (
        ("funnn.functional", "api/functional.md", functional.__all__),
        ("funnn.layers", "api/layers.md", generate.layer_names()),
        ("funnn.optim", "api/optim.md", [name for name in vars(optim) if inspect.isfunction(getattr(optim, name))]),
    ):
        assert [name for name in names if not re.search(rf"^::: {prefix}[\w.]*\.{name}$", made[page], re.MULTILINE)] == []


def test_differences_come_from_docstrings():
    assert generate.function_row("one_hot")[2] == "torch's always returns int64"
    assert "draws from `key`" in generate.function_row("dropout")[2]
    assert generate.function_row("relu")[2] == "`inplace` is ignored"
    assert generate.layer_row("Dropout")[2].startswith("in training, `apply` needs `key`")
    assert "running statistics are in `state`" in generate.layer_row("BatchNorm2d")[2]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_blocks_that_are_not_run_say_why(path):
    blocks = code_blocks.blocks_of(path.read_text())
    assert [problem for block in blocks if (problem := code_blocks.problem_of_mark(block))] == []


def test_readme_has_both_commands():
    marks = [block.mark for block in code_blocks.blocks_of((ROOT / "README.md").read_text())]
    assert marks.count("main") == 1 and marks.count("test") == 1


def run_text(tmp_path, text: str, name: str = "page.md") -> int:
    path = tmp_path / name
    path.write_text(text)
    return code_blocks.run_file(path)


def test_a_page_shares_a_namespace_and_output_is_compared(tmp_path, capsys):
    shared = "```python\na = 1\n```\n\n```python\nprint(a + 1)\n```\n```text\n2\n```\n"
    assert run_text(tmp_path, shared) == 0
    assert run_text(tmp_path, shared.replace("\n2\n", "\n3\n")) == 1
    assert "expected:\n3" in capsys.readouterr().out
    assert run_text(tmp_path, shared, "README.md") == 1  # each block alone
    assert "NameError" in capsys.readouterr().out


def test_what_is_not_run_needs_a_reason(tmp_path, capsys):
    assert run_text(tmp_path, "<!-- not run: of another library -->\n```python\nraise SystemExit(1)\n```\n") == 0
    assert run_text(tmp_path, "<!-- not run: -->\n```python\nraise SystemExit(1)\n```\n") == 1
    assert run_text(tmp_path, "```sh\nls\n```\n") == 1
    assert "needs <!-- not run: reason -->" in capsys.readouterr().out
