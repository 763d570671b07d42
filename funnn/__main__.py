"""The command line: ``python -m funnn digits``, ``run SCRIPT``, ``launch SCRIPT``, ``check PATH``, ``port SCRIPT`` and ``--version``."""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import platform
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
_HUGE_PAGES = "keep memory in pages of 2 MiB where Linux and glibc can (the default), which makes large models on a CPU faster; or don't"


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


def _picture(text: str) -> Path:
    file = Path(text)
    if file.suffix.lower() not in _SUFFIXES:
        raise argparse.ArgumentTypeError(f"expected a file name that ends in {', '.join(_SUFFIXES)}, got {text!r}")
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; expected the name of a file")
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {file.parent}; make it first")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} can't be written there; choose another place")
    return file


class _Version(argparse.Action):
    """Prints versions and devices, and ends the program."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> None:
        print(version())
        parser.exit()


def version() -> str:
    """One line: the versions of funnn, JAX and Python, and JAX's devices."""
    import importlib.metadata

    import jax

    import funnn

    try:
        devices = ", ".join(f"{count} × {kind}" for kind, count in Counter(device.device_kind for device in jax.devices()).items())
    except RuntimeError as error:  # JAX was told to use what is not there
        devices = f"none ({str(error).splitlines()[0]})"
    libraries = f"JAX {jax.__version__}, jaxlib {importlib.metadata.version('jaxlib')}, Python {platform.python_version()}"
    return f"funnn {funnn.__version__} ({libraries}; devices: {devices})"


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main = argparse.ArgumentParser(prog="python -m funnn", description="Neural networks on JAX, and PyTorch programs on top of them.")
    main.add_argument("--version", action=_Version, help="print the versions of funnn, JAX and Python, and the devices")
    commands = main.add_subparsers(dest="command", metavar="{digits,run,launch,check,port}")
    digits = commands.add_parser(
        "digits",
        help="train a LeNet on handwritten digits in the functional and the torch style, and compare them",
        description="Train a LeNet in the functional and the torch style, from the same weights and with the same batches. "
        "Prints both losses, the answers on the test images and the speeds, and writes a picture.",
    )
    digits.add_argument("--epochs", type=_positive, default=30, metavar="N", help="passes over the training images (default %(default)s)")
    digits.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="images per step (default %(default)s)")
    digits.add_argument("--seed", type=_seed, default=0, metavar="N", help="of weights and batches (default %(default)s)")
    digits.add_argument("--lr", type=_rate, default=0.05, metavar="X", help="learning rate (default %(default)s)")
    digits.add_argument("--data", metavar="FOLDER", help="a folder with MNIST's four files, instead of the digits that come with funnn")
    digits.add_argument(
        "--picture", type=_picture, metavar="FILE", help="where the picture goes (default digits.png); the suffix chooses the format"
    )
    digits.set_defaults(usage_error=digits.error)
    run = commands.add_parser(
        "run",
        help="run a PyTorch script on funnn",
        usage="%(prog)s [options] (SCRIPT | NOTEBOOK | -m MODULE | -c CODE) [ARGS]",
        description="Run a PyTorch program as it is, with torch answered by funnn.torch, in the processes that it starts too. What follows the script is "
        "its own command line.",
    )
    run.add_argument(
        "--profile",
        action="store_true",
        help="print to stderr, when the script is done, which of its lines asked for values, how many programs that compiled, and the time it took",
    )
    run.add_argument(
        "--operations",
        action="store_true",
        help="print which operations took the time; each of them runs by itself then, so that it can be told",
    )
    run.add_argument("--no-cache", action="store_true", help="don't keep compiled programs in the user's cache folder for the next run")
    run.add_argument(
        "--trace", metavar="FOLDER", help="as --profile, and write a trace of JAX's profiler there, for Perfetto or TensorBoard"
    )
    run.add_argument("--huge-pages", action=argparse.BooleanOptionalAction, help=_HUGE_PAGES)
    run.add_argument("--output", metavar="FILE", help="of a notebook: where it goes with what its cells gave")
    run.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE [ARGS]", help="run a module, as python -m does")
    run.add_argument(
        "-c", dest="code", nargs=argparse.REMAINDER, metavar="CODE [ARGS]", help="run a program given as text, as python -c does"
    )
    run.add_argument("script", nargs="?", metavar="SCRIPT", help="the path of a Python file or a notebook (.ipynb)")
    run.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help="the script's arguments").required = False
    run.set_defaults(usage_error=run.error)
    started = commands.add_parser(
        "launch",
        help="run a PyTorch script in several processes, which torch.distributed joins",
        usage="%(prog)s [options] (SCRIPT | -m MODULE) [ARGS]",
        description="Starts processes on this machine that run a PyTorch program as `run` does, with torchrun's environment (RANK, WORLD_SIZE, LOCAL_RANK, "
        "MASTER_ADDR, …), and waits for them. When one fails, the others are stopped, and its exit code is this command's.",
    )
    started.add_argument("--processes", type=_positive, default=1, metavar="N", help="processes on this machine (default %(default)s)")
    started.add_argument(
        "--nodes", type=_positive, default=1, metavar="N", help="machines, each with as many processes (default %(default)s)"
    )
    started.add_argument(
        "--node-rank", type=_integer, default=0, metavar="N", help="which machine this is, from 0 on (default %(default)s)"
    )
    started.add_argument("--address", default="127.0.0.1", help="the machine of node rank 0, as the others reach it (default %(default)s)")
    started.add_argument(
        "--port", type=_integer, default=0, metavar="N", help="a port there; for several machines the same on all (default: a free one)"
    )
    started.add_argument("--huge-pages", action=argparse.BooleanOptionalAction, help=_HUGE_PAGES)
    started.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE [ARGS]", help="run a module, as python -m does")
    started.add_argument("script", nargs="?", metavar="SCRIPT", help="the path of a Python file")
    started.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help="the script's arguments").required = False
    started.set_defaults(usage_error=started.error)
    check = commands.add_parser(
        "check",
        help="say which names of torch programs use, and what becomes of each on funnn",
        description="Reads programs and runs nothing. Of each name of torch and torchvision that they use it says whether it is the same on funnn, differs "
        "(how), or is missing (the way round), with its lines. Exit code 0: all are there; 1: one is missing; 2: a program can't be read.",
    )
    check.add_argument("paths", nargs="+", metavar="PATH", help="Python files, notebooks, and folders of them")
    check.add_argument("--json", action="store_true", help="one JSON document with all names and places")
    check.add_argument("--all", action="store_true", help="list the names that are the same, too")
    port = commands.add_parser(
        "port",
        help="change a script's import lines so that it runs on funnn by itself",
        description="Changes the import lines of a PyTorch script, and nothing else, so that it imports funnn.torch; prints the diff.",
    )
    port.add_argument("script", metavar="SCRIPT", help="a Python file")
    port.add_argument("-o", "--output", metavar="OUT", help="where the changed program goes; without it, only the diff is printed")
    port.add_argument(
        "--verify", action="store_true", help="run the script with PyTorch, and what it becomes with funnn, and compare what they print"
    )
    port.add_argument(
        "--layers",
        action="store_true",
        help="write the script's Module classes as pure layers instead, and say what of them is not mechanical",
    )
    port.add_argument(
        "--args", nargs=argparse.REMAINDER, default=[], metavar="ARGS", help="the last option: the script's arguments, for --verify"
    )
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, or print the help if there is none; returns the exit code."""
    commands = parser()
    options = commands.parse_args(argv)
    if options.command is None:
        commands.print_help()
        return 0
    if options.command == "run":
        if argv is None and options.huge_pages is not False:  # else this is not the process's own command line
            from funnn import _huge_pages  # before anything that takes long

            _huge_pages.restart(asked=bool(options.huge_pages))
        return _run_program(options)
    if options.command == "launch":
        return _launch(options)
    if options.command == "check":
        from funnn._check.command import check

        return check(options.paths, as_json=options.json, every=options.all)
    if options.command == "port":
        from funnn._port.command import port, write_layers

        if options.layers:
            return write_layers(options.script, options.output)
        return port(options.script, options.output, check=options.verify, args=options.args)
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
    from funnn._digits_report import suggestions

    comparison = digits(data, options.epochs, options.batch_size, options.seed, options.lr)
    written = _write_picture(comparison, options.picture)
    suggestions()
    return 0 if written or options.picture is None else 1


def _run_program(options: argparse.Namespace) -> int:
    """``run``: what the command line names, a notebook included."""
    from funnn import _run, _run_notebook

    given = [(kind, words) for kind, words in (("-m", options.module), ("-c", options.code)) if words is not None]
    kind, words = given[0] if given else ("script", [options.script, *options.args] if options.script else [])
    if not words:
        options.usage_error("give a script, a notebook, -m MODULE or -c CODE")
    what, *args = words
    is_notebook = kind == "script" and what.endswith(".ipynb")
    if options.output and not is_notebook:
        options.usage_error("argument --output: it is for notebooks")
    if is_notebook and (args or options.profile or options.operations or options.trace):
        options.usage_error("a notebook takes no arguments and no profile; put %%time into its cells")
    if is_notebook and Path(what).is_file():
        return _run_notebook.run_notebook(what, options.output)
    return _run.main(
        what, args, kind=kind, profile=options.profile, operations=options.operations, trace=options.trace, cache=not options.no_cache
    )


def _launch(options: argparse.Namespace) -> int:
    """``launch``: the program in several processes."""
    from funnn.torch.distributed import _agent

    words = ["-m", *options.module] if options.module else [options.script, *options.args] if options.script else []
    if not words:
        options.usage_error("give a script or -m MODULE")
    if not options.module and not Path(words[0]).is_file():
        options.usage_error(f"no such script: {words[0]!r}; give the path of a Python file")
    if not 0 <= options.node_rank < options.nodes:
        options.usage_error(
            f"argument --node-rank: expected a number from 0 to {options.nodes - 1}, below --nodes, got {options.node_rank}"
        )
    if options.nodes > 1 and not options.port:
        options.usage_error("argument --port: several machines need one, the same on all")
    plan = _agent.Plan(options.processes, options.nodes, options.node_rank, options.address, options.port)
    if options.huge_pages is not None:
        words = ["--huge-pages" if options.huge_pages else "--no-huge-pages", *words]
    code: int = _agent.launch([sys.executable, "-u", "-m", "funnn", "run", *words], plan, "python -m funnn launch")
    return code


def _write_picture(comparison: Any, file: Path | None) -> bool:
    """Write the picture, or say why there is none; returns whether it is there."""
    from funnn._digits_report import say

    if importlib.util.find_spec("matplotlib") is None:
        say("\nNo picture, because matplotlib is missing: pip install 'funnn[examples]'")
        return False
    from funnn._digits_picture import draw

    file = file or Path("digits.png")
    try:
        draw(comparison, file)
    except OSError as error:
        say(f"\nNo picture: {file} can't be written ({error.strerror or error}); --picture FILE names another place")
        return False
    say(f"\nPicture: {file} (test images with answers, loss curves, confusion matrix)")
    return True


if __name__ == "__main__":
    sys.exit(main())
