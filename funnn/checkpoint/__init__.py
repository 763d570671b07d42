"""state_dict <-> pytrees: a flat dict under torch's keys, and the nested dicts that a layer's init returns."""

from funnn.checkpoint._flat import flatten as flatten
from funnn.checkpoint._flat import unflatten as unflatten
from funnn.checkpoint._state_dict import StateDictError as StateDictError
from funnn.checkpoint._state_dict import from_state_dict as from_state_dict
from funnn.checkpoint._state_dict import to_state_dict as to_state_dict
