#!/usr/bin/env python3
"""Writes COUNT conversations as OpenAI messages, JSONL, whose lengths are spread as those of instruction data sets are:
log-normal, half below about 145 tokens, a tenth above 380. The same arguments give the same bytes.

usage: make_rows.py COUNT >rows.jsonl
"""
import json
import random
import sys

WORDS = ("the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were "
         "when we there can an your which their said if do will each about how up out them then she many some so these would "
         "other into has more her two like him see time could no make than first been its who now people my made over did down "
         "only way find use may water long little very after words called just where most know").split()

rng = random.Random(1)


def text(words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(max(1, words))).capitalize() + "."


for _ in range(int(sys.argv[1])):
    length = min(480.0, rng.lognormvariate(4.93, 0.77)) - 30  # the chat template's own tokens
    question = max(4, int(length / 3))
    messages = [{"role": "user", "content": text(question)}, {"role": "assistant", "content": text(int(length) - question)}]
    print(json.dumps({"messages": messages}))
