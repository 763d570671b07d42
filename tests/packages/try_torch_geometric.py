"""The first example of torch-geometric, made small."""

import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv

torch.manual_seed(0)
edges = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0], [1, 0, 2, 1, 3, 2, 0, 3]])
data = Data(x=torch.randn(4, 3), edge_index=edges, y=torch.tensor([0, 1, 0, 1]))
print(data)


class GCN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(3, 16), GATConv(16, 2)

    def forward(self, data):
        return F.log_softmax(self.second(F.relu(self.first(data.x, data.edge_index)), data.edge_index), dim=1)


net = GCN()
optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
for _ in range(5):
    optimizer.zero_grad()
    loss = F.nll_loss(net(data), data.y)
    loss.backward()
    optimizer.step()
    print(round(loss.item(), 5))
