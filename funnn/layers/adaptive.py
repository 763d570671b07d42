"""A softmax over many classes of unequal frequency, with its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from funnn import functional as F
from funnn.layers._layer import Layer
from funnn.layers.container import LayerList, Sequential
from funnn.layers.linear import Linear


class _ASMoutput(NamedTuple):
    """The target's log probability for each item, and the mean of their negatives; named as in torch."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Layer):
    """Softmax in two levels: frequent classes directly, rare ones in clusters with ever smaller hidden sizes.

    Args:
      in_features: size of the input's last axis.
      n_classes: of all, sorted by falling frequency.
      cutoffs: where clusters begin, rising numbers in [1, n_classes − 1]; the classes below the first one are in the head.
      div_value: cluster i has ⌊in_features / div_valueⁱ⁺¹⌋ hidden features.
      head_bias: whether the head has a bias.

    ``forward(input_, target_)`` gives ``(output, loss)`` for input (N, in_features) and classes (N,), or both without N: the log
    probability of each target, and the mean of their negatives. Parameters: ``head.weight``, ``tail.{i}.0.weight`` and
    ``tail.{i}.1.weight``. ``log_prob(input)`` and ``predict(input)`` are run with
    ``apply(…, method="predict")``, or called on this layer inside another one's ``forward``.

    Raises:
      ValueError: cutoffs that are empty, not rising, or out of range.

    Source: torch.nn.AdaptiveLogSoftmaxWithLoss; Grave et al., "Efficient softmax approximation for GPUs", ICML 2017. Every cluster is
    computed for every row, because shapes are static here; torch leaves out the rows whose target is elsewhere.
    """

    in_features: int
    n_classes: int
    cutoffs: Sequence[int]
    div_value: float = 4.0
    head_bias: bool = False

    def __post_init__(self) -> None:
        cutoffs = list(self.cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if cutoffs != sorted(set(cutoffs)) or cutoffs[0] <= 0 or cutoffs[-1] > self.n_classes - 1 or any(int(c) != c for c in cutoffs):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value is between 1 and "
                f"n_classes-1, but got {cutoffs} with n_classes={self.n_classes}"
            )
        self.cutoffs = ends = [*cutoffs, self.n_classes]  # with the last end, as torch keeps them
        self.shortlist_size, self.n_clusters = cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(self.in_features, self.head_size, bias=self.head_bias)
        hidden = [int(self.in_features // self.div_value ** (i + 1)) for i in range(self.n_clusters)]
        self.tail = LayerList(
            *(
                Sequential(Linear(self.in_features, size, bias=False), Linear(size, ends[i + 1] - ends[i], bias=False))
                for i, size in enumerate(hidden)
            )
        )

    def forward(self, input_: jax.Array, target_: jax.Array) -> _ASMoutput:
        output = F.adaptive_log_softmax(self.head(input_), [cluster(input_) for cluster in self.tail], target_)
        return _ASMoutput(output, (-output).mean())

    def log_prob(self, input: jax.Array) -> jax.Array:
        """Log probabilities of all classes: (N, n_classes)."""
        return F.adaptive_log_softmax(self.head(input), [cluster(input) for cluster in self.tail])

    def predict(self, input: jax.Array) -> jax.Array:
        """The most probable class of each item: (N,)."""
        return self.log_prob(input).argmax(1)
