"""Finding the operation whose gradient went wrong: nodes remember where they were made, and what they pull back is looked at."""

from __future__ import annotations

import traceback
import warnings
from typing import Any

import jax.numpy as jnp

from funnn.engine.state import thread
from funnn.engine.tape.node import Node
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import as_gradient


def _numbers(gradient: Any) -> Any:
    """The Value of a gradient, of its elements if it is sparse."""
    return gradient._elements._operand() if isinstance(gradient, SparseTensor) else gradient


class Anomaly:
    """What ``thread.anomaly`` is while anomaly detection is on."""

    def remember(self, node: Node) -> None:
        """Note where a node was made."""
        node.metadata["traceback_"] = traceback.format_stack()[:-3]

    def pull(self, node: Node, gradients: list[Any], create_graph: bool) -> list[Any]:
        """As ``node.pull``, and an error for NaN among the results."""
        try:
            results = list(node.pull(gradients, create_graph))
            if thread.check_nan:
                for index, gradient in enumerate(node.spread(map(as_gradient, results), None)):
                    if gradient is not None and bool(jnp.isnan(_numbers(gradient).known()).any()):
                        raise RuntimeError(f"Function {node.name()!r} returned nan values in its {index}th output.")
        except Exception:
            where = node.metadata.get("traceback_")
            text = (
                f"Traceback of forward call that caused the error:\n{''.join(where)}"
                if where
                else ("No forward pass information is available: switch detect_anomaly on during the forward pass as well.")
            )
            warnings.warn(f"Error detected in {node.name()}. {text}", stacklevel=2)
            raise
        return results
