#!/usr/bin/env python3
"""LoRA training with transformers + PEFT under DeepSpeed ZeRO-2, as its users run it, on the rows of a `ranktune prep` file.

usage: torchrun --nproc-per-node RANKS deepspeed_peft.py MODEL DATA.h5 --dtype bf16 --batch 2 --accumulation 2
Batches are padded to their longest row. One epoch in file order. Rank 0 prints one JSON line: real (not padding) tokens per
second over all ranks without the first step, which warms up, and the largest rank's peak resident memory in GiB.
"""
import argparse
import json
import os
import resource
import time

import deepspeed
import h5py
import torch
import torch.distributed
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("--dtype", default="bf16", choices=["bf16", "fp32"])
parser.add_argument("--batch", type=int, default=2)
parser.add_argument("--accumulation", type=int, default=2)
parser.add_argument("--rank", type=int, default=8)
args, _ = parser.parse_known_args()

deepspeed.init_distributed("nccl" if torch.cuda.is_available() else "gloo", verbose=False)
rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(0)
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32

model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, attn_implementation="sdpa").to(device)
model.config.use_cache = False
model = get_peft_model(model, LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules="all-linear", task_type="CAUSAL_LM"))
trained = [p for p in model.parameters() if p.requires_grad]
for parameter in trained:
    parameter.data = parameter.data.float()
engine, *_ = deepspeed.initialize(model=model, model_parameters=trained, config={
    "train_micro_batch_size_per_gpu": args.batch, "gradient_accumulation_steps": args.accumulation, "gradient_clipping": 1.0,
    "zero_optimization": {"stage": 2, "overlap_comm": True, "contiguous_gradients": True}, "bf16": {"enabled": args.dtype == "bf16"},
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "torch_adam": True}}, "zero_allow_untested_optimizer": True,
    "steps_per_print": 10**9})

with h5py.File(args.data) as file:
    offsets, tokens, mask = file["offsets"][:], file["tokens"][:], file["loss_mask"][:]
rows = list(range(len(offsets) - 1))[rank::world]
seconds, real = [], []
for first in range(0, len(rows), args.batch * args.accumulation):
    begin, count = time.perf_counter(), 0
    for at in range(first, min(first + args.batch * args.accumulation, len(rows)), args.batch):
        batch = rows[at:at + args.batch]
        longest = max(offsets[i + 1] - offsets[i] for i in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        attention = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for k, i in enumerate(batch):
            row, supervised = torch.tensor(tokens[offsets[i]:offsets[i + 1]]).long(), torch.tensor(mask[offsets[i]:offsets[i + 1]]).bool()
            ids[k, :len(row)], attention[k, :len(row)] = row, 1
            labels[k, :len(row)][supervised] = row[supervised]
            count += len(row)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
            loss = engine(input_ids=ids.to(device), attention_mask=attention.to(device), labels=labels.to(device)).loss
        engine.backward(loss)
        engine.step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds.append(time.perf_counter() - begin)
    real.append(count)

memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
totals = torch.tensor([float(sum(real[1:])), memory], device=device)
peak = totals.clone()
torch.distributed.all_reduce(totals)
torch.distributed.all_reduce(peak, op=torch.distributed.ReduceOp.MAX)
if rank == 0:
    print(json.dumps({"tokens_per_s": totals[0].item() / sum(seconds[1:]), "memory_gib": peak[1].item(), "loss": loss.item()}), flush=True)
torch.distributed.destroy_process_group()
