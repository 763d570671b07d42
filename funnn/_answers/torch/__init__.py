"""Answers ``import torch`` with funnn.torch, in a process whose path was inherited from one in which it is answered."""

import importlib.util
import sys
from pathlib import Path

if "funnn" not in sys.modules:  # the one that this file is part of, whether or not this process's path leads to it, or to another one
    _file = Path(__file__).parents[2] / "__init__.py"
    _spec = importlib.util.spec_from_file_location("funnn", _file, submodule_search_locations=[str(_file.parent)])
    assert _spec is not None and _spec.loader is not None
    sys.modules["funnn"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["funnn"])

from funnn._import_torch import answer

answer(__name__)
