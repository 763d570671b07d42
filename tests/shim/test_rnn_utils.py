"""torch.nn.utils.rnn: padding, packing, and recurrent modules on packed input."""

import pytest
from twin import same, same_error

LENGTHS = {"sorted": ([4, 2, 2, 1], True), "unsorted": ([2, 4, 1, 2], False)}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("order", LENGTHS)
def test_packing_and_padding(order, batch_first):
    def program(torch):
        rnn, (lengths, ordered) = torch.nn.utils.rnn, LENGTHS[order]
        x = torch.randn(4, 5, 3).requires_grad_() if batch_first else torch.randn(5, 4, 3).requires_grad_()
        packed = rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first, ordered)
        print(packed)
        data = (packed.data * torch.arange(1.0, 10)[:, None]).relu()
        out, counts = rnn.pad_packed_sequence(packed._replace(data=data), batch_first, padding_value=-2.5, total_length=6)
        print(out)
        (out.sin() * out).sum().backward()
        parts = rnn.unpack_sequence(packed)
        again = rnn.pack_sequence([part * 2 for part in parts], enforce_sorted=ordered)
        print(again, packed.double().data.dtype, packed.to(torch.float16).data.dtype, packed.cpu() is packed, packed.is_cuda)
        return out, counts, x, parts, again

    same(program)


def test_padding_lists():
    def program(torch):
        rnn = torch.nn.utils.rnn
        parts = [torch.arange(n * 2.0).reshape(n, 2).requires_grad_() for n in (2, 4, 1)]
        out = [rnn.pad_sequence(parts, first, 9.0, side) for first in (False, True) for side in ("left", "right")]
        (out[0].prod() + out[3].square().sum()).backward()
        whole = rnn.pad_sequence([torch.tensor([1, 2]), torch.tensor([3])], batch_first=True, padding_value=-1)
        print(out[1], whole)
        return out, whole, parts, rnn.unpad_sequence(out[3], torch.tensor([2, 4, 1]), batch_first=True), rnn.invert_permutation(None)

    same(program)


def test_errors():
    def pack(lengths, **kwargs):
        return lambda torch: torch.nn.utils.rnn.pack_padded_sequence(torch.zeros(5, 3, 2), lengths, **kwargs)

    same_error(pack([2, 3, 1]), RuntimeError, "must be sorted in decreasing order")
    same_error(pack([2, 3]), RuntimeError, r"Expected `len\(lengths\)` to be equal to batch_size, but got 2 \(batch_size=3\)")
    same_error(pack([2, 1, 0], enforce_sorted=False), RuntimeError, "has to be greater than 0")
    same_error(lambda torch: torch.nn.utils.rnn.pad_sequence([]), RuntimeError, "received an empty list")
    same_error(lambda torch: torch.nn.utils.rnn.pad_sequence([torch.zeros(1)], padding_side="up"), RuntimeError, "Expected padding_side")

    def short(torch):
        rnn = torch.nn.utils.rnn
        return rnn.pad_packed_sequence(rnn.pack_sequence([torch.zeros(3)]), total_length=2)

    same_error(short, ValueError, "Expected total_length to be at least the length of the longest sequence")


@pytest.mark.parametrize("order", LENGTHS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
        ("LSTM", {"num_layers": 3, "dropout": 0.4, "bidirectional": True}),
        ("LSTM", {"proj_size": 2}),
        ("GRU", {"num_layers": 2, "dropout": 0.5, "batch_first": True}),
        ("RNN", {"nonlinearity": "relu", "bidirectional": True}),
    ],
)
def test_recurrent_modules(kind, options, order):
    """Outputs, states, gradients of the input, the states and the weights; the same elements dropped."""

    def program(torch):
        rnn, (lengths, ordered) = torch.nn.utils.rnn, LENGTHS[order]
        module = getattr(torch.nn, kind)(3, 4, **options)
        parts = [torch.randn(n, 3).requires_grad_() for n in lengths]
        packed = rnn.pack_sequence(parts, enforce_sorted=ordered)
        first, state = module(packed)
        print(first.data, first.batch_sizes, first.sorted_indices)
        state = tuple(x.detach().requires_grad_() for x in state) if isinstance(state, tuple) else state.detach().requires_grad_()
        out, last = module(packed, state)
        out, _ = rnn.pad_packed_sequence(out, batch_first=True)
        lasts = last if isinstance(last, tuple) else (last,)
        (out.sin().sum() + sum(x.square().sum() for x in lasts)).backward()
        module.eval()
        return first, out, last, state, parts, list(module.parameters()), module(packed)[0].data.detach()

    same(program)


def test_sequences_that_do_not_fit():
    for gradients in (False, True):
        same_error(
            lambda t, wanted=gradients: t.nn.utils.rnn.pad_sequence([t.ones(2, 2, requires_grad=wanted), t.ones(2, 3)]),
            RuntimeError,
            "The size of tensor a .*must match the size of tensor b",
        )
