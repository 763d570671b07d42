"""The command line: ``python -m funnn digits`` and ``python -m funnn run SCRIPT``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence


def _positive(text: str) -> int:
    value = _integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None


def _seed(text: str) -> int:
    value = _integer(text)
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2**64 - 1, got {text}")
    return value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, such as 0.05, got {text!r}")
    return value


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main = argparse.ArgumentParser(prog="python -m funnn", description="Neural networks on JAX, and PyTorch programs on top of them.")
    commands = main.add_subparsers(dest="command", required=True, metavar="{digits,run}")
    digits = commands.add_parser(
        "digits",
        help="train a LeNet on handwritten digits in the functional and the torch style, and compare them",
        description="Train a LeNet in the functional and the torch style, from the same weights and with the same batches.",
    )
    digits.add_argument("--epochs", type=_positive, default=30, metavar="N", help="passes over the training images (default %(default)s)")
    digits.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="images per step (default %(default)s)")
    digits.add_argument("--seed", type=_seed, default=0, metavar="N", help="of weights and batches (default %(default)s)")
    digits.add_argument("--lr", type=_rate, default=0.05, metavar="X", help="learning rate (default %(default)s)")
    digits.add_argument("--data", metavar="FOLDER", help="a folder with MNIST's four files, instead of the digits that come with funnn")
    digits.set_defaults(usage_error=digits.error)
    run = commands.add_parser(
        "run",
        help="run a PyTorch script on funnn",
        description="Run a PyTorch script as it is, with torch answered by funnn.torch. What follows the script is its own command line.",
    )
    run.add_argument("--profile", action="store_true", help="print which operations took the time, to stderr, when the script is done")
    run.add_argument(
        "--trace", metavar="FOLDER", help="as --profile, and write a trace of JAX's profiler there, for Perfetto or TensorBoard"
    )
    run.add_argument("script", metavar="SCRIPT", help="the path of a Python file")
    run.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help="the script's arguments").required = False
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = parser().parse_args(argv)
    if options.command == "run":
        from funnn import _run

        return _run.main(options.script, options.args, options.profile, options.trace)
    from funnn.examples.data import load_digits

    try:
        data = load_digits(options.data)
    except (FileNotFoundError, ValueError) as error:
        options.usage_error(f"argument --data: {error}")
    if options.batch_size > len(data[0]):
        options.usage_error(
            f"argument --batch-size: expected at most {len(data[0])}, the count of training images, got {options.batch_size}"
        )
    from funnn._digits import digits

    digits(data, options.epochs, options.batch_size, options.seed, options.lr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
