# SPDX-License-Identifier: Apache-2.0
"""The template language, feature by feature: snippets for make_chat_template_golden.py.

EXPRESSIONS are rendered as {{ expression }}, STATEMENTS as they stand, both with CONTEXT. Those that
Jinja2 refuses are kept too: nibble must refuse them as well.
"""

CONTEXT = {
    "name": "Ada",
    "text": "  Hello, Wörld 世界 😀 \n",
    "numbers": [3, 1, 2, 3],
    "words": ["pear", "Apple", "fig", "apple"],
    "user": {"name": "Ada", "age": 36, "tags": ["a", "b"], "items": "shadowed", "nil": None},
    "people": [
        {"name": "Bo", "age": 30, "home": {"town": "Ulm"}},
        {"name": "al", "age": 25, "home": {"town": "Bonn"}},
        {"name": "Cy", "age": 30},
    ],
    "yes": True,
    "no": False,
    "nothing": None,
    "ratio": 2.5,
    "empty": {},
    "schema": {"type": "object", "required": ["x"], "html": "<a href='x'>&\"é\u2028\u0007</a>"},
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}],
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2
-7 // 2
7 // -2
-7 % 3
7 % -3
7.5 % 2
-7.5 // 2
7 / 2
6 / 3
1 / 3
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
2.0 ** 0.5
1 / 0
1 // 0
1 % 0
1.0 / 0
0.1 + 0.2
1e16
1e15
123456789012345680.0
1e-5
0.0001
1.5e300 * 1e10
100000000000000000000.0
1_000_000
0x1F + 0b101 + 0o17
1.5e3
3.0
-0.0
true + true
true * 3
yes and 5
no or "x"
not yes
not no and yes
nothing or "fallback"
1 < 2 < 3
1 < 2 > 3
1 == 1.0
true == 1
"a" == 'a'
"1" == 1
[1, 2] == [1, 2.0]
(1, 2) == [1, 2]
{"a": 1} == {"a": 1.0}
"a" < "b"
"Z" < "a"
[1, 2] < [1, 3]
1 < "a"
none < 1
missing < 1
missing == missing_too
missing == none
"a" in "cat"
"x" not in "cat"
2 in numbers
9 not in numbers
"name" in user
"a" in missing
1 in "abc"
1 in 5
"a" ~ 1 ~ none ~ true ~ 1.5 ~ missing ~ [1, "x"]
"a" + "b"
"a" + 1
missing + "a"
"ab" * 3
3 * "ab"
"ab" * -1
[1, 2] * 2
[1] + [2]
(1,) + (2, 3)
[1] + (2,)
"a" if yes else "b"
"a" if no else "b"
"a" if no
("a" if no) is defined
1 if yes else 2 if no else 3
name
missing
missing.attribute
missing["key"]
user.missing
user.missing.more
user["missing"]["more"]
user.name
user["name"]
user.items is callable
user["items"]
user.nil
user.tags[0]
user.tags[-1]
user.tags[9]
user.tags[9] is defined
user.tags.0
user.get("age")
user.get("none")
user.get("none", 5)
user.keys() | list
user.values() | list
user.items() | list
empty.items() | list
user.keys()
empty.values()
user.update({"a": 1})
numbers.append(4)
numbers.pop()
numbers.sort()
numbers.count(3)
numbers.index(2)
numbers.index(99)
name.__class__
name.__class__.__mro__
user.__class__
user["__class__"]
name._private
missing.__nosuch__
numbers[1:]
numbers[:-1]
numbers[::-1]
numbers[::2]
numbers[3:0:-1]
numbers[-2:]
numbers[10:]
numbers[::0]
"hello"[1:4]
"hello"[::-1]
"hello"[-3:]
"héllo世界"[4:]
text[3]
text[99]
nothing[1:]
missing[1:]
user[1:]
(1, 2, 3)[1:]
range(5)
range(5) | list
range(2, 8, 3) | list
range(5, 0, -2) | list
range(0) | list
range(1, 3)[0]
range(10) | length
range(1, 2, 0)
range(200000)
[1, "a", none, true, 2.5, [1], {"k": (1,)}]
(1,)
()
{}
[]
{"a": 1, "b": [1, 2], 3: none}
{1: "a", true: "b"}
{[1]: 2}
["it's", 'say "hi"', "both ' and \"", "tab\t nl\n back\\", "é世😀", "\x00\x7f\u200b"]
"\n\t\\\"\'\x41\u00e9\U0001F600\101\q"
'single' "joined" 'strings'
"a\
b"
text.strip()
text.lstrip()
text.rstrip()
"xxaxx".strip("x")
"xyaxy".lstrip("yx")
"éaé".strip("é")
"a,b,,c".split(",")
"a,b,,c".split(",", 1)
"a,b,,c".rsplit(",", 1)
" a  b c ".split()
" a  b c ".split(none, 1)
" a  b c ".rsplit(none, 1)
"".split()
"".split(",")
"abc".split("")
"a\nb\r\nc\n".splitlines()
"a\nb".splitlines(true)
"hello".startswith("he")
"hello".startswith(("x", "h"))
"hello".endswith("lo")
"hello".startswith("l", 2)
"hello".startswith(1)
"hello world".replace("o", "0")
"aaa".replace("a", "b", 2)
"abc".replace("", "-")
"hElLo wOrld".upper()
"hElLo".lower()
"straße".upper()
"hello world's end".title()
"hello WORLD".capitalize()
"hello".find("l")
"hello".find("z")
"hello".rfind("l")
"héllo".find("l")
"hello".index("z")
"hello".count("l")
"aaaa".count("aa")
",".join(["a", "b"])
",".join([1])
"a-b-c".partition("-")
"a-b-c".rpartition("-")
"prefix-x".removeprefix("prefix-")
"x.txt".removesuffix(".txt")
"x".removesuffix("y")
"abc".center(8, "*")
"abc".ljust(5) ~ "|"
"abc".rjust(5)
"-7".zfill(4)
"abc".isalpha()
"12".isdigit()
"a1".isalnum()
"".isdigit()
"AB".isupper()
"ab".islower()
" \t".isspace()
"abc".nosuch()
"abc".upper is callable
"{} and {}".format(1, "x")
"{1} {0} {k}".format("a", "b", k=3)
"{:>5}|{:<5}|{:^5}".format("a", "b", "c")
"{:05d} {:x} {:,} {:+}".format(42, 255, 1234567, 3)
"{:.2f} {:e} {:%} {:g}".format(3.14159, 12345.678, 0.25, 1e-7)
"{u[name]} {n[0]}".format(u=user, n=numbers)
"{!r}".format("x")
"{0.__class__}".format("x")
"{} {}".format(1)
"{{}}".format()
"%s is %d and %.2f" % (name, 7, 2.5)
"%5d|%-5d|%05d|%+d" % (1, 2, 3, 4)
"%x %o %e %g %c %%" % (255, 8, 1.5, 0.0001, "z")
"%(a)s-%(b)s" % {"a": 1, "b": 2}
"%r" % "x"
"%s" % [1, 2]
"%d" % "x"
"%s %s" % "x"
"%s" % ("a", "b")
"%z" % 1
text | trim
"xxax" | trim("x")
42 | trim
name | upper
name | lower
"foo BAR" | capitalize
"foo bar-baz (qux) it's" | title
missing | upper
[1, 2] | upper
numbers | length
text | length
user | count
missing | length
5 | length
none | length
numbers | first
numbers | last
[] | first
[] | first is defined
"abc" | first
"abc" | last
user | first
numbers | join
numbers | join("-")
people | join(", ", attribute="name")
[1, none, "x", missing] | join("|")
none | join
numbers | sort
numbers | sort(reverse=true)
words | sort
words | sort(case_sensitive=true)
people | sort(attribute="age") | map(attribute="name") | list
people | sort(attribute="age,name") | map(attribute="name") | list
[1, "a"] | sort
words | unique | list
words | unique(case_sensitive=true) | list
numbers | sum
people | sum(attribute="age")
[] | sum
[[1], [2]] | sum(start=[])
["a"] | sum
numbers | min
numbers | max
words | min
[] | max
numbers | reverse | list
"abc" | reverse
numbers | reverse | first
numbers | map("string") | list
words | map("upper") | join(" ")
people | map(attribute="home.town") | list
people | map(attribute="home.town", default="?") | list
[[1, 2], [3, 4]] | map(attribute=1) | list
words | map("replace", "p", "q") | list
words | map | list
words | map("nosuch") | list
none | map("upper") | list
numbers | select("odd") | list
numbers | reject("odd") | list
numbers | select("gt", 1) | list
[0, 1, "", "a"] | select | list
people | selectattr("age", "equalto", 30) | map(attribute="name") | list
people | selectattr("home") | map(attribute="name") | list
people | rejectattr("home", "defined") | map(attribute="name") | list
people | selectattr("age", "in", [25, 26]) | list | length
numbers | select("nosuch") | list
numbers | map("string") | length
"abc" | list
user | list
missing | list
5 | list
user | items | list
missing | items | list
5 | items | list
user | dictsort
{"b": 1, "A": 2, "a": 3} | dictsort
{"b": 1, "A": 2, "a": 3} | dictsort(true)
{"b": 1, "a": 2} | dictsort(by="value")
{"b": 1, "a": 2} | dictsort(reverse=true)
"a\nb\n\nc" | indent
"a\nb" | indent(2, true)
"a\n\nb" | indent(2, blank=true)
"a\nb" | indent("> ")
"a\nb\n" | indent(width=1, first=true)
5 | indent
missing | default("x")
nothing | default("x")
nothing | default("x", true)
"" | d("y", boolean=true)
missing.more | default("x")
user.missing | default({"a": 1})
"42" | int
" -42 " | int
"4.7" | int
"x" | int
"x" | int(7)
"1f" | int(base=16)
"0x1F" | int(0, 16)
4.9 | int
true | int
none | int
missing | int
"1_000" | int
"3.5" | float
"x" | float
"1e3" | float
"inf" | float
7 | float
3.14159 | round
3.14159 | round(2)
2.5 | round
3.5 | round
2.675 | round(2)
42 | round
1234 | round(-2)
2.1 | round(method="ceil")
2.9 | round(0, "floor")
1234.5 | round(-2)
-5 | abs
-5.5 | abs
"a" | abs
5 | string
none | string
"a" | string is string
"<b>&\"'" | escape
"<b>" | e | e
"<b>" | safe
"<b>" | safe ~ "<i>"
("<b>" | safe) + "<i>"
"<b>" | forceescape
"hello world" | replace("o", "0")
"aaa" | replace("a", "b", 2)
123 | replace(2, "x")
"%s-%s" | format("a", 1)
"%(x)s" | format(x=5)
"a b  c" | wordcount
"abc" | center(9)
"hello big wide world" | truncate(12)
"hello big wide world" | truncate(12, true)
"hello" | truncate(3, false, "..", 0)
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3] | batch(2, "x") | list
[1, 2, 3, 4, 5] | slice(2) | list
[1, 2, 3] | slice(2, "x") | list
user | attr("name")
user | attr("get")("age")
schema | tojson
schema | tojson(indent=2)
schema | tojson(ensure_ascii=true)
schema | tojson(sort_keys=true)
schema | tojson(separators=(",", ":"))
schema | tojson(indent=1, separators=(", ", "="))
[] | tojson
{} | tojson(indent=4)
[[], {}, [1]] | tojson(indent=4)
{"a": none, "b": true, "c": 1.0, "d": 1e20, 1: 2, none: 3, true: 4, 2.5: 1} | tojson
"é\n\"\\/\x1f" | tojson
(1, 2) | tojson
missing | tojson
range(3) | tojson
user.keys() | tojson
numbers | map("string") | tojson
{(1, 2): 3} | tojson
name | nosuch
name is defined
missing is defined
missing is not defined
missing is undefined
user.missing is undefined
nothing is none
missing is none
name is string
5 is string
5 is number
true is number
2.5 is number
"5" is number
5 is integer
true is integer
5.0 is integer
2.5 is float
5 is float
yes is boolean
1 is boolean
yes is true
1 is true
no is false
user is mapping
numbers is mapping
numbers is iterable
name is iterable
5 is iterable
missing is iterable
numbers is sequence
name is sequence
user is sequence
(1,) is sequence
user.keys() is sequence
5 is sequence
missing is sequence
3 is odd
3 is even
4 is even
9 is divisibleby 3
9 is divisibleby(2)
"a" is odd
none is sameas none
1 is sameas true
5 is eq 5
5 is equalto 6
5 is ne 6
5 is lt 6
5 is gt 6
5 is le 5
5 is ge 6
5 is lessthan 6
5 is greaterthan 4
2 is in numbers
2 is not in numbers
"ab" is lower
"AB" is upper
name is callable
range is callable
"upper" is filter
"nosuch" is filter
"odd" is test
"<b>" | safe is escaped
5 is nosuch
5 is odd is even
not 5 is odd
5 is odd and 4 is even
name is string and name or "x"
namespace(a=1).a
namespace(a=1).b
namespace({"a": 2}, b=3).a
namespace(_a=1)
dict(a=1, b=2)
dict([("a", 1)], b=2)
dict({"x": 1})
nosuch()
name()
none()
5()
raise_exception("stop")
joiner("-")()
cycler("a", "b").next()
cycler()
"a" "b" | upper
-5 | abs
(-5) | abs
- numbers | length
+5
-"a"
-missing
numbers | length + 1
numbers | length > 3
1 in [1, 2] and 3 not in [1, 2]
[1, 2,]
{"a": 1,}
(1, 2,)
1,
1, 2
[1 2]
{"a" 1}
(1
1)
"open
1 +
| upper
a b
a..b
a.1b
@
a = 1
name[0] ~ name[-1]
{"a": {"b": [10, 20]}}.a.b[1]
(numbers | sort)[0]
(numbers | first) + 1
words | join(", ") | upper
words | map("length") | sum
("x" ~ 1) * 2
"a" in ["a"] | list
[name, name | lower] | join("/")
range(-2)
range(2, -1, 7)
range(0, 6, 3)
range(10)[2:8:3]
range(10)[::-1]
range(3).stop ~ range(0, 9, 2).step ~ range(4).start
"ß".capitalize()
"ßa ǆb".title()
"aBc Ä ß".swapcase()
"Straße ΑΣ".casefold()
"a\tb\n\tc".expandtabs(4)
"a\tb".expandtabs()
"a\tb".expandtabs(0)
"{a} {b[0]}".format_map({"a": 1, "b": [2]})
"{x}".format_map({})
"abc".translate({97: "x", 98: none, 99: 100})
"Ab Cd".istitle() ~ "AB".istitle() ~ "a".istitle()
"a_1".isidentifier() ~ "1a".isidentifier() ~ "".isidentifier()
"a é".isprintable() ~ "\n".isprintable() ~ "".isprintable()
dict.fromkeys([1, 2], 3)
{}.fromkeys("ab")
{"__x": 1}.__x
user.tags.count("a")
"{:>{w}}|{:{f}<5}".format("a", "b", w=5, f="*")
"{:05}|{:_}|{:n}".format("a", 12345, 5)
"{:#x} {:#o} {:#b} {:_x}".format(255, 8, 5, 1048576)
"{:010,}|{:,.2f}|{:+,d}".format(1234, 12345.678, 1234567)
"{:.3}|{:.3}|{:.3}|{:.1}|{:.17}".format(1.0, 123.0, 100.0, 5.0, 0.1)
"{:c}|{:5c}|".format(65, 233)
"{!r:>6}|{!s:<4}|{!a}".format("é", 1, "é")
"{:-}".format("a")
"{:#}".format("a")
"{:,}".format("a")
"{:.2}".format(5)
"{:d}".format(5.0)
"{:,x}".format(5)
"{!z}".format(1)
"{:5}".format(none)
"{:5}".format(missing)
"{:{:{}}}".format(1, 2, 3)
"{0[name]} {0.age} {0[tags][1]}".format(user)
"{a.__class__}".format(a=1)
"%a %#x %#o %e %F %5.1f|%-8s|%.2s" % ("é", 255, 8, 1.5, 2.0, 3.14159, "ab", "xyz")
"%*d|%.*f" % (5, 1, 2, 3.14159)
"%ld %5%" % 1
"<p>a &amp; <b>b</b>\n c<!-- x > y -->&#39;&lt;</p>" | striptags
"a < b" | striptags
"a b/ü?&=+" | urlencode
{"a b": "c/d", "e": 1} | urlencode
[("x", "y z"), (1, none)] | urlencode
5 | urlencode
{"class": "a b", "id": none, "n": missing, "t": "<\"'>"} | xmlattr
{"a": 1} | xmlattr(false)
{} | xmlattr
{"a b": 1} | xmlattr
5 | filesizeformat
1 | filesizeformat
1000 | filesizeformat
1536 | filesizeformat(true)
"123456789" | filesizeformat
1e30 | filesizeformat
people | groupby("age")
people | groupby("name") | map(attribute="grouper") | list
people | groupby("name", case_sensitive=true) | map("first") | list
people | groupby("home.town", default="?") | map(attribute="list") | map("length") | list
people | map(attribute="name") | groupby(0) | list
(people | groupby("age"))[0].list | length
[7] | random
[] | random
5 | random
lipsum is defined
self
range(2) | truncate
[1, 2] | truncate(1, leeway=0)
[] is filter
{} is test
5 | batch(2) is defined
("<b>" | safe).upper() ~ "<"
("<b>" | safe).upper() + "<"
("<b>" | safe)[0:2] + "<"
"a" | forceescape | list
people | selectattr("age", "gt", 26) | map(attribute="name") | join(",")
5 | items is defined
0.5 | select("odd") is defined
user.nosuch
user[0]
numbers["x"]
missing.a.b
(1).x.y
none.x.y
"a".nosuch.more
[].nosuch.more
user["a\nb"].more
caller()
varargs
dict(**{"a": 1}, a=2)
"%s" % none ~ "!"
""" .strip("\n").split("\n")

STATEMENTS = [
    # autoescape
    "{% autoescape true %}{{ '<b>' }}<i>{{ '<b>' | safe }}{{ '<' ~ '>' }}{% endautoescape %}{{ '<' }}",
    "{% autoescape true %}{{ ['<', '>' | safe] | join('&') }}{{ ['<'] | join('&') }}{% endautoescape %}",
    "{% autoescape true %}{% set x %}<{{ '<' }}{% endset %}{{ x }}{{ x is escaped }}{% endautoescape %}",
    "{% macro m(a) %}<{{ a }}{% endmacro %}{% autoescape true %}{{ m('<') }}{% endautoescape %}{{ m('<') }}",
    "{% autoescape true %}{% macro m(a) %}<{{ a }}{% endmacro %}{% endautoescape %}{{ 1 }}",
    "{% autoescape true %}{{ 'a<b' | replace('<', '>') }}{{ {'a': '<'} | xmlattr }}{% endautoescape %}",
    "{% autoescape true %}{% filter upper %}<b>{{ '<' }}{% endfilter %}{% endautoescape %}",
    "{% autoescape true %}{{ {'a': '<'} | tojson }}{{ [1, '<'] }}{{ 1 < 2 }}{% endautoescape %}",
    "{% autoescape false %}{{ '<' }}{% endautoescape %}",
    "{% autoescape %}x{% endautoescape %}",
    "{% autoescape true %}x",
    # what objects show of themselves
    "{% macro m(a, b=1) %}{{ kwargs }}{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}"
    "{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}",
    "{% macro m() %}{{ caller }}{{ caller() }}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% for n in numbers %}{{ loop }}{% endfor %}",
    "{% generation %}{{ kwargs }}{{ varargs }}{% endgeneration %}",
    "{% generation %}{{ caller() }}{% endgeneration %}",
    "{% set n = 1 %}{% generation %}{% set n = 2 %}{{ n }}{% endgeneration %}{{ n }}",
    "{% for g in people | groupby('age') %}{{ g.grouper }}:{% for p in g.list %}{{ p.name }} {% endfor %}{% endfor %}",
    "{% for age, group in people | groupby('age') %}{{ age }}{{ group | length }};{% endfor %}",
    "{% set d = dict.fromkeys(words) %}{{ d }}",
    "{{ strftime_now('%Y %z%Z|%%z %f') }}",
    "{% do numbers.append(1) %}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% trans %}x{% endtrans %}",
    # for
    "{% for n in numbers %}{{ n }},{% endfor %}",
    "{% for n in [] %}x{% else %}none{% endfor %}",
    "{% for n in missing %}x{% else %}none{% endfor %}",
    "{% for n in none %}x{% endfor %}",
    "{% for n in 5 %}x{% endfor %}",
    "{% for k in user %}{{ k }} {% endfor %}",
    "{% for k, v in user.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in user | items %}{{ k }}={{ v }};{% endfor %}",
    "{% for a, b in [[1, 2], (3, 4), 'xy'] %}{{ a }}{{ b }} {% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for c in 'aé世' %}[{{ c }}]{% endfor %}",
    "{% for n in 1, 2, 3 %}{{ n }}{% endfor %}",
    "{% for n in numbers if n > 1 %}{{ loop.index }}:{{ n }}/{{ loop.length }} {% endfor %}",
    "{% for n in numbers if n > 9 %}x{% else %}no{% endfor %}",
    "{% for n in numbers %}{{ loop.index }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }}"
    " {{ loop.first }} {{ loop.last }} {{ loop.length }} {{ loop.depth }} {{ loop.depth0 }}|{% endfor %}",
    "{% for n in numbers %}{{ loop.previtem }}<{{ n }}>{{ loop.nextitem }} {% endfor %}",
    "{% for n in numbers %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for n in numbers %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for n in [1, 1, 2] %}{{ loop.changed(n) }} {% endfor %}",
    "{% for n in numbers | map('string') %}{{ loop.last }}{{ loop.length }}{% endfor %}",
    "{% for n in numbers %}{% if loop.index == 2 %}{% continue %}{% endif %}{{ n }}{% endfor %}",
    "{% for n in numbers %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}",
    "{% for n in numbers %}{% for m in [1, 2] %}{% break %}{% endfor %}{{ n }}{% endfor %}",
    "{% break %}",
    "{% for n in numbers %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for n in tree recursive %}{{ n.v }}({{ loop(n.kids) }}){{ loop.depth }}{% endfor %}",
    "{% for n in tree %}{{ loop(n.kids) }}{% endfor %}",
    "{% for a in [1, 2] %}{% for b in [1, 2] %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for loop in [1] %}{% endfor %}",
    "{% for x in [1] %}{{ loop.nosuch }}{% endfor %}",
    "{{ loop }}{{ loop is defined }}",
    "{% for n in numbers: %}{{ n }}{% endfor %}",
    # if
    "{% if yes %}a{% elif no %}b{% else %}c{% endif %}",
    "{% if no %}a{% elif yes %}b{% else %}c{% endif %}",
    "{% if no %}a{% elif no %}b{% else %}c{% endif %}",
    "{% if missing %}a{% endif %}b",
    "{% if numbers and user and 'x' and 1 and 0.5 %}all{% endif %}",
    "{% if [] or {} or '' or 0 or 0.0 or none or missing or () %}x{% else %}all false{% endif %}",
    "{% if yes %}{{ 1 | nosuch }}{% endif %}",
    "{% if no %}{{ 1 | nosuch }}{% endif %}ok",
    "{% if no %}{{ 1 is nosuch }}{% endif %}ok",
    "{{ 1 | nosuch if no else 2 }}",
    "{{ (1 | nosuch) if yes else 2 }}",
    "{{ 2 if 1 is nosuch else 1 }}",
    "{{ [1 | nosuch, 1 if no else 2] }}",
    "{% if no %}{% for x in [1] %}{{ 1 | nosuch }}{% endfor %}{% endif %}",
    # set and scopes
    "{% set x = 1 %}{{ x }}",
    "{% set x = 1, 2 %}{{ x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}{{ a }}",
    "{% set x = 1 %}{% for n in [1, 2] %}{% set x = x + n %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if yes %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for n in [1, 2] %}{{ x is defined }}{% set x = n %}{% endfor %}{{ x is defined }}",
    "{% set ns = namespace(x=0) %}{% for n in numbers %}{% set ns.x = ns.x + n %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b, c = 2, 3 %}{{ ns.a }}{{ ns.b }}{{ c }}{{ ns }}",
    "{% set ns = {} %}{% set ns.a = 1 %}",
    "{% set missing.a = 1 %}",
    "{% set ns = namespace() %}{% set ns._a = 1 %}",
    "{% set x %}a{{ name }}b{% endset %}[{{ x }}]",
    "{% set x | upper %}a{{ name }}b{% endset %}[{{ x }}]",
    "{% set x | replace('a', 'b') | upper %}aAa{% endset %}[{{ x }}]",
    "{% set x = 1 %}{% set y %}{% set x = 2 %}{{ x }}{% endset %}{{ x }}{{ y }}",
    "{% set 1 = 2 %}",
    "{% set none = 2 %}",
    "{% set user = user.name %}{{ user }}",
    "{% set numbers = numbers[1:] %}{% for n in numbers %}{{ n }}{% endfor %}",
    "{% with a = 1, b = name %}{{ a }}{{ b }}{% set a = 5 %}{{ a }}{% endwith %}{{ a is defined }}",
    "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}",
    "{% filter upper %}a{{ name }}b{% endfilter %}",
    "{% filter trim | replace('a', 'x') %}  banana {% endfilter %}",
    "{% filter nosuch %}{% endfilter %}",
    "{% print 1, 'a', name %}",
    # macros
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=5, a=4) }} {{ m() }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(c=2) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(7) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}",
    "{% macro m() %}{% set x = 9 %}{% endmacro %}{% set x = 5 %}{{ m() }}{{ x }}",
    "{% macro m(x) %}[{{ caller() }}]{{ x }}{% endmacro %}{% call m(1) %}in{% endcall %}",
    "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=5) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% call 5 %}x{% endcall %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m() %}  x  {% endmacro %}[{{ m() | trim }}]{{ m() is string }}",
    "{% macro m(args) %}{{ args }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'args': 2}) }}",
    "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{{ '%s' % name }}{% macro m() %}{% endmacro %}{{ m.name }}",
    # white space
    "a\n{% if yes %}\nb\n{% endif %}\nc\n",
    "a\n  {% if yes %}  \n  b\n  {% endif %}  \nc",
    "a  {%- if yes -%}  b  {%- endif -%}  c",
    "a\n\n  {%- if yes +%}\n  b\n  {%+ endif %}\n  c",
    "a  {{- name -}}  b",
    "  {{ name }}  \n  b",
    "a {#- comment -#} b",
    "a\n  {# comment #}\n  b",
    "a\n  {#+ comment #}\n  b",
    "{# {{ not }} {% run %} #}x",
    "a\n\t{% set x = 1 %}\n\t{% set y = 2 %}\nb",
    "x {% set a = 1 %} y",
    "{% raw %}{{ raw }} {% if %} {# c #}{% endraw %}",
    "a {%- raw -%}  {{ x }}  {%- endraw -%} b",
    "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\nb",
    "line\r\nnext\rlast\n\n",
    "{{ 'a\r\nb' }}",
    "{% if yes -%}\n\n   a\n\n   {%- endif %}",
    "{%- for n in numbers -%}\n {{ n }} \n{%- endfor -%}",
    "{{ {'a': {'b': 1}}['a']['b'] }}}}",
    "{{ '}}' }}{{ '%}' }}",
    "{{'{{'}} { { % } # {a}",
    "\u00a0\n\u00a0{%- if yes %}x{% endif %}",
    # the block of transformers, and blocks
    "a{% generation %}b{{ name }}{% endgeneration %}c",
    "{% for n in [1, 2] %}{% generation %}{{ n }}{{ loop.last }}{% set z = 1 %}{% endgeneration %}{{ z }}{% endfor %}",
    "{% for n in [1] %}{% generation %}{% continue %}{% endgeneration %}{% endfor %}",
    "{% generation %}a",
    "{% block b %}x{{ name }}{% endblock %}",
    "{% block b %}{% endblock b %}{% block b %}{% endblock %}",
    # functions with state
    "{% set j = joiner(', ') %}{% for n in numbers %}{{ j() }}{{ n }}{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}",
    "{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %j %%') }}",
    "{% set m = numbers | map('string') %}{{ m | list }}{{ m | list }}",
    "{% set m = numbers | select('odd') %}{{ 3 in m }}{{ m | list }}",
    "{% set m = numbers | map('nosuch') %}never used",
    # broken
    "{% if yes %}",
    "{% endif %}",
    "{% for n in numbers %}",
    "{% if yes %}{% endfor %}",
    "{% nosuch %}",
    "{% %}",
    "{{ }}",
    "{{ name",
    "{% if yes",
    "{# open",
    "{% raw %}open",
    "{% else %}",
    "{% macro %}{% endmacro %}",
    "{% set %}",
    "{% for in numbers %}{% endfor %}",
    "{% include 'x' %}",
    "{{ (1 }}",
    "{{ [1) }}",
    "{{ 'a' }",
    "{% set x = raise_exception('no') %}",
    "{% if no %}{{ raise_exception('no') }}{% endif %}fine",
]
