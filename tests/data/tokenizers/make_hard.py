"""Writes hard.jsonl.zst: 2500 random texts that are hard to tokenise, each with a hash of its ids for every tokenizer here.

Needs: pip install tokenizers==0.23.3 tiktoken==0.14.0, and the zstd program. Run in this folder. A hash is the first 8 digits of
the SHA-256 of the ids as little-endian 32-bit words, with special tokens recognised, "/", and taken as plain text.
"""

import array
import base64
import hashlib
import json
import random
import subprocess
import unicodedata

import tiktoken
from tokenizers import Tokenizer

QWEN1 = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end", "|im_end|>", "<|extra_0|>", "<think>", "</think>", "<tool_call>"]
CHINESE = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里" "，。！？：；、“”《》（）—…"
RARE = "龘靐齉龖𠮷𪚥〇々ㄅㄆあいうアイウ가나다ไทยภาษาहिन्दीעבריתالعربيةΑΒΓΔЖЩЪ"
EMOJI = ["👨‍👩‍👧‍👦", "👩🏽‍🚀", "🏳️‍🌈", "❤️‍🔥", "🇨🇳", "🇩🇪🇫🇷", "👍🏿", "1️⃣", "🙂", "☺️", "🧑‍🤝‍🧑", "\u200d", "\ufe0f"]
MARKS = [chr(c) for c in (*range(0x300, 0x330), 0x345, 0x5B0, 0x64B, 0x93C, 0x94D, 0xE47, 0x20DD, 0x1AB0)]
BLANKS = [" ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2003", "\u2028", "\u0085", "\u200b", "\ufeff", "\u180e", "\v", "\f"]
WORDS = "the There's WE'LL i'M don't 'ſ it’s naïve café Ünïcödé ǅungla ﬁne Ⅷ ½ x86_64 3.14159 1234567 ٣٤ ０１ __init__ ==> //-- http://a.b/c?d=e#f"


def pieces(rng):
    letters = "abcdefghijklmnopqrstuvwxyzABCXYZ"
    return [
        lambda: "".join(rng.choice(CHINESE) for _ in range(rng.randint(1, 30))),
        lambda: "".join(rng.choice(RARE) for _ in range(rng.randint(1, 12))),
        lambda: rng.choice(EMOJI) * rng.randint(1, 3),
        lambda: rng.choice(letters + "aeiouéüñ한か") + "".join(rng.choice(MARKS) for _ in range(rng.randint(1, 4))),
        lambda: rng.choice(BLANKS) * rng.choice([1, 1, 2, 3, 7, 33]),
        lambda: "".join(rng.choice(BLANKS) for _ in range(rng.randint(2, 8))),
        lambda: "".join(rng.choice(letters) for _ in range(rng.choice([3, 10, 90, 400]))),
        lambda: rng.choice(letters) * rng.choice([2, 17, 130]),
        lambda: rng.choice(SPECIAL),
        lambda: rng.choice(WORDS.split()),
        lambda: " " + rng.choice(WORDS.split()),
        lambda: "".join(rng.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") for _ in range(rng.randint(1, 12))),
        lambda: str(rng.randrange(10 ** rng.randint(1, 20))),
        lambda: chr(rng.choice([rng.randrange(0x20, 0xD800), rng.randrange(0xE000, 0x30000), rng.randrange(0xE0000, 0x110000)])),
    ]


def texts():
    rng = random.Random(20)
    made = pieces(rng)
    return ["".join(rng.choice(made)() for _ in range(rng.randint(1, 9))) for _ in range(2500)]


def hashed(ids):
    words = array.array("i", ids)
    return hashlib.sha256(words.tobytes()).hexdigest()[:8]


def read(name):
    return subprocess.run(["zstd", "-dcq", name], check=True, capture_output=True).stdout


def of_tokenizers(name):
    tokenizer = Tokenizer.from_str(read(f"{name}/tokenizer.json.zst").decode())

    def encode(text, plain):
        tokenizer.encode_special_tokens = plain
        return tokenizer.encode(text, add_special_tokens=False).ids

    return encode


def of_tiktoken():
    lines = read("qwen1/qwen.tiktoken.zst").splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
    special = {name: len(ranks) + i for i, name in enumerate(names)}
    encoding = tiktoken.Encoding("qwen1", pat_str=QWEN1, mergeable_ranks=ranks, special_tokens=special)

    def encode(text, plain):
        return encoding.encode(unicodedata.normalize("NFC", text), allowed_special=set() if plain else "all", disallowed_special=())

    return encode


encoders = {name: of_tokenizers(name) for name in ("qwen1.5", "qwen2.5", "qwen3", "smollm2")} | {"qwen1": of_tiktoken()}
rows = []
for text in texts():
    row = {"text": text}
    for name, encode in encoders.items():
        row[name] = f"{hashed(encode(text, False))}/{hashed(encode(text, True))}"
    rows.append(json.dumps(row, ensure_ascii=False))
data = ("\n".join(rows) + "\n").encode()
subprocess.run(["zstd", "-q", "-19", "-f", f"--stream-size={len(data)}", "-o", "hard.jsonl.zst"], input=data, check=True)
print(len(rows), len(data))
