"""Rules for :func:`funnn.checkpoint.rename` that give the arrays of models of Hugging Face's transformers plain names.

Blocks are ``h.0.``, ``h.1.``, …, so that :func:`funnn.checkpoint.stack_layers` (flat, ``"h.{}."``) follows, and weights of linear layers are
(out_features, in_features), as in torch. Every rule is optional but the one for the token or patch embedding, which says whether it is such a model.
"""

from __future__ import annotations

import re

import numpy as np

from funnn.checkpoint._rename import Rule


def _rules(first: tuple[str, str], *others: tuple[str, str | None]) -> tuple[Rule, ...]:
    return (Rule(*first), *(Rule(*other, optional=True) for other in others))


#: GPT2Model and GPT2LMHeadModel: ``tok_embed.weight``, ``pos_embed.weight``, ``h.0.ln1``, ``h.0.attn.qkv``, ``h.0.attn.out``, ``h.0.ln2``,
#: ``h.0.mlp.up``, ``h.0.mlp.down``, ``ln_f``, ``head.weight``. The weights of its Conv1D are transposed. ``qkv`` has queries, keys and values in
#: this order; ``head.weight`` is tied to ``tok_embed.weight`` and mostly not in the files.
GPT2 = (
    *_rules(
        (r"^(transformer\.)?wte\.", "tok_embed."),
        (r"^(transformer\.)?wpe\.", "pos_embed."),
        (r"^(transformer\.)?h\.\d+\.attn\.(masked_)?bias$", None),  # the causal mask
        (r"^(transformer\.)?ln_f\.", "ln_f."),
        (r"^(transformer\.)?(h\.\d+)\.ln_([12])\.", r"\2.ln\3."),
        (r"^lm_head\.", "head."),
    ),
    Rule(r"^(?:transformer\.)?(h\.\d+\.(?:attn|mlp)\.c_\w+\.weight)$", r"\1", np.transpose, optional=True),
    *(
        Rule(rf"^(?:transformer\.)?(h\.\d+)\.{old}\.", rf"\1.{new}.", optional=True)
        for old, new in (
            *((r"attn\.c_attn", "attn.qkv"), (r"attn\.c_proj", "attn.out")),
            *((r"mlp\.c_fc", "mlp.up"), (r"mlp\.c_proj", "mlp.down")),
        )
    ),
)

#: LlamaModel and LlamaForCausalLM, and those with the same names (Mistral, Qwen2): ``embed.weight``, ``h.0.norm1``, ``h.0.attn.q``, ``.k``, ``.v`` and
#: ``.out``, ``h.0.norm2``, ``h.0.mlp.gate``, ``.up`` and ``.down``, ``norm.weight``, ``head.weight``. Queries and keys keep transformers' order for
#: rotary positions: the first half of a head's numbers is turned with the second half.
LLAMA = _rules(
    (r"^(model\.)?embed_tokens\.", "embed."),
    (r"rotary_emb\.inv_freq$", None),
    (r"^(model\.)?norm\.", "norm."),
    (r"^lm_head\.", "head."),
    (r"^(?:model\.)?layers\.(\d+)\.", r"h.\1."),
    (r"^(h\.\d+)\.input_layernorm\.", r"\1.norm1."),
    (r"^(h\.\d+)\.post_attention_layernorm\.", r"\1.norm2."),
    (r"^(h\.\d+)\.self_attn\.([qkv])_proj\.", r"\1.attn.\2."),
    (r"^(h\.\d+)\.self_attn\.o_proj\.", r"\1.attn.out."),
    (r"^(h\.\d+)\.mlp\.(gate|up|down)_proj\.", r"\1.mlp.\2."),
)

#: ViTModel and ViTForImageClassification: ``patch.weight`` (of a convolution), ``cls_token``, ``pos_embed``, ``h.0.ln1``, ``h.0.attn.q``, ``.k``, ``.v``
#: and ``.out``, ``h.0.ln2``, ``h.0.mlp.up`` and ``.down``, ``ln_f``, ``pooler``, ``head``. The mask token of pretraining is dropped.
VIT = _rules(
    (r"^(vit\.)?embeddings\.patch_embeddings\.projection\.", "patch."),
    (r"^(vit\.)?embeddings\.mask_token$", None),
    (r"^(vit\.)?embeddings\.cls_token$", "cls_token"),
    (r"^(vit\.)?embeddings\.position_embeddings$", "pos_embed"),
    (r"^(vit\.)?layernorm\.", "ln_f."),
    (r"^(vit\.)?pooler\.dense\.", "pooler."),
    (r"^classifier\.", "head."),
    (r"^(?:vit\.)?(?:encoder\.layer|layers)\.(\d+)\.", r"h.\1."),
    (r"^(h\.\d+)\.layernorm_before\.", r"\1.ln1."),
    (r"^(h\.\d+)\.layernorm_after\.", r"\1.ln2."),
    (r"^(h\.\d+)\.attention\.attention\.([qkv])(uery|ey|alue)\.", r"\1.attn.\2."),
    (r"^(h\.\d+)\.attention\.output\.dense\.", r"\1.attn.out."),
    (r"^(h\.\d+)\.intermediate\.dense\.", r"\1.mlp.up."),
    (r"^(h\.\d+)\.output\.dense\.", r"\1.mlp.down."),
    # as models of transformers 5 have them
    (r"^(h\.\d+)\.attention\.([qkv])_proj\.", r"\1.attn.\2."),
    (r"^(h\.\d+)\.attention\.o_proj\.", r"\1.attn.out."),
    (r"^(h\.\d+)\.mlp\.fc1\.", r"\1.mlp.up."),
    (r"^(h\.\d+)\.mlp\.fc2\.", r"\1.mlp.down."),
)


def _stage(match: re.Match[str]) -> str:
    return f"layer{int(match[1]) + 1}.{match[2]}."


def _part(match: re.Match[str]) -> str:
    return f"{match[1]}{'conv' if match[3] == 'convolution' else 'bn'}{int(match[2]) + 1}."


#: ResNetModel and ResNetForImageClassification, to torchvision's names: ``conv1.weight``, ``bn1``, ``layer1.0.conv1``, ``layer1.0.bn1``,
#: ``layer1.0.downsample.0`` (the convolution) and ``.1`` (its BatchNorm), ``fc``.
RESNET = (
    *_rules(
        (r"^(resnet\.)?embedder\.embedder\.convolution\.", "conv1."),
        (r"^(resnet\.)?embedder\.embedder\.normalization\.", "bn1."),
        (r"^classifier\.1\.", "fc."),
    ),
    Rule(r"^(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\.", _stage, optional=True),
    Rule(r"^(layer\d+\.\d+)\.shortcut\.convolution\.", r"\1.downsample.0.", optional=True),
    Rule(r"^(layer\d+\.\d+)\.shortcut\.normalization\.", r"\1.downsample.1.", optional=True),
    Rule(r"^(layer\d+\.\d+\.)layer\.(\d+)\.(convolution|normalization)\.", _part, optional=True),
)
