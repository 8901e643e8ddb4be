#!/usr/bin/env python3
"""Every kind of adapter through PEFT in both directions: PEFT loads ours and we load PEFT's, with equal losses. And the model
that full fine-tuning leaves, in transformers.

usage: adapters_test.py RANKTUNE     (run by CTest with the pinned packages of requirements.txt)
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
import h5py
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

ranktune = sys.argv[1]
project = Path(__file__).resolve().parents[2]
TOLERANCE = 2e-6  # of a loss near 5.6, both in fp32
TRAINING_TOLERANCE = 2e-5  # after AdamW steps, which enlarge the rounding of small gradients
ROWS = 12  # three steps: an epoch
PEFT_LR = 1e-3  # a larger one makes AdamW's steps enlarge rounding up to 1e-3 of a loss where the adapter starts far off
CONFIG = """
device = "cpu"
[run]
dir = "unset"
[model]
path = "{work}/model"
dtype = "fp32"
[data]
train = "{work}/train.h5"
validation = "{work}/validation.h5"
[train]
epochs = 0
max_steps = 3
validate_every = 3
[batch]
tokens_per_slot = 512
sequences_per_step = 4
[optimizer]
lr = 1e-2
[schedule]
kind = "constant"
warmup_ratio = 0
"""
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# name: (settings of ours, what PEFT's LoraConfig calls them)
CASES = {
    "plain": ([], dict(r=8, lora_alpha=16, target_modules=ALL)),
    "dora": (["lora.dora=true"], dict(r=8, lora_alpha=16, target_modules=ALL, use_dora=True)),
    "dora_dropout": (["lora.dora=true", "lora.dropout=0.2", "lora.targets=q_proj,down_proj"],
                     dict(r=8, lora_alpha=16, target_modules=["q_proj", "down_proj"], use_dora=True, lora_dropout=0.2)),
    "patterns": (["lora.rslora=true", 'lora.rank_pattern={q_proj = 3, "layers.[01].mlp.up_proj" = 5}', "lora.alpha_pattern={up_proj = 4}",
                  "lora.targets=q_proj,v_proj,up_proj", "lora.exclude_modules=layers.0.self_attn.v_proj",
                  "lora.layers_to_transform=[0, 1, 3]"],
                 dict(r=8, lora_alpha=16, use_rslora=True, target_modules=["q_proj", "v_proj", "up_proj"],
                      rank_pattern={"q_proj": 3, "layers.[01].mlp.up_proj": 5}, alpha_pattern={"up_proj": 4},
                      exclude_modules=["layers.0.self_attn.v_proj"], layers_to_transform=[0, 1, 3])),
    "regex": ([r"lora.targets=re:.*layers\.[12]\..*\.(q|o|gate)_proj"],
              dict(r=8, lora_alpha=16, target_modules=r".*layers\.[12]\..*\.(q|o|gate)_proj")),
    "gaussian": (["lora.init=gaussian", "lora.rank=4"], dict(r=4, lora_alpha=16, target_modules=ALL, init_lora_weights="gaussian")),
    "loraplus": (["lora.plus_ratio=4", "lora.dora=true"], dict(r=8, lora_alpha=16, target_modules="all-linear", use_dora=True)),
    "parted": (["lora.modules_to_save=embed_tokens", "lora.targets=q_proj,v_proj"],
               dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], modules_to_save=["embed_tokens"])),
    "tied": (["lora.modules_to_save=lm_head,norm", "lora.ensure_weight_tying=true", "lora.targets=q_proj"],
             dict(r=8, lora_alpha=16, target_modules=["q_proj"], modules_to_save=["lm_head", "norm"], ensure_weight_tying=True)),
    "parts": (["lora.modules_to_save=layers.0.self_attn.k_proj,layers.2.mlp", "lora.dora=true"],
              dict(r=8, lora_alpha=16, target_modules=ALL, use_dora=True, modules_to_save=["layers.0.self_attn.k_proj", "layers.2.mlp"])),
    "tokens": (["lora.trainable_tokens=<|im_end|>", "lora.trainable_token_indices=[97, 32]"],
               dict(r=8, lora_alpha=16, target_modules=ALL, trainable_token_indices=[258, 97, 32])),
    "head_tokens": (["lora.trainable_token_indices=[97, 32]", "lora.trainable_token_modules=lm_head", "lora.modules_to_save=model.norm"],
                    dict(r=8, lora_alpha=16, target_modules=ALL, trainable_token_indices={"embed_tokens": [258], "lm_head": [97, 32]})),
    "pissa_tokens": (["lora.init=pissa_niter_4", "lora.trainable_tokens=<|im_end|>"], None),
    "pissa": (["lora.init=pissa"], dict(r=8, lora_alpha=16, target_modules=ALL, init_lora_weights="pissa")),
    "pissa_quick": (["lora.init=pissa_niter_4", "lora.rank_pattern={v_proj = 2}", "lora.rslora=true"], None),
}


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


class Work:
    def __init__(self, folder: Path):
        self.folder = folder
        run(sys.executable, project / "tests/support/make_tiny_model.py", folder)
        chats = (folder / "chats.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / "few.jsonl").write_text("".join(chats[:ROWS]), encoding="utf-8")
        run(ranktune, "prep", "--model", folder / "model", "--output", folder / "train.h5", "--max-length", 256, folder / "few.jsonl")
        shutil.copy(folder / "train.h5", folder / "validation.h5")
        (folder / "train.toml").write_text(CONFIG.format(work=folder), encoding="utf-8")
        with h5py.File(folder / "train.h5") as file:
            offsets, tokens, mask = (torch.from_numpy(file[name][:]).long() for name in ("offsets", "tokens", "loss_mask"))
        self.rows = [(tokens[a:b], mask[a:b].bool()) for a, b in zip(offsets[:-1], offsets[1:])]
        assert len(self.rows) == ROWS
        with torch.no_grad():
            self.base_loss = self.loss(self.base())

    def base(self) -> torch.nn.Module:
        return AutoModelForCausalLM.from_pretrained(self.folder / "model", dtype=torch.float32).eval()

    def loss(self, model: torch.nn.Module) -> torch.Tensor:
        """The mean over the supervised tokens of all rows, in one padded batch: padding on the right touches no row."""
        length = max(len(ids) for ids, _ in self.rows)
        ids, labels = torch.zeros(len(self.rows), length, dtype=torch.long), torch.full((len(self.rows), length), -100)
        for i, (row, mask) in enumerate(self.rows):
            ids[i, :len(row)] = row
            labels[i, :len(row)][mask] = row[mask]
        logits = model(input_ids=ids).logits[:, :-1]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)

    def train(self, name: str, *settings: str) -> tuple[Path, list[dict]]:
        """The run's folder and its metrics."""
        folder = self.folder / "runs" / name
        run(ranktune, "train", self.folder / "train.toml", "--set", f"run.dir={folder}",
            *(part for setting in settings for part in ("--set", setting)))
        rows = [json.loads(line) for line in open(folder / "metrics.jsonl", encoding="utf-8")]
        return folder, [row for row in rows if "checkpoint" not in row]

    def refused(self, text: str, *command: object) -> None:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        assert done.returncode == 1 and text in done.stderr, f"{text!r} not said by {command}: {done.stderr[-500:]}"


def load_in_peft(work: Work, adapter: Path) -> PeftModel:
    """Every tensor of the file finds its place, and every place gets its tensor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(missing|unexpected).*")
        model = PeftModel.from_pretrained(work.base(), adapter).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inside = get_peft_model_state_dict(model)
    stored = load_file(adapter / "adapter_model.safetensors")
    assert inside.keys() == stored.keys(), inside.keys() ^ stored.keys()
    assert all(torch.equal(inside[key], stored[key]) for key in stored)
    return model


def near(found: float, expected: float, what: str, tolerance: float = TOLERANCE) -> float:
    difference = abs(float(found) - float(expected)) / float(expected)
    assert difference < tolerance, f"{what}: {found} instead of {expected}"
    return difference


@torch.no_grad()
def ours_in_peft(work: Work, name: str, settings: list[str]) -> str:
    folder, metrics = work.train(name, *settings)
    ours = metrics[-1]["validation_loss"]
    model = load_in_peft(work, folder / "adapter")
    first = near(ours, work.loss(model), f"{name}: loss of ours in PEFT")
    run(ranktune, "export", "--merge", "--adapter", folder / "adapter", "--model", work.folder / "model",
        "--output", work.folder / "merged" / name)
    merged = AutoModelForCausalLM.from_pretrained(work.folder / "merged" / name, dtype=torch.float32).eval()
    second = near(work.loss(merged), ours, f"{name}: loss of the merged model")
    assert abs(ours - metrics[0]["loss"]) > 1e-2, "training changed nothing"
    if name in ("parted", "tied", "tokens", "head_tokens"):
        answers = [run(ranktune, "generate", "--model", *model, "--prompt", "Say backwards: red blue", "--max-new-tokens", 12)
                   for model in ((work.folder / "model", "--adapter", folder / "adapter"), (work.folder / "merged" / name,))]
        assert answers[0] == answers[1], f"{name}: the merged model answers {answers[1]!r}, not {answers[0]!r}"
    return f"ours in PEFT {first:.0e}, merged {second:.0e}"


def train_in_peft(work: Work, model: torch.nn.Module, steps: int) -> list[float]:
    """Losses of full-batch AdamW steps before each, and the one after the last."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adamw = torch.optim.AdamW(trained, lr=PEFT_LR, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        loss = work.loss(model)
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        adamw.step()
        adamw.zero_grad()
    with torch.no_grad():
        return losses + [work.loss(model).item()]


def peft_in_ours(work: Work, name: str, settings: dict) -> str:
    torch.manual_seed(len(name))
    model = get_peft_model(work.base(), LoraConfig(task_type="CAUSAL_LM", **{**settings, "lora_dropout": 0.0}))
    folder = work.folder / "peft" / name
    converted = str(settings.get("init_lora_weights", "")).startswith("pissa")
    if converted:
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(folder / "start")
        model.peft_config["default"].init_lora_weights = "pissa"
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn_like(parameter) * 0.05
    model.save_pretrained(folder, path_initial_model_for_weight_conversion=str(folder / "start") if converted else None)
    # Every step sees every row, so their order does not matter. A converted PiSSA adapter trains otherwise than its original.
    steps = 1 if converted else 3
    expected = train_in_peft(work, model, steps)[:1 if converted else None]
    _, metrics = work.train(f"peft_{name}", f"model.adapter={folder}", f"train.max_steps={steps}", f"optimizer.lr={PEFT_LR}",
                            f"batch.sequences_per_step={len(work.rows)}")
    found = [row["loss"] for row in metrics if "loss" in row] + [metrics[-1]["validation_loss"]]
    assert abs(expected[0] - work.base_loss) > 1e-3, "the adapter does nothing"
    assert converted or abs(expected[0] - expected[-1]) > 1e-2, "training changed nothing"
    worst = max(near(ours, theirs, f"{name}: loss {i} of PEFT's in ours", TRAINING_TOLERANCE if i else TOLERANCE)
                for i, (ours, theirs) in enumerate(zip(found, expected)))
    return f"PEFT's in ours {worst:.0e}"


@torch.no_grad()
def check_pissa_start(work: Work) -> None:
    """A and B before any training are PEFT's pissa_init up to the signs of the singular vectors; the model is the base."""
    folder, metrics = work.train("pissa_start", "lora.init=pissa", "train.max_steps=1", "schedule.warmup_steps=1")
    stored = load_file(folder / "adapter/adapter_model.safetensors")
    near(metrics[-1]["validation_loss"], work.base_loss, "PiSSA's start is the base model")
    near(work.loss(load_in_peft(work, folder / "adapter")), work.base_loss, "PiSSA's start in PEFT")
    peft = get_peft_model(work.base(), LoraConfig(r=8, lora_alpha=16, target_modules=ALL, init_lora_weights="pissa"))
    for key, theirs in get_peft_model_state_dict(peft).items():
        axis = 0 if ".lora_A." in key else 1
        ours = stored[key].narrow(axis, 0, 8)
        signs = (ours * theirs).sum(1 - axis, keepdim=True).sign()
        difference = (ours - signs * theirs).abs().max() / theirs.abs().max()
        assert difference < 1e-4, f"{key} differs from pissa_init by {difference}"
    print("PiSSA's start: PEFT's up to signs")


@torch.no_grad()
def check_full(work: Work) -> None:
    """run.dir/model is a model as transformers knows them, in the type it was trained in: its loss, its answers, where they end."""
    settings = ("train.method=full", "optimizer.lr=1e-3")
    folder, metrics = work.train("full", *settings)
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype="auto").eval()
    assert model.dtype == torch.float32 and model.lm_head.weight is model.model.embed_tokens.weight
    difference = near(work.loss(model), metrics[-1]["validation_loss"], "loss of the fully trained model")
    assert abs(metrics[-1]["validation_loss"] - work.base_loss) > 1e-2, "training changed nothing"
    tokenizer, question = AutoTokenizer.from_pretrained(folder / "model"), "Say backwards: red blue"
    text = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1]:]
    ours = run(ranktune, "generate", "--model", folder / "model", "--prompt", question, "--max-new-tokens", 12)
    assert ours.strip("\n") == tokenizer.decode(out, skip_special_tokens=True).strip("\n"), f"our answer is {ours!r}"
    assert 258 in GenerationConfig.from_pretrained(folder / "model").eos_token_id, "the end of turn ends nothing"

    folder, metrics = work.train("full_bf16", *settings, "model.dtype=bf16")
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype="auto").eval()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    # Computed in bf16 by us, in fp32 here: a loss is a mean over many tokens, whose roundings (2^-9 each) mostly cancel.
    near(work.loss(model.float()), metrics[-1]["validation_loss"], "loss of the model trained in bf16", 2**-9)
    print(f"full fine-tuning in transformers {difference:.0e}")


def check_refusals(work: Work) -> None:
    biased = work.folder / "peft/biased"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        get_peft_model(work.base(), LoraConfig(r=2, target_modules=["q_proj"], lora_bias=True)).save_pretrained(biased)
    merge = (ranktune, "export", "--merge", "--output", work.folder / "never", "--adapter")
    work.refused('"lora_bias" is true, which is not supported', *merge, biased, "--model", work.folder / "model")
    other = project / "tests/data/golden/qwen2_mha/model"
    work.refused("lora_A.weight has shape", *merge, work.folder / "peft/plain", "--model", other)
    unfit = work.folder / "peft/unconverted"
    get_peft_model(work.base(), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa")).save_pretrained(unfit)
    work.refused("a changed copy of its base model", *merge, unfit, "--model", work.folder / "model")
    assert not (work.folder / "never").exists()


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder))
        for name, (settings, peft_settings) in CASES.items():
            results = [ours_in_peft(work, name, settings)]
            if peft_settings is not None:
                results.append(peft_in_ours(work, name, peft_settings))
            print(f"{name}: {', '.join(results)}", flush=True)
        check_pissa_start(work)
        check_full(work)
        check_refusals(work)


main()
