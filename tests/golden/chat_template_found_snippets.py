# SPDX-License-Identifier: Apache-2.0
"""More snippets for make_chat_template_golden.py, of the form and with the context of those in
chat_template_snippets.py: the filters that lay out text and make links, set operations on the views
of dicts, and what jinja_differential.py found.
"""

EXPRESSIONS = r"""
(text * 9) | wordwrap(20)
"a well-known top-of-the-range word -- or--two, e-mail --x --- 12-34 super-cali-fragilistic" | wordwrap(9)
"a well-known top-of-the-range word -- or--two, super-cali-fragilistic" | wordwrap(9, break_on_hyphens=false)
"a well-known super-cali-fragilistic-expialidocious" | wordwrap(9, false)
"a well-known super-cali-fragilistic" | wordwrap(9, false, "|", 1)
"a-b ab-c a-bc ab-cd a-b-c a-b-cd ab-c-d x--y x---y -- a--" | wordwrap(2)
"abc defghijkl mno" | wordwrap(4, true, "<br>")
"abcd abcdefghij" | wordwrap(5)
"one two\nthree four\n\n  five" | wordwrap(7)
"x\u2003y \u2003 z" | wordwrap(1)
"abc def" | wordwrap(2.5, false)
"abc def" | wordwrap(2.5)
"abc" | wordwrap(0)
"" | wordwrap(0)
5 | wordwrap(3)
nothing | wordwrap
missing | wordwrap
"a b" | wordwrap(1, wrapstring="<br>" | safe)
"< <" | wordwrap(1, wrapstring="<br>" | safe)
"<" | safe | wordwrap(1)
user | pprint
people | pprint
[people, people] | pprint
tree | pprint
(tree, schema, {"z": 1, "a": [numbers * 30]}) | pprint
text | pprint
(text * 12) | pprint
[text * 12] | pprint
{"key": text * 12, "a": "word " * 40} | pprint
("word " * 40 ~ "\n" ~ "x" * 100 ~ "\n") | pprint
("it's " * 40) | pprint
"x" * 100 | pprint
{2: 1, "a": 1, none: 2, 1.5: 3, true: 1, (1, "a"): 2} | pprint
[{"b": {"d": 1, "c": 2}, "a": ()}] | pprint
(people | groupby("age")) | pprint
[range(30), [], {}, "", ()] | pprint
("<b>" | safe) | pprint
missing | pprint
[[[[[["a" * 70, "b"]]]]], ("c" * 75,)] | pprint
{"a" * 76: "", "b": {"c" * 70: ["", [], "d e"]}} | pprint
"see https://a.b/c(d), (www.x.org). or me@x.org and mailto:me@x.org!" | urlize
"http://1.2.3.4:80/x http://[::1]/ http://[1:2:3] https://x https://a.b. http://a_b.co www. www.a.b" | urlize
"a.com b.info/x?y=z cc.net: dd.uk ee.org:80 xx.com:123456 .com a..com https://ex.com:80a http://1.2.3" | urlize
"HTTP://A.BB wWw.x.org KK.com \u017F\u017F.com a@b a@b.c @a.b a@b.c. x:a@b.c a@-b.c a@b@c.d" | urlize
"(((www.x.org))) <www.x.org> www.x.org/(a) www.x.org/a) www.x.org/(a www.x.org/((a.),)," | urlize
"https://xn--abc.xn--p1ai/ https://xn-- https://a%20b.cd/ www.\u00e9.fr http://[:::1] http://[12345::]" | urlize
"https://example.org/a/long/path" | urlize(10)
"https://example.org/a/long/path" | urlize(-5, true)
"https://example.org" | urlize(target="_blank", rel="me noopener a")
"https://example.org" | urlize(target="<", rel="'")
"foo:bar x-y://z foo: www.a.bc" | urlize(extra_schemes=["foo:", "x-y://"])
"foo:bar" | urlize(extra_schemes=["foo"])
"a" | urlize(extra_schemes=5)
"  a \n www.x.org\t" | urlize
schema.html | urlize
5 | urlize
nothing | urlize
missing | urlize
("<www.x.org>" | safe) | urlize
user.keys() - ["name", "age", "tags", "items"]
(user.keys() - []) | sort
(user.keys() - missing) | length
missing - user.keys()
([3, 1, 2, 1] - empty.keys()) | sort
range(3) - user.keys()
"aaa" - empty.keys()
user.items() - user.items()
{"a": 1}.items() - [("b", 36)]
people[2].items() - [("age", 30)]
(user.keys() - user.keys()) - (user.keys() - user.keys())
[1] - (user.keys() - user.keys())
user.values() - []
5 - user.keys()
user.keys() - 5
user.keys() - [[]]
(range(3) - user.keys()) is sequence
(range(3) - user.keys()) is iterable
1 in (range(3) - user.keys())
[] in (range(3) - user.keys())
(range(3) - user.keys())[0]
(range(3) - user.keys()) | tojson
(range(3) - user.keys()) == {0: 1, 1: 2, 2: 3}.keys()
{(range(3) - user.keys()): 1}
user.keys() == user.keys()
user.items() == user.items()
user.values() == user.values()
people[2].keys() < people[0].keys()
people[2].keys() <= people[2].keys()
people[2].items() < people[0].items()
people[0].keys() > user.keys()
[] in user.keys()
[] in user.items()
("age", 36) in user.items()
([], 36) in user.items()
{range(1): 1, range(0, 1): 2}
range(0) in {range(5, 2): 1}
(numbers | map("string")) in empty
user.values() in empty
user.keys() in empty
"key" % range(2)
"key" % missing
"key" % (range(3) - user.keys())
"ΑΣ" | capitalize
"Σ" | capitalize
"ΑΣ ΣΑΣ'Σ Σ".title()
"ΑΣ".swapcase()
"ασς".swapcase()
tree | truncate(0, true, "....")
"abcdef" | truncate(1e300)
"abcdef" | truncate(5.5, leeway=0)
"abc" | truncate(5, end=[1])
"abc" | truncate(1, leeway=0, end=[])
missing | truncate
"%(age)d" % missing
-1.5 ** no
-2 ** numbers[2]
(-2) ** numbers[2]
-2 ** 2
-2 ** (1 + 1)
-2 ** numbers | length
2 ** -numbers[2]
-2 ** numbers[2] ** 2
-ratio ** numbers[2]
3.14159 | round(40, "floor")
-3.14159 | round(30, "ceil")
-0.5 | round(0, "ceil")
-3.5 | round(0.5, "floor")
5 | round(30, "ceil")
5 | round(400, "ceil")
1234.5 | round(-2, "floor")
1234 | round(-2, "ceil")
2.5 | round(1.0)
("<" | safe).join([1, "<", none])
numbers[1, 2]
numbers[]
{(1, 2): "x"}[1, 2]
"١٢" | int
"१२.५" | float
"1_0_e" | int(base=16)
"1_e3" | float
"Ada" | int("x", 2.5)
numbers | batch(2.0) | list
numbers | batch(3.0, 0) | list
numbers | batch("x") | list
numbers | slice(2.5) | list
"x" | tojson(indent=2.5, separators=(1, 2))
[1] | tojson(separators=(1, 2))
"{:z.1f} {:z} {:z.0e} {:+z.1f} {:z}".format(-0.01, -0.0, -0.0, -0.0, -1.5)
"{:z}".format(1)
"{:z}".format("a")
(schema.html | e | lower).partition("x")
("<B>" | safe) | lower | e
("<B>" | safe) | title | e
("<B> " | safe) | trim | e
("<B>x y z" | safe) | truncate(6, leeway=0, end="<") | e
[5, 1.25] | max(attribute="age")
{[]: missing.x}
"abc".count(1, 10)
"abc".find(1, 10)
"a\u0301b c" | wordcount
"".maketrans("abé", "xy世", "c")
"abcé".translate("".maketrans("abé", "xy世", "c"))
"".maketrans({"a": "b", 99: none, true: 1})
"".maketrans({"ab": 1})
"".maketrans("a", "bc")
"".maketrans("a")
"".maketrans(missing)
""".strip("\n").split("\n")

STATEMENTS = [
    "{% for n in numbers %}{% break %}{% else %}none{% endfor %}",
    "{% for n in numbers %}{% continue %}{% else %}none{% endfor %}",
    "{% for n in numbers %}{% if n == 2 %}{% break %}{% endif %}{% else %}none{% endfor %}",
    "{% for n in [1, 2] %}{{ n }}{% if n == 2 %}{% continue %}{% endif %}{% else %}none{% endfor %}",
    "{% filter float(3) %}x{% endfilter %}",
    "{% filter length %}x{% endfilter %}{{ missing.x }}",
    "{% set x %}{% filter length %}x{% endfilter %}{% endset %}",
    "{% macro m() %}{% filter items %}x{% endfilter %}{% endmacro %}fine",
    "{% if no %}{% filter nosuch %}{% endfilter %}{% endif %}",
    "{% if no %}{% filter upper %}{{ 1 | nosuch }}{% endfilter %}{% endif %}",
    "{% if no %}{% set x %}{{ 1 | nosuch }}{% endset %}{% endif %}",
    "{% if no %}{% set x | nosuch %}{% endset %}{% endif %}",
    "{% if no %}{% with %}{{ 1 | nosuch }}{% endwith %}{% endif %}",
    "{% if no %}{% with x = 1 | nosuch %}{% endwith %}{% endif %}",
    "{% if no %}{% autoescape true %}{{ 1 | nosuch }}{% endautoescape %}{% endif %}fine",
    "{% if no %}{% macro m(x=1|nosuch) %}{% endmacro %}{% endif %}",
    "{% if no %}{% macro m() %}{{ 1 | nosuch }}{% endmacro %}{% endif %}",
    "{% if no %}{% call m(1 | nosuch) %}{% endcall %}{% endif %}",
    "{% if no %}{% block b %}{{ 1 | nosuch }}{% endblock %}{% endif %}",
    "{% if no %}{% generation %}{{ 1 | nosuch }}{% endgeneration %}{% endif %}",
    "{% if no %}{% for x in 1 | nosuch %}{% endfor %}{% endif %}",
    "{% filter attr('x') %}x{% endfilter %}",
    "{% autoescape true %}{{ '<' }}{% block b %}{{ '<' }}{{ '<' | replace('<', '>') }}{% endblock %}{% endautoescape %}",
    "{% autoescape true %}{{ 'www.x.org <' | urlize }}{{ schema.html | wordwrap(9) }}{{ [schema.html] | pprint }}"
    "{% endautoescape %}",
    "{% macro m() %}{% macro n(caller=1) %}{{ caller }}{% endmacro %}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{% set caller = 1 %}{{ caller }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{{ caller() }}{% set caller = 1 %}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% macro m() %}{% block b %}{{ caller is defined }}{% endblock %}{% endmacro %}{% call m() %}{% endcall %}",
]
