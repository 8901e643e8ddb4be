#!/usr/bin/env python3
"""Writes module_match.json: which modules PEFT targets, with which rank and alpha, for many LoraConfigs.

usage: make_module_match.py        (with the packages of tests/interop/requirements.txt)
"""
import json
from pathlib import Path

from peft import LoraConfig
from peft.tuners.tuners_utils import _ExcludedModule, check_target_module_exists
from peft.utils.other import get_pattern_key

LLAMA = [f"model.layers.{layer}.{part}" for layer in (0, 1, 2, 10, 11) for part in (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
    "mlp.down_proj")]
QWEN1 = [f"transformer.h.{layer}.{part}" for layer in (0, 1, 12) for part in (
    "attn.c_attn", "attn.c_proj", "mlp.w1", "mlp.w2", "mlp.c_proj")]
CASES = [
    (LLAMA, {"target_modules": ["q_proj", "v_proj"]}),
    (LLAMA, {"target_modules": ["proj"]}),
    (LLAMA, {"target_modules": ["self_attn.q_proj", "model.layers.1.mlp.up_proj", "layers.10.mlp.down_proj"]}),
    (LLAMA, {"target_modules": ["1.self_attn.q_proj"]}),
    (LLAMA, {"target_modules": r".*\.(q|v)_proj"}),
    (LLAMA, {"target_modules": r"q_proj"}),
    (LLAMA, {"target_modules": r"model\.layers\.\d\.mlp\..*"}),
    (LLAMA, {"target_modules": r".*layers\.(?:0|11)\.(?!mlp).*_proj"}),
    (LLAMA, {"target_modules": ["q_proj", "down_proj"], "exclude_modules": ["layers.1.self_attn.q_proj", "down_proj"]}),
    (LLAMA, {"target_modules": ["q_proj", "k_proj"], "exclude_modules": r".*\.1\d?\..*"}),
    (LLAMA, {"target_modules": ["q_proj"], "layers_to_transform": 1}),
    (LLAMA, {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [0, 10]}),
    (LLAMA, {"target_modules": ["q_proj"], "layers_to_transform": [2, 11], "layers_pattern": "layers"}),
    (LLAMA, {"target_modules": ["q_proj"], "layers_to_transform": [2, 11], "layers_pattern": ["blocks", "layers"]}),
    (LLAMA, {"target_modules": ["q_proj"], "layers_to_transform": [2], "layers_pattern": ["h"]}),
    (LLAMA, {"target_modules": ["q_proj", "model.layers.2.mlp.up_proj"], "layers_to_transform": [0]}),
    (LLAMA, {"target_modules": ["q_proj"], "layers_to_transform": []}),
    (LLAMA, {"target_modules": ["q_proj", "k_proj"], "rank_pattern": {"q_proj": 3}, "alpha_pattern": {"k_proj": 5}}),
    (LLAMA, {"target_modules": ["q_proj", "up_proj"], "rank_pattern": {"layers.1.self_attn.q_proj": 2, "q_proj": 6},
             "alpha_pattern": {r"layers\.\d+\.mlp\.up_proj": 1.5, "proj": 9}}),
    (LLAMA, {"target_modules": ["q_proj", "up_proj"], "rank_pattern": {r".*1\d\..*": 12, "_proj": 7, r"(q|up)_proj": 5},
             "alpha_pattern": {"^model.layers.0.mlp.up_proj": 2}}),
    (LLAMA, {"target_modules": ["q_proj"], "rank_pattern": {"k_proj": 3, "1.self_attn.q_proj": 4}}),
    (QWEN1, {"target_modules": ["c_attn", "c_proj", "w1", "w2"]}),
    (QWEN1, {"target_modules": ["c_proj"], "exclude_modules": ["mlp.c_proj"], "layers_to_transform": [12]}),
    (QWEN1, {"target_modules": ["attn.c_proj", "w1"], "rank_pattern": {"c_proj": 2}, "layers_to_transform": [0, 1],
             "layers_pattern": "h"}),
]


def expected(modules: list[str], settings: dict) -> dict:
    config = LoraConfig(r=8, lora_alpha=16, **settings)
    result = {}
    for module in modules:
        found = check_target_module_exists(config, module)
        if not found or isinstance(found, _ExcludedModule):
            continue
        rank_key = get_pattern_key(config.rank_pattern.keys(), module)
        alpha_key = get_pattern_key(config.alpha_pattern.keys(), module)
        result[module] = [config.rank_pattern.get(rank_key, config.r), config.alpha_pattern.get(alpha_key, config.lora_alpha)]
    return result


cases = [{"modules": modules, "config": settings, "expected": expected(modules, settings)} for modules, settings in CASES]
out = Path(__file__).with_name("module_match.json")
out.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n", encoding="utf-8")
