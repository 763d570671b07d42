"""The first example of vector-quantize-pytorch, made small."""

import torch
from vector_quantize_pytorch import VectorQuantize

torch.manual_seed(0)
vq = VectorQuantize(dim=8, codebook_size=16, decay=0.8, commitment_weight=1.0)
quantized, indices, loss = vq(torch.randn(1, 12, 8))
print(quantized.sum().item(), indices, loss.item())
