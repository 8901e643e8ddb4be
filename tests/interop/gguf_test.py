#!/usr/bin/env python3
"""GGUF files of `ranktune export --gguf`, read by the gguf package, by transformers and by llama.cpp itself.

usage: gguf_test.py RANKTUNE MODEL_GGUF     (run by CTest with the pinned packages of requirements.txt)
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="2")
import gguf
import numpy as np
import torch
import xllamacpp as llama_cpp
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ranktune, smollm2 = sys.argv[1], Path(sys.argv[2])
project = Path(__file__).resolve().parents[2]
# Logits of llama.cpp, whose matrix products round their inputs to the file's type, against the same weights in fp32.
# llama.cpp rounds activations too, to the type of the matrix.
TOLERANCE = {"F32": 2e-4, "F16": 2e-2, "BF16": 1e-1, "Q8_0": 2e-1}
TYPES = {"F32": gguf.GGMLQuantizationType.F32, "F16": gguf.GGMLQuantizationType.F16,
         "BF16": gguf.GGMLQuantizationType.BF16, "Q8_0": gguf.GGMLQuantizationType.Q8_0}


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


def golden(work: Path, name: str) -> Path:
    """A golden model with the byte tokenizer of the tiny one: fewer tokens than its embedding has rows."""
    folder = work / name
    folder.mkdir()
    for file in (project / "tests/data/golden" / name / "model").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((work / "model" / file).read_bytes())
    return folder


def add_adapter(folder: Path, out: Path, size: float) -> torch.nn.Module:
    """A random adapter of that size for PEFT on all linears, and the base with it merged, in fp32."""
    torch.manual_seed(1)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
                           LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data *= size
    model.save_pretrained(out)
    return model.merge_and_unload().eval()


def llama_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order of the rows of q and k of llama."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def check_tensors(reader: gguf.GGUFReader, model: torch.nn.Module, kind: str) -> None:
    """Names, types and bytes are what the package makes of the merged weights."""
    config, arch = model.config, reader.get_field("general.architecture").contents()
    names = gguf.get_tensor_name_map(next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == arch), config.num_hidden_layers)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    tensors.pop("rope_freqs.weight", None)
    for name, value in model.named_parameters():
        tensor = tensors.pop(names.get_name(name, try_suffixes=(".weight", ".bias")))
        value = value.detach().numpy()
        if arch == "llama" and ("q_proj" in name or "k_proj" in name):
            value = llama_order(value, config.num_attention_heads if "q_proj" in name else config.num_key_value_heads)
        wanted = TYPES[kind] if value.ndim > 1 else gguf.GGMLQuantizationType.F32
        assert tensor.tensor_type == (gguf.GGMLQuantizationType.F16 if value.shape[-1] % 32 and kind == "Q8_0" and value.ndim > 1
                                      else wanted), (name, tensor.tensor_type)
        packed = gguf.quants.quantize(value, tensor.tensor_type).view(np.uint8).reshape(-1)
        found = np.asarray(tensor.data).view(np.uint8).reshape(-1)
        same = (packed == found).mean()
        # The sum of weight and adapter may differ in its last bit, which few values show once rounded.
        assert packed.size == found.size and same > (0.99 if "proj" in name else 1 - 1e-12), f"{name}: {same} of the bytes"
    assert not tensors, f"too many: {list(tensors)}"


def check_vocabulary(reader: gguf.GGUFReader, folder: Path, rows: int) -> None:
    special = gguf.SpecialVocab(folder, load_merges=True)

    def value(key: str) -> object:
        field = reader.get_field(key)
        return field.contents() if field else None

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens, types = value("tokenizer.ggml.tokens"), value("tokenizer.ggml.token_type")
    assert len(tokens) == len(types) == rows
    by_id = {index: token for token, index in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    for index, (token, kind) in enumerate(zip(tokens, types)):
        assert token == by_id.get(index, f"[PAD{index}]"), (index, token)
        wanted = (gguf.TokenType.UNUSED if index not in by_id else gguf.TokenType.NORMAL if index not in added
                  else gguf.TokenType.CONTROL if added[index].special else gguf.TokenType.USER_DEFINED)
        assert kind == wanted, (index, token, kind)
    assert (value("tokenizer.ggml.merges") or []) == special.merges
    assert value("tokenizer.chat_template") == special.chat_template == tokenizer.chat_template
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        assert value(f"tokenizer.ggml.{key}_token_id") == special.special_token_ids.get(name), name
    assert value("tokenizer.ggml.add_bos_token") == special.add_special_token.get("bos", False)


def serve(path: Path) -> llama_cpp.Server:
    parameters = llama_cpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.warmup, parameters.verbosity = 256, False, -1
    # Several threads wait for each other by spinning, which takes minutes where others use the cores.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.cache_type_k = parameters.cache_type_v = llama_cpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = llama_cpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return llama_cpp.Server(parameters)


@torch.no_grad()
def check_in_llama_cpp(path: Path, model: torch.nn.Module, folder: Path, kind: str) -> float:
    """The same probabilities after ids and after a text (so the same ids of the text), as far as the type is exact."""
    server, tokenizer = serve(path), AutoTokenizer.from_pretrained(folder)
    text = "<|im_start|>user\nWie heißt du? 你好, it's 12 o'clock\n\n  now 👍🏽<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    wanted = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1)
    worst = 0.0
    for prompt in (ids, text):
        answer = server.handle_completions({"prompt": prompt, "n_predict": 1, "temperature": 0, "cache_prompt": False,
                                            "n_probs": model.config.vocab_size})
        assert answer["usage"]["prompt_tokens"] == len(ids), f"{answer['usage']} of {len(ids)}"
        top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        assert len(top) == model.config.vocab_size
        worst = max(worst, max(abs(entry["logprob"] - wanted[entry["id"]].item()) for entry in top))
    assert worst < TOLERANCE[kind], f"{path.name}: log-probabilities differ by {worst}"
    return worst


@torch.no_grad()
def check_in_transformers(path: Path, model: torch.nn.Module) -> float:
    loaded = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    probe = torch.arange(3, 60)[None]
    difference = (loaded(probe).logits - model(probe).logits).abs().max().item()
    assert difference < 1e-4, f"{path.name}: logits in transformers differ by {difference}"
    return difference


def check_model(work: Path, folder: Path, in_transformers: bool, size: float = 0.2, kinds: tuple[str, ...] = tuple(TYPES)) -> None:
    adapter = work / f"{folder.name}_adapter"
    model = add_adapter(folder, adapter, size)
    results = []
    for kind in kinds:
        path = work / f"{folder.name}-{kind}.gguf"
        run(ranktune, "export", "--gguf", path, "--type", kind, "--model", folder, "--adapter", adapter)
        reader = gguf.GGUFReader(path)
        check_tensors(reader, model, kind)
        check_vocabulary(reader, folder, model.config.vocab_size)
        results.append(f"{kind} {check_in_llama_cpp(path, model, folder, kind):.0e}")
        if kind == "F32" and in_transformers:
            results.append(f"transformers {check_in_transformers(path, model):.0e}")
        if kind != "F32":
            path.unlink()
    print(f"{folder.name}: log-probabilities in llama.cpp within {', '.join(results)}", flush=True)


def check_chat(work: Path, folder: Path) -> None:
    """llama.cpp renders the template that is in the file, answers as we do, and ends there."""
    questions = ["What is your name?", "What is 12 plus 30?"]
    (work / "questions.jsonl").write_text("".join(json.dumps({"prompt": q}) + "\n" for q in questions), encoding="utf-8")
    lines = run(ranktune, "generate", "--model", folder, "--max-new-tokens", 40, "--input", work / "questions.jsonl")
    run(ranktune, "export", "--gguf", work / "chat.gguf", "--type", "F32", "--model", folder)
    server = serve(work / "chat.gguf")
    for question, line in zip(questions, lines.splitlines()):
        answer = server.handle_chat_completions({"messages": [{"role": "user", "content": question}], "max_tokens": 40,
                                                 "temperature": 0, "cache_prompt": False})
        assert answer["choices"][0]["message"]["content"] == json.loads(line)["answer"], (answer, line)
    print("chat in llama.cpp: our answers")


def main() -> None:
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        run(sys.executable, project / "tests/support/make_tiny_model.py", work)
        check_model(work, work / "model", in_transformers=True)
        check_model(work, golden(work, "llama_rope3"), in_transformers=False)
        # transformers takes the head size of every qwen3 in GGUF for 128.
        check_model(work, golden(work, "qwen3_gqa_bf16"), in_transformers=False)
        run(ranktune, "import", smollm2, work / "smollm2")
        # Little of it, so that the model still makes sense: of an answer that is over at once llama.cpp gives no probabilities.
        # Only exact types: how far rounding moves the rarest of 49152 tokens says nothing of the file.
        check_model(work, work / "smollm2", in_transformers=True, size=0.03, kinds=("F32",))
        check_chat(work, work / "smollm2")


main()
