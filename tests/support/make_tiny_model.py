#!/usr/bin/env python3
"""Writes a tiny Qwen2 with random weights, a byte tokenizer and ChatML, and conversations for it; needs only Python.

usage: make_tiny_model.py DIR     writes DIR/model (Hugging Face layout) and DIR/chats.jsonl
The bytes written depend on nothing but this file.
"""
import array
import json
import random
import struct
import sys
from pathlib import Path

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 128,
    "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4,
    "vocab_size": 264, "max_position_embeddings": 1024, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
    "tie_word_embeddings": True, "torch_dtype": "float32", "use_sliding_window": False, "eos_token_id": 258,
    "bos_token_id": 256,
}
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def weight_shapes() -> dict[str, tuple[int, ...]]:
    hidden, inner, heads, kv = (CONFIG[key] for key in
                                ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"))
    kv_width = hidden // heads * kv
    shapes = {"model.embed_tokens.weight": (CONFIG["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for layer in range(CONFIG["num_hidden_layers"]):
        for name, rows in (("q", hidden), ("k", kv_width), ("v", kv_width)):
            shapes[f"model.layers.{layer}.self_attn.{name}_proj.weight"] = (rows, hidden)
            shapes[f"model.layers.{layer}.self_attn.{name}_proj.bias"] = (rows,)
        shapes[f"model.layers.{layer}.self_attn.o_proj.weight"] = (hidden, hidden)
        for name in ("gate", "up"):
            shapes[f"model.layers.{layer}.mlp.{name}_proj.weight"] = (inner, hidden)
        shapes[f"model.layers.{layer}.mlp.down_proj.weight"] = (hidden, inner)
        for name in ("input", "post_attention"):
            shapes[f"model.layers.{layer}.{name}_layernorm.weight"] = (hidden,)
    return shapes


def write_weights(path: Path) -> None:
    rng = random.Random(1)
    header, blobs, offset = {}, [], 0
    for name, shape in sorted(weight_shapes().items()):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        centre = 1.0 if "norm" in name else 0.0
        blob = array.array("f", (centre + rng.uniform(-0.08, 0.08) for _ in range(count))).tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in byte-level BPE files."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def tokenizer() -> dict:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [{"id": 256 + i, "content": token, **flags} for i, token in enumerate(SPECIAL)],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {character: i for i, character in enumerate(byte_alphabet())}, "merges": []},
    }


def conversations() -> list[dict]:
    rng = random.Random(2)
    words = "red blue tall small river stone quiet loud seven eight".split()
    rows = []
    for _ in range(96):
        asked = [rng.choice(words) for _ in range(rng.randint(2, 12))]
        rows.append({"messages": [{"role": "user", "content": "Say backwards: " + " ".join(asked)},
                                  {"role": "assistant", "content": " ".join(reversed(asked))}]})
    return rows


def main() -> None:
    out = Path(sys.argv[1])
    model = out / "model"
    model.mkdir(parents=True, exist_ok=True)
    write_weights(model / "model.safetensors")
    for name, content in (("config.json", CONFIG), ("tokenizer.json", tokenizer()),
                          ("generation_config.json", {"eos_token_id": [258, 256]}),
                          ("tokenizer_config.json", {"chat_template": CHATML, "eos_token": "<|im_end|>",
                                                     "tokenizer_class": "Qwen2Tokenizer"})):
        (model / name).write_text(json.dumps(content, indent=1) + "\n")
    (out / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in conversations()))


if __name__ == "__main__":
    main()
