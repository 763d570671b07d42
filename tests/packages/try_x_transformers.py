"""The first example of x-transformers, made small."""

import torch
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

torch.manual_seed(0)
net = TransformerWrapper(num_tokens=50, max_seq_len=32, attn_layers=Decoder(dim=32, depth=2, heads=4, rotary_pos_emb=True))
x = torch.randint(0, 50, (2, 16))
print(net(x).sum().item())
wrapped = AutoregressiveWrapper(net)
loss = wrapped(x)
loss.backward()
print(loss.item())
print(wrapped.generate(x[:, :4], 5, temperature=0.0))
