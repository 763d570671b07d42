"""A graph convolutional network on a sparse COO adjacency, normalised by degrees, with a parameterised layer and masks."""

import argparse
import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam


class GraphConv(nn.Module):
    def __init__(self, input_dim, output_dim, use_bias=False):
        super(GraphConv, self).__init__()
        self.weight = nn.Parameter(torch.Tensor(input_dim, output_dim))
        nn.init.xavier_normal_(self.weight)
        self.bias = None
        if use_bias:
            self.bias = nn.Parameter(torch.Tensor(output_dim))
            nn.init.zeros_(self.bias)

    def forward(self, input_tensor, adj_mat):
        support = torch.mm(input_tensor, self.weight)
        output = torch.spmm(adj_mat, support)
        if self.bias is not None:
            output = output + self.bias
        return output


class GCN(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim, use_bias=True, dropout_p=0.1):
        super(GCN, self).__init__()
        self.gc1 = GraphConv(input_dim, hidden_dim, use_bias=use_bias)
        self.gc2 = GraphConv(hidden_dim, output_dim, use_bias=use_bias)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, input_tensor, adj_mat):
        x = self.gc1(input_tensor, adj_mat)
        x = F.relu(x)
        x = self.dropout(x)
        x = self.gc2(x, adj_mat)
        return F.log_softmax(x, dim=1)


def make_graph(n=40, classes=3):
    labels = torch.LongTensor([random.randrange(classes) for _ in range(n)])
    edges = [(i, j) for i in range(n) for j in range(i) if random.random() < (0.3 if labels[i] == labels[j] else 0.03)]
    features = torch.randn(n, 8) + F.one_hot(labels, 8)
    features_sum = features.abs().sum(dim=1, keepdim=True)
    features_sum[features_sum == 0.0] = 1.0
    features = torch.div(features, features_sum)
    node_connections = torch.tensor(edges)
    indices = torch.cat((node_connections, node_connections.flip(1), torch.arange(n).repeat(2, 1).t())).t()
    adj_mat = torch.sparse_coo_tensor(indices, torch.ones(indices.shape[1]), (n, n)).coalesce()
    degree = torch.sparse.sum(adj_mat, dim=1).to_dense()
    inv_sqrt = degree.pow(-0.5)
    row, col = adj_mat.indices()
    adj_mat = torch.sparse_coo_tensor(adj_mat.indices(), inv_sqrt[row] * adj_mat.values() * inv_sqrt[col], adj_mat.size())
    return features, labels, adj_mat.coalesce()


def train_iter(epoch, model, optimizer, criterion, input, target, mask_train, mask_val, print_every=2):
    model.train()
    optimizer.zero_grad(set_to_none=True)
    output = model(*input)
    loss = criterion(output[mask_train], target[mask_train])
    loss.backward()
    optimizer.step()
    loss_train, acc_train = test(model, criterion, input, target, mask_train)
    loss_val, acc_val = test(model, criterion, input, target, mask_val)
    if epoch % print_every == 0:
        print(f"Epoch: {epoch:04d} train {loss_train:.4f} {acc_train:.4f} val {loss_val:.4f} {acc_val:.4f}")


def test(model, criterion, input, target, mask):
    model.eval()
    with torch.no_grad():
        output = model(*input)
        output, target = output[mask], target[mask]
        loss = criterion(output, target)
        acc = (output.argmax(dim=1) == target).float().sum() / len(target)
    return loss.item(), acc.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--l2", type=float, default=5e-4)
    parser.add_argument("--include-bias", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(42)
    random.seed(42)
    features, labels, adj_mat = make_graph()
    print(adj_mat.shape, adj_mat._nnz(), adj_mat.is_sparse, adj_mat.layout)
    print(adj_mat.to_dense()[:2, :6])
    idx = torch.randperm(len(labels))
    idx_train, idx_val, idx_test = idx[:16], idx[16:28], idx[28:]
    gcn = GCN(features.shape[1], 16, labels.max().item() + 1, args.include_bias, 0.2)
    optimizer = Adam(gcn.parameters(), lr=args.lr, weight_decay=args.l2)
    criterion = nn.NLLLoss()
    for epoch in range(1, 9):
        train_iter(epoch, gcn, optimizer, criterion, (features, adj_mat), labels, idx_train, idx_val)
    loss_test, acc_test = test(gcn, criterion, (features, adj_mat), labels, idx_test)
    print(f"Test set results: loss {loss_test:.4f} accuracy {acc_test:.4f}")
    csr = adj_mat.to_sparse_csr()
    print(csr.crow_indices()[:5], (csr @ features).sum(), torch.sparse.mm(adj_mat, features).norm())
