#!/usr/bin/env python3
"""GGUF files of `ranktune export --gguf`, read by the gguf package, by transformers and by llama.cpp itself.

usage: gguf_test.py RANKTUNE MODEL_GGUF     (run by CTest with the pinned packages of requirements.txt)
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
import urllib.request
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="2")
import gguf
import numpy as np
import torch
import xllamacpp as llama_cpp
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

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


def add_adapter(folder: Path, out: Path, size: float, beside: dict) -> torch.nn.Module:
    """A random adapter of that size for PEFT on all linears, and the base with it merged, in fp32. beside: what else it trains."""
    torch.manual_seed(1)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
                           LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, **beside))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data *= size
        elif parameter.requires_grad:
            parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(out)
    return model.merge_and_unload().eval()


def llama_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order of the rows of q and k of llama."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def check_tensors(reader: gguf.GGUFReader, config: object, weights: dict[str, torch.Tensor], kind: str) -> None:
    """Names, types and bytes are what the package makes of the merged weights."""
    arch = reader.get_field("general.architecture").contents()
    names = gguf.get_tensor_name_map(next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == arch), config.num_hidden_layers)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    tensors.pop("rope_freqs.weight", None)
    for name, value in weights.items():
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
        adapted = value.ndim > 1 and re.search(r"\.(layers|h)\.", name)
        assert packed.size == found.size and same > (0.99 if adapted else 1 - 1e-12), f"{name}: {same} of the bytes"
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
        # Of the end, or of a part of a character, llama.cpp gives no probabilities. The bias comes after those.
        answer = server.handle_completions({"prompt": prompt, "n_predict": 1, "temperature": 0, "cache_prompt": False,
                                            "n_probs": model.config.vocab_size,
                                            "logit_bias": [[tokenizer.convert_tokens_to_ids("a"), 1000.0]]})
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


def check_model(work: Path, folder: Path, in_transformers: bool, size: float = 0.2, kinds: tuple[str, ...] = tuple(TYPES),
                **beside: object) -> None:
    subject = "_with_".join([folder.name, *beside])
    adapter = work / f"{subject}_adapter"
    model = add_adapter(folder, adapter, size, beside)
    results = []
    for kind in kinds:
        path = work / f"{subject}-{kind}.gguf"
        run(ranktune, "export", "--gguf", path, "--type", kind, "--model", folder, "--adapter", adapter)
        reader = gguf.GGUFReader(path)
        check_tensors(reader, model.config, dict(model.named_parameters()), kind)
        check_vocabulary(reader, folder, model.config.vocab_size)
        results.append(f"{kind} {check_in_llama_cpp(path, model, folder, kind):.0e}")
        if kind == "F32" and in_transformers:
            results.append(f"transformers {check_in_transformers(path, model):.0e}")
        if kind != "F32":
            path.unlink()
    print(f"{subject}: log-probabilities in llama.cpp within {', '.join(results)}", flush=True)


FIRST_QWEN = {"transformer.wte": "model.embed_tokens", "transformer.ln_f": "model.norm", "transformer.h": "model.layers",
              "ln_1": "input_layernorm", "ln_2": "post_attention_layernorm", "attn.c_proj": "self_attn.o_proj",
              "mlp.w1": "mlp.up_proj", "mlp.w2": "mlp.gate_proj", "mlp.c_proj": "mlp.down_proj"}


def first_qwen(folder: Path, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Qwen2's class, which within the training length computes the same; transformers has none of the first Qwen."""
    config = json.loads((folder / "config.json").read_text())
    model = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=config["vocab_size"], hidden_size=config["hidden_size"], intermediate_size=config["intermediate_size"] // 2,
        num_hidden_layers=config["num_hidden_layers"], num_attention_heads=config["num_attention_heads"],
        num_key_value_heads=config["num_attention_heads"], rms_norm_eps=config["layer_norm_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": config["rotary_emb_base"]}, tie_word_embeddings=False))
    state = {}
    for name, value in weights.items():
        for ours, theirs in FIRST_QWEN.items():
            name = re.sub(rf"(^|\.){re.escape(ours)}\.", rf"\g<1>{theirs}.", name)
        if "attn.c_attn" in name:
            for part, rows in zip("qkv", value.chunk(3)):
                state[name.replace("attn.c_attn", f"self_attn.{part}_proj")] = rows
        else:
            state[name] = value
    model.load_state_dict(state)
    return model.eval()


def with_adapter(weights: dict[str, torch.Tensor], adapter: Path) -> dict[str, torch.Tensor]:
    config, values = json.loads((adapter / "adapter_config.json").read_text()), load_file(adapter / "adapter_model.safetensors")
    merged = dict(weights)
    for name, a in values.items():
        if "lora_A" in name:
            weight = name.removeprefix("base_model.model.").replace("lora_A.", "")
            merged[weight] = weights[weight] + values[name.replace("lora_A", "lora_B")] @ a * (config["lora_alpha"] / config["r"])
    return merged


def check_first_qwen(work: Path) -> None:
    """The golden model with its adapter, in each type, and read back."""
    folder, adapter = golden(work, "qwen1"), project / "tests/data/golden/qwen1/adapters/lora_trained"
    weights = with_adapter(load_file(folder / "model.safetensors"), adapter)
    model, results = first_qwen(folder, weights), []
    for kind in TYPES:
        path = work / f"qwen1-{kind}.gguf"
        run(ranktune, "export", "--gguf", path, "--type", kind, "--model", folder, "--adapter", adapter)
        reader = gguf.GGUFReader(path)
        check_tensors(reader, model.config, weights, kind)
        results.append(f"{kind} {check_in_llama_cpp(path, model, work / 'model', kind):.0e}")
    settings = {name.removeprefix("qwen."): field.contents() for name, field in reader.fields.items() if name.startswith("qwen.")}
    wanted = {"block_count": 3, "context_length": 8192, "embedding_length": 64, "feed_forward_length": 320, "rope.freq_base": 10000.0,
              "rope.dimension_count": 16, "attention.head_count": 4, "attention.layer_norm_rms_epsilon": np.float32(1e-6)}
    assert settings | wanted == settings, settings
    run(ranktune, "import", "--dtype", "f32", work / "qwen1-F32.gguf", work / "qwen1_again")
    again = load_file(work / "qwen1_again/model.safetensors")
    assert again.keys() == weights.keys()
    worst = max((again[name] - weights[name]).abs().max().item() for name in weights)
    assert worst < 1e-6, f"read back the weights differ by {worst}"
    print(f"qwen1: log-probabilities in llama.cpp within {', '.join(results)}", flush=True)


def ask(server: llama_cpp.Server, what: str, **request: object) -> dict:
    with urllib.request.urlopen(f"{server.listening_address}/{what}", data=json.dumps(request).encode()) as answer:
        return json.load(answer)


def unpacked(name: str) -> bytes:
    return subprocess.run(["zstd", "-dcq", project / "tests/data/tokenizers" / name], check=True, capture_output=True).stdout


def tiktoken_model(folder: Path) -> None:
    """The published vocabulary in a model of one small layer."""
    folder.mkdir()
    (folder / "qwen.tiktoken").write_bytes(unpacked("qwen1/qwen.tiktoken.zst"))
    config = json.loads((project / "tests/data/golden/qwen1/model/config.json").read_text())
    config |= {"vocab_size": 151936, "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    (folder / "config.json").write_text(json.dumps(config))
    layer = {"ln_1.weight": (32,), "ln_2.weight": (32,), "attn.c_attn.weight": (96, 32), "attn.c_attn.bias": (96,),
             "attn.c_proj.weight": (32, 32), "mlp.w1.weight": (64, 32), "mlp.w2.weight": (64, 32), "mlp.c_proj.weight": (32, 64)}
    shapes = {f"transformer.h.0.{name}": shape for name, shape in layer.items()}
    shapes |= {"transformer.wte.weight": (151936, 32), "transformer.ln_f.weight": (32,), "lm_head.weight": (151936, 32)}
    torch.manual_seed(2)
    save_file({name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}, folder / "model.safetensors")


def check_tiktoken(work: Path) -> None:
    """llama.cpp's ids of hard texts are tiktoken's, and so are the prompts of chats."""
    folder, path = work / "tiktoken", work / "tiktoken.gguf"
    tiktoken_model(folder)
    run(ranktune, "export", "--gguf", path, "--type", "Q8_0", "--model", folder)
    server = serve(path)

    def ids_of(text: str) -> list[int]:
        text = unicodedata.normalize("NFC", text)  # which llama.cpp leaves to its caller
        return ask(server, "tokenize", content=text, add_special=True, parse_special=True)["tokens"]

    texts = unpacked("qwen1/golden.jsonl.zst").splitlines()
    for row in map(json.loads, texts):
        assert ids_of(row["text"]) == row["ids"], row
    hard = unpacked("hard.jsonl.zst").splitlines()[::5]
    for row in map(json.loads, hard):
        found = hashlib.sha256(np.array(ids_of(row["text"]), dtype="<i4").tobytes()).hexdigest()[:8]
        assert found == row["qwen1"].split("/")[0], row
    prompt = ask(server, "apply-template", messages=[{"role": "user", "content": "Wer bist du?"}])["prompt"]
    assert prompt == ("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nWer bist du?<|im_end|>\n"
                      "<|im_start|>assistant\n"), prompt
    print(f"qwen.tiktoken: {len(texts) + len(hard)} texts have tiktoken's ids in llama.cpp", flush=True)


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
        # Rows of the embedding, which is the head too, and a head parted from it.
        check_model(work, work / "model", in_transformers=True, kinds=("F32", "Q8_0"), trainable_token_indices=[258, 97, 32])
        check_model(work, work / "model", in_transformers=True, kinds=("F32", "Q8_0"), modules_to_save=["lm_head"])
        check_model(work, golden(work, "llama_rope3"), in_transformers=False)
        # transformers takes the head size of every qwen3 in GGUF for 128.
        check_model(work, golden(work, "qwen3_gqa_bf16"), in_transformers=False)
        check_first_qwen(work)
        check_tiktoken(work)
        run(ranktune, "import", smollm2, work / "smollm2")
        # Only exact types: how far rounding moves the rarest of 49152 tokens says nothing of the file.
        check_model(work, work / "smollm2", in_transformers=True, size=0.03, kinds=("F32",))
        check_chat(work, work / "smollm2")


main()
