#!/usr/bin/env python3
"""Writes rope_yarn/, rope_dynamic/ and rope_qwen1/: models beyond the length they were trained on, computed by transformers.

The first Qwen's class is not in transformers. Within one prompt its dynamic NTK is another rotary base, and log-n attention is
a factor of each position's queries (Qwen-7B's modeling_qwen.py, get_ntk_alpha and logn_tensor): Qwen2's class with both.

usage: make_rope.py        (with the packages of tests/interop/requirements.txt)
"""
import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

here = Path(__file__).resolve().parent
TRAINED, LENGTH, NEW, WIDTH, VOCAB = 32, 48, 24, 32, 64
SIZES = dict(vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
             tie_word_embeddings=False)


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    for name, parameter in model.named_parameters():
        size = 0.5 if "embed_tokens" in name or "lm_head" in name else 0.25
        parameter.data = 1 + 0.2 * torch.randn_like(parameter) if "norm" in name else size * torch.randn_like(parameter)
    return model.eval()


def write(name: str, model: torch.nn.Module, config: dict, weights: dict[str, torch.Tensor], prompts: tuple[int, ...]) -> None:
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    (folder / "model/config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(weights, folder / "model/model.safetensors", metadata={"format": "pt"})
    ids = torch.randint(VOCAB, (1, LENGTH))
    labels = torch.where(torch.arange(LENGTH) < 20, -100, ids)
    out = model(input_ids=ids, output_hidden_states=True, use_cache=False)

    def loss(wanted: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(out.logits[0, :-1], wanted[0, 1:], ignore_index=-100).reshape(1)

    numbers = {"main.input_ids": ids, "main.attention_mask": torch.ones_like(ids), "main.labels": labels,
               "main.logits": out.logits, "main.hidden_states": torch.stack(out.hidden_states), "main.loss": loss(labels),
               "main.loss_all_tokens": loss(ids)}
    for i, length in enumerate(prompts):
        prompt = all_ids = torch.randint(VOCAB, (1, length))
        for _ in range(NEW):
            logits = model(input_ids=all_ids, use_cache=False).logits[0, -1]
            all_ids = torch.cat([all_ids, logits.argmax().reshape(1, 1)], 1)
        numbers |= {f"gen.{i}.prompt": prompt[0], f"gen.{i}.output": all_ids[0, length:], f"gen.{i}.last_logits": logits}
    save_file({key: value.contiguous() for key, value in numbers.items()}, folder / "golden.safetensors")
    meta = {"name": name, "model": "model", "tensors": {key: [str(v.dtype).split(".")[1], list(v.shape)] for key, v in numbers.items()}}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def llama(name: str, rope: dict, positions: int, written: dict, prompts: tuple[int, ...]) -> None:
    config = LlamaConfig(**SIZES, num_key_value_heads=1, max_position_embeddings=positions, rope_parameters={"rope_theta": 10000.0} | rope)
    model = randomised(LlamaForCausalLM(config))
    about = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", num_key_value_heads=1, rms_norm_eps=1e-6,
                 max_position_embeddings=positions, torch_dtype="float32")
    write(name, model, about | SIZES | written, dict(model.state_dict()), prompts)


def first_qwen() -> None:
    longest = LENGTH + NEW - 12
    alpha = 2 ** math.ceil(math.log(LENGTH / TRAINED, 2) + 1) - 1
    assert longest <= 2 * TRAINED, "the factor changes with the prompt's length"
    head = WIDTH // 2
    config = Qwen2Config(**SIZES, num_key_value_heads=2, rms_norm_eps=1e-6, max_position_embeddings=4 * TRAINED,
                         rope_parameters={"rope_type": "default", "rope_theta": 10000.0 * alpha ** (head / (head - 2))})
    model = randomised(Qwen2ForCausalLM(config))
    factors = torch.tensor([math.log(i, TRAINED) if i > TRAINED else 1.0 for i in range(1, 4 * TRAINED)])
    for layer in model.model.layers:
        layer.self_attn.q_proj.register_forward_hook(lambda _module, _inputs, q: q * factors[:q.shape[1], None])
    weights = {}
    for key, value in model.state_dict().items():
        for theirs, ours in {"model.embed_tokens": "transformer.wte", "model.norm": "transformer.ln_f", "model.layers": "transformer.h",
                             "input_layernorm": "ln_1", "post_attention_layernorm": "ln_2", "self_attn.o_proj": "attn.c_proj",
                             "mlp.up_proj": "mlp.w1", "mlp.gate_proj": "mlp.w2", "mlp.down_proj": "mlp.c_proj"}.items():
            key = key.replace(theirs, ours)
        weights[key] = value
    for i in range(SIZES["num_hidden_layers"]):
        for kind in ("weight", "bias"):
            parts = [weights.pop(f"transformer.h.{i}.self_attn.{part}_proj.{kind}") for part in "qkv"]
            weights[f"transformer.h.{i}.attn.c_attn.{kind}"] = torch.cat(parts)
    about = dict(architectures=["QWenLMHeadModel"], model_type="qwen", kv_channels=head, layer_norm_epsilon=1e-6, no_bias=True,
                 rotary_emb_base=10000, rotary_pct=1.0, seq_length=TRAINED, max_position_embeddings=4 * TRAINED,
                 use_dynamic_ntk=True, use_logn_attn=True, scale_attn_weights=True, torch_dtype="float32")
    write("rope_qwen1", model, SIZES | about | {"intermediate_size": 2 * SIZES["intermediate_size"]}, weights, (33, 36, 40))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(11)
    with torch.no_grad():
        yarn = {"factor": 4.0, "original_max_position_embeddings": TRAINED}
        llama("rope_yarn", {"rope_type": "yarn"} | yarn, 4 * TRAINED, {"rope_theta": 10000.0, "rope_scaling": {"type": "yarn"} | yarn},
              (5, 30, 60))
        dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
        # Generated within the length: beyond it transformers turns each new key otherwise than those that its cache holds.
        llama("rope_dynamic", dynamic, TRAINED, {"rope_parameters": dynamic}, (3, 5, 8))
        first_qwen()


main()
