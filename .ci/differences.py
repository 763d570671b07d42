"""Writes docs/differences.md from the table in funnn/torch/_differences.py; with --check it says whether the page is current."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from funnn.torch._differences import DIFFERENCES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "differences.md"

HEAD = """\
# Differences from PyTorch

<!-- made by .ci/differences.py from funnn/torch/_differences.py -->

What `funnn.torch` does otherwise than PyTorch 2.13, as far as it is known; the tests run a program for each of these in both libraries. What is not supported
raises `NotImplementedError` and says the way round; a name does so when it is looked up. That error is an `AttributeError` too, so `hasattr` answers.
"""

TAIL = """\
## Not there

Block-sparse layouts; quantised, nested and masked tensors; integers of fewer than 8 bits; TorchScript and export;
symbolic sizes; streams and devices other than JAX's; `torch.ops` and the vendors' operations (`cudnn_*`, `mkldnn_*`); `torch.distributed.rpc`
([Several processes](devices.md#several-processes) says what of `torch.distributed` is there). The
[table](torch-table.md#not-in-funnntorch) has the way round for each.

```python
import funnn.torch as torch

print(hasattr(torch, "quantize_per_tensor"))
try:
    torch.quantize_per_tensor
except NotImplementedError as error:
    print(error)
```
```text
False
torch.quantize_per_tensor is not supported: there are no quantised tensors; store an int8 tensor and its scale, and multiply: x.to(torch.float32) * scale
```

What each function and layer of the *functional* world does otherwise than torch's is in the last column of the [table](torch-table.md).
"""


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for topic in dict.fromkeys(difference.topic for difference in DIFFERENCES):
        items = [
            textwrap.fill(f"- {each.text}", 150, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            for each in DIFFERENCES
            if each.topic == topic
        ]
        parts.append(f"## {topic}\n\n" + "\n".join(items) + "\n")
    return "\n".join([*parts, TAIL])


def main() -> None:
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/differences.md is not current; run: python .ci/differences.py")


if __name__ == "__main__":
    main()
