"""``python -m funnn run``: a PyTorch script as it is, with ``torch`` answered by ``funnn.torch``."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import re
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from funnn import _import_torch
from funnn._import_torch import torch_is_funnn

_RUNNERS = (__file__, _import_torch.__file__)
_PACKAGE = str(Path(__file__).parent)


def load_script(path: str | Path, name: str) -> dict[str, Any]:
    """The names that a PyTorch script defines, as after importing it as module ``name`` on funnn.torch."""
    with torch_is_funnn():
        return _execute(Path(path).resolve(), types.ModuleType(name))


def run_script(path: str | Path, args: Sequence[str] = ()) -> dict[str, Any]:
    """Run a PyTorch script as ``python path args…`` does, on funnn.torch.

    The script sees its own ``sys.argv``, ``__name__ == "__main__"`` and ``__file__``, and finds modules of its folder. Everything is
    restored at the end, whether it returns or raises.

    Args:
      path: the script.
      args: its command line.

    Returns:
      the script's global names.

    Raises:
      FileNotFoundError: there is no such file.
      BaseException: what the script raises, SystemExit included. If it used a name that funnn.torch lacks, a note says so.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise FileNotFoundError(f"no such script: {str(path)!r}")
    with _as_main([str(path), *args], file.parent) as main:
        return _execute(file, main)


def run_module(name: str, args: Sequence[str] = ()) -> dict[str, Any]:
    """Run a module or package as ``python -m name args…`` does, on funnn.torch; see :func:`run_script`.

    Raises:
      ModuleNotFoundError: there is none of that name, or the package has no ``__main__``.
    """
    with _as_main([name, *args], Path.cwd()) as main:
        spec = _main_spec(name)
        code = spec.loader.get_code(spec.name)
        sys.argv[0] = str(spec.origin)
        vars(main).update(__spec__=spec, __file__=spec.origin, __package__=spec.parent, __loader__=spec.loader, __cached__=spec.cached)
        return _run_code(code, main)


def run_code(code: str, args: Sequence[str] = ()) -> dict[str, Any]:
    """Run a program as ``python -c code args…`` does, on funnn.torch; see :func:`run_script`."""
    with _as_main(["-c", *args], Path.cwd()) as main:
        sys.path[0] = ""
        return _run_code(compile(code, "<string>", "exec", dont_inherit=True), main)


def _main_spec(name: str) -> Any:
    """The spec of what ``python -m name`` runs."""
    found = None
    with contextlib.suppress(ModuleNotFoundError):  # a package on the way to it is missing
        found = importlib.util.find_spec(name)
    if found is not None and found.submodule_search_locations is not None:
        found = importlib.util.find_spec(f"{name}.__main__")
        if found is None:
            raise ModuleNotFoundError(f"No module named {name}.__main__; {name!r} is a package and cannot be directly executed", name=name)
    if found is None or not hasattr(found.loader, "get_code"):
        raise ModuleNotFoundError(f"No module named {name}", name=name)
    return found


@contextmanager
def _as_main(argv: list[str], folder: Path) -> Iterator[types.ModuleType]:
    """A new main module, with its command line, the folder where it finds others, and torch answered; all is restored afterwards."""
    main = types.ModuleType("__main__")
    kept = sys.argv, sys.path[:], sys.modules["__main__"]
    sys.argv, sys.modules["__main__"] = argv, main
    sys.path.insert(0, str(folder))
    try:
        with torch_is_funnn(folder):
            yield main
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"] = kept


def _execute(file: Path, module: types.ModuleType) -> dict[str, Any]:
    module.__file__ = str(file)
    return _run_code(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module)


def _run_code(code: Any, module: types.ModuleType) -> dict[str, Any]:
    try:
        exec(code, module.__dict__)
    except Exception as error:
        _explain(error)
        raise
    return module.__dict__


def own_traceback(error: BaseException) -> types.TracebackType | None:
    """The error's traceback from the script's first frame on."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename in _RUNNERS:
        traceback = traceback.tb_next
    return traceback


def _explain(error: BaseException | None) -> None:
    """Add a note to an error that comes from a name which funnn.torch lacks."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        name, place = _missing_name(error), own_traceback(error)
        while place is not None and place.tb_next is not None and not _is_machinery(place.tb_next):
            place = place.tb_next
        if name and place is not None and not _is_own(place):
            place.tb_next = None
            error.add_note(f"{place.tb_frame.f_code.co_filename}, line {place.tb_lineno}, uses {name}, which funnn.torch does not have")
        error = error.__cause__ or error.__context__


def _missing_name(error: BaseException) -> str | None:
    """The torch name that could not be found, if that is the error."""
    if isinstance(error, ModuleNotFoundError):
        return _torch_name(error.name)
    if isinstance(error, ImportError):
        name = re.match(r"cannot import name '(\w+)'", str(error))
        return f"{_torch_name(error.name)}.{name[1]}" if name and _torch_name(error.name) else None
    if isinstance(error, AttributeError) and error.name and error.obj is not None:
        owner = error.obj if isinstance(error.obj, (type, types.ModuleType)) else type(error.obj)
        is_module = isinstance(owner, types.ModuleType)
        if is_module or owner.__name__ == "Tensor":  # what else lacks an attribute is as likely to be the script's own fault
            where = _torch_name(owner.__name__ if is_module else owner.__module__)
            return where and f"{where if is_module else 'torch.Tensor'}.{error.name}"
    return None


def _torch_name(module: str | None) -> str | None:
    """``torch.x`` for ``funnn.torch.x`` and itself, None for other modules."""
    name = (module or "").removeprefix("funnn.")
    return name if name.partition(".")[0] == "torch" else None


def _is_machinery(traceback: types.TracebackType) -> bool:
    code = traceback.tb_frame.f_code
    name = code.co_filename
    asked = _is_own(traceback) and (
        code.co_name == "__getattr__" or Path(name).name == "_unsupported.py"
    )  # what says that a name is not there
    return asked or name in _RUNNERS or name.startswith("<frozen importlib")


def _is_own(traceback: types.TracebackType) -> bool:
    """Whether a frame is funnn's; its examples are scripts like others."""
    file = Path(traceback.tb_frame.f_code.co_filename)
    return file.is_relative_to(_PACKAGE) and not file.is_relative_to(Path(_PACKAGE, "examples"))


@contextmanager
def profiled(operations: bool = False, trace: str | None = None) -> Iterator[None]:
    """Print what took the time within the block, to stderr.

    Args:
      operations: by operation, each of which runs by itself meanwhile; else by the line that asked for values, without changing what runs how.
      trace: a folder into which jax.profiler's trace is written too.
    """
    import jax

    from funnn.engine.program.report import forget, report
    from funnn.torch.autograd.profiler import profile

    forget()
    try:
        with jax.profiler.trace(trace) if trace else nullcontext(), profile.around() if operations else nullcontext() as times:
            yield
    finally:
        sys.stdout.flush()
        print(times if operations else report(), file=sys.stderr)


#: What is run, by the option that says so.
RUNS: dict[str, Callable[[str, Sequence[str]], Any]] = {"script": run_script, "-m": run_module, "-c": run_code}


def main(
    what: str,
    args: Sequence[str],
    *,
    kind: str = "script",
    profile: bool = False,
    operations: bool = False,
    trace: str | None = None,
    cache: bool = True,
) -> int:
    """The command: run the program; print the traceback of its error without funnn's frames. Returns the exit code.

    ``kind`` is a key of RUNS. With ``profile``, ``operations`` or ``trace`` the program runs in :func:`profiled`; with ``cache`` compiled programs are
    kept for the next time.
    """
    if kind == "script" and not Path(what).is_file():
        print(f"python -m funnn run: error: no such script: {what!r}; give the path of a Python file or a notebook", file=sys.stderr)
        return 2
    try:
        if cache:
            _keep_programs()
        import funnn.torch  # noqa: F401

        gc.freeze()  # what was made on import stays: no collection of the script's need look at it
        with profiled(operations, trace) if profile or operations or trace else nullcontext():
            RUNS[kind](what, args)
    except SystemExit:
        raise
    except BaseException as error:
        error.__traceback__ = own_traceback(error)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _keep_programs() -> None:
    """Keep compiled programs in the user's cache folder, unless JAX was told of another one, or there is no place to write."""
    import jax

    from funnn._compilation_cache import cache_compilations

    if jax.config.values["jax_compilation_cache_dir"] is None:
        try:
            cache_compilations()
        except OSError as error:
            print(f"python -m funnn run: compiled programs are not kept: {error}", file=sys.stderr)
