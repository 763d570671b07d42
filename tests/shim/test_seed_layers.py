"""The cells of the five documents that use the wider set of layers, under both namespaces; ``test_seeds.py`` has the others."""

import warnings

import pytest
from twin import cells, same


def c000_embedding_from_pretrained(torch):
    weight = torch.FloatTensor([[1, 2.3, 3], [4, 5.1, 6]])
    emb = torch.nn.Embedding.from_pretrained(weight)
    print(emb, emb(torch.LongTensor([1])), emb.weight.requires_grad)
    free = torch.nn.Embedding.from_pretrained(weight, freeze=False, max_norm=2.0, scale_grad_by_freq=True)
    y = free(torch.LongTensor([1, 1, 0]))
    y.sum().backward()
    print(y, free.weight)
    return free.weight.grad


def c000_rnn(torch):
    rnn = torch.nn.RNN(2, 4)
    X, H0 = torch.zeros(3, 1, 2), torch.zeros(1, 1, 4)
    Y, Hn = rnn(X, H0)
    print(rnn, tuple(Y.shape), tuple(Hn.shape), Y[-1] == Hn[-1])
    stack = torch.nn.RNN(2, 4, num_layers=2, bidirectional=True)
    return Y, Hn, stack(X)


def c000_lstm(torch):
    rnn = torch.nn.LSTM(10, 20, 2)
    x, h0, c0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20), torch.randn(2, 3, 20)
    output, (hn, cn) = rnn(x, (h0, c0))
    print(rnn, output.shape)
    return output, hn, cn


def c000_multihead_attention(torch):
    L, S, N, E = 4, 6, 2, 8
    attention = torch.nn.MultiheadAttention(E, 2)
    Q, K, V = torch.rand(L, N, E), torch.rand(S, N, E), torch.rand(S, N, E)
    output, weights = attention(Q, K, V)
    print(attention, tuple(output.shape), tuple(weights.shape))
    print([(name, tuple(p.shape)) for name, p in attention.named_parameters()])
    apart = torch.nn.MultiheadAttention(E, 2, kdim=3, vdim=5)
    print([(name, tuple(p.shape)) for name, p in apart.named_parameters()])
    q = torch.nn.functional.linear(Q, attention.in_proj_weight[:E], attention.in_proj_bias[:E])
    k = torch.nn.functional.linear(K, attention.in_proj_weight[E : 2 * E], attention.in_proj_bias[E : 2 * E])
    v = torch.nn.functional.linear(V, attention.in_proj_weight[2 * E :], attention.in_proj_bias[2 * E :])
    q = q.contiguous().view(L, N * 2, E // 2).transpose(0, 1) / (E // 2) ** 0.5
    k = k.contiguous().view(-1, N * 2, E // 2).transpose(0, 1)
    v = v.contiguous().view(-1, N * 2, E // 2).transpose(0, 1)
    a = torch.bmm(torch.nn.functional.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1), v)
    a = a.transpose(0, 1).contiguous().view(L, N, E)
    by_hand = torch.nn.functional.linear(a, attention.out_proj.weight, attention.out_proj.bias)
    return output, weights, by_hand


def c000_transformer_encoder(torch):
    L, N, E = 10, 3, 32
    encoder_layer = torch.nn.TransformerEncoderLayer(d_model=E, nhead=8, dim_feedforward=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's advice about nested tensors
        encoder = torch.nn.TransformerEncoder(encoder_layer, num_layers=6)
    src = torch.rand(L, N, E)
    out = encoder(src)  # training: with torch's own draws for every dropout
    print(encoder, out.shape == src.shape)
    return out


def c000_distances(torch):
    u, v = torch.randn(100, 128), torch.randn(100, 128)
    print(torch.nn.CosineSimilarity(dim=1, eps=1e-6), torch.nn.PairwiseDistance(keepdim=True))
    return (
        torch.nn.CosineSimilarity(dim=1, eps=1e-6)(u, v),
        torch.nn.PairwiseDistance()(u, v),
        torch.nn.PairwiseDistance(p=1.0, keepdim=True)(u, v),
    )


def c000_binary_cross_entropy(torch):
    loss = torch.nn.BCELoss()
    y, yb = torch.rand(10, 2, 3), torch.rand(10, 2, 3)
    print(loss(y, yb), -(yb * y.log() + (1 - yb) * (1 - y).log()).mean())
    weight = torch.rand(10, 1, 1)
    return torch.nn.BCELoss(weight=weight)(y, yb), torch.nn.functional.binary_cross_entropy(y, yb)


def c001_conv_transpose(torch):
    x = torch.tensor([[[2, 4], [0, 1]]], dtype=torch.float)
    layer = torch.nn.ConvTranspose2d(in_channels=1, out_channels=1, kernel_size=2, bias=False)
    kernel = next(iter(layer.parameters()))
    kernel.data = torch.tensor([[3, 1], [1, 5]], dtype=torch.float).reshape_as(kernel.data)
    print(next(iter(layer.parameters())).data, layer, layer(x))


def c001_rnn(torch):
    X = torch.randn(10, 5, 3)
    rnn = torch.nn.RNN(input_size=3, hidden_size=4)
    output, h_n = rnn(X)
    print(output.shape, h_n.shape, output[-1] == h_n)
    return output


def c001_transformer(torch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's advice about nested tensors
        model = torch.nn.Transformer(d_model=16, nhead=4, num_encoder_layers=2, num_decoder_layers=2, dim_feedforward=32)
    print(model)
    source, target = torch.rand(6, 2, 16), torch.rand(5, 2, 16)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5)
    print(mask)
    return model(source, target, tgt_mask=mask)


def c003_lstm_tagger(torch):
    F = torch.nn.functional

    class LSTMTagger(torch.nn.Module):
        def __init__(self, embedding_dim, hidden_dim, vocab_size, tagset_size):
            super(LSTMTagger, self).__init__()  # noqa: UP008 - as users write it
            self.hidden_dim = hidden_dim
            self.word_embeddings = torch.nn.Embedding(vocab_size, embedding_dim)
            self.lstm = torch.nn.LSTM(embedding_dim, hidden_dim)
            self.hidden2tag = torch.nn.Linear(hidden_dim, tagset_size)

        def forward(self, sentence):
            embeds = self.word_embeddings(sentence)
            lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
            tag_space = self.hidden2tag(lstm_out.view(len(sentence), -1))
            tag_scores = F.log_softmax(tag_space, dim=1)
            return tag_scores

    model = LSTMTagger(6, 6, 9, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sentence, tags = torch.tensor([0, 1, 2, 3, 4]), torch.tensor([0, 1, 2, 0, 1])
    print(model)
    losses = []
    for _ in range(5):
        model.zero_grad()
        loss = torch.nn.NLLLoss()(model(sentence), tags)
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return losses, model(sentence)


def c004_pooling_with_indices(torch):
    from_pool = torch.nn.MaxPool2d(2, stride=2, return_indices=True)
    unpool = torch.nn.MaxUnpool2d(2, stride=2)
    x = torch.Tensor([[[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]]])
    output, indices = from_pool(x)
    print(from_pool, unpool, output, indices, unpool(output, indices))
    return torch.nn.MaxPool2d((3, 2), stride=(2, 1))(torch.randn(20, 16, 50, 32))


def c004_convolution_with_dilation(torch):
    m = torch.nn.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))
    print(m)
    return m(torch.autograd.Variable(torch.randn(2, 16, 50, 100)))


def c004_padding(torch):
    x = torch.randn(2, 3, 8, 6)
    print(torch.nn.ReplicationPad2d(3), torch.nn.ZeroPad2d(3))
    return torch.nn.ReplicationPad2d(3)(x), torch.nn.ZeroPad2d(3)(x)


def c004_activations_with_parameters(torch):
    for m in (torch.nn.LeakyReLU(0.1), torch.nn.Softplus()):
        x = torch.autograd.Variable(torch.randn(2))
        print(m, x, m(x))


def c004_recurrent(torch):
    x, h0, c0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20), torch.randn(2, 3, 20)
    return torch.nn.RNN(10, 20, 2)(x, h0), torch.nn.LSTM(10, 20, 2)(x, (h0, c0)), torch.nn.GRU(10, 20, 2)(x, h0)


def c004_recurrent_cells(torch):
    x, hx, cx = torch.randn(6, 3, 10), torch.randn(3, 20), torch.randn(3, 20)
    rnn, lstm, gru = torch.nn.RNNCell(10, 20), torch.nn.LSTMCell(10, 20), torch.nn.GRUCell(10, 20)
    print(rnn, lstm, gru)
    output, h, state, g = [], hx, (hx, cx), hx
    for i in range(6):
        h, state, g = rnn(x[i], h), lstm(x[i], state), gru(x[i], g)
        output.append((h, state, g))
    return output


def c004_kl_divergence(torch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # size_average is deprecated
        loss = torch.nn.KLDivLoss(size_average=False)
    x = torch.randn(3, 5, requires_grad=True)
    y = loss(torch.nn.functional.log_softmax(x, dim=1), torch.nn.functional.softmax(torch.randn(3, 5), dim=1))
    y.backward()
    return y, x


def c004_vision(torch):
    x = torch.autograd.Variable(torch.randn(1, 9, 4, 4))
    ps, up, up2 = (
        torch.nn.PixelShuffle(3),
        torch.nn.Upsample(scale_factor=2, mode="bilinear"),
        torch.nn.UpsamplingBilinear2d(scale_factor=2),
    )
    print(ps, up, up2, ps(x).size())
    return ps(x), up(x), up2(x)


def c004_cosine_similarity(torch):
    input1, input2 = torch.autograd.Variable(torch.randn(100, 128)), torch.autograd.Variable(torch.randn(100, 128))
    cos = torch.nn.CosineSimilarity(dim=1, eps=1e-6)
    print(cos(input1, input2).size())
    return cos(input1, input2)


CELLS = cells(globals())


@pytest.mark.parametrize("name", CELLS)
def test_cell(name):
    same(CELLS[name], tolerance=(2e-4, 4e-6))


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout", "dropout1d"])
def test_dropout_of_a_permuted_view(name):
    """torch draws in the order of the memory, which here is not that of the indices."""

    def program(torch):
        x = torch.randn(2, 3, 4).permute(2, 0, 1)
        return getattr(torch.nn.functional, name)(x, 0.5, True), getattr(torch.nn.functional, name)(x[::2], 0.5, True)

    same(program)
