"""Models as common repositories write them, by a change of the import line: same seed, same first weights, same training, same state_dict.

Each model is a function of the module ``torch`` that gives the model and a function from it to the loss of a step.
"""

import math

import numpy as np
import pytest
import torch as pytorch
from twin import compare, run, values

import funnn.torch as shim

STEPS = 5


def resnet(torch, bottleneck):
    nn = torch.nn

    class BasicBlock(nn.Module):
        expansion = 1

        def __init__(self, in_planes, planes, stride=1):
            super().__init__()
            self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(planes)
            self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(planes)
            self.shortcut = nn.Sequential()
            if stride != 1 or in_planes != planes:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_planes, planes, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(planes)
                )

        def forward(self, x):
            out = nn.functional.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return nn.functional.relu(out)

    class Bottleneck(nn.Module):
        expansion = 4

        def __init__(self, in_planes, planes, stride=1):
            super().__init__()
            self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=1, bias=False)
            self.bn1 = nn.BatchNorm2d(planes)
            self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(planes)
            self.conv3 = nn.Conv2d(planes, self.expansion * planes, kernel_size=1, bias=False)
            self.bn3 = nn.BatchNorm2d(self.expansion * planes)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = None
            if stride != 1 or in_planes != self.expansion * planes:
                self.downsample = nn.Sequential(
                    nn.Conv2d(in_planes, self.expansion * planes, kernel_size=1, stride=stride, bias=False),
                    nn.BatchNorm2d(self.expansion * planes),
                )

        def forward(self, x):
            identity = x if self.downsample is None else self.downsample(x)
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.relu(self.bn2(self.conv2(out)))
            out = self.bn3(self.conv3(out))
            return self.relu(out + identity)

    class ResNet(nn.Module):
        def __init__(self, block, num_blocks, num_classes=5):
            super().__init__()
            self.in_planes = 4
            self.conv1 = nn.Conv2d(3, 4, kernel_size=3, stride=1, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(4)
            self.layer1 = self._make_layer(block, 4, num_blocks[0], stride=1)
            self.layer2 = self._make_layer(block, 8, num_blocks[1], stride=2)
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(8 * block.expansion, num_classes)
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                    nn.init.constant_(m.weight, 1)
                    nn.init.constant_(m.bias, 0)

        def _make_layer(self, block, planes, num_blocks, stride):
            layers = []
            for s in [stride] + [1] * (num_blocks - 1):
                layers.append(block(self.in_planes, planes, s))
                self.in_planes = planes * block.expansion
            return nn.Sequential(*layers)

        def forward(self, x):
            out = torch.relu(self.bn1(self.conv1(x)))
            out = self.layer2(self.layer1(out))
            out = torch.flatten(self.avgpool(out), 1)
            return self.fc(out)

    model = ResNet(Bottleneck if bottleneck else BasicBlock, [1, 1])
    images, labels = torch.randn(4, 3, 8, 8), torch.randint(0, 5, (4,))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    return model, lambda: criterion(model(images), labels), optimizer


def unet(torch):
    nn = torch.nn

    class DoubleConv(nn.Module):
        def __init__(self, in_channels, out_channels, mid_channels=None):
            super().__init__()
            mid_channels = mid_channels or out_channels
            self.double_conv = nn.Sequential(
                nn.Conv2d(in_channels, mid_channels, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(mid_channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(mid_channels, out_channels, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            )

        def forward(self, x):
            return self.double_conv(x)

    class Down(nn.Module):
        def __init__(self, in_channels, out_channels):
            super().__init__()
            self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

        def forward(self, x):
            return self.maxpool_conv(x)

    class Up(nn.Module):
        def __init__(self, in_channels, out_channels, bilinear):
            super().__init__()
            if bilinear:
                self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            else:
                self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels)

        def forward(self, x1, x2):
            x1 = self.up(x1)
            diff_y, diff_x = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
            x1 = nn.functional.pad(x1, [diff_x // 2, diff_x - diff_x // 2, diff_y // 2, diff_y - diff_y // 2])
            return self.conv(torch.cat([x2, x1], dim=1))

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.inc = DoubleConv(1, 4)
            self.down1 = Down(4, 8)
            self.down2 = Down(8, 8)
            self.up1 = Up(16, 8, bilinear=True)
            self.up2 = Up(8, 4, bilinear=False)
            self.outc = nn.Conv2d(4, 2, kernel_size=1)

        def forward(self, x):
            x1 = self.inc(x)
            x2 = self.down1(x1)
            x3 = self.down2(x2)
            return self.outc(self.up2(self.up1(x3, x2), x1))

    def dice_loss(logits, target, epsilon=1e-6):
        probabilities = nn.functional.softmax(logits, dim=1)[:, 1]
        intersection = 2 * (probabilities * target).sum(dim=(-1, -2))
        return (1 - (intersection + epsilon) / (probabilities.sum(dim=(-1, -2)) + target.sum(dim=(-1, -2)) + epsilon)).mean()

    model = UNet()
    images, masks = torch.rand(2, 1, 10, 8), (torch.rand(2, 10, 8) > 0.5).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def loss():
        logits = model(images)
        return nn.functional.cross_entropy(logits, masks) + dice_loss(logits, masks.float())

    return model, loss, optimizer


def gpt(torch):
    nn, F = torch.nn, torch.nn.functional

    class CausalSelfAttention(nn.Module):
        def __init__(self, n_embd, n_head, block_size):
            super().__init__()
            self.c_attn = nn.Linear(n_embd, 3 * n_embd)
            self.c_proj = nn.Linear(n_embd, n_embd)
            self.attn_dropout = nn.Dropout(0.1)
            self.resid_dropout = nn.Dropout(0.1)
            self.register_buffer("bias", torch.tril(torch.ones(block_size, block_size)).view(1, 1, block_size, block_size))
            self.n_head, self.n_embd = n_head, n_embd

        def forward(self, x):
            B, T, C = x.size()
            q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
            k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
            att = self.attn_dropout(F.softmax(att, dim=-1))
            y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
            return self.resid_dropout(self.c_proj(y))

    class Block(nn.Module):
        def __init__(self, n_embd, n_head, block_size):
            super().__init__()
            self.ln_1 = nn.LayerNorm(n_embd)
            self.attn = CausalSelfAttention(n_embd, n_head, block_size)
            self.ln_2 = nn.LayerNorm(n_embd)
            self.mlp = nn.ModuleDict(
                {
                    "c_fc": nn.Linear(n_embd, 4 * n_embd),
                    "c_proj": nn.Linear(4 * n_embd, n_embd),
                    "act": nn.GELU(),
                    "dropout": nn.Dropout(0.1),
                }
            )
            m = self.mlp
            self.mlpf = lambda x: m.dropout(m.c_proj(m.act(m.c_fc(x))))

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlpf(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self, vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=8):
            super().__init__()
            self.block_size = block_size
            self.transformer = nn.ModuleDict(
                {
                    "wte": nn.Embedding(vocab_size, n_embd),
                    "wpe": nn.Embedding(block_size, n_embd),
                    "drop": nn.Dropout(0.1),
                    "h": nn.ModuleList([Block(n_embd, n_head, block_size) for _ in range(n_layer)]),
                    "ln_f": nn.LayerNorm(n_embd),
                }
            )
            self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
            self.transformer.wte.weight = self.lm_head.weight  # tied
            self.apply(self._init_weights)
            for pn, p in self.named_parameters():
                if pn.endswith("c_proj.weight"):
                    torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * n_layer))

        def _init_weights(self, module):
            if isinstance(module, nn.Linear):
                torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

        def configure_optimizers(self, weight_decay, learning_rate, betas):
            param_dict = {pn: p for pn, p in self.named_parameters() if p.requires_grad}
            groups = [
                {"params": [p for p in param_dict.values() if p.dim() >= 2], "weight_decay": weight_decay},
                {"params": [p for p in param_dict.values() if p.dim() < 2], "weight_decay": 0.0},
            ]
            return torch.optim.AdamW(groups, lr=learning_rate, betas=betas)

        def forward(self, idx, targets=None):
            pos = torch.arange(0, idx.size(1), dtype=torch.long, device=idx.device)
            x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(pos))
            for block in self.transformer.h:
                x = block(x)
            logits = self.lm_head(self.transformer.ln_f(x))
            loss = None
            if targets is not None:
                loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
            return logits, loss

    model = GPT()
    text = torch.randint(0, 11, (2, 9))
    optimizer = model.configure_optimizers(0.1, 1e-2, (0.9, 0.95))
    return model, lambda: model(text[:, :-1], text[:, 1:].contiguous())[1], optimizer


def bert(torch):
    nn = torch.nn

    class Embeddings(nn.Module):
        def __init__(self, vocab, width, length):
            super().__init__()
            self.word_embeddings = nn.Embedding(vocab, width, padding_idx=0)
            self.position_embeddings = nn.Embedding(length, width)
            self.token_type_embeddings = nn.Embedding(2, width)
            self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
            self.dropout = nn.Dropout(0.1)
            self.register_buffer("position_ids", torch.arange(length).expand((1, -1)), persistent=False)

        def forward(self, input_ids, token_type_ids):
            positions = self.position_ids[:, : input_ids.size(1)]
            x = self.word_embeddings(input_ids) + self.position_embeddings(positions) + self.token_type_embeddings(token_type_ids)
            return self.dropout(self.LayerNorm(x))

    class Bert(nn.Module):
        def __init__(self, vocab=13, width=8, length=8):
            super().__init__()
            self.embeddings = Embeddings(vocab, width, length)
            layer = nn.TransformerEncoderLayer(width, nhead=2, dim_feedforward=16, dropout=0.1, activation="gelu", batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
            self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=1e-12))
            self.decoder = nn.Linear(width, vocab, bias=False)
            self.bias = nn.Parameter(torch.zeros(vocab))
            self.decoder.bias = self.bias
            self.decoder.weight = self.embeddings.word_embeddings.weight

        def forward(self, input_ids, token_type_ids, attention_mask):
            x = self.embeddings(input_ids, token_type_ids)
            x = self.encoder(x, src_key_padding_mask=attention_mask == 0)
            return self.decoder(self.transform(x))

    model = Bert()
    ids = torch.randint(1, 13, (3, 6))
    lengths = torch.tensor([6, 4, 3])
    attention_mask = (torch.arange(6)[None, :] < lengths[:, None]).long()
    ids = ids * attention_mask
    labels = ids.masked_fill(torch.rand(3, 6) > 0.6, -100).masked_fill(attention_mask == 0, -100)
    # softmax makes the gradients of the keys' biases zero but for rounding, which Adam would scale up
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss()

    def loss():
        logits = model(ids, torch.zeros_like(ids), attention_mask)
        return criterion(logits.view(-1, 13), labels.view(-1))

    return model, loss, optimizer


def seq2seq(torch):
    nn, F = torch.nn, torch.nn.functional

    class EncoderRNN(nn.Module):
        def __init__(self, input_size, hidden_size, dropout_p=0.1):
            super().__init__()
            self.embedding = nn.Embedding(input_size, hidden_size)
            self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
            self.dropout = nn.Dropout(dropout_p)

        def forward(self, input):
            return self.gru(self.dropout(self.embedding(input)))

    class BahdanauAttention(nn.Module):
        def __init__(self, hidden_size):
            super().__init__()
            self.Wa = nn.Linear(hidden_size, hidden_size)
            self.Ua = nn.Linear(hidden_size, hidden_size)
            self.Va = nn.Linear(hidden_size, 1)

        def forward(self, query, keys):
            scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))).squeeze(2).unsqueeze(1)
            weights = F.softmax(scores, dim=-1)
            return torch.bmm(weights, keys), weights

    class AttnDecoderRNN(nn.Module):
        def __init__(self, hidden_size, output_size, length, dropout_p=0.1):
            super().__init__()
            self.embedding = nn.Embedding(output_size, hidden_size)
            self.attention = BahdanauAttention(hidden_size)
            self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
            self.out = nn.Linear(hidden_size, output_size)
            self.dropout = nn.Dropout(dropout_p)
            self.length = length

        def forward(self, encoder_outputs, encoder_hidden, target_tensor=None):
            decoder_input = torch.empty(encoder_outputs.size(0), 1, dtype=torch.long).fill_(0)
            decoder_hidden, outputs, attentions = encoder_hidden, [], []
            for i in range(self.length):
                decoder_output, decoder_hidden, attn_weights = self.forward_step(decoder_input, decoder_hidden, encoder_outputs)
                outputs.append(decoder_output)
                attentions.append(attn_weights)
                if target_tensor is not None and i % 2 == 0:
                    decoder_input = target_tensor[:, i].unsqueeze(1)
                else:
                    decoder_input = decoder_output.topk(1)[1].squeeze(-1).detach()
            return F.log_softmax(torch.cat(outputs, dim=1), dim=-1), decoder_hidden, torch.cat(attentions, dim=1)

        def forward_step(self, input, hidden, encoder_outputs):
            embedded = self.dropout(self.embedding(input))
            context, attn_weights = self.attention(hidden.permute(1, 0, 2), encoder_outputs)
            output, hidden = self.gru(torch.cat((embedded, context), dim=2), hidden)
            return self.out(output), hidden, attn_weights

    model = nn.ModuleList([EncoderRNN(7, 6), AttnDecoderRNN(6, 9, length=3)])
    source, target = torch.randint(0, 7, (2, 4)), torch.randint(0, 9, (2, 3))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1
    )  # softmax makes the gradient of Va.bias zero but for rounding, which Adam would scale up
    criterion = nn.NLLLoss()

    def loss():
        encoder_outputs, encoder_hidden = model[0](source)
        decoder_outputs, _, _ = model[1](encoder_outputs, encoder_hidden, target)
        return criterion(decoder_outputs.view(-1, decoder_outputs.size(-1)), target.view(-1))

    return model, loss, optimizer


def vae(torch):
    nn, F = torch.nn, torch.nn.functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(64, 16)
            self.fc21 = nn.Linear(16, 4)
            self.fc22 = nn.Linear(16, 4)
            self.fc3 = nn.Linear(4, 16)
            self.fc4 = nn.Linear(16, 64)

        def encode(self, x):
            h1 = F.relu(self.fc1(x))
            return self.fc21(h1), self.fc22(h1)

        def reparameterize(self, mu, logvar):
            std = torch.exp(0.5 * logvar)
            eps = torch.randn_like(std)
            return mu + eps * std

        def decode(self, z):
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

        def forward(self, x):
            mu, logvar = self.encode(x.view(-1, 64))
            return self.decode(self.reparameterize(mu, logvar)), mu, logvar

    model = VAE()
    x = torch.rand(4, 1, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def loss():
        recon_x, mu, logvar = model(x)
        bce = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    return model, loss, optimizer


def tagger(torch):
    """A bidirectional GRU over packed sequences."""
    nn = torch.nn

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(12, 5, padding_idx=0)
            self.rnn = nn.GRU(5, 4, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2)
            self.fc = nn.Linear(8, 3)

        def forward(self, tokens, lengths):
            packed = nn.utils.rnn.pack_padded_sequence(self.embed(tokens), lengths, batch_first=True, enforce_sorted=False)
            out, hidden = self.rnn(packed)
            out, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
            return self.fc(out), torch.cat([hidden[-2], hidden[-1]], dim=1)

    model = Tagger()
    lengths = torch.tensor([3, 5, 2])
    tokens = torch.randint(1, 12, (3, 5)) * (torch.arange(5) < lengths[:, None])
    tags = torch.randint(0, 3, (3, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    def loss():
        logits, last = model(tokens, lengths)
        each = nn.functional.cross_entropy(logits.transpose(1, 2), tags, reduction="none")
        mask = (tokens != 0).float()
        value = (each * mask).sum() / mask.sum() + 0.01 * last.pow(2).mean()
        return value

    return model, loss, optimizer


MODELS = {
    "resnet": lambda torch: resnet(torch, bottleneck=False),
    "resnet with bottlenecks": lambda torch: resnet(torch, bottleneck=True),
    "unet": unet,
    "gpt": gpt,
    "bert": bert,
    "seq2seq with attention": seq2seq,
    "vae": vae,
    "tagger": tagger,
}


@pytest.mark.parametrize("name", MODELS)
def test_training(name):
    def program(torch):
        model, loss, optimizer = MODELS[name](torch)
        print(model)
        print([(key, tuple(value.shape), str(value.dtype)) for key, value in model.state_dict().items()])
        first = {key: value.clone() for key, value in model.state_dict().items()}
        model.train()
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(value.item())
        model.eval()
        with torch.no_grad():
            losses.append(loss().item())
        return first, losses, model.state_dict()

    check(program)


def check(program):
    """The first weights are equal to the last bits, the losses and the last weights as near as float32 sums in another order let them be."""
    (first, losses, last), text = run(program, pytorch)
    (own_first, own_losses, own_last), own_text = run(program, shim)
    assert own_text == text
    compare(own_first, first, "first", (1e-6, 1e-7))
    np.testing.assert_allclose(own_losses, losses, rtol=1e-4)
    assert list(own_last) == list(last)
    for key, value in last.items():  # Adam divides by the size of a gradient, so that a gradient near zero takes its rounding to the weight
        np.testing.assert_allclose(values(own_last[key]), values(value), rtol=1e-3, atol=1e-3, err_msg=key)


def test_dcgan():
    """Two models that train against each other."""

    def program(torch):
        nn = torch.nn

        def weights_init(m):
            classname = m.__class__.__name__
            if classname.find("Conv") != -1:
                nn.init.normal_(m.weight.data, 0.0, 0.02)
            elif classname.find("BatchNorm") != -1:
                nn.init.normal_(m.weight.data, 1.0, 0.02)
                nn.init.constant_(m.bias.data, 0)

        class Generator(nn.Module):
            def __init__(self, nz=6, ngf=4, nc=1):
                super().__init__()
                self.main = nn.Sequential(
                    nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False),
                    nn.BatchNorm2d(ngf * 2),
                    nn.ReLU(True),
                    nn.ConvTranspose2d(ngf * 2, nc, 4, 2, 1, bias=False),
                    nn.Tanh(),
                )

            def forward(self, input):
                return self.main(input)

        class Discriminator(nn.Module):
            def __init__(self, nc=1, ndf=4):
                super().__init__()
                self.main = nn.Sequential(
                    nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
                    nn.LeakyReLU(0.2, inplace=True),
                    nn.utils.parametrizations.spectral_norm(nn.Conv2d(ndf, 1, 4, 1, 0, bias=False)),
                    nn.Sigmoid(),
                )

            def forward(self, input):
                return self.main(input)

        generator, discriminator = Generator(), Discriminator()
        generator.apply(weights_init)
        discriminator.apply(weights_init)
        print(generator, discriminator, list(discriminator.state_dict()))
        both = nn.ModuleList([generator, discriminator])
        first = {key: value.clone() for key, value in both.state_dict().items()}
        criterion = nn.BCELoss()
        optimizers = [torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.999)) for net in both]
        real, losses = torch.rand(3, 1, 8, 8), []
        for _ in range(STEPS):
            discriminator.zero_grad()
            label = torch.full((3,), 1.0, dtype=torch.float)
            error_real = criterion(discriminator(real).view(-1), label)
            error_real.backward()
            fake = generator(torch.randn(3, 6, 1, 1))
            label.fill_(0.0)
            error_fake = criterion(discriminator(fake.detach()).view(-1), label)
            error_fake.backward()
            optimizers[1].step()
            generator.zero_grad()
            label.fill_(1.0)
            error = criterion(discriminator(fake).view(-1), label)
            error.backward()
            optimizers[0].step()
            losses += [error_real.item(), error_fake.item(), error.item()]
        return first, losses, both.state_dict()

    check(program)
