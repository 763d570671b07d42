"""Small models of transformers: their configurations, and weights that NumPy draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from funnn.examples import gpt2, llama, vit

FILE = Path(__file__).with_name("recorded.json")
LLAMA = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8,
}  # fmt: skip
#: name -> the model's class in transformers, the configuration's, its arguments, and the example that stands for it.
MODELS: dict[str, tuple[str, str, dict[str, Any], Any]] = {
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", {"vocab_size": 61, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 4}, gpt2),
    "Llama": ("LlamaForCausalLM", "LlamaConfig", {**LLAMA, "rms_norm_eps": 1e-5}, llama),
    "Llama 3.1": (
        "LlamaForCausalLM",
        "LlamaConfig",
        {**LLAMA, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "head_dim": 16, "rope_parameters": LLAMA3},
        llama,
    ),
    "Mistral": ("MistralForCausalLM", "MistralConfig", {**LLAMA, "rms_norm_eps": 1e-6, "sliding_window": 4}, llama),
    "ViT": (
        "ViTForImageClassification",
        "ViTConfig",
        {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 16, "patch_size": 4,
            "num_labels": 5,
        },
        vit,
    ),
}  # fmt: skip
WRITERS = [name for name in MODELS if name != "ViT"]
NEW, BEAMS = 10, 3
RNG = np.random.default_rng(7)
TOKENS = RNG.integers(0, 61, (2, 9))
#: The first prompt begins with padding.
MASK = np.arange(9) >= np.array([[4], [0]])
IMAGES = RNG.standard_normal((2, 3, 16, 16)).astype(np.float32)


def draw_weights(shapes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A weight for each name: matrices from N(0, 0.3²), vectors from N(1, 0.2²)."""
    weights = {}
    for number, (name, shape) in enumerate(sorted(shapes.items())):
        numbers = np.random.default_rng(number).standard_normal(tuple(shape))
        weights[name] = (0.3 * numbers if len(shape) > 1 else 1 + 0.2 * numbers).astype(np.float32)
    return weights


def load(name: str, shapes: Mapping[str, Any]) -> tuple[Any, Any]:
    """The example's model of this configuration, and its params from these weights."""
    example = MODELS[name][3]
    model = example.from_config(MODELS[name][2])
    return model, example.from_huggingface(draw_weights(shapes), model)


def inputs(name: str) -> jnp.ndarray:
    """What the model reads."""
    return jnp.asarray(IMAGES if name == "ViT" else TOKENS)
