"""Writes tests/vision/recorded.json from torchvision itself.

    python -m tests.vision.record

needs PyTorch with torchvision of the version that ``funnn.torchvision.__version__`` says, or a later one, and Pillow.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from pathlib import Path

FILE = Path(__file__).resolve().with_name("recorded.json")


def main() -> None:
    """Run all expressions on torchvision."""
    import torch
    import torchvision.transforms.v2

    from tests.vision.cases import TABLES, namespace, result
    from tests.vision.files import write
    from tests.vision.models import MODELS, TINY, tiny_result, title
    from tests.vision.models import result as models_result

    warnings.simplefilter("ignore")
    folder = tempfile.mkdtemp()
    write(Path(folder))
    os.chdir(folder)
    names = namespace(torch, torchvision)
    lines = {}
    for table, expressions in TABLES.items():
        rows = [f"{json.dumps(text)}: {json.dumps(result(text, names), separators=(',', ':'))}" for text in dict.fromkeys(expressions)]
        lines[table] = ",\n".join(rows)
    table = {title(*case[:2]): models_result(torch, torchvision, *case) for case in MODELS}
    table |= {text: tiny_result(torch, torchvision, text, *how) for text, how in TINY.items()}
    rows = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in table.items()]
    lines["models"] = ",\n".join(rows)
    FILE.write_text("{\n" + ",\n".join(f'"{table}": {{\n{rows}\n}}' for table, rows in lines.items()) + "\n}\n")


if __name__ == "__main__":
    main()
