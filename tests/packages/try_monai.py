"""The first example of monai, made small."""

import torch
from monai.losses import DiceLoss
from monai.networks.nets import UNet
from monai.utils import set_determinism

set_determinism(0)
net = UNet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8, 16), strides=(2, 2), num_res_units=1)
x, y = torch.rand(2, 1, 16, 16), torch.randint(0, 2, (2, 1, 16, 16))
optimizer, loss = torch.optim.Adam(net.parameters(), 1e-2), DiceLoss(to_onehot_y=True, softmax=True)
for _ in range(3):
    optimizer.zero_grad()
    value = loss(net(x), y)
    value.backward()
    optimizer.step()
    print(round(value.item(), 5))
