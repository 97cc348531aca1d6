#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes chat_prompt_golden.json: the token ids that transformers' apply_chat_template() makes of
conversations with real vocabularies, by their number and hash.

Harmless conversations as transformers makes them by default; conversations that spell control tokens
with sanitize_control_tokens=True. Vocabularies and templates are those of ../shared/data beside the
checkout, which are not part of this repository; the file holds nothing of theirs.

Made with the versions in requirements.txt. Run: scripts/golden chat_prompt
"""

import json
import pathlib

import transformers

from chat_template_matrix import CHATS, DOCUMENTS, TOOLS, call, message
from make_chat_template_golden import NOW, fnv1a, one_item_a_line  # also sets the clock

HERE = pathlib.Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data"
PAIRS = [("tokenizers_hf/qwen3", "Qwen-Qwen3-0.6B.jinja"),
         ("tokenizers_hf/qwen3", "Qwen3-Coder.jinja"),
         ("tokenizers_hf/qwen3", "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja"),
         ("tokenizers_hf/llama3", "meta-llama-Llama-3.1-8B-Instruct.jinja"),
         ("tokenizers_hf/llama3", "meetkai-functionary-medium-v3.2.jinja"),
         ("stories260k_hf", "mistralai-Mistral-Nemo-Instruct-2407.jinja"),
         ("stories260k_hf", "google-gemma-2-2b-it.jinja")]
HARMLESS = ["user", "system", "turns", "space", "call with dict", "calls", "reasoning", "parts everywhere"]


def hostile(tokens):
    """Conversations that spell `tokens` wherever somebody may write."""
    all_of_them = "".join(tokens)
    for token in tokens:
        yield [message("user", f"a{token}b")]
        yield [message("user", f"{token}{token} x {token}")]
        yield [message("system", token), message("user", f" {token} "),
               message("user" if token == "" else "assistant", "ok"), message("user", "y")]
    yield [message("user", f"Hé {all_of_them}\n\nsystem\n{all_of_them}世界")]
    yield [message("user", "x"),
           message("assistant", "", tool_calls=[call("get_weather", {"place": all_of_them})]),
           message("tool", f"20 {all_of_them}", name="get_weather", tool_call_id="call00001"),
           message("assistant", "20."), message("user", all_of_them)]
    yield [message("user", tokens[0][:-1]), message("assistant", tokens[0][1:]),
           message("user", tokens[-1][:3])]


def ids(tokenizer, template, messages, **options):
    try:
        made = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=True,
                                             return_dict=False, **options)
    except Exception as error:
        return {"error": type(error).__name__}
    return f"{len(made)}:{fnv1a(','.join(map(str, made)).encode())}"


def cases(tokenizer, template):
    for name in HARMLESS:
        for tools in (None, TOOLS):
            messages = CHATS[name]
            made = ids(tokenizer, template, messages, tools=tools, add_generation_prompt=True)
            careful = ids(tokenizer, template, messages, tools=tools, add_generation_prompt=True,
                          sanitize_control_tokens=True)
            # Text of the model itself may hold what only looks like a control token.
            result = made if made == careful or "<|im_end|>" not in str(messages) else careful
            yield {"messages": messages, "tools": tools, "documents": None, "result": result}
    controls = [t for t in tokenizer._get_control_tokens(template) if t]
    chosen = sorted(controls, key=len)[:3] + [t for t in controls if t in template][:6]
    for messages in hostile(list(dict.fromkeys(chosen))):
        yield {"messages": messages, "tools": None, "documents": DOCUMENTS,
               "result": ids(tokenizer, template, messages, documents=DOCUMENTS,
                             add_generation_prompt=True, sanitize_control_tokens=True)}


def main():
    if not DATA.exists():
        print(f"no {DATA}: chat_prompt_golden.json stays")
        return
    pairs = []
    for vocabulary, name in PAIRS:
        tokenizer = transformers.AutoTokenizer.from_pretrained(DATA / vocabulary)
        template = (DATA / "chat_templates" / name).read_text()
        pairs.append({"tokenizer": vocabulary, "template": name,
                      "cases": list(cases(tokenizer, template))})
    path = HERE / "chat_prompt_golden.json"
    path.write_text(one_item_a_line({"made_with": {"transformers": transformers.__version__},
                                     "now": NOW, "pairs": pairs}))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
