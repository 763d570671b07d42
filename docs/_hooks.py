"""What MkDocs is told besides its configuration: pages that are generated, notebooks from their own folder, formulas as MathML."""

from __future__ import annotations

import html
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from latex2mathml.converter import convert
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_generate", ROOT / "docs" / "_generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notebooks() -> list[Path]:
    """The notebooks that exist, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def on_config(config: Any) -> Any:
    """Put the notebooks into the navigation, under its entry "Notebooks"."""
    for entry in config.nav:
        if "Notebooks" in entry:
            entry["Notebooks"] = [*_of(entry["Notebooks"]), *(f"notebooks/{path.name}" for path in notebooks())]
    return config


def _of(entry: Any) -> list:
    return list(entry) if isinstance(entry, list) else [entry]


@event_priority(100)
def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and the notebooks before their plugin looks for them."""
    for path, text in _generator().pages().items():
        files.append(File.generated(config, path, content=text))
    for path in notebooks():
        files.append(File(f"notebooks/{path.name}", str(ROOT), config.site_dir, config.use_directory_urls))
    return files


FORMULA = re.compile(r'<(span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</\1>', re.DOTALL)


#: What nbconvert adds to every notebook: a script that fetches Mermaid from a server when there is a diagram. None has one.
MERMAID = re.compile(r"<script type=\"module\">(?:(?!</script>).)*mermaid.*?</script>", re.DOTALL)


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """Formulas become MathML, which browsers draw themselves: no script and no font has to be loaded."""

    def mathml(match: re.Match) -> str:
        latex = html.unescape(match[2] or match[3])
        return convert(latex.replace("align*", "align"), display="block" if match[3] else "inline")

    return FORMULA.sub(mathml, MERMAID.sub("", content))
