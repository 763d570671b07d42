"""Expressions in a Module's methods as those in a Layer's: functions and methods of torch in the spelling of JAX and funnn.functional."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable

import funnn.torch
from funnn import functional as F
from funnn import layers
from funnn._check.names import Names
from funnn._port.edits import Edit, Source

#: Arguments that say where or how, which arrays of JAX do not have.
_DROPPED = {"device", "requires_grad", "inplace", "pin_memory", "layout", "memory_format", "non_blocking"}
_ARGUMENTS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "diagonal": "k", "input": "a", "other": "b"}
_DTYPES = {
    **{name: name for name in ("float32", "float16", "bfloat16", "int32", "int16", "int8", "uint8", "complex64")},
    **{"float": "float32", "half": "float16", "long": "int32", "int64": "int32", "int": "int32", "bool": "bool_"},
}
_SAME = (
    "exp expm1 log log1p log2 log10 sqrt square reciprocal abs sign sin cos tan sinh cosh floor ceil round trunc isnan isinf isfinite minimum maximum "
    "logical_and logical_or logical_not where sum mean prod any all argmax argmin cumsum cumprod squeeze stack einsum outer dot diag trace tril triu flip "
    "roll zeros_like ones_like full_like full linspace arange meshgrid matmul"
)
#: torch.name -> name in jax.numpy, where positions of arguments are the same.
_NUMPY = {
    **{name: name for name in _SAME.split()},
    **{
        "cat": "concatenate",
        "concat": "concatenate",
        "mm": "matmul",
        "bmm": "matmul",
        "mv": "matmul",
        "unsqueeze": "expand_dims",
        "transpose": "swapaxes",
    },
    **{
        "permute": "transpose",
        "pow": "power",
        "clamp": "clip",
        "clip": "clip",
        "amax": "max",
        "amin": "min",
        "add": "add",
        "sub": "subtract",
        "mul": "multiply",
    },
    **{
        "div": "divide",
        "atan": "arctan",
        "asin": "arcsin",
        "acos": "arccos",
        "atan2": "arctan2",
        "absolute": "abs",
        "tensor": "array",
        "as_tensor": "asarray",
    },
    **{"broadcast_to": "broadcast_to", "eye": "eye", "repeat_interleave": "repeat", "concatenate": "concatenate", "swapaxes": "swapaxes"},
}
_SIZED = {"zeros": "zeros", "ones": "ones", "empty": "zeros"}
#: Methods that arrays of JAX have, too, with other names of arguments.
_ALIKE = "sum mean prod any all argmax argmin cumsum cumprod squeeze round clip conj"
_METHODS = {name: name for name in _ALIKE.split()} | {"clamp": "clip"}
#: Methods that leave an array as it is: it never changes, and lies where it was put.
_NOTHING = {"contiguous", "clone", "cuda", "cpu"}
#: What also lists, dicts, strings and numbers have; whether it is a tensor's can't be told.
_OF_OTHERS = set().union(*(set(dir(kind)) for kind in (list, dict, str, set, int, float)))


class Expressions:
    """The texts of a program's nodes in the spelling of layers; ``notes`` has what is left as it was, by line."""

    def __init__(self, source: Source):
        self.source, self.names = source, Names(source.tree)
        self.notes: dict[tuple[int, str], None] = {}

    def note(self, node: ast.AST, text: str) -> None:
        """Say that something is not mechanical."""
        self.notes[node.lineno, text] = None  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        """A node, with all within it that has another spelling."""
        replaced = self._replaced(node)
        if replaced is not None:
            return replaced
        begin, end = self.source.span(node)
        content = self.source.content[begin:end]
        for first, last, text in sorted(self.edits(node), reverse=True):
            content = content[: first - begin] + text.encode() + content[last - begin :]
        return content.decode()

    def edits(self, node: ast.AST) -> list[Edit]:
        """The changes within a node."""
        found = []
        for child in ast.iter_child_nodes(node):
            replaced = self._replaced(child) if hasattr(child, "lineno") else None
            if replaced is not None:
                found.append(Edit(*self.source.span(child), replaced))
            else:
                found += self.edits(child)
        return found

    def _replaced(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.JoinedStr):  # whose parts have no exact places
            return self.source.text(node)
        if isinstance(node, ast.Call):
            path = self.names.of(node.func)
            if path is not None:
                return self._function(node, path)
            if isinstance(node.func, ast.Attribute) and not self._is_no_tensor(node.func.value):
                return self._method(node, node.func.value, node.func.attr)
        elif isinstance(node, (ast.Attribute, ast.Name)):
            path = self.names.of(node)
            if path is not None and "." in path:
                return self._name(node, path)
            if isinstance(node, ast.Attribute) and not self._is_no_tensor(node.value):
                if node.attr == "data":
                    return self.text(node.value)
                if node.attr in ("device", "grad", "requires_grad", "is_cuda"):
                    self.note(node, f".{node.attr}: arrays of JAX have none")
        return None

    def _is_no_tensor(self, node: ast.expr) -> bool:
        """Whether it is certainly something else: ``self``, ``super()``, a module, a text."""
        if isinstance(node, ast.Name):
            return node.id in ("self", "cls") or self.names.is_imported(node.id)
        return isinstance(node, ast.Constant) or (isinstance(node, ast.Call) and ast.unparse(node.func) == "super")

    # -- names and functions of torch

    def _name(self, node: ast.expr, path: str) -> str | None:
        name = path.rpartition(".")[2]
        if path.startswith("torch.nn.") and path.count(".") == 2 and inspect.isclass(getattr(layers, name, None)):
            return f"layers.{name}"
        if _is_functional(path):
            return f"F.{name}"
        if path in ("torch.Tensor", "torch.FloatTensor"):
            return "jax.Array"
        if path.removeprefix("torch.") in _DTYPES:
            return f"jnp.{_DTYPES[name]}"
        if path.removeprefix("torch.") in _NUMPY:
            return f"jnp.{_NUMPY[name]}"
        if path in ("torch.inf", "torch.pi", "torch.nan", "torch.e"):
            return f"jnp.{name}"
        self.note(node, f"{path} has no counterpart that can be written mechanically")
        return None

    def _function(self, node: ast.Call, path: str) -> str | None:
        """A call of a function or class of torch."""
        name = path.removeprefix("torch.")
        if path in ("torch.nn.ModuleList", "torch.nn.ParameterList"):
            return self._list(node, path)
        if path.startswith("torch.nn.") and path.count(".") == 2 and inspect.isclass(layer := getattr(layers, path[9:], None)):
            return f"layers.{path[9:]}({self._arguments(node, layer)})"
        if _is_functional(path):
            function = getattr(F, path.rpartition(".")[2])
            key = ["key=self.make_key()"] if "key" in inspect.signature(function).parameters else []
            return f"F.{function.__name__}({', '.join(filter(None, [self._arguments(node, function), *key]))})"
        if any(keyword.arg == "out" for keyword in node.keywords):
            self.note(node, f"{path} with out=: arrays are never written")
            return None
        if name in _SIZED:
            sizes = [self.text(argument) for argument in node.args]
            shape = (
                sizes[0]
                if len(sizes) == 1 and not isinstance(node.args[0], ast.Constant)
                else f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"
            )
            return f"jnp.{_SIZED[name]}({', '.join([shape, *self._keywords(node)])})"
        if name in ("std", "var"):
            return f"jnp.{name}({self._numpy_arguments(node)}, ddof=1)"
        if name in ("max", "min") and len(node.args) == 1 and not node.keywords:
            return f"jnp.{name}({self.text(node.args[0])})"
        if name == "chunk" and len(node.args) >= 2:
            axis = [self.text(node.args[2])] if len(node.args) > 2 else [self.text(keyword.value) for keyword in node.keywords]
            return f"jnp.split({self.text(node.args[0])}, {self.text(node.args[1])}, axis={axis[0] if axis else 0})"
        if name == "rsqrt":
            return f"(1 / jnp.sqrt({self.text(node.args[0])}))"
        if name in _NUMPY:
            return f"jnp.{_NUMPY[name]}({self._numpy_arguments(node)})"
        if path.count(".") and path != "torch.Tensor":
            self.note(node, f"{path} has no counterpart that can be written mechanically")
        return None

    def _list(self, node: ast.Call, path: str) -> str | None:
        if path == "torch.nn.ParameterList":
            self.note(node, "ParameterList: give each parameter a name in spec")
            return None
        if not node.args:
            return "[]"
        return self.text(node.args[0]) if isinstance(node.args[0], (ast.List, ast.ListComp)) else f"list({self.text(node.args[0])})"

    def _arguments(self, node: ast.Call, function: Callable[..., object]) -> str:
        """The arguments of a function or class that has torch's names; what it does not take is left out."""
        takes = inspect.signature(function).parameters
        words = [self.text(argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg is None:
                words.append(f"**{self.text(keyword.value)}")
            elif keyword.arg in takes:
                words.append(f"{keyword.arg}={self.text(keyword.value)}")
            elif keyword.arg not in _DROPPED:
                self.note(node, f"{function.__name__} takes no {keyword.arg}=")
        return ", ".join(words)

    def _numpy_arguments(self, node: ast.Call, first: int = 0) -> str:
        return ", ".join([*(self.text(argument) for argument in node.args[first:]), *self._keywords(node)])

    def _keywords(self, node: ast.Call) -> list[str]:
        return [
            f"{_ARGUMENTS.get(str(keyword.arg), keyword.arg)}={self.text(keyword.value)}"
            if keyword.arg
            else f"**{self.text(keyword.value)}"
            for keyword in node.keywords
            if keyword.arg not in _DROPPED
        ]

    # -- methods of tensors

    def _method(self, node: ast.Call, owner: ast.expr, name: str) -> str | None:
        x, given = self.text(owner), [self.text(argument) for argument in node.args]
        if isinstance(owner, (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp)):
            x = f"({x})"
        words = ", ".join([*given, *self._keywords(node)])
        if name in ("view", "reshape"):
            return f"{x}.reshape({words})"
        if name == "size":
            return f"{x}.shape" + (f"[{given[0]}]" if given else "")
        if name in _METHODS:
            return f"{x}.{_METHODS[name]}({words})"
        if name in _NOTHING:
            return x
        if name in _DTYPES and not node.args:
            return f"{x}.astype(jnp.{_DTYPES[name]})"
        templates = {
            "permute": f"{x}.transpose({words})",
            "transpose": f"{x}.swapaxes({words})",
            "unsqueeze": f"jnp.expand_dims({x}, {words})",
            "flatten": f"F.flatten({x}{', ' * bool(words)}{', '.join([*given, *[self.text_of(k) for k in node.keywords]])})",
            "t": f"{x}.T",
            "dim": f"{x}.ndim",
            "numel": f"{x}.size",
            "detach": f"jax.lax.stop_gradient({x})",
            "view_as": f"{x}.reshape({given[0] if given else ''}.shape)",
            "type_as": f"{x}.astype({given[0] if given else ''}.dtype)",
            "repeat": f"jnp.tile({x}, ({words},))",
            "rsqrt": f"(1 / jnp.sqrt({x}))",
            "std": f"{x}.std({', '.join(filter(None, [words, 'ddof=1']))})",
            "var": f"{x}.var({', '.join(filter(None, [words, 'ddof=1']))})",
        }
        if name in templates:
            return templates[name]
        if name in ("max", "min") and not words:
            return f"{x}.{name}()"
        if name == "masked_fill" and len(given) == 2:
            return f"jnp.where({given[0]}, {given[1]}, {x})"
        if name == "chunk" and given:
            axis = given[1] if len(given) > 1 else next((self.text(keyword.value) for keyword in node.keywords), "0")
            return f"jnp.split({x}, {given[0]}, axis={axis})"
        if name in F.__all__:
            return f"F.{name}({', '.join([x, *given, *[self.text_of(keyword) for keyword in node.keywords]])})"
        if name in _NUMPY:
            return f"jnp.{_NUMPY[name]}({', '.join(filter(None, [x, words]))})"
        if hasattr(funnn.torch.Tensor, name) and (name not in _OF_OTHERS or name in ("split", "sort")):
            self.note(node, f".{name}(…) has no counterpart that can be written mechanically")
        return None

    def text_of(self, keyword: ast.keyword) -> str:
        """An argument by name, as it is."""
        return f"{keyword.arg}={self.text(keyword.value)}"


def _is_functional(path: str) -> bool:
    """Whether funnn.functional has a function of torch or torch.nn.functional under the same name, with the same arguments."""
    module, _, name = path.rpartition(".")
    return module in ("torch", "torch.nn.functional") and name in F.__all__ and hasattr(funnn.torch.nn.functional, name)
