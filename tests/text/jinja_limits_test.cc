// SPDX-License-Identifier: Apache-2.0
//
// Hostile templates end in a clear error, soon, and without touching memory they should not.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "nibble/base/error.h"
#include "nibble/text/chat_template.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/parser.h"

namespace nibble {
namespace {

std::string repeat(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// A fiftieth of what a template may spend, for tests with many that spend all of it.
constexpr jinja::Limits kSmall = {
    .steps = 100'000, .value_bytes = int64_t{10} << 20, .string_bytes = int64_t{1} << 20};

std::string outcome(const std::string& source, const jinja::Limits& limits = {}) {
  const std::clock_t start = std::clock();
  std::string result;
  try {
    const jinja::ast::Body body = jinja::parse(source);
    jinja::Interpreter interpreter({}, limits);
    result = "rendered " + interpreter.render(body).bytes();
  } catch (const Error& error) {
    result = error.what();
  }
  // Of processor time, about a second is the promise; sanitizers take ten times as long.
  EXPECT_LT(std::clock() - start, 15 * CLOCKS_PER_SEC) << source.substr(0, 200);
  return result.substr(0, 300);
}

#define EXPECT_STOPPED(source, why, ...)                                            \
  {                                                                                 \
    const std::string stopped = outcome(source __VA_OPT__(, ) __VA_ARGS__);         \
    EXPECT_NE(stopped.find(why), std::string::npos) << stopped << "\n" << (source); \
  }

TEST(JinjaLimits, DeepNestingInTheSource) {
  const char* why = "nested too deeply";
  EXPECT_STOPPED("{{ " + repeat("(", 10000) + "1" + repeat(")", 10000) + " }}", why);
  EXPECT_STOPPED("{{ " + repeat("[", 10000) + repeat("]", 10000) + " }}", why);
  EXPECT_STOPPED("{{ " + repeat("{1:", 10000) + "1" + repeat("}", 10000) + " }}", why);
  EXPECT_STOPPED("{{ " + repeat("not ", 10000) + "1 }}", why);
  EXPECT_STOPPED("{{ " + repeat("-", 10000) + "1 }}", why);
  EXPECT_STOPPED("{{ 1" + repeat(" + 1", 10000) + " }}", why);
  EXPECT_STOPPED("{{ 1" + repeat(" | string", 10000) + " }}", why);
  EXPECT_STOPPED("{{ a" + repeat(".b", 10000) + " }}", why);
  EXPECT_STOPPED("{{ a" + repeat("[0]", 10000) + " }}", why);
  EXPECT_STOPPED("{{ a" + repeat("()", 10000) + " }}", why);
  EXPECT_STOPPED("{{ " + repeat("1 if 1 else ", 10000) + "1 }}", why);
  EXPECT_STOPPED("{{ 1" + repeat(" if 1", 10000) + " }}", why);
  EXPECT_STOPPED(repeat("{% if 1 %}", 10000) + repeat("{% endif %}", 10000), why);
  EXPECT_STOPPED("{% for " + repeat("(", 10000) + "a" + repeat(")", 10000) + " in b %}", why);
  EXPECT_STOPPED("{% set " + repeat("(", 10000) + "a" + repeat(")", 10000) + " = 1 %}", why);
}

TEST(JinjaLimits, ModestNestingWorks) {
  EXPECT_EQ(outcome("{{ " + repeat("(", 100) + "1" + repeat(")", 100) + " }}"), "rendered 1");
  EXPECT_EQ(outcome("{{ 1" + repeat(" + 1", 300) + " }}"), "rendered 301");
}

TEST(JinjaLimits, UnclosedTags) {
  for (const char* source :
       {"{{",   "{%",   "{#",   "{{ '",        "{{ \"a\\",    "{% raw %}",  "{% if",
        "{{ (", "{{ [", "{{ {", "{{ a.",       "{{ a[",       "{{ a|",      "{{ a is",
        "{%-",  "{{-",  "{#-",  "{% for x in", "{% macro m(", "{{ 'a\\u12", "{{ '\\"}) {
    EXPECT_EQ(outcome(source).find("rendered"), std::string::npos) << source;
  }
}

TEST(JinjaLimits, EveryPrefixOfATemplateIsHandled) {
  const std::string source =
      "{%- macro m(a, b=[1, {'k': 2.5}]) -%}{{ a ~ b[1:][::-1] | tojson(indent=2) }}{%- endmacro %}"
      "{% for k, v in {'x': 1}.items() if v is odd %}{# c #}{{ loop.index ** 2 // 3 }}{{ m(k) }}"
      "{% else %}{% raw %}{{ }}{% endraw %}{% endfor %}{% set ns = namespace(a='\\u00e9\\x41') %}"
      "{% set ns.a %}{% filter upper %}t{{ ns.a if not 1 in (2,) else none }}{% endfilter %}{% "
      "endset %}"
      "{% call m() %}{% endcall %}";
  for (size_t size = 0; size < source.size(); ++size) outcome(source.substr(0, size));
}

TEST(JinjaLimits, LongLoops) {
  EXPECT_STOPPED("{{ range(1000000000) }}", "more than 100000");
  EXPECT_STOPPED("{{ range(-9223372036854775807, 9223372036854775807) | list }}",
                 "more than 100000");
  const std::string loop = "{% for a in range(1000) %}";
  EXPECT_STOPPED(loop + loop + loop + repeat("{% endfor %}", 3), "too many steps", kSmall);
  const std::string list = "{% set r = range(1000) | list %}";
  EXPECT_STOPPED(list + loop + "{% if r == r %}{% endif %}{% endfor %}", "too many steps", kSmall);
  EXPECT_STOPPED(list + loop + "{{ -1 in r }}{% endfor %}", "too many steps", kSmall);
  EXPECT_STOPPED(list + loop + "{% set x = r | sort %}{% endfor %}", "too many steps", kSmall);
  const std::string text = "{% set s = 'a' * 100000 %}";
  EXPECT_STOPPED(text + loop + "{% set x = s.upper() %}{% endfor %}", "too many values", kSmall);
  EXPECT_STOPPED(text + loop + "{{ 'b' in s }}{% endfor %}", "too many values", kSmall);
}

TEST(JinjaLimits, GrowthWithoutEnd) {
  EXPECT_STOPPED("{{ 'a' * 99999999999 }}", "too long", kSmall);
  EXPECT_STOPPED("{{ 'ab' * 9223372036854775807 }}", "too long", kSmall);
  EXPECT_STOPPED("{{ [1] * 9223372036854775807 }}", "too many steps", kSmall);
  const std::string loop = "{% set ns = namespace(x='ab', l=[1]) %}{% for a in range(99) %}";
  EXPECT_STOPPED(loop + "{% set ns.x = ns.x + ns.x %}{% endfor %}", "too", kSmall);
  EXPECT_STOPPED(loop + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}", "too", kSmall);
  EXPECT_STOPPED(
      loop + "{% set ns.x = ns.x | replace('a', 'aa') | replace('b', 'bb') %}{% endfor %}", "too",
      kSmall);
  EXPECT_STOPPED(loop + "{% set ns.x = ns.x.join([ns.x, ns.x, ns.x]) %}{% endfor %}", "too",
                 kSmall);
  EXPECT_STOPPED(loop + "{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}", "too", kSmall);
  EXPECT_STOPPED(loop + "{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}", "too", kSmall);
  EXPECT_STOPPED(loop + "{% set ns.l = ns.l + ns.l %}{% endfor %}", "too many steps", kSmall);
  EXPECT_STOPPED(loop + "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}", "too many", kSmall);
  EXPECT_STOPPED(loop + "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}", "too many",
                 kSmall);
  EXPECT_STOPPED(loop + "{% set ns.l = (ns.l, ns.l) %}{% endfor %}{{ ns.l == ns.l }}", "too many",
                 kSmall);
  EXPECT_STOPPED(loop + "{% set ns.l = (1, (ns.l | string,)) %}{% endfor %}{{ {ns.l: 1} }}", "too",
                 kSmall);
  EXPECT_STOPPED("{{ 'x' | indent(999999999999) }}", "too long", kSmall);
  EXPECT_STOPPED("{{ 'x'.center(999999999999) }}", "too long", kSmall);
  EXPECT_STOPPED("{{ '%999999999d' % 1 }}", "too wide", kSmall);
  EXPECT_STOPPED("{{ '{:999999999}'.format(1) }}", "too wide", kSmall);
  EXPECT_STOPPED("{{ 2 ** 64 }}", "64 bits");
  EXPECT_STOPPED("{{ 9223372036854775807 + 1 }}", "64 bits");
  EXPECT_STOPPED("{{ (-9223372036854775807 - 1) // -1 }}", "64 bits");
  EXPECT_STOPPED("{{ 99999999999999999999 }}", "64 bits");
  EXPECT_STOPPED("{{ strftime_now('%c' * 100000) }}", "too long", kSmall);
  EXPECT_STOPPED("{% for a in range(1000) %}{{ 'a' * 10000 }}{% endfor %}", "too", kSmall);
}

// Texts that cost the obvious ways of looking for words, links and line ends their square.
TEST(JinjaLimits, LayoutOfHostileTextTakesLinearTime) {
  for (const char* text :
       {"'(' * 30000 ~ 'a' ~ ')' * 30000", "'a(' * 30000 ~ ')' * 30000", "'a.' * 30000 ~ '@a'",
        "'&lt;' * 20000 ~ '&gt;' * 20000", "'a--' * 30000", "'-' * 30000", "'a-b ' * 20000",
        "' ' * 30000", "'a\\n' * 20000"}) {
    for (const char* filter : {"urlize", "wordwrap(1)", "wordwrap(70, false)", "pprint"}) {
      const std::string result = outcome(fmt::format("{{{{ ({}) | {} | length }}}}", text, filter));
      EXPECT_TRUE(result.starts_with("rendered ")) << text << filter << result;
    }
  }
  const std::string nest =
      "{% set ns = namespace(l='a b') %}{% for a in range(150) %}{% set ns.l = ";
  EXPECT_STOPPED(nest + "[ns.l, 'a b ' * 9999] %}{% endfor %}{{ ns.l | pprint }}", "too many",
                 kSmall);
  EXPECT_STOPPED("{{ {'a' * 99999: [['b'] * 40] * 40} | pprint }}", "too", kSmall);
}

// What a template may spend when nobody says otherwise.
TEST(JinjaLimits, StepsAsTheyAre) {
  const std::string loop = "{% for a in range(100000) %}";
  EXPECT_STOPPED(loop + loop + "{% endfor %}{% endfor %}", "too many steps");
}

TEST(JinjaLimits, BytesAsTheyAre) {
  EXPECT_STOPPED("{% set s = 'a' * 60000000 %}{% for a in range(9) %}{{ 'b' in s }}{% endfor %}",
                 "too many values");
}

TEST(JinjaLimits, LengthsAsTheyAre) {
  EXPECT_STOPPED("{{ 'a' * 67108865 }}", "too long");
  EXPECT_STOPPED("{{ 'a' * 67108864 }}{{ 'a' }}", "writes too much");
}

TEST(JinjaLimits, RecursionWithoutEnd) {
  EXPECT_STOPPED("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recurses too deeply");
  EXPECT_STOPPED(
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      "recurses too deeply");
  EXPECT_STOPPED("{% macro m(x=m()) %}{% endmacro %}{{ m() }}", "recurses too deeply");
  EXPECT_STOPPED("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recurses too deeply");
  const std::string loop = "{% set ns = namespace(l=[]) %}{% for a in range(100000) %}";
  EXPECT_STOPPED(loop + "{% set ns.l = [ns.l] %}{% endfor %}", "too deeply");
  EXPECT_STOPPED(loop + "{% set ns.l = {'a': ns.l} %}{% endfor %}", "too deeply");
  EXPECT_STOPPED(loop + "{% set ns.l = ns.l | map('string') %}{% endfor %}", "too deeply");
  EXPECT_STOPPED(loop + "{% set ns.l = cycler(ns.l) %}{% endfor %}", "too deeply");
  EXPECT_STOPPED(loop + "{% set ns.l = joiner(ns.l) %}{% endfor %}", "too deeply");
  EXPECT_STOPPED(loop + "{% for b in [ns.l] %}{% set ns.l = loop %}{% endfor %}{% endfor %}",
                 "too deeply");
  EXPECT_STOPPED(loop + "{% set ns.l = [ns.l].count %}{% endfor %}", "too deeply");
}

// Values that hold themselves print as an error and are freed at the end (checked by sanitizers).
TEST(JinjaLimits, Cycles) {
  EXPECT_STOPPED("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", "too deeply");
  EXPECT_EQ(outcome("{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns.me[0].me | length }}"),
            "rendered 1");
  EXPECT_EQ(outcome("{% macro m() %}{% set x = m %}{% macro n() %}{{ x.name }}{% endmacro %}"
                    "{{ n() }}{% endmacro %}{{ m() }}"),
            "rendered m");
  EXPECT_EQ(outcome("{% for a in [1] %}{{ loop.changed(loop) }}{% endfor %}"), "rendered True");
}

TEST(JinjaLimits, NothingPrivateOrMutableIsReachable) {
  for (const char* source :
       {"{{ ''.__class__.__mro__ }}", "{{ [].__class__.__base__ }}", "{{ {}['__class__'].x }}",
        "{{ range.__globals__.x }}", "{{ [1].append(2) }}", "{{ {}.update({'a': 1}) }}",
        "{{ messages.clear() }}", "{{ '{0.__class__.x}'.format('') }}",
        "{{ ''|attr('__class__')|attr('x') }}", "{{ loop.__init__.x }}", "{{ self.x.y }}",
        "{% import 'os' as os %}"}) {
    EXPECT_EQ(outcome(source).find("rendered"), std::string::npos) << source;
  }
}

TEST(JinjaLimits, AnHonestLongPromptFits) {
  ChatTemplateInputs inputs;
  for (int i = 0; i < 1000; ++i) {
    inputs.messages.push_back(
        {{"role", i % 2 ? "assistant" : "user"}, {"content", repeat("word ", 200)}});
  }
  const std::string rendered =
      ChatTemplate(
          "{% set ns = namespace(t='') %}{% for m in messages %}{% if loop.index0 % 2 == 0 %}"
          "{% set ns.t = ns.t + m.role + m.content | trim %}{% endif %}{% endfor %}{{ ns.t }}")
          .render(inputs);
  EXPECT_EQ(rendered.size(), 500u * (4 + 999));
}

}  // namespace
}  // namespace nibble
