#!/usr/bin/env python3
"""Writes modules_tied/ and modules_untied/: adapters that train modules and tokens beside LoRA, on the models of qwen2_gqa_tied/
and qwen2_mha/: logits, losses, gradients and a few AdamW steps by PEFT and torch.optim.AdamW. Norms are not decayed.

usage: make_modules.py        (with the packages of tests/interop/requirements.txt)
"""
import json
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

here = Path(__file__).resolve().parent
STEPS, LR, BETAS, DECAY, MAX_NORM = 5, 1e-3, (0.9, 0.95), 0.1, 1.0
QV = ["q_proj", "v_proj"]
CASES = {
    "modules_tied": ("qwen2_gqa_tied", {
        "parted": dict(target_modules=QV, modules_to_save=["embed_tokens"]),
        "tied": dict(target_modules=QV, modules_to_save=["embed_tokens", "lm_head"], ensure_weight_tying=True),
        "tokens": dict(target_modules=QV, trainable_token_indices=[7, 2, 300]),
        "tokens_apart": dict(target_modules=QV, trainable_token_indices={"embed_tokens": [2, 5], "lm_head": [9, 2, 301]}),
    }),
    "modules_untied": ("qwen2_mha", {
        "all": dict(target_modules=QV, modules_to_save=["embed_tokens", "lm_head", "norm"]),
        "tokens": dict(target_modules=QV, trainable_token_indices={"model.embed_tokens": [2, 11], "lm_head": [2, 11]}),
        # (Not a k_proj: the gradient of its bias is zero but for rounding, which AdamW makes steps of.)
        "dora": dict(target_modules=["q_proj"], use_dora=True, modules_to_save=["layers.0.self_attn.v_proj", "layers.1.mlp", "model.norm"],
                     trainable_token_indices=[11, 3]),
    }),
}


def stored_name(name: str) -> str:
    return name.replace(".modules_to_save.default.", ".").replace("_vector.default.weight", "_vector").replace(".default", "")


def logits_of(model: torch.nn.Module, data: dict, prefix: str, *at: int) -> torch.Tensor:
    ids, mask = data[f"{prefix}.input_ids"], data[f"{prefix}.attention_mask"]
    for i in at:
        ids, mask = ids[i], mask[i]
    return model(input_ids=ids.long(), attention_mask=mask.long()).logits


def summed_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten().long(), ignore_index=-100,
                                             reduction="sum")


def count(labels: torch.Tensor) -> int:
    return int((labels[..., 1:] != -100).sum())


def save_adapter(model: torch.nn.Module, folder: Path) -> None:
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = Path(config["base_model_name_or_path"]).parent.name
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")


def record(variant: str, settings: dict, base: Path, data: dict, out: Path) -> dict:
    torch.manual_seed(sum(map(ord, variant)))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **settings))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for parameter in trained.values():
        parameter.data += torch.randn_like(parameter) * 0.03
    save_adapter(model, out / "adapters" / variant)
    numbers = {}
    logits = logits_of(model, data, "main")
    loss = summed_loss(logits, data["main.labels"]) / count(data["main.labels"])
    loss.backward()
    numbers[f"{variant}.logits"] = logits.detach()
    numbers[f"{variant}.loss"] = loss.detach().reshape(1)
    for name, parameter in trained.items():
        numbers[f"{variant}.grad.{stored_name(name)}"] = parameter.grad.clone()
    model.zero_grad()

    norms = [p for name, p in trained.items() if "norm" in name or name.endswith(".bias")]
    others = [p for p in trained.values() if not any(p is n for n in norms)]
    adamw = torch.optim.AdamW([{"params": others, "weight_decay": DECAY}, {"params": norms, "weight_decay": 0.0}], lr=LR, betas=BETAS)
    schedule = get_cosine_schedule_with_warmup(adamw, 2, STEPS)
    series = {key: [] for key in ("loss", "grad_norm", "lr", "micro_tokens", "micro_mean_loss")}
    for step in range(STEPS):
        labels = data["train.labels"][step]
        tokens = [count(micro) for micro in labels]
        losses = []
        for micro in range(len(labels)):
            loss = summed_loss(logits_of(model, data, "train", step, micro), labels[micro])
            (loss / sum(tokens)).backward()
            losses.append(loss.item())
        series["loss"].append(sum(losses) / sum(tokens))
        series["micro_tokens"].append(tokens)
        series["micro_mean_loss"].append([loss / n for loss, n in zip(losses, tokens)])
        series["lr"].append(schedule.get_last_lr()[0])
        series["grad_norm"].append(torch.nn.utils.clip_grad_norm_(list(trained.values()), MAX_NORM).item())
        adamw.step()
        schedule.step()
        adamw.zero_grad()
    for key, values in series.items():
        numbers[f"{variant}.train.{key}"] = torch.tensor(values, dtype=torch.int64 if key == "micro_tokens" else torch.float64)
    for name, parameter in trained.items():
        for moment in ("exp_avg", "exp_avg_sq"):
            numbers[f"{variant}.train.{moment}.{stored_name(name)}"] = adamw.state[parameter][moment].clone()
    with torch.no_grad():
        numbers[f"{variant}.train.final_logits"] = logits_of(model, data, "main")
    save_adapter(model, out / "adapters" / f"{variant}_trained")
    print(out.name, variant, [f"{value:.4f}" for value in series["loss"]], len(trained))
    return numbers


def main() -> None:
    torch.set_num_threads(1)
    for folder, (model, variants) in CASES.items():
        out = here / folder
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        recorded = load_file(here / model / "golden.safetensors")
        data = {f"main.{key}": recorded[f"main.{key}"][:2].clone() for key in ("input_ids", "attention_mask", "labels")}
        data |= {f"train.{key}": recorded[f"train.{key}"][:STEPS].clone() for key in ("input_ids", "attention_mask", "labels")}
        numbers = dict(data)
        for variant, settings in variants.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                numbers |= record(variant, settings, here / model / "model", data, out)
        save_file({name: value.contiguous() for name, value in numbers.items()}, out / "golden.safetensors")
        meta = {"name": folder, "model": f"../{model}/model",
                "train": {"lr": LR, "betas": BETAS, "eps": 1e-8, "weight_decay": DECAY, "steps": STEPS,
                          "schedule": f"get_cosine_schedule_with_warmup(num_warmup_steps=2, num_training_steps={STEPS})"},
                "variants": {variant: {"max_grad_norm": MAX_NORM} for variant in variants}}
        (out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


main()
