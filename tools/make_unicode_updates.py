#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes nibble/text/unicode_updates.h: what the regular expressions of the tokenizers library know
of characters that came after Unicode 14. PCRE2 10.42 and ICU 72 lack that data, so the library is
asked, code point by code point.

Usage: make_unicode_updates.py > nibble/text/unicode_updates.h
Needs: tokenizers, and a Python whose unicodedata is of Unicode 14 (3.11).
"""
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, pre_tokenizers

CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cf").split()
# Binary properties and scripts that patterns of tokenizers name.
PROPERTIES = ("Alphabetic Uppercase Lowercase Han Hiragana Katakana Hangul Bopomofo Latin Greek "
              "Cyrillic Arabic Hebrew Thai Lao Khmer Myanmar Devanagari Bengali Tamil Telugu "
              "Kannada Malayalam Gujarati Gurmukhi Oriya Sinhala Tibetan Georgian Armenian "
              "Ethiopic Mongolian Common Inherited").split()
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
BATCH = 8192


def matches(property_name):
    """The code points that Oniguruma finds for the property."""
    splitter = pre_tokenizers.Split(Regex(r"\p{%s}" % property_name), "removed", invert=True)
    found = set()
    for i in range(0, len(CODE_POINTS), BATCH):
        text = "".join(map(chr, CODE_POINTS[i:i + BATCH]))
        for part, _ in splitter.pre_tokenize_str(text):
            found.update(map(ord, part))
    return found


def ranges(code_points):
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def emit(rows):
    line = "   "
    for row in rows:
        if len(line) + 1 + len(row) > 99:
            print(line)
            line = "   "
        line += " " + row
    print(line)
    print("};")


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("this needs Python 3.11, whose unicodedata is of Unicode 14.0.0")
    old = {name: set() for name in CATEGORIES}
    for c in CODE_POINTS:
        old.get(unicodedata.category(chr(c)), set()).add(c)
    print(f"""// SPDX-License-Identifier: Apache-2.0
//
// Made by tools/make_unicode_updates.py with tokenizers {tokenizers.__version__}; do not edit.
//
// Properties of characters that came after Unicode 14, as the regular expressions of the tokenizers
// library see them (Oniguruma, of Unicode 16): PCRE2 10.42 has Unicode 14, ICU 72 has 15.
#pragma once

#include <string_view>

namespace nibble {{

struct PropertyRange {{
  std::string_view property;  // a general category, a binary property or a script
  char32_t first, last;
}};

inline constexpr PropertyRange kNewProperties[] = {{""")
    rows = []
    newer = set(c for c in CODE_POINTS if unicodedata.category(chr(c)) == "Cn")
    for name in CATEGORIES:
        rows += [f'{{"{name}", 0x{a:X}, 0x{b:X}}},' for a, b in ranges(matches(name) - old[name])]
    for name in PROPERTIES:
        rows += [f'{{"{name}", 0x{a:X}, 0x{b:X}}},' for a, b in ranges(matches(name) & newer)]
    emit(rows)
    print("\n}  // namespace nibble")


if __name__ == "__main__":
    main()
