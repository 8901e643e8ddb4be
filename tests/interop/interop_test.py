#!/usr/bin/env python3
"""What ranktune writes, read by the programs it is written for: h5py, safetensors, transformers, PEFT.

usage: interop_test.py RANKTUNE MODEL_GGUF     (run by CTest with the pinned packages of requirements.txt)
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="2", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
import h5py
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

ranktune, gguf = sys.argv[1:3]
project = Path(__file__).resolve().parents[2]
PROMPTS = ["What is your name?", "Name three fruits.", "What is 12 plus 30?"]
CONFIG = """
[run]
dir = "{work}/run"
[model]
path = "{work}/model"
dtype = "fp32"
[data]
train = "{work}/train.h5"
[train]
epochs = 0
max_steps = 4
[batch]
tokens_per_slot = 256
sequences_per_step = 4
[optimizer]
lr = 1e-3
[schedule]
warmup_ratio = 0
"""


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    return done.stdout


def check_data(work: Path, tokenizer) -> None:
    """Rows are what apply_chat_template renders, and labels lie on the assistant's words and its end token."""
    rows = [json.loads(line)["messages"] for line in open(project / "configs/quickstart/validation.jsonl", encoding="utf-8")]
    with h5py.File(work / "train.h5") as file:
        offsets, tokens, mask = file["offsets"][:], file["tokens"][:], file["loss_mask"][:]
        assert len(offsets) == len(rows) + 1 and offsets[-1] == len(tokens) == len(mask)
        for i, messages in enumerate(rows):
            ids = tokens[offsets[i]:offsets[i + 1]].tolist()
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            assert ids == tokenizer(text, add_special_tokens=False)["input_ids"], f"row {i} differs from transformers'"
            labels = [t for t, m in zip(ids, mask[offsets[i]:offsets[i + 1]]) if m]
            answers = "".join(m["content"] + "<|im_end|>" for m in messages if m["role"] == "assistant")
            assert tokenizer.decode(labels).replace("\n", "") == answers.replace("\n", ""), f"labels of row {i}"
    print(f"h5py: {len(rows)} rows as transformers renders them")


def greedy(model, tokenizer, prompt: str, stop: str | None = "<|im_end|>") -> str:
    text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    end = {} if stop is None else {"eos_token_id": tokenizer.convert_tokens_to_ids(stop)}
    out = model.generate(**ids, max_new_tokens=24, do_sample=False, **end)
    return tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)


@torch.no_grad()
def check_merged(work: Path, adapted, tokenizer, answers: list[str]) -> str:
    """The merged folder is a model as transformers knows them: shards, type, tokenizer, template, and where answers end."""
    merge = ("export", "--adapter", work / "run/adapter", "--merge", "--model", work / "model")
    run(ranktune, *merge, "--output", work / "merged", "--max-shard-size", "100MB")
    run(ranktune, *merge, "--output", work / "small", "--dtype", "bf16")
    exact = AutoModelForCausalLM.from_pretrained(work / "merged", dtype="auto")
    small = AutoModelForCausalLM.from_pretrained(work / "small", dtype="auto")
    assert exact.dtype == torch.float32 and small.dtype == torch.bfloat16
    shards = sorted((work / "merged").glob("model-*.safetensors"))
    sizes = [path.stat().st_size for path in shards]
    assert len(shards) > 4 and sorted(sizes)[-2] <= 100e6 < max(sizes), f"{sizes}: only the embedding needs a larger file"
    for name, parameter in exact.named_parameters():
        assert torch.equal(small.get_parameter(name), parameter.to(torch.bfloat16)), f"{name} was not rounded once"
    probe = tokenizer("The cluster hums at night.", return_tensors="pt")
    difference = (exact(**probe).logits - adapted(**probe).logits).abs().max().item()
    assert difference < 2e-4, f"merged logits differ by {difference}"

    assert GenerationConfig.from_pretrained(work / "merged").eos_token_id in (2, [2]), "the end of turn ends nothing"
    own = AutoTokenizer.from_pretrained(work / "merged")
    chat = [{"role": "user", "content": PROMPTS[0]}]
    assert own.apply_chat_template(chat, tokenize=False) == tokenizer.apply_chat_template(chat, tokenize=False)
    assert own.get_vocab() == tokenizer.get_vocab()
    assert [greedy(exact, own, prompt, None) for prompt in PROMPTS] == answers, "generate() of the merged model answers otherwise"
    assert ours(work, "--model", work / "merged") == answers, "our own answers of the merged model"
    return f"{difference:.1e} in {len(shards)} shards"


def ours(work: Path, *arguments: object) -> list[str]:
    inputs = work / "prompts.jsonl"
    inputs.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in PROMPTS), encoding="utf-8")
    lines = run(ranktune, "generate", "--dtype", "fp32", "--max-new-tokens", 24, "--input", inputs, *arguments)
    return [json.loads(line)["answer"] for line in lines.splitlines()]


def main() -> None:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run(ranktune, "import", "--dtype", "f32", gguf, work / "model")
        run(ranktune, "prep", "--model", work / "model", "--output", work / "train.h5",
            project / "configs/quickstart/validation.jsonl")
        tokenizer = AutoTokenizer.from_pretrained(work / "model")
        check_data(work, tokenizer)
        (work / "train.toml").write_text(CONFIG.format(work=work), encoding="utf-8")
        run(ranktune, "train", work / "train.toml")
        run(ranktune, "export", "--adapter", work / "run/adapter", "--output", work / "peft")
        base = AutoModelForCausalLM.from_pretrained(work / "model", dtype=torch.float32)
        before = [greedy(base, tokenizer, p) for p in PROMPTS]
        assert ours(work, "--model", work / "model") == before, "answers of the base model differ"
        adapted = PeftModel.from_pretrained(base, work / "peft")
        missing = [n for n, p in adapted.named_parameters() if "lora_B" in n and not p.abs().sum()]
        assert not missing, f"PEFT left {missing[:3]} at zero"
        after = [greedy(adapted, tokenizer, p) for p in PROMPTS]
        assert after != before, "training changed nothing"
        assert ours(work, "--model", work / "model", "--adapter", work / "run/adapter") == after, "answers differ from PEFT's"
        merged = check_merged(work, adapted, tokenizer, after)
        print(f"PEFT and transformers: the same answers; merged logits within {merged}")


main()
