"""Random programs over a handful of tensors: views, writes in place, gradients, random numbers, compiled functions."""

from __future__ import annotations

import random
import re

from tests.programs.randomly._derivative_statements import GRADIENTS, SETUP
from tests.programs.randomly._running import Statements
from tests.programs.randomly._tensor_statements import BINARY, CONTEXTS, IN_PLACE, OBSERVE, RANDOMNESS, UNARY, VIEWS

#: How a function ends, and what is used of the call's result.
RESULTS = (
    *(("return {}", "{}"),) * 6,
    ("return {} * 1", "{}"),
    ("return {}.sum()", "{}"),
    ("return {}, {} + 1", "{}[1]"),
    ("return {'first': {}, 'second': [{}.sum()]}", "{}['second'][0]"),
    ("return Pair({}, {} * 2)", "{}.second"),
    ("return Bag(first={}, second={}.mean())", "{}['first']"),
    ("return collections.OrderedDict(first={} * 2)", "{}['first']"),
    ("return (part * 2 for part in ({}, {} + 1))", "list({})[0]"),
    ("yield {}\nyield {} * 2", "list({})[1]"),
    ("return None", "{}"),
)


class Writer:
    """Writes statements over names that the program may have."""

    def __init__(self, choose: random.Random):
        self.choose, self.names, self.functions = choose, ["a", "b", "c", "d", "e", "h", "w"], []

    def name(self) -> str:
        return self.choose.choice(self.names[-9:] if self.choose.random() < 0.7 else self.names)

    def new(self) -> str:
        if self.choose.random() < 0.3:
            return self.name()
        self.names.append(f"t{len(self.names)}")
        return self.names[-1]

    def filled(self, text: str) -> str:
        """A template with a name in each gap; all ``{}`` are the same name, all ``{u}`` another."""
        first, second = self.name(), self.name()
        text = text.replace("{u}", second).replace("{}", first).replace("{0}", first).replace("{1}", second)
        return text.replace("{n}", self.new()) if "{n}" in text else text

    def simple(self) -> str:
        roll, pick = self.choose.random(), self.choose.choice
        if roll < 0.2:
            text = self.filled(pick(UNARY))
            return f"{self.new()} = {text}"
        if roll < 0.3:
            text = pick(BINARY).replace("{}", "{0}", 1).replace("{}", "{1}", 1)
            text = self.filled(text)
            return f"{self.new()} = {text}"
        if roll < 0.45:
            text = self.filled(pick(VIEWS))
            return f"{self.new()} = {text}"
        if roll < 0.67:
            return self.filled(pick(IN_PLACE))
        if roll < 0.82:
            return self.filled(pick(GRADIENTS))
        if roll < 0.93:
            return self.filled(pick(OBSERVE))
        return self.filled(pick(RANDOMNESS))

    def block(self, depth: int = 0) -> str:
        roll = self.choose.random()
        if roll < 0.1 and depth < 2:
            head = self.filled(self.choose.choice(CONTEXTS))
            body = [self.block(depth + 1) for _ in range(self.choose.randint(1, 3))]
            if head.startswith("while"):
                body.append(f"{head.split()[1].partition('.')[0]}.mul_(0.4)" if self.choose.random() < 0.5 else "break")
                if body[-1] != "break":
                    body.append("break")
            text = head + "\n" + indented(body)
            return text + "\nexcept RuntimeError as error:\n    note('refused')" if head == "try:" else text
        if roll < 0.14 and depth == 0:
            return self.function()
        if roll < 0.2 and self.functions and depth < 2:
            name, count, reach = self.choose.choice(self.functions)
            call = reach.replace("{}", f"{name}({', '.join(self.name() for _ in range(count))})")
            return f"{self.new()} = {call}" if self.choose.random() < 0.6 else f"for _ in range(5):\n    {self.new()} = {call}"
        return self.simple()

    def function(self) -> str:
        count, outer = self.choose.randint(1, 2), self.names
        names = ["x", "y"][:count]
        self.names = [*names, *names, *names, self.name()]
        body = [self.simple() if self.choose.random() < 0.7 else self.block(1) for _ in range(self.choose.randint(1, 5))]
        body = [text for text in body if "del " not in text]
        if self.choose.random() < 0.1:
            body.append(f"if {self.name()}.sum() > 1:\n    raise ValueError('in a function')")
        inside, self.names = self.names[3 * count + 1 :], outer
        locals_ = sorted(set(re.findall(r"^\s*(\w+) = ", "\n".join(body), re.MULTILINE)))
        outside = [name for name in locals_ if name not in names and name not in inside]
        if outside:
            body.insert(0, f"global {', '.join(outside)}")
        result = self.choose.choice([names[0], *(inside[-1:] * 2)])
        form, reach = self.choose.choice(RESULTS)
        name = f"f{len(self.functions)}"
        self.functions.append((name, count, reach))
        last = form.replace("{}", result)
        return f"@compiled\ndef {name}({', '.join(names)}):\n" + indented([*body, last])


def indented(lines: list[str]) -> str:
    return "\n".join("    " + line for text in lines for line in text.splitlines())


def tensors(seed: int, length: int = 30) -> Statements:
    """A random program."""
    choose = random.Random(seed)
    writer = Writer(choose)
    lines = list(SETUP)
    if choose.random() < 0.3:
        lines.insert(0, "torch.set_default_dtype(torch.float64)")
    lines += [writer.block() for _ in range(length)]
    for name in dict.fromkeys(writer.names):
        lines.append(f"note({name}, {name}.grad, {name}.requires_grad)")
    lines.append("note(seen, hooked, torch.rand(1))")
    rounded = any(text in line for line in lines[1:] for text in ("float()", "float16", "autocast"))
    exact = lines[0].startswith("torch.set_default_dtype") and not rounded
    return Statements(tuple(lines), *((1e-9, 1e-10) if exact else (1e-4, 1e-5)))
