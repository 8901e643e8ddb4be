"""Writes random.jsonl.zst: 300 random conversations with hashes of what transformers' apply_chat_template makes of each.

Needs: pip install transformers==5.17.0, and the zstd program. Run in this folder. A hash is the first 8 digits of the SHA-256, of
the text and, behind a "/", of its ids as little-endian 32-bit words; "refused" where the template raises an error.
"""

import array
import hashlib
import json
import os
import random
import subprocess
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
from tokenizers import Tokenizer
from transformers import AutoTokenizer

NAMES = ("qwen1.5", "qwen2.5", "qwen3", "smollm2")
WORDS = ("Hello! name 名字 是什么？ \n\n  spaced   \t<think> </think> <|im_end|> <|im_start|>user {{x}} {% if %} 'quoted' \"twice\" & <b> 🙂 "
         "e\u0301 None 42 assistant system \n").split(" ")


def content(rng):
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 9)))
    if rng.random() < 0.2:
        text = f"<think>\n{text}\n</think>\n\n{rng.choice(WORDS)}"
    return rng.choice(["", "", "\n", " "]) + text + rng.choice(["", "", "\n\n", " "])


def conversation(rng):
    messages = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": content(rng)})
    for turn in range(rng.randint(1, 6)):
        role = ("user", "assistant")[turn % 2] if rng.random() < 0.9 else rng.choice(["user", "assistant", "system"])
        messages.append({"role": role, "content": content(rng)})
    return messages


def load(name):
    with tempfile.TemporaryDirectory() as folder:
        source = Path("../tokenizers") / name
        data = subprocess.run(["zstd", "-dcq", source / "tokenizer.json.zst"], check=True, capture_output=True).stdout
        (Path(folder) / "tokenizer.json").write_bytes(data)
        (Path(folder) / "tokenizer_config.json").write_text((source / "tokenizer_config.json").read_text())
        # transformers 5 rebuilds some tokenizers by their class, without SmolLM2's split of digits; ids are those of the file.
        return AutoTokenizer.from_pretrained(folder), Tokenizer.from_str(data.decode())


def hashed(data):
    return hashlib.sha256(data).hexdigest()[:8]


def rendered(tokenizers, messages, prompt, thinking):
    try:
        text = tokenizers[0].apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt, enable_thinking=thinking)
    except Exception as error:
        return "refused" if "template" in type(error).__module__ or "jinja" in type(error).__module__ else str(error)
    ids = tokenizers[1].encode(text, add_special_tokens=False).ids
    return f"{hashed(text.encode())}/{hashed(array.array('i', ids).tobytes())}"


loaded = {name: load(name) for name in NAMES}
rng = random.Random(21)
rows = []
for _ in range(300):
    row = {"messages": conversation(rng), "add_generation_prompt": rng.random() < 0.5, "enable_thinking": rng.random() < 0.7}
    for name, tokenizers in loaded.items():
        row[name] = rendered(tokenizers, row["messages"], row["add_generation_prompt"], row["enable_thinking"])
    rows.append(json.dumps(row, ensure_ascii=False))
data = ("\n".join(rows) + "\n").encode()
subprocess.run(["zstd", "-q", "-19", "-f", f"--stream-size={len(data)}", "-o", "random.jsonl.zst"], input=data, check=True)
print(len(rows), len(data), sum("refused" in row for row in rows))
