"""``torch.compile(mode="reduce-overhead")``: calls that did twice the same are done again without their Python."""

from __future__ import annotations

import dataclasses
import functools
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from funnn.engine.program.graph import flush, settle
from funnn.engine.program.region import Region
from funnn.engine.program.replay import Recorder, Replayable
from funnn.engine.program.value import is_forked
from funnn.engine.state import thread
from funnn.engine.tensor.sparse import NoDenseMemory
from funnn.engine.tensor.tensor import Tensor
from funnn.torch._compiling.plan import Plan
from funnn.torch._compiling.script import MISS, Script
from funnn.torch._compiling.signature import Refused, Signature, give_back, is_plain, is_slice, replaced, stand_in
from funnn.torch._compiling.snapshot import Snapshot
from funnn.torch._compiling.watch import Watch

_PLANS, _SIGNATURES = 4, 64
_IN_VAIN = 4  # recordings one after the other that led to no replay


@dataclasses.dataclass
class Entry:
    """What is known of calls with one signature."""

    visits: int = 0
    recorded: int = 0
    replayed: int = 0
    in_vain: int = 0
    scripts: list[Script] = dataclasses.field(default_factory=list)
    candidates: list[Plan] = dataclasses.field(default_factory=list)
    references: list[Any] = dataclasses.field(default_factory=list)
    reason: str = ""
    refused: bool = False

    def forget(self, _: Any = None) -> None:
        """Something that the plans are about is gone."""
        self.scripts, self.candidates = [], []


_all: weakref.WeakSet[Replayer] = weakref.WeakSet()


def forget_all() -> None:
    """What ``torch.compiler.reset`` does: every function is recorded anew."""
    for replayer in list(_all):
        replayer.forget()


class Replayer:
    """Calls of one compiled function.

    Args:
      function: what is compiled; name: what warnings call it; fullgraph: as of a region.
    """

    def __init__(self, function: Callable[..., Any], name: str, fullgraph: bool):
        self.function, self.name, self.fullgraph = function, name, fullgraph
        self._recording = threading.Lock()
        self._warned: set[str] = set()
        self.forget()
        _all.add(self)

    def forget(self) -> None:
        """Begin again."""
        self.entries: dict[Any, Entry] = {}
        self.programs: dict[Any, Replayable] = {}
        self._warned.clear()

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], plainly: Callable[..., Any]) -> Any:
        """The result of a call: of a replay, or of the function in a region, which ``plainly(region, args, kwargs)`` runs."""
        if not is_plain() or is_forked():
            return self._plainly(args, kwargs, plainly)
        try:
            signature = Signature(args, kwargs)
            entry = self.entries.get(signature.key)
        except (Refused, TypeError) as error:
            self._warn(str(error) if isinstance(error, Refused) else f"an argument cannot be compared ({error})")
            return self._plainly(args, kwargs, plainly)
        if entry is None:
            if len(self.entries) >= _SIGNATURES:
                self._warn(
                    f"it was called with more than {_SIGNATURES} kinds of arguments; pass a number that changes as a tensor or a float"
                )
                return self._plainly(args, kwargs, plainly)
            entry = self.entries[signature.key] = Entry()
            entry.references = [weakref.ref(item, functools.partial(_drop, weakref.ref(self), signature.key)) for item in signature.objects]
        entry.visits += 1
        if entry.refused or entry.visits == 1:
            return self._plainly(args, kwargs, plainly)
        for script in list(entry.scripts):
            if script.holds(signature.leaves):
                graph = thread.graph
                if graph is not None and graph.records:
                    flush()
                result = script.run(signature.leaves)
                if result is not MISS:
                    entry.replayed += 1
                    entry.in_vain = 0
                    return result
        if not self._recording.acquire(blocking=False):
            return self._plainly(args, kwargs, plainly)
        try:
            return self._record(entry, signature, args, kwargs, plainly)
        finally:
            self._recording.release()
            settle()

    def _plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[..., Any]) -> Any:
        return run(Region(self.name, self.fullgraph), args, kwargs)

    def _record(self, entry: Entry, signature: Signature, args: Any, kwargs: Any, plainly: Callable[..., Any]) -> Any:
        """Call the function, and see whether the call can be done again."""
        leaves, places, plain_arguments = list(signature.leaves), {}, (args, kwargs)
        stand_ins: dict[int, Tensor] = {}
        roots = [("function", self.function), *(("argument", item) for item in signature.objects)]
        try:
            watch = Watch(roots, entry.forget)
        except NoDenseMemory:
            self._failed(entry, "it reads a sparse tensor")
            return self._plainly(*plain_arguments, plainly)
        flush()
        for number, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor):
                leaf._operand().known()
                if is_slice(leaf) and not signature.overlap:
                    if id(leaf._storage) in watch.memory():
                        self._failed(entry, "an argument is a part of a tensor that the function knows")
                        return self._plainly(*plain_arguments, plainly)
                    made = stand_ins.setdefault(id(leaf), stand_in(leaf))
                    leaves[number] = made
                    places[id(made._storage)] = leaf._storage, leaf._window
        if stand_ins:
            originals = {id(made): leaf for leaf, made in zip(signature.leaves, leaves, strict=True) if made is not leaf}
            args, kwargs = replaced(args, stand_ins), {name: replaced(item, stand_ins) for name, item in kwargs.items()}
        recorder = Recorder(self.name, self.fullgraph)
        try:
            snapshot = Snapshot()
        except Refused as reason:
            self._refuse(entry, str(reason))
            return self._plainly(*plain_arguments, plainly)
        result = plainly(recorder, args, kwargs)
        snapshot.let_go()
        entry.recorded += 1
        try:
            slices = {number for number, leaf in enumerate(leaves) if leaf is not signature.leaves[number]}
            plan = Plan(recorder, snapshot, leaves, result, watch, slices, entry.forget)
            del recorder, snapshot
            if stand_ins:
                self._settle(originals, leaves, places, result)
            plan.finish()
            self._add(entry, plan)
        except Refused as reason:
            self._failed(entry, str(reason))
        finally:
            if stand_ins:
                give_back(result, places)
        return result

    @staticmethod
    def _settle(originals: dict[int, Tensor], leaves: list[Any], places: dict[int, Any], result: Any) -> None:
        """What was written into stand-ins belongs to the tensors that they stood for."""
        for made in leaves:
            original = originals.get(id(made))
            if original is not None and made._storage.writes:
                original._write(made._storage.value)
                raise Refused("it writes into an argument that is a part of a larger tensor")

    def _add(self, entry: Entry, plan: Plan) -> None:
        reason = "there was no second call that did the same"
        for script in entry.scripts:
            found = _agree(script.plan, plan, script.loose, reason)
            if isinstance(found, set):
                entry.scripts.remove(script)
                entry.scripts.insert(0, Script(plan, self.programs, found))
                self._judge(entry)
                return
        for candidate in reversed(entry.candidates):
            found = _agree(candidate, plan, set(), reason)
            if isinstance(found, set):
                entry.candidates.remove(candidate)
                entry.scripts.insert(0, Script(plan, self.programs, found))
                del entry.scripts[_PLANS:]
                self._judge(entry)
                return
            reason = found
        entry.candidates.append(plan)
        del entry.candidates[:-_PLANS]
        self._failed(entry, reason)

    def _judge(self, entry: Entry) -> None:
        """Recording takes longer than the plain call: where it does not pay, it ends."""
        if entry.recorded >= 12 and entry.replayed < 2 * entry.recorded:
            self._refuse(entry, entry.reason or "it does something else at most calls")

    def _failed(self, entry: Entry, reason: str) -> None:
        entry.in_vain += 1
        entry.reason = reason
        if entry.in_vain >= _IN_VAIN:
            self._refuse(entry, reason)
        else:
            self._judge(entry)

    def _refuse(self, entry: Entry, reason: str) -> None:
        entry.refused = True
        entry.forget()
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if reason in self._warned or len(self._warned) > 8:
            return
        self._warned.add(reason)
        code = getattr(self.function, "__code__", getattr(getattr(self.function, "__func__", None), "__code__", None))
        file, line = (code.co_filename, code.co_firstlineno) if code is not None else ("torch.compile", 0)
        what = f"torch.compile of {self.name!r} with mode='reduce-overhead' replays no such calls"
        text = f"{what}: {reason}. Python runs at every one, and the numbers are the same"
        warnings.warn_explicit(text, UserWarning, file, line)


def _drop(replayer: Any, key: Any, _: Any) -> None:
    """An object that a signature knows by its number is gone."""
    found = replayer()
    if found is not None:
        found.entries.pop(key, None)


def _agree(old: Plan, new: Plan, loose: set[Any], otherwise: str) -> set[Any] | str:
    """The slots and arguments that may vary if two calls did the same, or what they did not do the same."""
    reason = old.differs(new)
    if reason is not None:
        return reason
    found = set(loose)
    for mine, theirs in zip(old.leaves, new.leaves, strict=True):
        if mine.kind == "slot" and mine.more != theirs.more:
            found.add(("slot", theirs.what))
        elif mine.kind == "float" and mine.more != theirs.more:
            found.add(theirs.what)
    memory = new.watch.memory()
    for number, (a, b) in enumerate(zip(old.arguments, new.arguments, strict=True)):
        if not isinstance(b, float) and a != b:
            if b.id in memory or a.id in memory:
                return "an argument is at times a tensor that the function knows without it"
            found.add(number)
    return found
