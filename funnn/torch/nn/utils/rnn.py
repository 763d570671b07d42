"""torch.nn.utils.rnn: batches of sequences of different lengths."""

from funnn.torch.nn._packed import PackedSequence as PackedSequence
from funnn.torch.nn._packed import invert_permutation as invert_permutation
from funnn.torch.nn._packed import pack_padded_sequence as pack_padded_sequence
from funnn.torch.nn._packed import pack_sequence as pack_sequence
from funnn.torch.nn._packed import pad_packed_sequence as pad_packed_sequence
from funnn.torch.nn._packed import pad_sequence as pad_sequence
from funnn.torch.nn._packed import unpack_sequence as unpack_sequence
from funnn.torch.nn._packed import unpad_sequence as unpad_sequence

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]
