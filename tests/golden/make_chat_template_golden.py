#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what transformers' apply_chat_template() and the Jinja2 environment behind it render.

chat_template_golden.json: the snippets of chat_template_snippets.py and
chat_template_found_snippets.py with their texts, and the cases of chat_template_matrix.py through
the templates in chat_templates/.

chat_template_matrix.json: the same cases through other people's templates, which are not part of
this repository (--templates DIR, by default ../shared/data/chat_templates beside the checkout). It
holds no text of theirs: per template the hash of its source, per case length and hash of the
rendering, or the error.

Made with the versions in requirements.txt (the files record them). Run: scripts/golden chat_template
"""

import argparse
import copy
import datetime
import json
import pathlib

import jinja2
import tokenizers
import transformers
from transformers.utils import chat_template_utils

import chat_template_found_snippets as found
from chat_template_matrix import CHATS, cases
from chat_template_snippets import CONTEXT, EXPRESSIONS, STATEMENTS

HERE = pathlib.Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "data" / "chat_templates"
NOW = 1764842400  # 2025-12-04 10:00:00 UTC


class Clock(datetime.datetime):
    """Stands in for the clock that strftime_now reads."""

    @classmethod
    def now(cls):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


chat_template_utils.datetime = Clock
ENVIRONMENT = chat_template_utils._compile_jinja_template("").environment
TOKENIZER = transformers.PreTrainedTokenizerFast(
    tokenizer_object=tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0}, "<unk>")),
    bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def outcome(render):
    """The text, or what nibble must refuse too. Messages of the templates' own errors and of
    undefined values are the same in nibble; those of Python's own errors are not."""
    try:
        return render()
    except Exception as error:
        out = {"error": type(error).__name__}
        if type(error) in (jinja2.exceptions.TemplateError, jinja2.exceptions.UndefinedError):
            out["message"] = str(error)[:200]
        return out


def snippet(template):
    def render():
        # Some filters of Jinja2 change lists in place.
        return ENVIRONMENT.from_string(template).render(**copy.deepcopy(CONTEXT))

    return {"template": template, "result": outcome(render)}


def snippets():
    for expression in EXPRESSIONS + found.EXPRESSIONS:
        yield snippet("{{ " + expression + " }}")
    for statement in STATEMENTS + found.STATEMENTS:
        yield snippet(statement)


def renderings(source):
    for case in cases():
        messages = CHATS[case["chat"]]
        yield outcome(lambda: TOKENIZER.apply_chat_template(
            messages, chat_template=source, tokenize=False, **case["options"]))


def digest(result):
    if isinstance(result, dict):
        return result
    data = result.encode()
    return f"{len(data)}:{fnv1a(data)}"


def sources(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jinja"))}


def one_item_a_line(document):
    """JSON whose lists and objects one level down have a line for each item."""
    def block(value):
        if isinstance(value, list):
            return "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
        if isinstance(value, dict):
            return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(item)}"
                                      for key, item in value.items()) + "\n}"
        return json.dumps(value)

    return "{\n" + ",\n".join(f"{json.dumps(key)}: {block(value)}"
                              for key, value in document.items()) + "\n}\n"


def write(path, **content):
    document = {"made_with": {"jinja2": jinja2.__version__,
                              "transformers": transformers.__version__},
                "now": NOW, "chats": CHATS, "cases": list(cases()), **content}
    path.write_text(one_item_a_line(document))
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=pathlib.Path, default=SHARED)
    arguments = parser.parse_args()
    write(HERE / "chat_template_golden.json",
          context=CONTEXT, snippets=list(snippets()),
          templates={name: {"source": source.decode(), "results": list(renderings(source.decode()))}
                     for name, source in sources(HERE / "chat_templates").items()})
    others = sources(arguments.templates)
    if not others:
        print(f"no templates in {arguments.templates}: chat_template_matrix.json stays")
        return
    write(HERE / "chat_template_matrix.json",
          templates={name: {"source_hash": fnv1a(source),
                            "results": [digest(r) for r in renderings(source.decode())]}
                     for name, source in others.items()})


if __name__ == "__main__":
    main()
