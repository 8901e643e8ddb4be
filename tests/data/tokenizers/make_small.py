"""Makes small/*.json.zst (tokenizers with features the published ones lack) and small/golden.jsonl.zst.

Needs: pip install tokenizers==0.23.1, and the zstd program. Run in this folder.
"""

import json
import random
import subprocess

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]*[\p{Ll}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?\p{Lu}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+"
)
CORPUS = [
    "The ship was ready at noon; the harbour lay quiet, and nobody spoke a word of the storm to come.",
    "There's nothing we'll miss: they've seen it, he'd know, I'm sure, you're right, don't ask.",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
    "for i in range(10):\n    total += values[i] * 2.5\n\nprint(total)  # 1234567",
    "Ünïcödé façade café Ärger über Öl — naïve 12 345 678,90 €",
]


def trained(normalizer, splits, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splits
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, show_progress=False, special_tokens=[options["unk_token"]] if "unk_token" in options else []
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return tokenizer


def isolated(expression):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(expression), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def make():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    whole = trained(None, isolated(LLAMA3))
    as_json = json.loads(whole.to_str())
    as_json["model"]["ignore_merges"] = True
    size = len(as_json["model"]["vocab"])
    # A word that merging would not reach, so that ignore_merges shows.
    as_json["model"]["vocab"]["Ġabc"] = size
    whole = Tokenizer.from_str(json.dumps(as_json))
    whole.add_special_tokens(["<|end|>", "<|end|>>", "<|left|>"])
    whole.add_special_tokens([AddedToken("<|strip|>", lstrip=True, rstrip=True, special=True, normalized=False)])
    whole.add_tokens([AddedToken("<note>", normalized=False, rstrip=True), AddedToken("abcd", normalized=False)])
    unknown = trained(normalizers.NFC(), byte_level, unk_token="<unk>", fuse_unk=True)
    unknown.add_tokens([AddedToken("café", normalized=True)])
    single = trained(
        normalizers.Sequence([normalizers.NFC()]),
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), byte_level]),
        unk_token="<unk>",
    )
    cased = trained(normalizers.NFC(), isolated(CASED))
    cased.add_special_tokens(["<|end|>"])
    return {"whole_words": whole, "fused_unknown": unknown, "single_unknown": single, "cased_regex": cased}


def texts():
    random.seed(7)
    pool = (
        "the ship |The|SHIP|There's|'LL|'ſ| |  |   |\n|\n\n|\t|\r\n|春眠|花|，|。|1|12|1234567|..|!|é|e\u0301|cafe\u0301|café|abc| abc|abcd| abcd|"
        "Ü|U\u0308|Å|<|end|>|<|end|>>|<|strip|>|<|left|>|<note>|<unk>|\u3000|\u00a0|\u180e|\u2028|\u0085|x/|//\n|½|Ⅷ|٣|🙂|é\u0323|ǅ|ΑΒγ|ЖЖж"
    ).split("|")
    # The separator is also inside the special tokens: put those back together.
    pool = [p for p in pool if p not in ("<", "end", "strip", "left", ">", ">>")]
    pool += ["<|end|>", "<|end|>>", "<|strip|>", "<|left|>", " <|strip|> ", "<|en", "<note>  "]
    short = ["".join(random.choice(pool) for _ in range(random.randrange(1, 14))) for _ in range(150)]
    # Words longer than any in practice: merging has another way for those.
    long = ["".join(random.choice(letters) for _ in range(random.randrange(80, 600))) for letters in ("ab", "the", "春眠不觉晓", "ünï", "=-")]
    return short + long + [2 * text for text in long]


def compress(name, text):
    data = text.encode()
    command = ["zstd", "-q", "-19", "-f", f"--stream-size={len(data)}", "-o", f"small/{name}.zst"]
    subprocess.run(command, input=data, check=True)


rows = []
for name, tokenizer in make().items():
    compress(f"{name}.json", tokenizer.to_str())
    for text in texts():
        tokenizer.encode_special_tokens = False
        row = {"tokenizer": name, "text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
        tokenizer.encode_special_tokens = True
        row["ids_plain"] = tokenizer.encode(text, add_special_tokens=False).ids
        rows.append(json.dumps(row))
compress("golden.jsonl", "\n".join(rows) + "\n")
