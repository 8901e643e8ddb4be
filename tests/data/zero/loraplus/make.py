#!/usr/bin/env python3
"""Writes numbers.safetensors and trained.safetensors (the adapter): the 20 steps of ../../golden/qwen2_mha from its adapter
`dora`, with PEFT's create_loraplus_optimizer over torch.optim.AdamW.

usage: make.py        (with the packages of tests/interop/requirements.txt)
"""
import json
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

RATIO = 8.0
here = Path(__file__).resolve().parent
folder = here.parents[1] / "golden/qwen2_mha"
torch.set_num_threads(1)
meta = json.loads((folder / "meta.json").read_text())
settings, max_norm = meta["train"], meta["variants"]["dora"]["max_grad_norm"]
data = load_file(folder / "golden.safetensors")
base = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(base, folder / "adapters/dora", is_trainable=True)
optimizer = create_loraplus_optimizer(
    model, torch.optim.AdamW, lr=settings["lr"], loraplus_lr_ratio=RATIO, loraplus_weight_decay=settings["weight_decay"],
    betas=tuple(settings["betas"]), eps=settings["eps"])
schedule = get_cosine_schedule_with_warmup(optimizer, 2, 20)
trained = [p for p in model.parameters() if p.requires_grad]
losses, norms = [], []
for step in range(20):
    labels = data["train.labels"][step]
    count = (labels[:, :, 1:] != -100).sum()
    total = 0.0
    for micro in range(labels.shape[0]):
        logits = model(input_ids=data["train.input_ids"][step][micro].long(),
                       attention_mask=data["train.attention_mask"][step][micro].long()).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[micro][:, 1:].flatten().long(),
                                                 ignore_index=-100, reduction="sum") / count
        loss.backward()
        total += loss.item()
    losses.append(total)
    norms.append(torch.nn.utils.clip_grad_norm_(trained, max_norm).item())
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
save_file({"train.loss": torch.tensor(losses, dtype=torch.float64),
           "train.grad_norm": torch.tensor(norms, dtype=torch.float64)}, here / "numbers.safetensors")
with tempfile.TemporaryDirectory() as work:
    model.save_pretrained(work)
    (here / "trained.safetensors").write_bytes((Path(work) / "adapter_model.safetensors").read_bytes())
print(losses[0], losses[-1], norms[:3], [group["lr"] for group in optimizer.param_groups])
