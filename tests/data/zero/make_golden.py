"""Writes schedules.json, adamw.json and clip.json beside itself: numbers of transformers 5.17 and torch 2.11.

    python make_golden.py
"""

import json
import pathlib

import torch
import transformers

FOLDER = pathlib.Path(__file__).parent


def optimizer(lr=1.0, **options):
    parameter = torch.nn.Parameter(torch.zeros(1))
    return torch.optim.AdamW([parameter], lr=lr, **options)


def factors(scheduler, steps):
    seen = []
    for _ in range(steps):
        seen.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def schedules():
    cases = []
    for total, warmup in [(10, 0), (10, 3), (7, 7), (25, 1), (3, 5), (1, 0)]:
        make = {
            "constant": lambda o: transformers.get_constant_schedule_with_warmup(o, warmup),
            "linear": lambda o: transformers.get_linear_schedule_with_warmup(o, warmup, total),
            "cosine": lambda o: transformers.get_cosine_schedule_with_warmup(o, warmup, total),
        }
        for kind, scheduler in make.items():
            cases.append({"kind": kind, "total": total, "warmup": warmup, "min_ratio": 0.0,
                          "factors": factors(scheduler(optimizer()), total)})
        minimum = transformers.get_cosine_with_min_lr_schedule_with_warmup(optimizer(), warmup, total, min_lr_rate=0.1)
        cases.append({"kind": "cosine", "total": total, "warmup": warmup, "min_ratio": 0.1,
                      "factors": factors(minimum, total)})
    ratios = []
    for total, ratio in [(10, 0.03), (100, 0.03), (101, 0.1), (7, 0.0), (7, 1.0)]:
        arguments = transformers.TrainingArguments(output_dir="unused", warmup_steps=ratio if ratio < 1 else total,
                                                   use_cpu=True)
        ratios.append({"total": total, "ratio": ratio, "warmup": arguments.get_warmup_steps(total)})
    return {"schedules": cases, "ratios": ratios}


def adamw():
    generator = torch.Generator().manual_seed(7)
    cases = []
    for options in [dict(betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0),
                    dict(betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1),
                    dict(betas=(0.4, 0.98), eps=1e-8, weight_decay=0.01)]:
        start = torch.randn(19, generator=generator)
        parameter = torch.nn.Parameter(start.clone())
        adam = torch.optim.AdamW([parameter], lr=1.0, foreach=False, **options)
        steps = []
        for lr in [0.0, 1e-3, 2e-3, 5e-4, 1e-2]:
            gradient = torch.randn(19, generator=generator) * 10.0 ** torch.randint(-6, 3, (19,), generator=generator)
            adam.param_groups[0]["lr"] = lr
            parameter.grad = gradient.clone()
            adam.step()
            state = adam.state[parameter]
            steps.append({"lr": lr, "gradient": gradient.tolist(), "parameter": parameter.tolist(),
                          "exp_avg": state["exp_avg"].tolist(), "exp_avg_sq": state["exp_avg_sq"].tolist()})
        beta1, beta2 = options["betas"]
        cases.append({"beta1": beta1, "beta2": beta2, "eps": options["eps"], "weight_decay": options["weight_decay"],
                      "start": start.tolist(), "steps": steps})
    return cases


def clip():
    generator = torch.Generator().manual_seed(8)
    cases = []
    for scale, max_norm in [(1.0, 1.0), (1e-3, 1.0), (50.0, 0.3), (0.0, 1.0)]:
        gradient = torch.randn(300, generator=generator) * scale
        parameter = torch.nn.Parameter(torch.zeros(300))
        parameter.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_([parameter], max_norm)
        cases.append({"max_norm": max_norm, "gradient": gradient.tolist(), "norm": norm.item(),
                      "clipped": parameter.grad.tolist()})
    return cases


for name, content in [("schedules", schedules()), ("adamw", adamw()), ("clip", clip())]:
    (FOLDER / f"{name}.json").write_text(json.dumps(content))
