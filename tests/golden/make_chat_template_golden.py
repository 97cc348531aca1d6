#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes chat_template_golden.json: templates, their inputs, and what Jinja2 makes of them under
the settings that transformers renders chat templates with.

Made with jinja2 3.1.6 (the file records it). Run: python3 make_chat_template_golden.py
With --templates DIR --output FILE it writes the same for every *.jinja file in DIR; the test
ChatTemplateGolden.OtherTemplates reads FILE when it is named chat_template_golden.json and its
folder is in the environment variable NIBBLE_CHAT_TEMPLATE_GOLDEN.
"""

import argparse
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chat_template_snippets import CONTEXT, EXPRESSIONS, STATEMENTS

HERE = pathlib.Path(__file__).parent
NOW = 1764842400  # 2025-12-04 10:00:00 UTC


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what the model wrote; the text passes through."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_text")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _text(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    """Refuses names with an underscore in front, as transformers does."""

    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def make_environment():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["namespace"] = Namespace
    now = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)
    environment.globals["strftime_now"] = lambda form: now.strftime(form)
    return environment


ENVIRONMENT = make_environment()

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place & what <it> \"feels\" like",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, e.g. Zürich"},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                "days": {"type": "integer"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["place"],
        },
    },
}


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call_message(arguments):
    call = {"id": "call12345", "type": "function",
            "function": {"name": "get_weather", "arguments": arguments}}
    return message("assistant", "", tool_calls=[call])


CHATS = {
    "user": [message("user", "Hello")],
    "system": [message("system", "You are <b>kind</b>."), message("user", "Hi"),
               message("assistant", "Hello!"), message("user", "More & more")],
    "space": [message("system", "  padded \n"), message("user", "\n  hé 世界 😀\t\n"),
              message("assistant", "<think>\nso\n</think>\n\n yes \n"), message("user", " x ")],
    "empty": [message("user", "")],
    "none": [],
    "tools": [message("system", "Be brief."), message("user", "Weather?"),
              call_message({"place": "Ulm", "days": 3, "exact": True, "more": [1.5, None]}),
              message("tool", "{\"celsius\": 20}", tool_call_id="call12345", name="get_weather"),
              message("assistant", "20 degrees."), message("user", "Thanks")],
    "tool text": [message("user", "Weather?"), call_message("{\"place\": \"Ulm\"}"),
                  message("tool", "20"), message("tool", "21")],
    "parts": [message("user", [{"type": "text", "text": "See "}, {"type": "image"},
                               {"type": "text", "text": "this <|im_end|>"}])],
    "two users": [message("user", "a"), message("user", "b")],
    "ends with answer": [message("user", "a"), message("assistant", "b")],
    "unknown role": [message("alien", "x")],
}


def chat_contexts():
    for chat_name, messages in CHATS.items():
        for tools in (None, [WEATHER]):
            for prompt in (True, False):
                yield (f"{chat_name}{', tools' if tools else ''}{', prompt' if prompt else ''}",
                       {"messages": messages, "tools": tools, "documents": None,
                        "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>"})


def record(name, template, context, case):
    """Adds what Jinja2 renders, or that it refuses, to a case."""
    case = {"name": name, **case}
    try:
        case["expected"] = ENVIRONMENT.from_string(template).render(**context)
    except Exception as error:  # whatever it is, nibble must refuse too
        case["error"] = type(error).__name__
    return case


def snippet_cases():
    for expression in EXPRESSIONS:
        template = "{{ " + expression + " }}"
        yield record(expression, template, CONTEXT, {"template": template})
    for statement in STATEMENTS:
        yield record(statement, statement, CONTEXT, {"template": statement})


def chat_cases(folder):
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_bytes().decode()
        for name, context in chat_contexts():
            yield record(f"{path.name}: {name}", template, context,
                         {"file": path.name, "context": context})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=pathlib.Path, default=HERE / "chat_templates")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "chat_template_golden.json")
    arguments = parser.parse_args()
    own = arguments.templates == HERE / "chat_templates"
    golden = {
        "made_with": {"jinja2": jinja2.__version__},
        "now": NOW,
        "templates": {path.name: path.read_bytes().decode()
                      for path in sorted(arguments.templates.glob("*.jinja"))},
        "context": CONTEXT if own else {},
        "snippets": list(snippet_cases()) if own else [],
        "chats": list(chat_cases(arguments.templates)),
    }
    arguments.output.write_text(json.dumps(golden, ensure_ascii=True, indent=1) + "\n")
    print(f"{arguments.output}: {len(golden['snippets'])} snippets, {len(golden['chats'])} chats")


if __name__ == "__main__":
    main()
