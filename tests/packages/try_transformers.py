"""The first example of transformers, made small."""

import tempfile

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.trainer_callback import PrinterCallback

torch.manual_seed(0)
ids = torch.randint(0, 64, (2, 10))
bert = BertForSequenceClassification(
    BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=32)
)
out = bert(ids, labels=torch.tensor([0, 1]))
out.loss.backward()
print(out.loss.item(), bert.bert.embeddings.word_embeddings.weight.grad.norm().item())
gpt = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=2)).eval()
print(gpt(ids, labels=ids).loss.item(), gpt.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0))
torch.manual_seed(1)
print(gpt.generate(ids, max_new_tokens=5, do_sample=True, top_k=10, pad_token_id=0))
llama = LlamaForCausalLM(
    LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
).eval()
print(llama(ids, labels=ids).loss.item(), llama.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0))
t5 = T5ForConditionalGeneration(
    T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0)
).eval()
print(t5(ids, labels=ids).loss.item())
vit = ViTForImageClassification(
    ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8, num_labels=3)
).eval()
print(vit(torch.randn(1, 3, 32, 32)).logits)

with tempfile.TemporaryDirectory() as folder:
    bert.save_pretrained(folder)
    again = BertForSequenceClassification.from_pretrained(folder).eval()
    print(torch.equal(bert.eval()(ids).logits, again(ids).logits))
    options = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=4,
        num_train_epochs=1,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        logging_steps=2,
        disable_tqdm=True,
    )
    torch.manual_seed(2)
    data = [{"input_ids": torch.randint(0, 64, (10,)), "labels": torch.tensor(number % 2)} for number in range(16)]
    trainer = Trainer(model=again, args=options, train_dataset=data)
    trainer.remove_callback(PrinterCallback)
    result = trainer.train()
    print(
        result.global_step, round(result.training_loss, 4), [step["grad_norm"] for step in trainer.state.log_history if "grad_norm" in step]
    )
