"""Activations as layers."""

from __future__ import annotations

from funnn import functional as F
from funnn.layers._layer import Layer


class ReLU(Layer):
    """y = max(0, x), element by element.

    ``inplace`` has a meaning only in funnn.torch, where it writes into the input; arrays of the core are immutable.
    Source: torch.nn.ReLU.
    """

    inplace: bool = False

    def forward(self, x):
        return F.relu(x, self.inplace)

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""


class Tanh(Layer):
    """y = (eˣ − e⁻ˣ)/(eˣ + e⁻ˣ), element by element. Source: torch.nn.Tanh."""

    def forward(self, x):
        return F.tanh(x)


class Sigmoid(Layer):
    """y = 1/(1 + e⁻ˣ), element by element. Source: torch.nn.Sigmoid."""

    def forward(self, x):
        return F.sigmoid(x)


class Softmax(Layer):
    """yᵢ = exp(xᵢ)/Σⱼ exp(xⱼ) along ``dim`` (None: torch's implicit choice, with its warning). Source: torch.nn.Softmax."""

    dim: int | None = None

    def forward(self, x):
        return F.softmax(x, self.dim, _stacklevel=5)

    def extra_repr(self):
        return f"dim={self.dim}"


class LogSoftmax(Layer):
    """yᵢ = xᵢ − log Σⱼ exp(xⱼ) along ``dim`` (None: torch's implicit choice, with its warning). Source: torch.nn.LogSoftmax."""

    dim: int | None = None

    def forward(self, x):
        return F.log_softmax(x, self.dim, _stacklevel=5)

    def extra_repr(self):
        return f"dim={self.dim}"
