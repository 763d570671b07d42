"""How long a fresh process takes to its first losses: ``python -m tests.benchmarks.first_loss [gpt] [lenet] [--compile]``.

A script imports the library, builds a model, and prints the loss of each step of a plain loop; the figures are seconds from the start of the process
to the first loss and to the fifth. With ``--compile`` funnn's step goes through ``torch.compile``. JAX's persistent cache is off unless its variables
are set.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

MODELS = Path(__file__).with_name("_models_torch.py")
SCRIPT = """
import sys
import torch
row, compiled = sys.argv[1:]
names = {{"__name__": "models"}}
exec(compile(open({models!r}).read(), {models!r}, "exec"), names)
torch.manual_seed(0)
if torch.__name__ == "torch":
    torch.set_num_threads(1)
net = names["model"](row)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
x = torch.randint(0, 1000, (8, 128)) if row == "gpt" else torch.randn(32, 1, 28, 28)
y = torch.randint(0, 1000, (8 * 128,)) if row == "gpt" else torch.randint(0, 10, (32,))

def step():
    optimizer.zero_grad()
    logits = net(x)
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)
    loss.backward()
    optimizer.step()
    return loss

step = torch.compile(step) if compiled == "True" else step
for i in range(5):
    print(step().item(), flush=True)
"""


def seconds(world: str, row: str, compiled: bool, file: Path) -> tuple[float, float]:
    """To the first loss, and to the fifth."""
    runner = [sys.executable] if world == "torch" else [sys.executable, "-m", "funnn", "run"]
    begin = time.perf_counter()
    with subprocess.Popen([*runner, str(file), row, str(compiled and world == "funnn")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [time.perf_counter() - begin for _ in process.stdout]
    if process.returncode or len(seen) != 5:
        sys.exit(f"{world} {row}: the script failed")
    return seen[0], seen[4]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=["gpt", "lenet"], help="gpt, lenet or another model that takes images of 28×28")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--times", type=int, default=3, help="the best of so many")
    options = parser.parse_args()
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.py"
        file.write_text(SCRIPT.format(models=str(MODELS)))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(MODELS.parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        for row in options.rows:
            text = []
            for world in ("funnn", "torch"):
                first, fifth = zip(*(seconds(world, row, options.compile, file) for _ in range(options.times)), strict=True)
                text.append(f"{world} first loss {min(first):6.2f} s, fifth {min(fifth):6.2f} s")
            print(f"{row:<8} {'; '.join(text)}", flush=True)


if __name__ == "__main__":
    main()
