#!/usr/bin/env python3
"""Makes the files beside it. Needs the packages gguf, numpy, safetensors, tokenizers and torch; the tests do not.

dequantize.safetensors   NAME.blocks (random ggml blocks) and NAME.values (what gguf.quants.dequantize makes of them)
quantize.safetensors     fp32 rows, and the Q8_0 blocks that gguf.quants.quantize makes of them
rounding.safetensors     fp32 bit patterns, and what torch rounds them to; fp16 bit patterns, and what torch widens them to
reference.safetensors    a small file as the safetensors package writes it
metadata.gguf            every kind of metadata value and a few tensors, as gguf.GGUFWriter writes them
tiny_ARCH.gguf           a random model of one or two layers in llama.cpp's naming and order
tiny_ARCH.safetensors    the same in Hugging Face's naming and order
frame_NAME.json          a tokenizer.json without vocabulary, from the tokenizers package
"""
import json
import pathlib
import sys

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(20260101)


def random_blocks(kind: Q, count: int) -> np.ndarray:
    """Random bytes, but with scales that are finite fp16 of all magnitudes."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    if kind == Q.F32:
        return rng.standard_normal(count, dtype=np.float32).view(np.uint8).reshape(count, 4)
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    halves = {Q.F16: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q4_K: [0, 2], Q.Q6_K: [208]}
    for at in halves.get(kind, []):
        blocks[:, at + 1] &= 0xBB  # not the exponent of infinities
    if kind == Q.BF16:
        blocks[:, 1] &= 0xBF
    return blocks


def make_dequantize() -> None:
    tensors = {}
    for kind in (Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q4_K, Q.Q6_K):
        elements, _ = gguf.GGML_QUANT_SIZES[kind]
        blocks = random_blocks(kind, max(6, 128 // elements))
        tensors[f"{kind.name}.blocks"] = torch.from_numpy(blocks.reshape(-1).copy())
        stored = blocks.view({Q.F32: np.float32, Q.F16: np.float16}.get(kind, np.uint8))
        values = gguf.quants.dequantize(stored, kind).astype(np.float32)
        tensors[f"{kind.name}.values"] = torch.from_numpy(values.reshape(-1).copy())
    save_file(tensors, HERE / "dequantize.safetensors")


def make_quantize() -> None:
    rows = np.random.default_rng(20260102)
    values = rows.standard_normal((200, 32), dtype=np.float32) * np.exp2(rows.integers(-20, 12, (200, 1))).astype(np.float32)
    whole = rows.integers(-127, 128, (40, 32)).astype(np.float32)
    whole[:, 0] = 127  # a scale of 1: halves are ties
    edges = np.zeros((6, 32), dtype=np.float32)
    edges[1, 5], edges[2, :2], edges[3, 0] = -3.5, (1e-7, -1e-7), 65504 * 127
    edges[4], edges[5, :4] = 0.49999997, (127, 0.49999997, -0.5, 126.5)
    values = np.concatenate([values, whole, whole + rows.choice([-0.5, 0.0, 0.5], whole.shape).astype(np.float32), edges])
    blocks = gguf.quants.quantize(values, Q.Q8_0)
    save_file({"values": torch.from_numpy(values), "blocks": torch.from_numpy(blocks.copy())}, HERE / "quantize.safetensors")


def make_rounding() -> None:
    bits = rng.integers(0, 2**32, 1500, dtype=np.uint64)
    near_half = (rng.integers(0, 2**16, 1500, dtype=np.uint64) << 16) | rng.choice([0x7FFF, 0x8000, 0x8001], 1500).astype(np.uint64)
    # around every place where fp16's rounding changes: exponents of its subnormals, of its largest numbers, and ties
    exponent = rng.integers(127 - 27, 127 + 18, 3000).astype(np.uint64)
    mantissa = (rng.integers(0, 1024, 3000).astype(np.uint64) << 13) + rng.choice([0, 1, 0xFFF, 0x1000, 0x1001], 3000).astype(np.uint64)
    halves = (rng.integers(0, 2, 3000).astype(np.uint64) << 31) | (exponent << 23) | mantissa
    edges = np.array([0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F7FFFFF, 0x477FEFFF, 0x477FF000, 0x33000000,
                      0x33000001, 0x387FFFFF, 0x1, 0x007FFFFF, 0x7F7F8000], dtype=np.uint64)
    f32 = torch.from_numpy(np.concatenate([bits, near_half, halves, edges]).astype(np.uint32).view(np.float32).copy())
    f16 = torch.from_numpy(rng.permutation(65536)[:3000].astype(np.uint16).view(np.float16).copy())
    save_file({"f32": f32, "f32.bf16": f32.to(torch.bfloat16), "f32.f16": f32.to(torch.float16),
               "f16": f16, "f16.f32": f16.to(torch.float32)}, HERE / "rounding.safetensors")


def make_reference() -> None:
    tensors = {"alpha": torch.arange(6, dtype=torch.float64).reshape(2, 3), "beta": torch.tensor([1, -2, 3], dtype=torch.int64),
               "matrix": torch.tensor([[0.5, -1.5], [2.0, 3.0]]), "half": torch.tensor([1.0, -2.0, 0.25]).to(torch.bfloat16),
               "scalar": torch.tensor(7, dtype=torch.int32), "empty": torch.zeros(0, 4, dtype=torch.float16),
               "mask": torch.tensor([True, False, True]), "größe": torch.tensor([1, 255], dtype=torch.uint8)}
    save_file(tensors, HERE / "reference.safetensors", metadata={"format": "pt"})


def make_metadata() -> None:
    writer = gguf.GGUFWriter(HERE / "metadata.gguf", "llama")
    for name, value in {"uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4000000000, "int32": -2000000000,
                        "uint64": 2**63 + 5, "int64": -(2**62), "float32": 1e-5, "float64": 0.1}.items():
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    writer.add_bool("test.yes", True)
    writer.add_string("test.text", "zwei\nZeilen – 你好")
    writer.add_array("test.numbers", [3, -1, 2])
    writer.add_array("test.texts", ["a", "", "ß"])
    writer.add_key_value("test.nested", [[1, 2], [3]], gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.ARRAY)
    writer.add_custom_alignment(64)
    writer.add_tensor("first", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("second", np.arange(4, dtype=np.float16))
    finish(writer)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_characters() -> list[str]:
    """GPT-2's printable character for each byte, as the tokenizers package has them."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def llama_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rotary halves -> pairs side by side: what llama.cpp does to q and k of llama."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
FIRST_QWEN = {"attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_norm": "ln_2", "ffn_gate": "mlp.w2",
              "ffn_up": "mlp.w1", "ffn_down": "mlp.c_proj"}


def llama3_factors(theta: float, head_dim: int, factor: float, positions: int) -> np.ndarray:
    """The formula of Llama 3.1's model card: what each rotary frequency is divided by."""
    result = []
    for i in range(head_dim // 2):
        wavelength = 2 * np.pi * theta ** (2 * i / head_dim)
        if wavelength < positions / 4.0:
            result.append(1.0)
        elif wavelength > positions / 1.0:
            result.append(factor)
        else:
            smooth = (positions / wavelength - 1.0) / (4.0 - 1.0)
            result.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(result, dtype=np.float32)


def make_model(arch: str, pre: str, tied: bool, biases: list[str]) -> None:
    first_qwen = arch == "qwen"
    width, mlp, layers, heads, kv_heads, head_dim = 32, 64, 2, 4, 4 if first_qwen else 2, 16 if arch == "qwen3" else 8
    merges = ["h e", "l l", "he ll", "Ġ he"]
    ordinary = byte_characters() + [merge.replace(" ", "") for merge in merges]
    tokens = ordinary + ["<|start|>", "<|end|>", "<tool>", "[PAD263]"]
    first = len(ordinary)
    types = [1] * first + [3, 3, 4, 5]

    writer = gguf.GGUFWriter(HERE / f"tiny_{arch}.gguf", arch)
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(2 * mlp if first_qwen else mlp)
    writer.add_head_count(heads)
    if first_qwen:
        writer.add_rope_dimension_count(head_dim)
    else:
        writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(500000.0)
    if arch == "qwen3":
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(first)
    writer.add_eos_token_id(first + 1)
    if arch == "llama":
        writer.add_eot_token_id(first + 2)
    writer.add_chat_template("{{ messages[0]['content'] }}<|end|>")

    expected = {}

    def add(name: str, outside: str, shape: tuple[int, ...], rotary: int = 0) -> None:
        value = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1)
        matrix = len(shape) == 2
        kind = Q.Q8_0 if matrix and "ffn" in name else Q.F16 if matrix else Q.F32
        packed = gguf.quants.quantize(value, kind)
        value = gguf.quants.dequantize(packed, kind).astype(np.float32)
        expected[outside] = torch.from_numpy(value.copy())
        stored = llama_order(value, rotary) if rotary else value
        writer.add_tensor(name, gguf.quants.quantize(stored, kind), raw_dtype=kind)

    add("token_embd.weight", "transformer.wte.weight" if first_qwen else "model.embed_tokens.weight", (len(tokens), width))
    q, kv = heads * head_dim, kv_heads * head_dim
    shapes = {"attn_norm": (width,), "attn_q": (q, width), "attn_k": (kv, width), "attn_v": (kv, width), "attn_output": (width, q),
              "ffn_norm": (width,), "ffn_gate": (mlp, width), "ffn_up": (mlp, width), "ffn_down": (width, mlp)}
    if arch == "qwen3":
        shapes |= {"attn_q_norm": (head_dim,), "attn_k_norm": (head_dim,)}
    if first_qwen:
        shapes = {name: shape for name, shape in shapes.items() if name in FIRST_QWEN} | {"attn_qkv": (3 * q, width)}
    rotary = {"attn_q": heads, "attn_k": kv_heads} if arch == "llama" else {}
    for layer in range(layers):
        for name, shape in shapes.items():
            where = (f"blk.{layer}.{name}",
                     f"transformer.h.{layer}.{FIRST_QWEN[name]}" if first_qwen else f"model.layers.{layer}.{NAMES[name]}")
            add(where[0] + ".weight", where[1] + ".weight", shape, rotary.get(name, 0))
            if name in biases:
                add(where[0] + ".bias", where[1] + ".bias", shape[:1], rotary.get(name, 0))
    add("output_norm.weight", "transformer.ln_f.weight" if first_qwen else "model.norm.weight", (width,))
    if not tied:
        add("output.weight", "lm_head.weight", (len(tokens), width))
    if arch == "llama":
        writer.add_tensor("rope_freqs.weight", llama3_factors(500000.0, head_dim, 8.0, 8192))
    finish(writer)
    save_file(expected, HERE / f"tiny_{arch}.safetensors")


def make_frames(qwen: pathlib.Path) -> None:
    """Qwen's from a published tokenizer.json; Llama 3's as transformers' TikTokenConverter puts it together."""
    published = json.loads(qwen.read_text())
    llama = Tokenizer(models.BPE(ignore_merges=True))
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    llama.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
                                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    llama.decoder = decoders.ByteLevel()
    for name, whole in (("qwen2", published), ("llama-bpe", json.loads(llama.to_str()))):
        frame = {key: whole[key] for key in ("normalizer", "pre_tokenizer", "decoder")}
        frame["ignore_merges"] = whole["model"].get("ignore_merges", False)
        (HERE / f"frame_{name}.json").write_text(json.dumps(frame, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_golden.py QWEN2.5_TOKENIZER_JSON")
    make_dequantize()
    make_quantize()
    make_rounding()
    make_reference()
    make_metadata()
    make_model("llama", "llama-bpe", tied=False, biases=["attn_q", "attn_k", "attn_v", "attn_output"])
    make_model("qwen2", "qwen2", tied=True, biases=["attn_q", "attn_k", "attn_v"])
    make_model("qwen3", "qwen2", tied=False, biases=[])
    make_model("qwen", "qwen2", tied=False, biases=["attn_qkv"])
    make_frames(pathlib.Path(sys.argv[1]))
    for made in HERE.glob("*.safetensors"):
        made.chmod(0o644)
