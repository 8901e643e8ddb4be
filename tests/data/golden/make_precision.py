"""Writes precision.json beside itself: how far transformers and PEFT themselves are from their fp32 numbers when they compute in bf16
and fp16. A program that computes in these formats can be held to that, and to nothing nearer.

    python make_precision.py     (torch 2.11, transformers 5.17, PEFT 0.21; one thread)

Errors as `ranktune verify` measures them: the largest absolute difference as a share of the fp32 tensor's largest entry (logits,
gradients: the worst tensor), and relative (loss). fp16 gradients are those of 1024 times the loss, divided by it again.
Qwen v1 is not among them: transformers does not have it.
"""

import json
import pathlib

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

FOLDER = pathlib.Path(__file__).parent
MODELS = ["llama_rope3", "llama_smol_tied", "qwen2_gqa_tied", "qwen2_mha", "qwen3_gqa_bf16"]
SCALE = {torch.bfloat16: 1.0, torch.float16: 1024.0}


def share(found, reference):
    return ((found.double() - reference.double()).abs().max() / reference.double().abs().max()).item()


def forward(model, numbers):
    ids, mask, labels = (numbers[f"main.{name}"] for name in ("input_ids", "attention_mask", "labels"))
    logits = model(input_ids=ids, attention_mask=mask).logits.float()
    targets = torch.where(mask[:, 1:].bool(), labels[:, 1:], -100)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten())
    return logits[mask.bool()], loss


def errors(model, numbers, subject, gradients):
    logits, loss = forward(model, numbers)
    mask = numbers["main.attention_mask"].bool()
    found = {"logits": share(logits.detach(), numbers[f"{subject}.logits"][mask]),
             "loss": abs(loss.item() / numbers[f"{subject}.loss"].item() - 1)}
    if not gradients:
        return found
    scale = SCALE[model.dtype]
    (loss * scale).backward()
    worst = 0.0
    for name, parameter in model.named_parameters():
        name = name.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector")
        if parameter.grad is not None:
            worst = max(worst, share(parameter.grad.double() / scale, numbers[f"{subject}.grad.{name}"]))
    return {**found, "gradients": worst}


def base(name, dtype):
    return AutoModelForCausalLM.from_pretrained(FOLDER / name / "model", dtype=dtype, attn_implementation="sdpa")


torch.set_num_threads(1)
result = {}
for name in MODELS:
    numbers = load_file(FOLDER / name / "golden.safetensors")
    result[name] = {}
    for label, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        with torch.no_grad():
            found = {"main": errors(base(name, dtype), numbers, "main", False)}
        for adapter in sorted((FOLDER / name / "adapters").iterdir()):
            if adapter.name.endswith("_trained"):
                continue
            model = PeftModel.from_pretrained(base(name, dtype), adapter, is_trainable=True, autocast_adapter_dtype=False)
            model.eval()
            found[adapter.name] = errors(model, numbers, adapter.name, True)
        result[name][label] = found
(FOLDER / "precision.json").write_text(json.dumps(result, indent=1) + "\n")
