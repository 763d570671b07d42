"""Recurrent networks, attention, caches and generated text."""

from __future__ import annotations

import math

from tests.programs._parts import randn, tokens
from tests.programs._program import program


def language_batches(torch, count=8, rows=3, length=6, below=11):
    return [tokens(torch, rows, length + 1, below=below, seed=i) for i in range(count)]


def tiny_gpt(torch, width=8, heads=2, words=11, longest=24, blocks=2):
    """A decoder of two blocks that takes a cache of keys and values."""
    nn, F = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)

        def forward(self, x, past=None):
            b, t, _ = x.shape
            q, k, v = self.qkv(x).view(b, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            if past is not None:
                k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
            return self.out(y.transpose(1, 2).reshape(b, t, width)), (k, v)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2, self.attention = nn.LayerNorm(width), nn.LayerNorm(width), Attention()
            self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

        def forward(self, x, past=None):
            a, kept = self.attention(self.n1(x), past)
            x = x + a
            return x + self.mlp(self.n2(x)), kept

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(longest, width)
            self.blocks, self.norm = nn.ModuleList(Block() for _ in range(blocks)), nn.LayerNorm(width)
            self.head = nn.Linear(width, words, bias=False)
            self.head.weight = self.words.weight

        def forward(self, x, past=None):
            start = 0 if past is None else past[0][0].shape[2]
            h, kept = self.words(x) + self.places(torch.arange(start, start + x.shape[1])), []
            for i, block in enumerate(self.blocks):
                h, cache = block(h, None if past is None else past[i])
                kept.append(cache)
            return self.head(self.norm(h)), kept

    return GPT()


@program
def lstm_language_model(torch, nn, F, compiled):
    e, r, h = nn.Embedding(11, 6), nn.LSTM(6, 7, batch_first=True), nn.Linear(7, 11)
    o = torch.optim.Adam([*e.parameters(), *r.parameters(), *h.parameters()], lr=0.02)

    def step(x):
        z, _ = r(e(x[:, :-1]))
        loss = F.cross_entropy(h(z).flatten(0, 1), x[:, 1:].flatten())
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(x) for x in language_batches(torch)], e, r, h


@program
def lstm_state_carried_over(torch, nn, F, compiled):
    r, h, state = nn.LSTM(4, 5, num_layers=2), nn.Linear(5, 1), None
    o = torch.optim.SGD([*r.parameters(), *h.parameters()], lr=0.1)

    def step(x, state):
        y, state = r(x, state)
        loss = F.mse_loss(h(y[:-1]).squeeze(2), x[1:, :, 0])
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, tuple(s.detach() for s in state)

    step, losses = compiled(step), []
    for i in range(6):
        loss, state = step(randn(torch, 5, 2, 4, seed=i), state)
        losses.append(loss)
    return losses, state, r


@program
def packed_sequences(torch, nn, F, compiled):
    r, h, rnn = nn.LSTM(5, 7, batch_first=True), nn.Linear(7, 2), torch.nn.utils.rnn
    parameters = [*r.parameters(), *h.parameters()]
    o = torch.optim.Adam(parameters, lr=1e-2)

    def step(x, lengths, y):
        o.zero_grad()
        _, (last, _) = r(rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        loss = F.cross_entropy(h(last[-1]), y)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 4, 6, 5, seed=i), [6, 3, 5, 2], tokens(torch, 4, below=2, seed=i)) for i in range(6)], r


@program
def packed_sequences_of_changing_lengths(torch, nn, F, compiled):
    r, rnn = nn.GRU(3, 4, bidirectional=True), torch.nn.utils.rnn

    def f(lengths):
        padded = rnn.pad_sequence([randn(torch, n, 3, seed=n) for n in lengths])
        out, h = r(rnn.pack_padded_sequence(padded, torch.tensor(lengths), enforce_sorted=False))
        y, n = rnn.pad_packed_sequence(out, padding_value=-1)
        return y, n, h

    f, seen = compiled(f), []
    for lengths in ([3, 1], [4, 4, 2], [3, 1], [1]):
        r.zero_grad()
        y, n, h = f(lengths)
        (y.sum() + h.square().sum()).backward()
        seen.append((y, n, r.weight_hh_l0.grad))
    return seen


@program
def lstm_lengths_grow(torch, nn, F, compiled):
    r, h = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 1)
    o = torch.optim.SGD([*r.parameters(), *h.parameters()], lr=0.1)

    def step(x):
        loss = h(r(x)[0][:, -1]).square().mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 2, n, 3)) for n in range(1, 9)], r


@program
def cells_in_a_python_loop(torch, nn, F, compiled):
    a, b, h = nn.LSTMCell(4, 5), nn.GRUCell(5, 5), nn.Linear(5, 2)
    o = torch.optim.Adam([*a.parameters(), *b.parameters(), *h.parameters()], lr=0.02)

    def step(x, y):
        s, t = None, torch.zeros(x.shape[1], 5)
        for row in x:
            s = a(row, s)
            t = b(s[0], t)
        loss = F.cross_entropy(h(t), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 3 + i % 2, 2, 4, seed=i), tokens(torch, 2, below=2, seed=i)) for i in range(8)], a, b


@program
def encoder_and_decoder_with_teacher_forcing(torch, nn, F, compiled):
    e, enc, dec, out = nn.Embedding(9, 4), nn.GRU(4, 5), nn.GRUCell(4, 5), nn.Linear(5, 9)
    o = torch.optim.Adam([*e.parameters(), *enc.parameters(), *dec.parameters(), *out.parameters()], lr=0.02)

    def step(x, y):
        h, word, loss = enc(e(x))[1][0], torch.zeros(x.shape[1], dtype=torch.long), 0
        for target in y:
            h = dec(e(word), h)
            z = out(h)
            loss = loss + F.cross_entropy(z, target)
            word = target if torch.rand(()).item() < 0.5 else z.argmax(1)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(tokens(torch, 3, 2, below=9, seed=i), tokens(torch, 4, 2, below=9, seed=i + 20)) for i in range(6)], dec


@program
def attention_over_encoded_words(torch, nn, F, compiled):
    enc, query, out = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 4), nn.Linear(8, 2)
    o = torch.optim.SGD([*enc.parameters(), *query.parameters(), *out.parameters()], lr=0.1)

    def step(x, lengths, y):
        h, last = enc(x)
        scores = torch.bmm(h, query(last[0])[:, :, None]).squeeze(2)
        scores = scores.masked_fill(torch.arange(x.shape[1])[None] >= lengths[:, None], -math.inf)
        context = torch.bmm(F.softmax(scores, 1)[:, None], h).squeeze(1)
        loss = F.cross_entropy(out(torch.cat([context, last[0]], 1)), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 3, 5, 3, seed=i), torch.tensor([5, 2 + i % 3, 1]), tokens(torch, 3, below=2, seed=i)) for i in range(6)], enc


@program
def transformer_encoder(torch, nn, F, compiled):
    e, head = nn.Embedding(11, 8), nn.Linear(8, 3)
    t = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True), 2, enable_nested_tensor=False)
    o = torch.optim.SGD([*e.parameters(), *t.parameters(), *head.parameters()], lr=0.05)

    def step(x, y):
        h = t(e(x), src_key_padding_mask=x == 0)
        loss = F.cross_entropy(head(h.mean(1)), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(tokens(torch, 3, 5, below=10, seed=i) + (torch.arange(5) < 4), tokens(torch, 3, below=3, seed=i)) for i in range(5)], t


@program
def transformer_with_decoder(torch, nn, F, compiled):
    e, head, t = nn.Embedding(11, 8), nn.Linear(8, 11), nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    o = torch.optim.SGD([*e.parameters(), *t.parameters(), *head.parameters()], lr=0.05)

    def step(x, y):
        mask = nn.Transformer.generate_square_subsequent_mask(y.shape[1] - 1)
        z = head(t(e(x), e(y[:, :-1]), tgt_mask=mask))
        loss = F.cross_entropy(z.transpose(1, 2), y[:, 1:])
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(tokens(torch, 2, 4, seed=i), tokens(torch, 2, 3 + i % 3, seed=i + 9)) for i in range(6)], t


@program
def multi_head_attention_options(torch, nn, F, compiled):
    a, seen = nn.MultiheadAttention(8, 2, dropout=0.2, batch_first=True), []
    f = compiled(lambda x, **k: a(x, x, x, **k))
    x = randn(torch, 2, 4, 8)
    for options in ({}, {"need_weights": False}, {"average_attn_weights": False}, {"attn_mask": torch.ones(4, 4).triu(1).bool()}):
        seen.append(f(x, **options))
    a.eval()
    return seen, f(x)


@program
def gpt_training(torch, nn, F, compiled):
    m = tiny_gpt(torch)
    o = torch.optim.AdamW(m.parameters(), lr=0.01)

    def step(x):
        z, _ = m(x[:, :-1])
        loss = F.cross_entropy(z.flatten(0, 1), x[:, 1:].flatten())
        o.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        o.step()
        return loss

    step = compiled(step)
    return [step(x) for x in language_batches(torch)], m


@program
def gpt_training_over_growing_sequences(torch, nn, F, compiled):
    m = tiny_gpt(torch, blocks=1)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x):
        z, _ = m(x[:, :-1])
        loss = F.cross_entropy(z.flatten(0, 1), x[:, 1:].flatten())
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(tokens(torch, 2, n, seed=n)) for n in range(2, 10)], m


@program
def generation_from_a_growing_context(torch, nn, F, compiled):
    m, x = tiny_gpt(torch).eval(), torch.zeros(2, 1, dtype=torch.long)
    f = compiled(lambda x: m(x)[0][:, -1])
    with torch.no_grad():
        for _ in range(12):
            p = F.softmax(f(x) / 0.8, 1)
            x = torch.cat([x, torch.multinomial(p, 1)], 1)
    return x


@program
def generation_from_a_cropped_context(torch, nn, F, compiled):
    m, x = tiny_gpt(torch, longest=6).eval(), torch.zeros(1, 1, dtype=torch.long)

    @torch.no_grad()
    def generate(x, count, top):
        for _ in range(count):
            z = m(x[:, -6:])[0][:, -1]
            least = z.topk(top).values[:, -1:]
            z = z.masked_fill(z < least, -math.inf)
            x = torch.cat((x, torch.multinomial(F.softmax(z, -1), num_samples=1)), dim=1)
        return x

    return compiled(generate)(x, 10, 4)


@program
def generation_with_a_cache(torch, nn, F, compiled):
    m, x, past = tiny_gpt(torch).eval(), tokens(torch, 2, 3), None
    f, out = compiled(lambda x, past: m(x, past)), [x]
    with torch.no_grad():
        for _ in range(9):
            z, past = f(out[-1], past)
            out.append(torch.multinomial(F.softmax(z[:, -1], 1), 1))
        whole, _ = m(torch.cat(out[:-1], 1))
    return torch.cat(out, 1), z[:, -1], torch.allclose(whole[:, -1], z[:, -1], atol=1e-4)


@program
def generation_by_top_p_until_a_word(torch, nn, F, compiled):
    m = tiny_gpt(torch).eval()

    @torch.no_grad()
    def generate(x):
        words = x.tolist()[0]
        while len(words) < 14:
            z = m(torch.tensor([words]))[0][0, -1]
            p, order = F.softmax(z, 0).sort(descending=True)
            keep = p.cumsum(0) - p < 0.7
            word = order[torch.multinomial(p * keep, 1)].item()
            words.append(word)
            if word == 5:
                break
        return words

    generate = compiled(generate)
    return [generate(torch.tensor([[i, i + 1]])) for i in range(3)]


@program
def beam_search(torch, nn, F, compiled):
    m = tiny_gpt(torch).eval()
    f, beams = compiled(lambda x: F.log_softmax(m(x)[0][:, -1], -1)), [([1], 0.0)]
    with torch.no_grad():
        for _ in range(6):
            logs = f(torch.tensor([words for words, _ in beams]))
            found = [(words + [w], score + logs[i, w].item()) for i, (words, score) in enumerate(beams) for w in range(11)]
            beams = sorted(found, key=lambda b: -b[1])[:3]
    return beams


@program
def greedy_with_repetition_penalty(torch, nn, F, compiled):
    m = tiny_gpt(torch).eval()

    @torch.no_grad()
    def generate(x):
        for _ in range(8):
            z = m(x)[0][:, -1]
            picked = z.gather(1, x)
            z = z.scatter(1, x, torch.where(picked < 0, picked * 1.5, picked / 1.5))
            x = torch.cat([x, z.argmax(1, keepdim=True)], 1)
        return x

    return compiled(generate)(tokens(torch, 2, 2))


@program
def cache_in_a_buffer(torch, nn, F, compiled):
    class Cache(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(4, 4)
            self.register_buffer("k", torch.zeros(6, 4))

        def forward(self, x, at):
            self.k[at] = self.l(x)
            return self.k.sum(0)

    m = Cache()
    f = compiled(m)
    with torch.no_grad():
        first = [f(torch.ones(4) * i, torch.tensor(i)) for i in range(6)]
        return first, [f(torch.ones(4) * i, i) for i in range(6)], m.k


@program
def cache_of_fixed_size_with_mask(torch, nn, F, compiled):
    keys, values = torch.zeros(1, 8, 4), torch.zeros(1, 8, 4)
    q, k, v = (nn.Linear(4, 4) for _ in range(3))

    @torch.no_grad()
    def step(x, at):
        keys[:, at : at + 1], values[:, at : at + 1] = k(x), v(x)
        mask = torch.arange(8)[None, None] <= at
        return F.scaled_dot_product_attention(q(x), keys, values, attn_mask=mask)

    step, x, seen = compiled(step), randn(torch, 1, 1, 4), []
    for at in range(8):
        x = step(x, at)
        seen.append(x)
    return seen, keys


@program
def cache_as_a_list_in_self(torch, nn, F, compiled):
    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.l, self.kept = nn.Linear(4, 4), []

        def forward(self, x):
            self.kept.append(self.l(x))
            k = torch.stack(self.kept, 1)
            return (F.softmax(torch.einsum("bd,btd->bt", x, k), 1)[..., None] * k).sum(1)

    m = Memory()
    f, x, seen = compiled(m), randn(torch, 2, 4), []
    with torch.no_grad():
        for i in range(9):
            if i == 6:
                m.kept.clear()
            x = f(x)
            seen.append(x)
    return seen, len(m.kept)


@program
def rotary_embedding_cached_by_length(torch, nn, F, compiled):
    class Rotary(nn.Module):
        def __init__(self):
            super().__init__()
            self.longest, self.cos, self.sin = 0, None, None

        def forward(self, x):
            t = x.shape[1]
            if t > self.longest:
                angles = torch.arange(t)[:, None] / 100 ** (torch.arange(2) / 2)
                self.longest, self.cos, self.sin = t, angles.cos(), angles.sin()
            a, b = x[..., ::2], x[..., 1::2]
            c, s = self.cos[:t], self.sin[:t]
            return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)

    m = Rotary()
    f = compiled(m)
    return [f(randn(torch, 2, n, 4)) for n in (3, 5, 2, 7, 7)], m.longest


@program
def connectionist_temporal_classification(torch, nn, F, compiled):
    r, h = nn.LSTM(3, 6, bidirectional=True), nn.Linear(12, 5)
    o = torch.optim.Adam([*r.parameters(), *h.parameters()], lr=0.01)

    def step(x, y, lengths):
        log_p = F.log_softmax(h(r(x)[0]), 2)
        loss = F.ctc_loss(log_p, y, torch.full((2,), x.shape[0]), lengths)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 8, 2, 3, seed=i), tokens(torch, 2, 3, below=4, seed=i) + 1, torch.tensor([3, 2])) for i in range(5)], h


@program
def bag_of_words_with_offsets(torch, nn, F, compiled):
    bag, h = nn.EmbeddingBag(11, 4, mode="mean"), nn.Linear(4, 2)
    o = torch.optim.SGD([*bag.parameters(), *h.parameters()], lr=0.5)

    def step(lengths, y):
        words = tokens(torch, sum(lengths), seed=sum(lengths))
        offsets = torch.tensor([0, *lengths[:-1]]).cumsum(0)
        loss = F.cross_entropy(h(bag(words, offsets)), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step([2, 1 + i % 3, 4], torch.tensor([0, 1, i % 2])) for i in range(6)], bag


@program
def one_dimensional_convolutions_over_time(torch, nn, F, compiled):
    class Causal(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv1d(4, 4, 2, dilation=2**i) for i in range(3))

        def forward(self, x):
            for i, layer in enumerate(self.layers):
                x = x + torch.tanh(layer(F.pad(x, (2**i, 0))))
            return x

    m = Causal()
    o = torch.optim.Adam(m.parameters(), lr=0.02)

    def step(x):
        loss = F.mse_loss(m(x)[..., :-1], x[..., 1:])
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 2, 4, 6 + i % 2, seed=i)) for i in range(6)], m


@program
def masked_language_model(torch, nn, F, compiled):
    e, t, head = nn.Embedding(12, 8), nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), nn.Linear(8, 12)
    o = torch.optim.SGD([*e.parameters(), *t.parameters(), *head.parameters()], lr=0.1)

    def step(x):
        hidden = torch.rand(x.shape) < 0.3
        shown = torch.where(hidden, torch.full_like(x, 11), x)
        loss = F.cross_entropy(head(t(e(shown))).flatten(0, 1), x.masked_fill(~hidden, -100).flatten(), ignore_index=-100)
        if not torch.isnan(loss):
            o.zero_grad()
            loss.backward()
            o.step()
        return loss

    step = compiled(step)
    return [step(tokens(torch, 2, 6, seed=i)) for i in range(6)], head
