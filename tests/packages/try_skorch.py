"""The first example of skorch, made small."""

import numpy as np
import torch
from sklearn.datasets import make_classification
from skorch import NeuralNetClassifier

torch.manual_seed(0)
x, y = make_classification(100, 20, n_informative=10, random_state=0)
net = NeuralNetClassifier(
    torch.nn.Sequential(torch.nn.Linear(20, 10), torch.nn.ReLU(), torch.nn.Linear(10, 2), torch.nn.Softmax(-1)),
    max_epochs=3,
    lr=0.1,
    verbose=0,
)
net.fit(x.astype(np.float32), y)
print([round(v, 5) for v in net.history[:, "train_loss"]], net.predict_proba(x[:2].astype(np.float32)))
