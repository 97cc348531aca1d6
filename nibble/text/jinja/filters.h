// SPDX-License-Identifier: Apache-2.0
//
// The filters of Jinja2: what may stand behind `|`. They live in html_filters.cc,
// string_filters.cc, sequence_filters.cc and value_filters.cc, one table each; wordwrap, pprint and
// urlize in files of their own.
#pragma once

#include <span>
#include <string_view>

#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

using FilterFunction = Value (*)(Interpreter&, const Value& subject, const Arguments&);

struct FilterEntry {
  std::string_view name;
  FilterFunction function;
};

std::span<const FilterEntry> html_filters();
std::span<const FilterEntry> string_filters();
std::span<const FilterEntry> sequence_filters();
std::span<const FilterEntry> value_filters();

// Filters with a file of their own.
Value word_wrap(Interpreter&, const Value& subject, const Arguments&);
Value pretty_print(Interpreter&, const Value& subject, const Arguments&);
Value urlize(Interpreter&, const Value& subject, const Arguments&);

// Null for a name that is no filter.
FilterFunction find_filter(std::string_view name);

}  // namespace nibble::jinja
