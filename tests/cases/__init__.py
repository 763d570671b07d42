"""The one table: each public layer with arguments and inputs, each public function with a call; the cross-cutting tests run over it.

A topic has a file here as it has one in the package: ``LAYERS`` is a list of rows, ``FUNCTIONS`` maps a function's name to the shapes of
its floating arguments and a call, ``CONSTANT`` names the functions that have no derivative.
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.cases._case import Bool, Case, Given, Int, Sign, Uniform, case

_topics = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__) if found.name != "_case"]

CASES: list[Case] = [row for topic in _topics for row in getattr(topic, "LAYERS", ())]
#: In which topic a layer is.
TOPICS: dict[str, str] = {row.name: topic.__name__ for topic in _topics for row in getattr(topic, "LAYERS", ())}
FUNCTIONS: dict = {name: row for topic in _topics for name, row in getattr(topic, "FUNCTIONS", {}).items()}
CONSTANT: set[str] = {name for topic in _topics for name in getattr(topic, "CONSTANT", ())}
#: Public names of funnn.layers that are no layers with inputs of their own, whose tests are in test_contract.py, test_combinator.py and test_adapting.py;
#: and layers that torch does not have, whose tests are in test_language_layers.py.
OTHERS = {
    "ActNorm",
    "Adapter",
    "Buffer",
    "FeedForward",
    "FunctionalCall",
    "GroupedQueryAttention",
    "Lambda",
    "Layer",
    "LayerDict",
    "LayerList",
    "LinearCrossEntropyOptions",
    "MixtureOfExperts",
    "LoRAConv",
    "LoRAEmbedding",
    "LoRALinear",
    "LoRAMultiheadAttention",
    "Parallel",
    "Param",
    "Policy",
    "Remat",
    "Repeat",
    "Quantized",
    "QuantizedEmbedding",
    "QuantizedGRU",
    "QuantizedLSTM",
    "QuantizedLinear",
    "QuantizedRNN",
    "Residual",
    "RotaryEmbedding",
    "RouterLosses",
    "Sequential",
    "SpectralNorm",
    "SwiGLU",
    "VectorQuantizer",
    "WeightNorm",
}

__all__ = ["CASES", "CONSTANT", "FUNCTIONS", "OTHERS", "TOPICS", "Bool", "Case", "Given", "Int", "Sign", "Uniform", "case"]
