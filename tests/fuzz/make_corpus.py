#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into corpus/TARGET/; what a target's input looks like stands at the head of TARGET_fuzz.cc.
Needs only Python. Files that are there already and are no seeds (regressions) stay."""
import base64
import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE.parent / "data"


def put(target: str, name: str, content: bytes | str) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def safetensors(header: dict | str, data: bytes = b"") -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    return struct.pack("<Q", len(text)) + text.encode() + data


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def make_safetensors() -> None:
    put("safetensors", "empty", safetensors({}))
    put("safetensors", "two", safetensors({"__metadata__": {"format": "pt"}, "a": tensor("F32", [2, 1], 0, 8),
                                           "b": tensor("BF16", [3], 8, 14), "none": tensor("F16", [0, 7], 8, 8)}, bytes(14)))
    kinds = [("BOOL", 1), ("U8", 1), ("I8", 1), ("F8_E4M3", 1), ("F8_E5M2", 1), ("I16", 2), ("U16", 2), ("F16", 2), ("BF16", 2),
             ("I32", 4), ("U32", 4), ("F32", 4), ("I64", 8), ("U64", 8), ("F64", 8)]
    header, at = {}, 0
    for name, size in kinds:
        header[name] = tensor(name, [], at, at + size)
        at += size
    put("safetensors", "kinds", safetensors(header, bytes(range(at))))


class Gguf:
    """Metadata values as (type, bytes); the tensors have one block each."""

    def __init__(self, values: dict[str, tuple[int, bytes]], tensors: dict[str, tuple[list[int], int, int]], version: int = 3):
        head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values))
        for key, (kind, content) in values.items():
            head += text(key) + struct.pack("<I", kind) + content
        at = 0
        for name, (shape, kind, size) in tensors.items():
            head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
            head += struct.pack("<IQ", kind, at)
            at += -(-size // 32) * 32
        self.bytes = head + bytes(-len(head) % 32) + bytes(range(1, 33)) * (at // 32)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def texts(values: list[str]) -> tuple[int, bytes]:
    return 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values))


def make_gguf() -> None:
    u32 = lambda value: (4, struct.pack("<I", value))
    f32 = lambda value: (6, struct.pack("<f", value))
    put("gguf", "empty", Gguf({}, {}).bytes)
    put("gguf", "values", Gguf({"a": (0, b"\x07"), "b": (7, b"\1"), "c": (12, struct.pack("<d", 0.5)), "d": (11, struct.pack("<q", -5)),
                                "e": (9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 5, 2) + struct.pack("<ii", 1, -1)),
                                "general.alignment": u32(32)}, {}, version=2).bytes)
    blocks = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 12: (256, 144), 14: (256, 210),
              30: (1, 2)}
    put("gguf", "blocks", Gguf({}, {f"t{kind}": ([elements, 2], kind, 2 * size) for kind, (elements, size) in blocks.items()}).bytes)
    C, D, I, V = 4, 4, 6, 5
    f = lambda *shape: (list(shape), 0, 4 * __import__("math").prod(shape))
    layer = {"attn_norm.weight": f(C), "attn_q.weight": f(C, D), "attn_k.weight": f(C, D), "attn_v.weight": f(C, D),
             "attn_output.weight": f(D, C), "ffn_norm.weight": f(C), "ffn_gate.weight": f(C, I), "ffn_up.weight": f(C, I),
             "ffn_down.weight": f(I, C)}
    tokens = ["a", "b", "ab", "<|im_start|>", "<|im_end|>"]
    first_qwen = {"attn_norm.weight": f(C), "attn_qkv.weight": f(C, 3 * D), "attn_qkv.bias": f(3 * D), "attn_output.weight": f(D, C),
                  "ffn_norm.weight": f(C), "ffn_gate.weight": f(C, I // 2), "ffn_up.weight": f(C, I // 2), "ffn_down.weight": f(I // 2, C)}
    for family in ("llama", "qwen", "qwen2", "qwen3"):
        extra = {"qwen": {"output.weight": f(C, V)}, "llama": {"rope_freqs.weight": f(2)}, "qwen2": {"blk.0.attn_q.bias": f(D), "blk.0.attn_k.bias": f(D), "blk.0.attn_v.bias": f(D)},
                 "qwen3": {"blk.0.attn_q_norm.weight": f(D), "blk.0.attn_k_norm.weight": f(D), "output.weight": f(C, V)}}[family]
        put("gguf", family, Gguf(
            {"general.architecture": (8, text(family)), f"{family}.block_count": u32(1), f"{family}.context_length": u32(64),
             f"{family}.embedding_length": u32(C), f"{family}.feed_forward_length": u32(I), f"{family}.attention.head_count": u32(1),
             f"{family}.attention.head_count_kv": u32(1), f"{family}.attention.layer_norm_rms_epsilon": f32(1e-5),
             f"{family}.rope.freq_base": f32(1e4), "tokenizer.ggml.model": (8, text("gpt2")),
             "tokenizer.ggml.pre": (8, text({"llama": "llama-bpe", "qwen": "qwen2", "qwen2": "qwen2", "qwen3": "smollm"}[family])),
             "tokenizer.ggml.tokens": texts(tokens), "tokenizer.ggml.token_type": (9, struct.pack("<IQ5i", 5, 5, 1, 1, 1, 3, 4)),
             "tokenizer.ggml.merges": texts(["a b"]), "tokenizer.ggml.bos_token_id": u32(3), "tokenizer.ggml.eos_token_id": u32(4),
             "tokenizer.ggml.add_bos_token": (7, b"\0"), "tokenizer.chat_template": (8, text("{{ messages }}"))},
            {"token_embd.weight": f(C, V), "output_norm.weight": f(C)}
            | {f"blk.0.{name}": shape for name, shape in (first_qwen if family == "qwen" else layer).items()} | extra).bytes)


def make_conversations() -> None:
    alpaca = {"instruction": "Add 1 and 2.", "input": "briefly", "output": "3 — drei\n三", "system": "s", "history": [["q", "a"]]}
    share = {"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "id": 1}
    openai = {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": "\ud83d\ude00"[:0] + "a",
                                                                                   "weight": 1}]}
    rows = [alpaca, share, openai]
    put("conversations", "array", "0" + json.dumps(rows, indent=1))
    put("conversations", "array_escapes", "0" + json.dumps([{"instruction": "\"\\[{é\u4f60", "output": "\ud83d\ude00"}]))
    put("conversations", "lines", "4\ufeff" + "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\r\n\n")
    for digit, row in ((1, alpaca), (2, share), (3, openai)):
        put("conversations", f"form_{digit}", f"{digit}" + json.dumps([row]))
        put("conversations", f"form_{digit}_lines", f"{digit + 4}" + json.dumps(row) + "\n")
    put("conversations", "cut_off", "0" + json.dumps(rows)[:-9])


def byte_symbols() -> list[str]:
    own = [b for b in range(256) if 0x21 <= b <= 0x7E or (0xA1 <= b != 0xAD)]
    codes, following = {}, 0x100
    for byte in range(256):
        codes[byte] = byte if byte in own else following
        following += byte not in own
    return [chr(codes[byte]) for byte in range(256)]


def make_tokenizers() -> None:
    letters = {symbol: number for number, symbol in enumerate(byte_symbols())}
    vocabulary = letters | {"he": 256, "hel": 257, "ll": 258, "12": 259}
    added = [{"id": 260, "content": "<|im_end|>", "special": True, "normalized": False},
             {"id": 261, "content": "你 ", "lstrip": True, "rstrip": True, "normalized": True}]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": "(?i:'s|'t)|\\s+|[^\\s\\p{L}]?\\p{L}+|\\p{N}{1,3}"}, "behavior": "Isolated", "invert": False}
    forms = {
        "plain": {"normalizer": None, "pre_tokenizer": byte_level},
        "split": {"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            split, {"type": "Digits", "individual_digits": True}, byte_level | {"use_regex": False}]}},
    }
    small = {"h": 0, "e": 1, "l": 2, "o": 3, "he": 4, "<unk>": 5}
    for name, form in forms.items():
        whole = {"added_tokens": added, **form, "decoder": {"type": "ByteLevel"}, "model": {
            "type": "BPE", "vocab": vocabulary, "merges": ["h e", ["he", "l"], "l l", "1 2"], "ignore_merges": name == "plain"}}
        put("tokenizer_json", name, json.dumps(whole) + "\0hello 12 <|im_end|> 你  e\u0301")
        whole["model"] = {"type": "BPE", "vocab": small, "merges": ["h e"], "unk_token": "<unk>", "fuse_unk": name == "split"}
        whole["added_tokens"] = [{"id": 6, "content": "<|im_end|>", "special": True}]
        put("tokenizer_json", f"{name}_small", json.dumps(whole) + "\0hello")
    line = lambda content, rank: base64.b64encode(content).decode() + f" {rank}\n"
    put("tiktoken", "bytes", "0" + "".join(line(bytes([b]), b) for b in range(256)) + line(b"he", 256) + "\0hello <|im_end|>")
    put("tiktoken", "merges", "1" + "".join(line(token, 256 + i) for i, token in enumerate([b"he", b"ll", b"hell", "你".encode()[:2]]))
        + "\0hello 你e\u0301 <|extra_3|>")


def make_config() -> None:
    put("config", "small", '0device = "cpu"\n[model]\npath = "models/m"\n[data]\ntrain = ["a.h5", \'b.h5\']\n[run]\ndir = "runs/r"\n'
        "[train]\nepochs = 2\n[optimizer]\nlr = 1e-4\nbetas = [0.9, 0.95]\n")
    put("config", "lora", '0[lora]\nrank = 8\nalpha = 16.5\ntargets = ["q_proj", "re:.*mlp.*"]\nrank_pattern = {"layers.0.q_proj" = 4}\n'
        "layers_to_transform = [0, 1]\ndora = false # no\n")
    put("config", "dotted", '0lora.rank = 0x10\nrun.dir = """\na\\u00e9"""\nschedule.warmup_steps = 1_0\n')
    put("config", "wrong", "0[lora]\nrnak = 8\n[[data]]\nwhen = 1979-05-27T07:32:00Z\n")
    for number, argument in enumerate(["lora.targets=q_proj,v_proj", "optimizer.lr=1e-5", 'run.dir="a b"', "lora.dora=true",
                                       'lora.rank_pattern={"q_proj" = 4}', "optimizer.betas=[0.9, 0.99]"]):
        put("config", f"set_{number}", "1" + argument)
    put("config", "checkpoint", "2" + json.dumps({"lora.rank": 8, "optimizer.lr": 0.0001, "optimizer.betas": [0.9, 0.95], "data.train": ["a"],
                                                 "lora.rank_pattern": {"q_proj": 4}, "device": "cpu"}))


def make_checkpoint() -> None:
    files = {"step": 120, "validation_loss": 1.25, "files": [{"name": "trainer.json", "size": 7, "hash": "00"},
                                                           {"name": "optimizer-00000-of-00001.safetensors", "size": 3, "hash": "ab"}]}
    put("checkpoint", "manifest", "0" + json.dumps({"format": 1} | files | {"hash": "5"}))
    put("checkpoint", "manifest_fields", "1" + json.dumps(files))
    layout = {"hash": "x", "total": 10, "parameters": [{"name": "a", "shape": [2, 3]}, {"name": "c", "shape": [4]}]}
    put("checkpoint", "trainer", "2" + json.dumps({"format": 1, "step": 3, "base_hash": "base", "layout": layout}))
    metadata = {"format": "ranktune-optimizer-1", "begin": "0", "end": "300", "total": "300", "updates": "7", "layout": "layout"}
    header = {"__metadata__": metadata, "exp_avg": tensor("F32", [300], 0, 1200), "exp_avg_sq": tensor("F32", [300], 1200, 2400)}
    put("checkpoint", "optimizer", b"3" + safetensors(header, bytes(2400)))
    put("checkpoint", "optimizer_master", b"4" + safetensors(header | {"master": tensor("F32", [300], 2400, 3600)}, bytes(3600)))
    for number, name in enumerate(["step-000120", ".step-000120.tmp-3", ".step-1000000.old-12", "optimizer-00000-of-00002.safetensors"]):
        put("checkpoint", f"name_{number}", "5" + name)


def make_model_files() -> None:
    for name in ("llama_rope3", "qwen1", "qwen2_mha", "qwen3_gqa_bf16"):
        config = json.loads((DATA / "golden" / name / "model" / "config.json").read_text())
        put("model_folder", name, "0" + json.dumps(config))
    rope = {"model_type": "qwen2", "hidden_size": 8, "vocab_size": 9, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4,
            "rope_parameters": {"rope_theta": 1e6, "rope_type": "linear", "factor": 4}}
    put("model_folder", "rope", "0" + json.dumps(rope))
    put("model_folder", "index", "1" + json.dumps({"metadata": {"total_size": 0}, "weight_map": {"a": "weights.safetensors"}}))
    put("adapter_config", "lora", (DATA / "golden/qwen2_mha/adapters/rslora/adapter_config.json").read_text())
    put("adapter_config", "patterns", json.dumps({
        "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": "model\\.layers\\.[0-9]+\\.(q|v)_proj", "exclude_modules": ["lm_head"],
        "layers_to_transform": [0, 2], "layers_pattern": "layers", "rank_pattern": {"q_proj": 4, "^model.*v": 2}, "alpha_pattern": {"q_proj": 4.5},
        "use_dora": True, "init_lora_weights": "gaussian"}))
    jinja = (DATA / "chat/templates/qwen3_revised.jinja").read_text()
    put("chat_files", "template", "0" + jinja)
    chatml = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful "
              "assistant<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
              "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
    put("chat_files", "tokenizer_config", "1" + json.dumps({"eos_token": {"content": "<|im_end|>"}, "chat_template": chatml}))
    put("chat_files", "tokenizer_config_list", "1" + json.dumps({"eos_token": "<|im_end|>", "chat_template": [
        {"name": "tool_use", "template": ""}, {"name": "default", "template": chatml}]}))
    put("chat_files", "generation_config", "2" + json.dumps({"eos_token_id": [258, 256], "bos_token_id": 256}))
    put("chat_files", "generation_config_qwen1", "2" + json.dumps({"eos_token_id": 258, "chat_format": "chatml"}))
    put("chat_files", "config", "3" + json.dumps({"eos_token_id": 258, "vocab_size": 259}))


def make_shard() -> None:
    metadata = {"tokenizer_fingerprint": "t", "template": "chatml", "template_fingerprint": "u", "vocabulary": 1000, "end_of_turn": 2,
                "max_length": 60, "over_length": "drop", "sources": [{"name": "rows.jsonl", "hash": "00"}], "counts": {"rows_in": 2}}
    listed = lambda kind, values, columns=1: struct.pack(f"<B{len(values)}{kind}", len(values) // columns, *values)
    for name, offsets in (("good", [0, 2, 5]), ("wrong_offsets", [0, 3, 3, 5])):
        rows = len(offsets) - 1
        put("shard", name, b"1" + listed("i", [5, 6, 7, 8, 2]) + listed("B", [0, 1, 0, 1, 1]) + listed("q", offsets)
            + listed("q", [0, 1] * rows, 2) + struct.pack("<4q", rows, 5, 3, 0) + json.dumps(metadata).encode())


for make in (make_safetensors, make_gguf, make_conversations, make_tokenizers, make_config, make_checkpoint, make_model_files, make_shard):
    make()
