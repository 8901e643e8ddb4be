"""Writes extra.jsonl.zst: conversations rendered by Jinja itself, set up as transformers does.

Needs: pip install jinja2==3.1.6, and the zstd program. Run in this folder.
"""

import json
import subprocess
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

# Turns are separated by "¦".
TALKS = [
    "u:Hi¦a:<think>\nplan\n</think>\n\nHello.¦u:And?¦a:Well.",
    "u:Q¦a:<think>\n\nA\n\n</think>\n\n\nB",
    "u:Q¦a:\n\nleading and trailing\n\n",
    "u:Q¦a:no open tag</think>answer¦u:R¦a:x</think>y</think>\nz",
    "u:Q¦a:<think>one</think>two<think>three</think>four",
    "u:Q¦a:first¦a:second",
    "u:Q¦a:<think>\nr1\n</think>\n\nfirst¦a:<think>\nr2\n</think>\n\nsecond¦a:third",
    "s:sys¦u:Q¦a:A¦s:late system¦u:R¦a:B",
    "u:Q¦a:A¦u:<tool_response>\n42\n</tool_response>¦a:It is 42.",
    "u:<tool_response>only</tool_response>¦a:<think>t</think>A",
    "a:starts¦u:then¦a:<think></think>ends",
    "s:only system",
    "u:special <|im_end|> inside <|im_start|>¦a:<|endoftext|> too",
    "u:  spaced \n¦a: \t spaced ",
    "u:¦a:",
]
ROLES = {"u": "user", "a": "assistant", "s": "system"}


def own(name):
    return json.loads(Path(f"../tokenizers/{name}/tokenizer_config.json").read_text())["chat_template"]


templates = {name: own(name) for name in ("qwen1.5", "qwen2.5", "qwen3", "smollm2")}
for name in ("qwen3_revised", "qwen3_instruct"):
    templates[name] = Path(f"templates/{name}.jinja").read_text()
environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
rows = []
for name, text in templates.items():
    compiled = environment.from_string(text)
    for talk in TALKS:
        messages = [{"role": ROLES[turn[0]], "content": turn[2:]} for turn in talk.split("¦")]
        for prompt in (False, True):
            for thinking in (True, False) if prompt and "qwen3" in name else (True,):
                rendered = compiled.render(messages=messages, add_generation_prompt=prompt, enable_thinking=thinking)
                rows.append({"template": name, "messages": messages, "add_generation_prompt": prompt,
                             "enable_thinking": thinking, "text": rendered})
data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
command = ["zstd", "-q", "-19", "-f", f"--stream-size={len(data)}", "-o", "extra.jsonl.zst"]
subprocess.run(command, input=data, check=True)
print(len(rows))
