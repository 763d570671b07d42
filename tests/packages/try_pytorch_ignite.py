"""The first example of pytorch-ignite, made small."""

import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Accuracy, Loss

torch.manual_seed(0)
net = torch.nn.Linear(4, 2)
data = [(torch.randn(8, 4), torch.randint(0, 2, (8,))) for _ in range(4)]
criterion = torch.nn.CrossEntropyLoss()
trainer = create_supervised_trainer(net, torch.optim.SGD(net.parameters(), lr=0.1), criterion)
evaluator = create_supervised_evaluator(net, metrics={"accuracy": Accuracy(), "loss": Loss(criterion)})


@trainer.on(Events.EPOCH_COMPLETED)
def show(engine):
    evaluator.run(data)
    print(engine.state.epoch, {name: round(value, 5) for name, value in evaluator.state.metrics.items()})


trainer.run(data, max_epochs=3)
