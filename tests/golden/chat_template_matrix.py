# SPDX-License-Identifier: Apache-2.0
"""Conversations and options for make_chat_template_golden.py: whatever users of transformers'
apply_chat_template() pass, crossed with every template. A case is (name, messages, options)."""

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

BOOKING = {
    "type": "function",
    "function": {
        "name": "book-table",
        "description": "Reserviert einen Tisch\nfür 日本 👩‍🍳 guests",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "guest": {
                    "type": "object",
                    "description": "who comes",
                    "properties": {
                        "name": {"type": "string"},
                        "age": {"type": ["integer", "null"], "minimum": 0},
                        "meals": {"type": "array",
                                  "items": {"type": "object",
                                            "properties": {"id": {"type": "number"}},
                                            "required": ["id"]}},
                    },
                    "required": ["name"],
                    "additionalProperties": False,
                },
                "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
                "tip": {"type": "number", "default": 1.5, "nullable": True},
                "paid": {"type": "boolean", "default": False},
            },
            "required": ["guest", "when"],
        },
        "return": {"type": "string", "description": "the receipt"},
    },
}

NO_PARAMETERS = {"type": "function", "function": {
    "name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, number=1):
    return {"id": f"call0000{number}", "type": "function",
            "function": {"name": name, "arguments": arguments}}


ARGUMENTS = {"place": "Ulm", "days": 3, "exact": True, "more": [1.5, None, {"ü": "<&>"}]}
RESULT = "{\"celsius\": 20, \"sky\": \"blau\"}"

CHATS = {
    "user": [message("user", "Hello")],
    "system": [message("system", "You are <b>kind</b>."), message("user", "Hi")],
    "turns": [message("system", "Be brief."), message("user", "Hi"),
              message("assistant", "Hello!"), message("user", "More & more"),
              message("assistant", "Fine."), message("user", "Bye")],
    "turns without system": [message("user", "Hi"), message("assistant", "Hello!"),
                             message("user", "More & more")],
    "space": [message("system", "  padded \n"), message("user", "\n  hé 世界 😀\t\n"),
              message("assistant", "<think>\nso\n</think>\n\n yes \n"), message("user", " x ")],
    "empty texts": [message("system", ""), message("user", ""), message("assistant", ""),
                    message("user", "x")],
    "developer": [message("developer", "Obey."), message("user", "Hi")],
    "late system": [message("user", "a"), message("assistant", "b"), message("system", "c"),
                    message("user", "d")],
    "two users": [message("user", "a"), message("user", "b")],
    "ends with answer": [message("user", "a"), message("assistant", "b")],
    "unknown role": [message("alien", "x")],
    "assistant first": [message("assistant", "b"), message("user", "a")],
    "call with dict": [
        message("system", "Be brief."), message("user", "Weather?"),
        message("assistant", "", tool_calls=[call("get_weather", ARGUMENTS)]),
        message("tool", RESULT, tool_call_id="call00001", name="get_weather"),
        message("assistant", "20 degrees."), message("user", "Thanks")],
    "call with text": [
        message("user", "Weather?"),
        message("assistant", None,
                tool_calls=[call("get_weather", "{\"place\": \"Ulm\", \"n\": [1, 2]}")]),
        message("tool", "20", tool_call_id="call00001", name="get_weather"),
        message("tool", "21", tool_call_id="call00002", name="get_weather")],
    "calls": [
        message("user", "Weather and a table?"),
        message("assistant", "Let me see.", tool_calls=[
            call("get_weather", {"place": "Zürich"}), call("book-table", {}, 2)]),
        message("tool", {"celsius": 20, "list": [True, None]}, tool_call_id="call00001",
                name="get_weather"),
        message("tool", "ok <|im_end|>", tool_call_id="call00002", name="book-table"),
        message("assistant", "Done."), message("user", "Thanks")],
    "bare call": [
        message("user", "Weather?"),
        {"role": "assistant", "tool_calls": [{"name": "get_weather", "arguments": ARGUMENTS}]},
        {"role": "tool", "content": "20"}],
    "call last": [
        message("user", "Weather?"),
        message("assistant", "", tool_calls=[call("get_weather", ARGUMENTS)])],
    "reasoning": [
        message("user", "2+2?"),
        message("assistant", "4", reasoning_content="Two and two\nmake four."),
        message("user", "3+3?"), message("assistant", "6", thinking="\nsix?\n"),
        message("user", "Sure?")],
    "reasoning and call": [
        message("user", "Weather?"),
        message("assistant", "", reasoning="I must ask.",
                tool_calls=[call("get_weather", ARGUMENTS)]),
        message("tool", RESULT, tool_call_id="call00001", name="get_weather")],
    "reasoning last": [message("user", "2+2?"),
                       message("assistant", "4", reasoning_content="Two and two ")],
    "think tags": [
        message("user", "2+2?"), message("assistant", "<think>four</think>4"),
        message("user", "again"), message("assistant", "<think>\n\n</think>\n\nfour"),
        message("user", "3+3?")],
    "parts": [message("user", [{"type": "text", "text": "See "}, {"type": "image"},
                               {"type": "text", "text": "this <|im_end|>"}])],
    "parts everywhere": [
        message("system", [{"type": "text", "text": "Be kind."}]),
        message("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        message("assistant", [{"type": "text", "text": "c"}]),
        message("user", [{"type": "text", "text": "d"}])],
    "media": [message("user", [{"type": "video"}, {"type": "audio"},
                               {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
                               {"type": "text", "text": "What?"}])],
    "named": [message("system", "s", name="boss"), message("user", "Hi", name="Ada"),
              message("assistant", "Hello", name="bot"), message("user", "!", name="Bo")],
    "numbers": [message("user", "1", weight=0.1, big=1e22, small=-5e-324),
                message("assistant", "2"), message("user", "3")],
    "no content": [{"role": "user"}],
    "number as content": [message("user", 5)],
}

TOOLS = [WEATHER, BOOKING, NO_PARAMETERS]
DOCUMENTS = [{"title": "Wölfe", "text": "They howl."}, {"title": "Bees", "text": "They \"hum\"."}]


def with_options():
    """Each option with the chats where it can matter."""
    yield {}, list(CHATS)
    yield {"add_generation_prompt": True}, list(CHATS)
    with_tools = ["user", "system", "turns", "call with dict", "call with text", "calls",
                  "bare call", "call last", "reasoning and call", "space"]
    yield {"tools": TOOLS, "add_generation_prompt": True}, with_tools
    yield {"tools": TOOLS}, with_tools
    yield {"tools": [WEATHER]}, list(CHATS)
    yield ({"functions": "[{\"name\": \"f\"}]", "datetime": "now", "add_generation_prompt": True},
           ["user", "system", "turns", "calls"])
    yield {"tools": [], "add_generation_prompt": True}, ["user", "system"]
    thinking = ["user", "system", "turns", "reasoning", "think tags", "call with dict"]
    for name in ("enable_thinking", "thinking"):
        for value in (True, False):
            yield {name: value, "add_generation_prompt": True}, thinking
    yield {"enable_thinking": False, "tools": TOOLS, "add_generation_prompt": True}, thinking
    yield ({"documents": DOCUMENTS, "add_generation_prompt": True},
           ["user", "system", "call with dict"])
    yield ({"date_string": "26 Jul 2024", "tools_in_user_message": False, "tools": TOOLS,
            "add_generation_prompt": True}, ["user", "system"])
    yield ({"reasoning_effort": "low", "thinking_budget": 512, "builtin_tools": ["python"],
            "custom_tools": [WEATHER["function"]], "xml_tools": [WEATHER["function"]],
            "add_generation_prompt": True}, ["user", "system", "turns"])
    yield {"continue_final_message": True}, ["ends with answer", "space", "parts everywhere",
                                             "call last", "think tags"]
    yield {"continue_final_message": "reasoning_content"}, ["reasoning last", "user"]
    yield {"continue_final_message": "thinking"}, ["reasoning last"]


def cases():
    for options, names in with_options():
        for name in names:
            yield {"chat": name, "options": options}
