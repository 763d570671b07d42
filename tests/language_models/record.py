"""Writes tests/language_models/recorded.json from transformers itself.

    python -m tests.language_models.record

needs PyTorch and transformers; the version stands in the file.
"""

from __future__ import annotations

import json
from typing import Any

from tests.language_models.models import BEAMS, FILE, IMAGES, MASK, MODELS, NEW, TOKENS, draw_weights


def make_model(name: str) -> tuple[Any, dict[str, list[int]]]:
    """transformers' model with the drawn weights, and the shapes of its arrays, of which tied ones are left out."""
    import torch
    import transformers

    kind, config, arguments, _ = MODELS[name]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, config)(**arguments)).eval()
    shapes = {key: [*array.shape] for key, array in model.named_parameters()}
    model.load_state_dict({key: torch.tensor(array) for key, array in draw_weights(shapes).items()}, strict=False)
    model.tie_weights()
    if name != "ViT":
        model.generation_config.eos_token_id = None
    return model, shapes


def answers(name: str) -> dict[str, Any]:
    """What transformers says: logits, and for language models tokens chosen greedily and by beams, with and without a stop token."""
    import torch

    model, shapes = make_model(name)
    with torch.no_grad():
        if name == "ViT":
            return {"shapes": shapes, "logits": model(torch.tensor(IMAGES)).logits.tolist()}
        tokens, mask = torch.tensor(TOKENS), torch.tensor(MASK, dtype=torch.long)
        options = {"attention_mask": mask, "max_new_tokens": NEW, "do_sample": False, "pad_token_id": 1}
        greedy = model.generate(tokens, **options)[:, TOKENS.shape[1] :].tolist()
        stop = greedy[1][NEW // 2]
        logits = model(tokens).logits
        found = {
            "shapes": shapes,
            "logits": logits[:, -2:].tolist(),
            "norm": logits.norm().item(),
            "greedy": greedy,
            "stop": stop,
            "stopped": model.generate(tokens, **options, eos_token_id=stop)[:, TOKENS.shape[1] :].tolist(),
            "beams": [],
        }
        for end, penalty in ((None, 1.0), (stop, 1.0), (stop, 0.0), (stop, 2.0), (stop, -1.0)):
            beams = {"num_beams": BEAMS, "num_return_sequences": BEAMS, "length_penalty": penalty, "early_stopping": "never"}
            made = model.generate(tokens, **options, **beams, eos_token_id=end, return_dict_in_generate=True, output_scores=True)
            texts = made.sequences[:, TOKENS.shape[1] :].reshape(2, BEAMS, -1).tolist()
            scores = made.sequences_scores.reshape(2, BEAMS).tolist()
            found["beams"].append({"stop": end, "length_penalty": penalty, "tokens": texts, "scores": scores})
        return found


def main() -> None:
    """Run all models."""
    import transformers

    rows = [f'"transformers": {json.dumps(transformers.__version__)}']
    rows += [f"{json.dumps(name)}: {json.dumps(rounded(answers(name)), separators=(',', ':'))}" for name in MODELS]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")


def rounded(value: Any) -> Any:
    """With seven digits, which float32 has."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
