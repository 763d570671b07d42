"""Which stubs are not as they should be."""

from __future__ import annotations

from pathlib import Path


def stale(expected: dict[Path, str], root: Path) -> list[Path]:
    """The stubs under ``root`` that are missing, of another text, or no longer needed."""
    there = {path.relative_to(root) for path in (root / "funnn").rglob("*.pyi")}
    wrong = {path for path, text in expected.items() if path not in there or (root / path).read_text(encoding="utf-8") != text}
    return sorted(wrong | (there - expected.keys()))
