"""Writes loss_scale.json beside itself: what torch.amp.GradScaler (torch 2.11) does with steps of good and overflowing gradients.

    python make_loss_scale.py
"""

import json
import pathlib
import random

import torch


def run(initial, interval, overflows):
    scaler = torch.amp.GradScaler("cpu", init_scale=initial, growth_interval=interval)
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    steps = []
    for overflow in overflows:
        optimizer.zero_grad()
        before = parameter.detach().clone()
        scaler.scale(parameter.sum()).backward()
        if overflow:
            parameter.grad[1] = random.choice([float("inf"), float("-inf"), float("nan")])
        scaler.step(optimizer)
        scaler.update()
        state = scaler.state_dict()
        steps.append({"overflow": overflow, "skipped": bool(torch.equal(before, parameter)), "scale": state["scale"],
                      "good_steps": state["_growth_tracker"]})
    return {"initial": initial, "growth_interval": interval, "steps": steps}


random.seed(5)
cases = [
    run(65536.0, 2000, [False] * 3 + [True] * 4 + [False] * 3),
    run(1024.0, 1, [False, False, True, False, True, True, False]),
    run(2.0**12, 5, [random.random() < 0.2 for _ in range(60)]),
    run(0.25, 3, [random.random() < 0.1 for _ in range(40)]),
]
text = ",\n".join(json.dumps(case) for case in cases)
(pathlib.Path(__file__).parent / "loss_scale.json").write_text(f"[\n{text}\n]\n")
