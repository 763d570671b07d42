"""Rows of the table: transformers."""

import numpy as np

from tests.cases._case import Bool, Given, case

SRC, TGT = (5, 2, 4), (3, 2, 4)
CAUSAL = Given(np.triu(np.ones((3, 3), bool), 1))
ENCODER_LAYER = case("TransformerEncoderLayer", 4, 2, 6, dropout=0.0)

LAYERS = [
    case("TransformerEncoderLayer", 4, 2, 6, inputs=(SRC,), stochastic_=True),
    case("TransformerEncoderLayer", 4, 2, 6, 0.0, "gelu", norm_first=True, bias=False, layer_norm_eps=1e-3, inputs=((5, 4),)),
    case(
        "TransformerEncoderLayer", 4, 1, 6, 0.0, case("Tanh"), batch_first=True, inputs=(SRC,),
        named={"src_mask": Bool((2, 2)), "src_key_padding_mask": Bool((5, 2))},
    ),
    case(
        "TransformerEncoderLayer", 4, 2, 6, 0.0, "gelu", batch_first=True, inputs=((2, 3, 4),),
        named={"src_mask": CAUSAL, "is_causal": Given(True)},
    ),
    case("TransformerDecoderLayer", 4, 2, 6, inputs=(TGT, SRC), stochastic_=True),
    case(
        "TransformerDecoderLayer", 4, 2, 6, 0.0, norm_first=True, inputs=(TGT, SRC),
        named={"tgt_mask": CAUSAL, "memory_mask": Bool((3, 5)), "memory_key_padding_mask": Bool((2, 5))},
    ),
    case("TransformerEncoder", ENCODER_LAYER, 2, enable_nested_tensor=False, inputs=(SRC,)),
    case(
        "TransformerEncoder", ENCODER_LAYER, 2, case("LayerNorm", 4), enable_nested_tensor=False, inputs=(TGT,),
        named={"mask": CAUSAL, "src_key_padding_mask": Bool((2, 3))},
    ),
    case("TransformerDecoder", case("TransformerDecoderLayer", 4, 2, 6, 0.0), 2, case("LayerNorm", 4), inputs=(TGT, SRC), named={"tgt_mask": CAUSAL}),
    case("Transformer", 4, 2, 1, 2, 6, 0.0, batch_first=True, inputs=((2, 5, 4), (2, 3, 4)), named={"tgt_mask": CAUSAL}),
    case(
        "Transformer", 4, 2, 1, 1, 6, 0.0, norm_first=True, custom_encoder=case("TransformerEncoder", ENCODER_LAYER, 1, enable_nested_tensor=False),
        inputs=((5, 4), (3, 4)),
    ),
]  # fmt: skip
