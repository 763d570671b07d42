"""What is written, where PyTorch's records differ from tensorboardX's."""

from __future__ import annotations

import io
import json
import wave
from typing import Any

import numpy as np
from google.protobuf import struct_pb2
from tensorboardX.proto import api_pb2, plugin_hparams_pb2
from tensorboardX.proto.plugin_mesh_pb2 import MeshPluginData
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype


def array(value: Any) -> np.ndarray:
    """The values of a Tensor, a NumPy or JAX array or a number.

    Raises:
      NotImplementedError: it is something else.
    """
    if isinstance(value, Tensor):
        value = value.detach()
        return (value.half() if value.dtype is _dtype.bfloat16 else value).numpy()
    if np.isscalar(value):
        return np.array([value])
    if not hasattr(value, "__array__"):
        raise NotImplementedError(f"Got {type(value)}, but numpy array or torch tensor are expected.")
    return np.asarray(value)


def plain(value: Any) -> Any:
    """A Tensor as an array; other things, lists of numbers among them, as they are."""
    return array(value) if isinstance(value, Tensor) else value


def pixels(image: Any) -> np.ndarray:
    """Values of type uint8 as they are, others from 0 … 1, clipped."""
    image = array(image)
    return image if image.dtype == np.uint8 else (image.astype(np.float32) * 255).clip(0, 255).astype(np.uint8)


def _record(tag: str, plugin: str, content: bytes = b"", tensor: TensorProto | None = None) -> Summary.Value:
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))
    return Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def _shape(sizes: Any) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


def scalar(tag: str, value: Any, new_style: bool = False, double_precision: bool = False) -> Summary:
    """A number; ``new_style`` as a tensor."""
    number = array(value).squeeze()
    if number.ndim:
        raise AssertionError(f"Tensor should contain one element (0 dimensions), but {tag!r} has shape {number.shape}")
    if not new_style:
        return Summary(value=[Summary.Value(tag=tag, simple_value=float(number))])
    tensor = (
        {"dtype": "DT_DOUBLE", "double_val": [float(number)]} if double_precision else {"dtype": "DT_FLOAT", "float_val": [float(number)]}
    )
    return Summary(value=[_record(tag, "scalars", tensor=TensorProto(**tensor))])


#: Where the numbers of a type stand in a TensorProto.
_FIELDS = {
    **{"float16": "half_val", "bfloat16": "half_val", "float32": "float_val", "float64": "double_val", "bool": "bool_val"},
    **{"int8": "int_val", "uint8": "int_val", "int16": "int_val", "int32": "int_val", "int64": "int64_val"},
    **{"complex64": "scomplex_val", "complex128": "dcomplex_val"},
}
_TYPES = {"float16": "DT_HALF", "float32": "DT_FLOAT", "float64": "DT_DOUBLE"}


def tensor_proto(tag: str, tensor: Tensor) -> Summary:
    """All values of a tensor, in its type."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _FIELDS:
        raise ValueError(f"{tag} has unsupported tensor dtype {tensor.dtype}")
    if tensor.numel() * tensor.itemsize >= 1 << 31:
        raise ValueError(f"{tag}: a record holds less than 2 GB, got {tensor.numel() * tensor.itemsize} bytes")
    values = tensor.detach().reshape(-1)
    if tensor.is_complex():
        values = np.stack([values.real.numpy(), values.imag.numpy()], -1).reshape(-1).tolist()
    elif _FIELDS[name] == "half_val":
        values = values.float().numpy().view(np.int32).tolist()  # as PyTorch: the bits of the number in float32
    else:
        values = values.numpy().tolist()
    proto = TensorProto(dtype=_TYPES.get(name, f"DT_{name.upper()}"), tensor_shape=_shape(tensor.shape), **{_FIELDS[name]: values})
    return Summary(value=[_record(tag, "tensor", tensor=proto)])


def audio(tag: str, sound: Any, sample_rate: int) -> Summary:
    """One channel of 16 bits; amplitudes are clipped to −1 … 1."""
    sound = array(sound).squeeze()
    if sound.ndim != 1:
        raise AssertionError(f"input tensor should be 1 dimensional, but {tag!r} has shape {sound.shape}")
    if abs(sound).max() > 1:
        print("warning: audio amplitude out of range, auto clipped.")
    samples = (sound.clip(-1, 1) * np.iinfo(np.int16).max).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, sample_rate, len(samples), "NONE", None))
        writer.writeframes(samples.tobytes())
    record = Summary.Audio(
        sample_rate=sample_rate, num_channels=1, length_frames=len(samples), encoded_audio_string=file.getvalue(), content_type="audio/wav"
    )
    return Summary(value=[Summary.Value(tag=tag, audio=record)])


def mesh(tag: str, vertices: Any, colors: Any, faces: Any, config: dict | None) -> Summary:
    """Points, the triangles between them and their colours, each (B, N, 3); ``config`` is three.js's."""
    given = [(kind, array(part)) for kind, part in (("VERTEX", vertices), ("FACE", faces), ("COLOR", colors)) if part is not None]
    present = sum(1 << MeshPluginData.ContentType.Value(kind) for kind, _ in given)
    values = []
    for kind, part in given:
        if part.ndim != 3:
            raise ValueError(f"Tensor shape should be of shape BxNx3, but got {part.shape}")
        data = MeshPluginData(
            version=0, name=tag, content_type=kind, shape=part.shape, json_config=json.dumps(config or {}, sort_keys=True)
        )
        content = data.SerializeToString() + bytes([7 << 3, present])  # field 7, "components", which tensorboardX's description lacks
        proto = TensorProto(dtype="DT_FLOAT", float_val=part.reshape(-1).tolist(), tensor_shape=_shape(part.shape))
        values.append(_record(f"{tag}_{kind}", "mesh", content, proto))
    return Summary(value=values)


def hparams(values: Any, metrics: Any, discrete: Any) -> tuple[Summary, Summary, Summary]:
    """An experiment's description, and a session's start and end."""
    discrete = discrete or {}
    for name, given in (("hparam_dict", values), ("metric_dict", metrics), ("hparam_domain_discrete", discrete)):
        if not isinstance(given, dict):
            raise TypeError(f"{name} should be a dictionary, got {type(given).__name__}")
    for name, domain in discrete.items():
        if name not in values or not isinstance(domain, list) or not all(isinstance(item, type(values[name])) for item in domain):
            raise TypeError(f"parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict[{name}].")
    start, infos = plugin_hparams_pb2.SessionStartInfo(), []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Tensor):
            value = float(array(value).reshape(-1)[0])
        if not isinstance(value, (int, float, str)):
            raise ValueError(
                f"value should be one of int, float, str, bool, or torch.Tensor, but hparam_dict[{name!r}] is a {type(value).__name__}"
            )
        field, kind = ("string_value", "STRING") if isinstance(value, str) else ("number_value", "FLOAT64")
        setattr(start.hparams[name], field, value)
        domain = None
        if name in discrete:
            domain = struct_pb2.ListValue(values=[struct_pb2.Value(**{field: item}) for item in discrete[name]])
        infos.append(api_pb2.HParamInfo(name=name, type=f"DATA_TYPE_{kind}", domain_discrete=domain))
    measured = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in metrics]
    parts = {
        "experiment": api_pb2.Experiment(hparam_infos=infos, metric_infos=measured),
        "session_start_info": start,
        "session_end_info": plugin_hparams_pb2.SessionEndInfo(status="STATUS_SUCCESS"),
    }
    contents = {name: plugin_hparams_pb2.HParamsPluginData(version=0, **{name: part}) for name, part in parts.items()}
    return tuple(Summary(value=[_record(f"_hparams_/{name}", "hparams", data.SerializeToString())]) for name, data in contents.items())
