"""All programs, by topic and name."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.programs._program import Program

TOPICS = sorted(
    path.stem for path in Path(__file__).parent.glob("[a-z]*.py") if path.stem != "catalog" and not path.stem.startswith("test_")
)


def all_programs() -> dict[str, Program]:
    """Every program of every topic, as ``topic.name``."""
    found = {}
    for topic in TOPICS:
        module = importlib.import_module(f"tests.programs.{topic}")
        found |= {f"{topic}.{name}": value for name, value in vars(module).items() if isinstance(value, Program)}
    return found
