"""Graph attention: masked scores by where(), several heads, scatter by index_add, ELU, early stopping."""

import torch
import torch.nn.functional as F
from torch import nn, optim


class GraphAttentionLayer(nn.Module):
    def __init__(
        self, in_features: int, out_features: int, n_heads: int, concat: bool = False, dropout: float = 0.4, leaky_relu_slope: float = 0.2
    ):
        super().__init__()
        self.n_heads = n_heads
        self.concat = concat
        self.dropout = dropout
        if concat:
            self.out_features = out_features
            assert out_features % n_heads == 0
            self.n_hidden = out_features // n_heads
        else:
            self.n_hidden = out_features
        self.W = nn.Parameter(torch.empty(size=(in_features, self.n_hidden * n_heads)))
        self.a = nn.Parameter(torch.empty(size=(n_heads, 2 * self.n_hidden, 1)))
        self.leakyrelu = nn.LeakyReLU(leaky_relu_slope)
        self.softmax = nn.Softmax(dim=1)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.xavier_normal_(self.W)
        nn.init.xavier_normal_(self.a)

    def _get_attention_scores(self, h_transformed: torch.Tensor):
        source_scores = torch.matmul(h_transformed, self.a[:, : self.n_hidden, :])
        target_scores = torch.matmul(h_transformed, self.a[:, self.n_hidden :, :])
        e = source_scores + target_scores.mT
        return self.leakyrelu(e)

    def forward(self, h: torch.Tensor, adj_mat: torch.Tensor):
        n_nodes = h.shape[0]
        h_transformed = torch.mm(h, self.W)
        h_transformed = F.dropout(h_transformed, self.dropout, training=self.training)
        h_transformed = h_transformed.view(n_nodes, self.n_heads, self.n_hidden).permute(1, 0, 2)
        e = self._get_attention_scores(h_transformed)
        connectivity_mask = -9e16 * torch.ones_like(e)
        e = torch.where(adj_mat > 0, e, connectivity_mask)
        attention = F.softmax(e, dim=-1)
        attention = F.dropout(attention, self.dropout, training=self.training)
        h_prime = torch.matmul(attention, h_transformed)
        if self.concat:
            return h_prime.permute(1, 0, 2).contiguous().view(n_nodes, self.out_features)
        return h_prime.mean(dim=0)


class SparseHead(nn.Module):
    """The same for lists of edges, as graph libraries have it."""

    def __init__(self, fin, fout):
        super().__init__()
        self.lin = nn.Linear(fin, fout, bias=False)
        self.att = nn.Parameter(torch.empty(1, 2 * fout).normal_(std=0.1))

    def forward(self, x, edge_index):
        src, dst = edge_index
        h = self.lin(x)
        score = F.leaky_relu((torch.cat([h[src], h[dst]], -1) * self.att).sum(-1), 0.2)
        top = torch.full((x.size(0),), float("-inf")).scatter_reduce(0, dst, score.detach(), reduce="amax", include_self=True)
        weight = (score - top[dst]).exp()
        total = torch.zeros(x.size(0)).index_add(0, dst, weight)
        weight = weight / total[dst].clamp(min=1e-12)
        return torch.zeros_like(h).index_add_(0, dst, weight.unsqueeze(-1) * h[src])


class GAT(nn.Module):
    def __init__(self, in_features, n_hidden, n_heads, num_classes):
        super(GAT, self).__init__()
        self.gat1 = GraphAttentionLayer(in_features, n_hidden, n_heads, concat=True)
        self.gat2 = GraphAttentionLayer(n_hidden, num_classes, 1)

    def forward(self, x, adj):
        x = F.elu(self.gat1(x, adj))
        return F.log_softmax(self.gat2(x, adj), dim=1)


torch.manual_seed(13)
n = 30
labels = torch.arange(n) % 3
adj = ((labels[:, None] == labels) & (torch.rand(n, n) < 0.4)).float()
adj = torch.maximum(adj, adj.T)
adj.fill_diagonal_(1)
x = torch.randn(n, 6).addcmul_(F.one_hot(labels, 6).float(), torch.tensor(1.5))
train_mask = torch.rand(n) < 0.5
print(int(adj.sum()), train_mask.sum().item(), torch.count_nonzero(adj, dim=1)[:8].tolist())

net = GAT(6, 8, 4, 3)
optimizer = optim.Adam(net.parameters(), lr=0.02, weight_decay=5e-4)
best, patience = float("inf"), 0
for epoch in range(12):
    net.train()
    optimizer.zero_grad()
    loss = F.nll_loss(net(x, adj)[train_mask], labels[train_mask])
    loss.backward()
    optimizer.step()
    with torch.inference_mode():
        net.eval()
        out = net(x, adj)
        val = F.nll_loss(out[~train_mask], labels[~train_mask]).item()
        acc = (out.max(1)[1] == labels)[~train_mask].double().mean()
    print(f"{epoch:2d} {loss.item():.4f} {val:.4f} {acc:.3f}")
    best, patience = (val, 0) if val < best else (best, patience + 1)
    if patience == 3:
        print("early stop")
        break

head = SparseHead(6, 3)
edges = adj.nonzero(as_tuple=False).t()
out = head(x, edges)
F.cross_entropy(out, labels).backward()
print(edges.shape, out[0], head.att.grad.norm())
