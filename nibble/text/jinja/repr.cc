// SPDX-License-Identifier: Apache-2.0
//
// Python's str() and repr() of values.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {
namespace {

void append_escaped(std::string& out, char32_t c, char quote) {
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\\':
      out += "\\\\";
      return;
    default:
      break;
  }
  const auto code = static_cast<uint32_t>(c);
  if (c == static_cast<char32_t>(quote)) {
    out += '\\';
    out += quote;
  } else if (is_printable(c)) {
    append_utf8(out, c);
  } else if (code < 0x100) {
    out += fmt::format("\\x{:02x}", code);
  } else if (code < 0x10000) {
    out += fmt::format("\\u{:04x}", code);
  } else {
    out += fmt::format("\\U{:08x}", code);
  }
}

// ASCII that needs no second look; most text is that.
bool is_plain(char c) { return c >= 0x20 && c < 0x7F && c != '\'' && c != '"' && c != '\\'; }

Text string_repr(const Text& text) {
  const bool has_single = text.bytes().find('\'') != std::string::npos;
  const bool has_double = text.bytes().find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  Text out(std::string(1, quote));
  text.for_each_run([&](std::string_view run, TextOrigin origin) {
    std::string escaped;
    for (size_t at = 0; at < run.size();) {
      const size_t plain = at;
      while (at < run.size() && is_plain(run[at])) ++at;
      escaped += run.substr(plain, at - plain);
      if (at < run.size()) append_escaped(escaped, next_code_point(run, at), quote);
    }
    out.append(escaped, origin);
  });
  out.append(std::string_view(&quote, 1));
  return text.is_markup() ? [&] {
    Text markup(std::string("Markup("));
    markup.append(out);
    markup.append(")");
    return markup;
  }()
                          : out;
}

class ReprWriter {
 public:
  explicit ReprWriter(Budget& budget) : budget_(budget) {}

  void write(const Value& value) {
    budget_.spend_steps(1);
    if (const Text* text = value.text()) {
      budget_.spend_bytes(text->size() * kEscapingCost);
      return put(string_repr(*text));
    }
    if (const Sequence* seq = value.seq()) return write_sequence(*seq);
    if (const Dict* dict = value.as_dict()) return write_dict(*dict);
    if (const Namespace* space = value.name_space()) {
      // A namespace may hold itself; the guard makes that an error instead of a crash.
      const DepthGuard guard(depth_, kMaxValueDepth,
                             "the template prints a value nested too deeply");
      put("<Namespace ");
      write_dict(space->attributes);
      return put(">");
    }
    put(scalar(value));
  }

  Text take() { return std::move(out_); }

 private:
  static std::string scalar(const Value& value) {
    if (value.is_undefined()) return "Undefined";
    if (value.is_none()) return "None";
    if (const bool* b = value.get<bool>()) return *b ? "True" : "False";
    if (const int64_t* i = value.get<int64_t>()) return fmt::format("{}", *i);
    if (const double* d = value.get<double>()) return float_repr(*d);
    const Object* object = value.object();
    return object && object->shown ? object->shown() : fmt::format("<{}>", type_name(value));
  }

  void write_items(const std::vector<Value>& items) {
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) put(", ");
      write(items[i]);
    }
  }

  void write_sequence(const Sequence& seq) {
    switch (seq.kind) {
      case Sequence::Kind::kList:
        put("[");
        write_items(seq.items);
        return put("]");
      case Sequence::Kind::kTuple:
        put("(");
        write_items(seq.items);
        return put(seq.items.size() == 1 ? ",)" : ")");
      case Sequence::Kind::kRange:
        return put(range_repr(seq.range));
      case Sequence::Kind::kKeys:
        put("dict_keys([");
        break;
      case Sequence::Kind::kValues:
        put("dict_values([");
        break;
      case Sequence::Kind::kItems:
        put("dict_items([");
        break;
      case Sequence::Kind::kSet:
        if (seq.items.empty()) return put("set()");
        put("{");
        write_items(seq.items);
        return put("}");
    }
    write_items(seq.items);
    put("])");
  }

  void write_dict(const Dict& dict) {
    put("{");
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) put(", ");
      write(dict.entries[i].first);
      put(": ");
      write(dict.entries[i].second);
    }
    put("}");
  }

  static std::string range_repr(const Range& range) {
    if (range.step == 1) return fmt::format("range({}, {})", range.start, range.stop);
    return fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
  }

  void put(const Text& text) {
    budget_.spend_bytes(text.size());
    budget_.check_string(out_.size() + text.size());
    out_.append(text);
  }
  void put(std::string_view text) { put(Text(std::string(text))); }

  Budget& budget_;
  Text out_;
  int depth_ = 0;
};

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view shortest(buffer, static_cast<size_t>(scientific.ptr - buffer));
  const size_t e = shortest.find('e');
  const int exponent = std::stoi(std::string(shortest.substr(e + 1)));
  // repr() changes to exponents where the number would take more than 16 digits before the point.
  if (exponent < -4 || exponent >= 16) return std::string(shortest);
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

Text to_repr(const Value& value, Budget& budget) {
  ReprWriter writer(budget);
  writer.write(value);
  return writer.take();
}

Text to_text(const Value& value, Budget& budget) {
  if (const Text* text = value.text()) {
    budget.spend_bytes(text->size());
    return *text;
  }
  if (value.is_undefined()) return Text();
  return to_repr(value, budget);
}

}  // namespace nibble::jinja
