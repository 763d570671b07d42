"""Other names for the arrays of a checkpoint: rules, and those for models of Hugging Face's transformers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from funnn.checkpoint._lazy import derived

Replacement = str | Callable[[re.Match[str]], str] | None


class Rule(NamedTuple):
    """How keys change in which ``pattern`` is found, and their arrays.

    Attributes:
      pattern: a regular expression, which is searched for; ``^`` and ``$`` bind it to the key's ends.
      replacement: what stands in its stead, as for ``re.sub``: a text with groups as ``\\1``, or a function of the match; None drops the key.
      transform: a function of the array, such as ``numpy.transpose``; None leaves it.
      optional: whether it may find nothing.
    """

    pattern: str
    replacement: Replacement
    transform: Callable[[Any], Any] | None = None
    optional: bool = False


Rules = Sequence[Rule | tuple[Any, ...]] | Callable[[str], str | None]


def rename(flat: Mapping[str, Any], rules: Rules) -> Mapping[str, Any]:
    """The arrays of ``flat`` under other keys.

    Args:
      flat: arrays by key; what ``load_safetensors(path, lazy=True)`` gives stays lazy.
      rules: pairs of a regular expression and its replacement, or :class:`Rule`, applied in turn to every key as the rules before have left it;
        or a function from a key to its new key, or to None to drop it.

    Returns:
      A new dict (or LazyTensors), in the order of ``flat``.

    Raises:
      ValueError: a rule finds nothing and is not optional, or two keys become one.

    Example:
      >>> rename({"model.fc.kernel": 1, "model.step": 2}, [(r"^model\\.", ""), ("kernel$", "weight"), ("step", None)])
      {'fc.weight': 1}
    """
    follow = _Chain(rules)
    origin: dict[str, str] = {}
    readers: dict[str, Callable[[], Any]] = {}
    for key in flat:
        new, transforms = follow(key)
        if new is None:
            continue
        if new in origin:
            raise ValueError(f"rename: {origin[new]!r} and {key!r} both become {new!r}; change a rule, or drop one of the keys")
        origin[new] = key
        readers[new] = _reader(flat, key, transforms)
    if follow.unused:
        raise ValueError(
            f"rename: these patterns are found in no key: {', '.join(repr(rule.pattern) for rule in follow.unused)}; the first keys are "
            f"{', '.join(map(repr, list(flat)[:5]))}. Remove the rule, or use Rule(…, optional=True)"
        )
    return derived(flat, readers)


def _reader(flat: Mapping[str, Any], key: str, transforms: Sequence[Callable[[Any], Any]]) -> Callable[[], Any]:
    def read() -> Any:
        array = flat[key]
        for transform in transforms:
            array = transform(array)
        return array

    return read


class _Chain:
    """Rules as a function from a key to the new key and the array's transforms; ``unused`` are those that have found nothing so far."""

    def __init__(self, rules: Rules):
        self.function = rules if callable(rules) else None
        self.rules = [] if callable(rules) else [(re.compile(rule[0]), Rule(*rule)) for rule in rules]
        self.unused = [rule for _, rule in self.rules if not rule.optional]

    def __call__(self, key: str) -> tuple[str | None, list[Callable[[Any], Any]]]:
        if self.function is not None:
            return self.function(key), []
        transforms: list[Callable[[Any], Any]] = []
        for pattern, rule in self.rules:
            if not pattern.search(key):
                continue
            self.unused = [other for other in self.unused if other is not rule]
            if rule.replacement is None:
                return None, []
            key = pattern.sub(rule.replacement, key)
            transforms += [rule.transform] if rule.transform is not None else []
        return key, transforms
