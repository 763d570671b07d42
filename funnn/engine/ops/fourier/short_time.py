"""The short-time Fourier transform and its inverse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from funnn import functional as F
from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import in_columns
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.table import FUNCTIONS, publish
from funnn.engine.ops.linalg.matrix_checks import raise_failure


def _described(name, input, n_fft, hop_length, win_length, window, message):
    return (
        f"{name}(a tensor of shape {list(input.shape)}, n_fft={n_fft}, hop_length={hop_length}, win_length={win_length}, "
        f"window={None if window is None else f'of shape {list(window.shape)}'}): {message}"
    )


def _window(window, n_fft, win_length, kind):
    """The window, ones by default, in the middle of n_fft points."""
    window = jnp.ones(win_length, kind) if window is None else window
    before = (n_fft - win_length) // 2
    return jnp.pad(window, (before, n_fft - win_length - before))


def _stft(input, window, n_fft, hop_length, win_length, normalized, onesided):
    signal = input if input.ndim == 2 else input[None]
    count = 1 + (signal.shape[-1] - n_fft) // hop_length
    kind = signal.real.dtype
    places = jnp.arange(count)[:, None] * hop_length + jnp.arange(n_fft)
    frames = signal[:, places] * _window(window, n_fft, win_length, kind)
    norm = "ortho" if normalized else "backward"
    result = jnp.swapaxes((jnp.fft.rfft if onesided else jnp.fft.fft)(frames, norm=norm), -2, -1)
    return result if input.ndim == 2 else result[0]


def _stft_grad(input, *rest):
    return "SqueezeBackward4" if input.dim() == 1 else "TransposeBackward1"


_stft_op = Op(_stft, _stft_grad, autocast={"cpu": FLOAT32})


def stft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window: Array | None = None,
    center=True,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
    return_complex=None,
    align_to_window=None,
):
    """The Fourier transform of every window of ``win_length`` points, ``hop_length`` apart: (batch, frequencies, windows)."""
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length

    def refuse(message, error=RuntimeError):
        return error(_described("stft", input, n_fft, hop_length, win_length, window, message))

    if return_complex is None:
        return_complex = input.is_complex() or (window is not None and window.is_complex())
        if not return_complex:
            raise RuntimeError("stft requires the return_complex parameter be given for real inputs: use return_complex=True")
    if window is None:
        deprecated("window")
    if align_to_window is not None and center:
        raise refuse("stft align_to_window should only be set when center = false")
    if not (input.is_floating_point() or input.is_complex()):
        raise refuse("expected a tensor of floating point or complex values")
    if input.dim() not in (1, 2):
        raise refuse("expected a 1D or 2D tensor")
    if center:
        rows = input if input.dim() == 2 else input.unsqueeze(0)
        padded = F.pad(rows.unsqueeze(1), (n_fft // 2, n_fft // 2), pad_mode).squeeze(1)
        input = padded if input.dim() == 2 else padded.squeeze(0)
    length = input.size(-1)
    if not 0 < n_fft <= length:
        raise refuse(f"expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    if hop_length <= 0:
        raise refuse(f"expected hop_length > 0, but got hop_length={hop_length}")
    if not 0 < win_length <= n_fft:
        raise refuse(f"expected 0 < win_length <= n_fft, but got win_length={win_length}")
    if window is not None and (window.dim() != 1 or window.size(0) != win_length):
        raise refuse(f"expected a 1D window tensor of size equal to win_length={win_length}, but got window with size {list(window.shape)}")
    complex_input = input.is_complex() or (window is not None and window.is_complex())
    onesided = not complex_input if onesided is None else onesided
    if onesided and complex_input:
        raise refuse("Cannot have onesided output if window or input is complex; use onesided=False")
    result = call(_stft_op, (input, window, n_fft, hop_length, win_length, bool(normalized), bool(onesided)), {})
    result = in_columns(0)["arrange"](result, (), {})  # frame after frame
    if return_complex:
        return result
    deprecated("stft")
    return FUNCTIONS["view_as_real"](result)


def _istft(input, window, n_fft, hop_length, win_length, center, normalized, onesided, length, return_complex):
    """The signal, and whether the squared windows leave some point of it uncovered (1) or not (0)."""
    spectrum = input if input.ndim == 3 else input[None]
    frames = jnp.swapaxes(spectrum, -2, -1)
    norm = "ortho" if normalized else "backward"
    if return_complex:
        pieces = jnp.fft.ifft(frames, norm=norm)
    else:
        pieces = jnp.fft.irfft(frames if onesided else frames[..., : n_fft // 2 + 1], n_fft, norm=norm)
    window = _window(window, n_fft, win_length, input.real.dtype)
    count = frames.shape[-2]
    places = jnp.arange(count)[:, None] * hop_length + jnp.arange(n_fft)
    total = n_fft + hop_length * (count - 1)
    signal = jnp.zeros((spectrum.shape[0], total), pieces.dtype).at[:, places].add((pieces * window).astype(pieces.dtype))
    squares = window * window
    cover = jnp.zeros(total, squares.dtype).at[places].add(jnp.broadcast_to(squares, places.shape))
    start = n_fft // 2 if center else 0
    end = min(total, start + length) if length is not None else total - n_fft // 2 if center else total
    signal, cover = signal[:, start:end], cover[start:end]
    gap = (jnp.abs(jax.lax.stop_gradient(cover)) < 1e-11).any() if cover.size else jnp.zeros((), bool)
    signal = signal / cover
    if length is not None and signal.shape[-1] < length:
        signal = jnp.pad(signal, ((0, 0), (0, length - signal.shape[-1])))
    return (signal if input.ndim == 3 else signal[0]), gap.astype(jnp.int32)


_istft_op = Op(_istft, lambda *args: "DivBackward0" if args[0].dim() == 3 else "SqueezeBackward1", autocast={"cpu": FLOAT32})


def istft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window: Array | None = None,
    center=True,
    normalized=False,
    onesided=None,
    length=None,
    return_complex=False,
):
    """The signal whose stft comes nearest to ``input``: the windows' inverse transforms, added up and divided by their squares' sum."""
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length

    def refuse(message):
        return RuntimeError(_described("istft", input, n_fft, hop_length, win_length, window, message))

    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True; use view_as_complex"
        )
    if not input.numel():
        raise refuse("input tensor cannot be empty.")
    if input.dim() not in (2, 3):
        raise refuse(f"expected a tensor with 2 or 3 dimensions, but got {input.dim()}")
    onesided = input.size(-2) != n_fft if onesided is None else onesided
    wanted = n_fft // 2 + 1 if onesided else n_fft
    if input.size(-2) != wanted:
        formula = "n_fft / 2 + 1" if onesided else "n_fft"
        raise refuse(
            f"expected the frequency dimension (3rd to the last) of the input tensor to match {formula} when "
            f"onesided={onesided}, but got {input.size(-2)}"
        )
    if not 0 < hop_length <= win_length:
        raise refuse("expected 0 < hop_length <= win_length")
    if not 0 < win_length <= n_fft:
        raise refuse("expected 0 < win_length <= n_fft")
    if window is not None and (window.dim() != 1 or window.size(0) != win_length):
        raise refuse(f"Invalid window shape. window has to be 1D and length of `win_length`={win_length}, got {list(window.shape)}")
    if window is None:
        deprecated("no window for istft")
    if return_complex and onesided:
        raise refuse("complex output is not compatible with onesided=True; use onesided=False")
    if not return_complex and window is not None and window.is_complex():
        raise refuse("Complex windows are incompatible with return_complex=False")
    args = (input, window, n_fft, hop_length, win_length, bool(center), bool(normalized), bool(onesided), length, bool(return_complex))
    signal, gap = call(_istft_op, args, {})
    raise_failure("istft", gap, lambda code: "window overlap add min: 1; expected the windows to cover every point (NOLA)", RuntimeError)
    return signal


publish("stft", stft)
publish("istft", istft)
