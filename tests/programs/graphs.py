"""Graphs, tables of vectors and bags of words, with sparse matrices and sparse gradients."""

from __future__ import annotations

from tests.programs._parts import randn, tokens
from tests.programs._program import program


def edges(torch, n=20, count=60):
    """Pairs of nodes, both ways, and each node with itself."""
    pairs = tokens(torch, 2, count, below=n)
    return torch.cat([pairs, pairs.flip(0), torch.arange(n).repeat(2, 1)], 1)


def adjacency(torch, n=20):
    """D^-1/2 A D^-1/2 of a graph without weights."""
    index = torch.sparse_coo_tensor(edges(torch, n), torch.ones(140), (n, n)).coalesce().indices()
    plain = torch.sparse_coo_tensor(index, torch.ones(index.size(1)), (n, n))
    degree = torch.sparse.sum(plain, dim=1).to_dense().pow(-0.5)
    return torch.sparse_coo_tensor(index, plain._values() * degree[index[0]] * degree[index[1]], (n, n))


def network(torch, n=20):
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)
            self.register_buffer("adjacency", adjacency(torch, n))

        def forward(self, x):
            x = F.dropout(torch.spmm(self.adjacency, self.first(x)).relu(), 0.5, self.training)
            return F.log_softmax(torch.sparse.mm(self.adjacency, self.second(x)), 1)

    torch.manual_seed(1)
    return Net()


@program
def graph_convolution(torch, nn, F, compiled):
    net, x, y = network(torch), randn(torch, 20, 5), tokens(torch, 20, below=3)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)

    def step():
        optimizer.zero_grad()
        loss = F.nll_loss(net(x)[:10], y[:10])
        loss.backward()
        optimizer.step()
        return loss

    step = compiled(step)
    losses = [step() for _ in range(8)]
    found = losses, net.eval()(x), [p.clone() for p in net.parameters()]
    return found, str(net.double().adjacency.dtype), net.adjacency.is_coalesced()


@program
def compressed_rows(torch, nn, F, compiled):
    matrix, weight, x = adjacency(torch).to_sparse_csr(), torch.nn.Parameter(randn(torch, 5, 3)), randn(torch, 20, 5)

    @compiled
    def loss():
        return (matrix @ (matrix @ x @ weight).tanh()).square().mean()

    loss().backward()
    return loss(), weight.grad, torch.mv(matrix, x[:, 0]), matrix.t().to_dense()


@program
def graph_attention(torch, nn, F, compiled):
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, index, values, size, dense):
            matrix = torch.sparse_coo_tensor(index, values, size)
            ctx.save_for_backward(matrix, dense)
            return torch.matmul(matrix, dense)

        @staticmethod
        def backward(ctx, gradient):
            matrix, dense = ctx.saved_tensors
            index = matrix._indices()
            places = index[0] * matrix.size(1) + index[1]
            return None, gradient.matmul(dense.t()).view(-1)[places], None, matrix.t().matmul(gradient)

    index, x = edges(torch, 8, 20), randn(torch, 8, 4)
    weight, score = torch.nn.Parameter(randn(torch, 4, 3, seed=4)), torch.nn.Parameter(randn(torch, 6, seed=5))

    @compiled
    def loss():
        h = x @ weight
        e = torch.exp(-F.leaky_relu(torch.cat([h[index[0]], h[index[1]]], 1) @ score, 0.2))
        total = Product.apply(index, e, torch.Size([8, 8]), torch.ones(8, 1))
        return (Product.apply(index, e, torch.Size([8, 8]), h) / total).square().sum()

    loss().backward()
    return loss(), weight.grad, score.grad


@program
def weights_of_edges(torch, nn, F, compiled):
    index, h = edges(torch, 8, 20), torch.nn.Parameter(randn(torch, 8, 3))
    weight = torch.nn.Parameter(randn(torch, index.size(1), seed=4))

    @compiled
    def loss():
        attention = torch.sparse.softmax(torch.sparse_coo_tensor(index, weight, (8, 8)), dim=1)
        gate = torch.sparse_coo_tensor(index, weight, (8, 8)).coalesce()
        gated = torch.sparse_coo_tensor(gate.indices(), torch.sigmoid(gate.values()), gate.shape)
        plain = torch.sparse_coo_tensor(index, weight, (8, 8)) @ h
        return (torch.sparse.mm(attention, h) * (gated @ h)).sum() + plain.square().mean()

    optimizer = torch.optim.SGD([h, weight], lr=0.05)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        losses.append(loss())
        losses[-1].backward()
        optimizer.step()
    return losses, h, weight, weight.grad


@program
def label_propagation(torch, nn, F, compiled):
    matrix, known = adjacency(torch), torch.zeros(20, 3)
    known[torch.arange(6), torch.arange(6) % 3] = 1
    step = compiled(lambda labels: 0.9 * torch.sparse.mm(matrix, labels) + 0.1 * known)
    labels = known
    for _ in range(10):
        labels = step(labels)
    return labels, labels.argmax(1)


@program
def page_rank(torch, nn, F, compiled):
    n = 15
    links = torch.sparse_coo_tensor(tokens(torch, 2, 40, below=n), torch.ones(40), (n, n)).coalesce()
    degree = torch.sparse.sum(links, dim=1).to_dense().clamp(min=1)
    moves = torch.sparse.mm(torch.sparse_coo_tensor(torch.arange(n).repeat(2, 1), 1 / degree, (n, n)), links).t()
    step = compiled(lambda rank: 0.85 * (moves @ rank) + 0.15 / n)
    rank = torch.full((n,), 1 / n)
    for _ in range(20):
        rank = step(rank)
    return rank, moves.to_sparse_csr() @ rank, moves._nnz(), moves.to_dense()


@program
def factorisation(torch, nn, F, compiled):
    torch.manual_seed(0)
    users, items, bias = nn.Embedding(12, 4, sparse=True), nn.Embedding(9, 4, sparse=True), nn.Embedding(12, 1, sparse=True, padding_idx=0)
    optimizer = torch.optim.SparseAdam([*users.parameters(), *items.parameters(), *bias.parameters()], lr=0.05)

    def step(i):
        user, item, rating = tokens(torch, 8, below=12, seed=i), tokens(torch, 8, below=9, seed=i + 50), randn(torch, 8, seed=i)
        optimizer.zero_grad()
        loss = ((users(user) * items(item)).sum(1) + bias(user).squeeze(1) - rating).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    step = compiled(step)
    losses = [step(i) for i in range(8)]
    gradient = users.weight.grad.coalesce()
    return losses, users, items, bias, gradient.is_sparse, gradient.indices(), gradient.values(), optimizer.state_dict()["state"][0]


@program
def word_vectors(torch, nn, F, compiled):
    torch.manual_seed(0)
    centre, context = nn.Embedding(30, 6, sparse=True), nn.Embedding(30, 6, sparse=True)
    nn.init.zeros_(context.weight)
    both = [*centre.parameters(), *context.parameters()]
    losses = []
    for optimizer in (torch.optim.SGD(both, lr=0.5, momentum=0.5), torch.optim.Adagrad(both, lr=0.5)):

        def step(i, optimizer=optimizer):
            here, near, far = (tokens(torch, *size, below=30, seed=i + k) for k, size in enumerate([(7,), (7,), (7, 3)]))
            vectors = centre(here)
            seen = F.logsigmoid((vectors * context(near)).sum(1))
            unseen = F.logsigmoid(-torch.bmm(context(far), vectors.unsqueeze(2)).squeeze(2)).sum(1)
            loss = -(seen + unseen).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = compiled(step)
        losses += [step(i) for i in range(0, 18, 3)]
    return losses, centre, context


@program
def bags_of_words(torch, nn, F, compiled):
    torch.manual_seed(0)
    documents = tokens(torch, 6, 12, below=50)
    rows = torch.arange(6).repeat_interleave(12)
    x = torch.sparse_coo_tensor(torch.stack([rows, documents.flatten()]), torch.ones(72), (6, 50)).coalesce()
    linear, table, y = nn.Linear(50, 3), nn.EmbeddingBag(50, 3, mode="sum", sparse=True), torch.arange(6) % 3
    optimizer = torch.optim.SGD([*linear.parameters(), *table.parameters()], lr=0.1)

    def step():
        loss = F.cross_entropy(linear(x) + table(documents), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = compiled(step)
    return [step() for _ in range(5)], linear, table, table.weight.grad.coalesce().indices()


@program
def accumulated_and_mixed_gradients(torch, nn, F, compiled):
    torch.manual_seed(0)
    table = nn.Embedding(6, 2, sparse=True)
    found = []
    for index in ([1, 0, 2], [2, 2, 5]):
        table(torch.tensor(index)).square().sum().backward()
        found += [table.weight.grad.coalesce().indices(), table.weight.grad.to_dense()]
    total = table.weight.grad.coalesce().values().square().sum().sqrt()
    table.weight.square().sum().backward()  # a dense one beside it
    found += [total, table.weight.grad.is_sparse, table.weight.grad]
    table(torch.tensor([4])).sum().backward()
    return found, table.weight.grad


@program
def blocks(torch, nn, F, compiled):
    parts = [(randn(torch, k, k, seed=k) > 0).float() for k in (2, 3, 4)]
    starts, index, values = 0, [], []
    for part in parts:
        sparse = part.to_sparse()
        index.append(sparse.indices() + starts)
        values.append(sparse.values())
        starts += part.size(0)
    matrix, x = torch.sparse_coo_tensor(torch.cat(index, 1), torch.cat(values), (starts, starts)), randn(torch, starts, 2)
    stacked = torch.stack([part[:2, :2].to_sparse() for part in parts])
    joined = torch.cat([part.to_sparse() for part in parts[:1] * 2])
    return matrix @ x, torch.block_diag(*parts) @ x, torch.bmm(stacked, x[:6].reshape(3, 2, 2)), joined.to_dense(), matrix._nnz()


@program
def sparse_leaf(torch, nn, F, compiled):
    matrix, x = randn(torch, 4, 4).relu().to_sparse(), randn(torch, 4, 2, seed=4)
    losses = []
    for _ in range(4):
        matrix.requires_grad_()
        loss = torch.sparse.mm(matrix, x).square().sum()
        loss.backward()
        losses.append(loss)
        with torch.no_grad():
            matrix = (matrix - 0.1 * matrix.grad).coalesce()
    return losses, matrix.values(), matrix.indices(), (matrix * matrix).to_dense(), randn(torch, 4, 4).sparse_mask(matrix).to_dense()
