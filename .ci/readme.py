"""Runs every ```python block of a Markdown file, each in a fresh process; a block that prints is compared with the ```text block after it."""

import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL)


def main(path: str) -> int:
    failed = 0
    blocks = BLOCK.findall(Path(path).read_text())
    for number, (code, expected) in enumerate(blocks, 1):
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        good = result.returncode == 0 and (not expected or result.stdout == expected)
        failed += not good
        print(f"block {number}: {'ok' if good else 'FAILED'}")
        if not good:
            print(code, result.stdout, result.stderr, f"expected:\n{expected}" if expected else "", sep="\n")
    if not blocks:
        print(f"no code blocks in {path}")
    return 1 if failed or not blocks else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
