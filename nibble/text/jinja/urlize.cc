// SPDX-License-Identifier: Apache-2.0
//
// The filter urlize: addresses in a text become links. What is an address is Jinja2's to say; its
// rules are matched by hand, in linear time.
#include <unicode/uchar.h>

#include <algorithm>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

constexpr auto kNoDot = std::u32string_view::npos;

std::u32string code_points(std::string_view text) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) out += next_code_point(text, at);
  return out;
}

// Python ignores case in a way of its own: four letters beyond ASCII count as ASCII's.
char32_t folded(char32_t c) {
  if (c >= 'A' && c <= 'Z') return c + ('a' - 'A');
  return c == 0x130 || c == 0x131 ? 'i' : c == 0x17F ? 's' : c == 0x212A ? 'k' : c;
}

bool is_decimal(char32_t c) { return u_isdigit(static_cast<UChar32>(c)); }
bool is_hex(char32_t c) { return is_decimal(c) || (folded(c) >= 'a' && folded(c) <= 'f'); }
bool in_domain(char32_t c) { return is_python_word(c) || c == '%' || c == '-'; }

template <typename F>
bool all(std::u32string_view text, F test) {
  return std::all_of(text.begin(), text.end(), test);
}

std::u32string lower(std::u32string_view text) {
  std::u32string out(text);
  std::transform(out.begin(), out.end(), out.begin(), folded);
  return out;
}

std::vector<std::u32string_view> labels_of(std::u32string_view host) {
  std::vector<std::u32string_view> labels;
  for (size_t at = 0;;) {
    const size_t dot = host.find('.', at);
    labels.push_back(host.substr(at, dot == kNoDot ? kNoDot : dot - at));
    if (dot == kNoDot) return labels;
    at = dot + 1;
  }
}

bool is_top_level(std::u32string_view label) {
  const std::u32string text = lower(label);
  const bool is_plain = text.size() >= 2 && text.size() <= 63 &&
                        all(text, [](char32_t c) { return c >= 'a' && c <= 'z'; });
  return is_plain ||
         (text.starts_with(U"xn--") && text.size() >= 6 && text.size() <= 63 &&
          all(text.substr(4), [](char32_t c) { return is_python_word(c) || c == '%'; }));
}

bool is_known_top_level(std::u32string_view label) {
  constexpr std::u32string_view kKnown[] = {U"com", U"net", U"int",  U"edu",
                                            U"gov", U"org", U"info", U"mil"};
  return std::ranges::find(kKnown, lower(label)) != std::end(kKnown);
}

// After a scheme or "www.".
bool is_host(std::u32string_view host) {
  const auto labels = labels_of(host);
  return is_top_level(labels.back()) &&
         std::all_of(labels.begin(), labels.end() - 1, [](auto label) { return !label.empty(); });
}

// Without either.
bool is_bare_host(std::u32string_view host) {
  const auto labels = labels_of(host);
  return labels.size() > 1 && is_known_top_level(labels.back()) &&
         std::all_of(labels.begin(), labels.end() - 1,
                     [](auto label) { return label.size() >= 2 && label.size() <= 63; });
}

bool is_ipv4(std::u32string_view host) {
  const auto labels = labels_of(host);
  return labels.size() == 4 && std::ranges::all_of(labels, [](auto label) {
           return !label.empty() && label.size() <= 3 && all(label, is_decimal);
         });
}

// Two groups of up to four digits with their colons, then up to six whose colons may lack.
bool is_ipv6(std::u32string_view groups) {
  size_t units = 0;
  for (int i = 0;; ++i) {
    const size_t colon = groups.find(':');
    const std::u32string_view group = groups.substr(0, colon);
    if (!all(group, is_hex)) return false;
    if (i < 2) {
      if (colon == kNoDot || group.size() > 4) return false;
    } else {
      units += std::max<size_t>((group.size() + 3) / 4, colon == kNoDot ? 0 : 1);
    }
    if (colon == kNoDot) return units <= 6;
    groups.remove_prefix(colon + 1);
  }
}

// A port, a path, a query, a fragment.
bool is_rest(std::u32string_view rest) {
  if (rest.starts_with(':')) {
    size_t end = 1;
    while (end < rest.size() && end < 6 && is_decimal(rest[end])) ++end;
    if (end == 1) return false;
    rest.remove_prefix(end);
  }
  return rest.empty() || rest[0] == '/' || rest[0] == '?' || rest[0] == '#';
}

bool is_url(std::u32string_view text) {
  const std::u32string start = lower(text.substr(0, 8));
  const size_t scheme = start.starts_with(U"https://") ? 8 : start.starts_with(U"http://") ? 7 : 0;
  const size_t prefix = scheme > 0 ? scheme : start.starts_with(U"www.") ? 4 : 0;
  const std::u32string_view rest = text.substr(prefix);
  if (scheme > 0 && rest.starts_with('[')) {
    const size_t end = rest.find(']');
    return end != kNoDot && is_ipv6(rest.substr(1, end - 1)) && is_rest(rest.substr(end + 1));
  }
  const auto host_of = [](std::u32string_view from) {
    size_t end = 0;
    while (end < from.size() && (in_domain(from[end]) || from[end] == '.')) ++end;
    return from.substr(0, end);
  };
  const std::u32string_view host = host_of(rest), whole = host_of(text);
  if (prefix > 0 && is_rest(rest.substr(host.size())) &&
      (is_host(host) || (scheme > 0 && is_ipv4(host)))) {
    return true;
  }
  return is_bare_host(whole) && is_rest(text.substr(whole.size()));
}

bool is_email(std::u32string_view text) {
  const size_t at = text.rfind('@');
  if (at == kNoDot || at == 0) return false;
  const std::u32string_view domain = text.substr(at + 1);
  const size_t dot = domain.rfind('.');
  return dot != kNoDot && dot > 0 && dot + 1 < domain.size() && is_python_word(domain[0]) &&
         all(domain.substr(0, dot),
             [](char32_t c) { return is_python_word(c) || c == '.' || c == '-'; }) &&
         all(domain.substr(dot + 1), is_python_word);
}

size_t count(std::string_view text, std::string_view part) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size()) {
    ++found;
  }
  return found;
}

// A word without the brackets before it and the punctuation behind it, as offsets.
struct Core {
  size_t begin, end;
};

Core core_of(std::string_view word) {
  Core core{0, word.size()};
  for (size_t size = 1; size > 0; core.begin += size) {
    const std::string_view rest = word.substr(core.begin);
    size = rest.starts_with("&lt;") ? 4 : rest.starts_with('(') || rest.starts_with('<') ? 1 : 0;
  }
  for (size_t size = 1; size > 0; core.end -= size) {
    const std::string_view rest = word.substr(core.begin, core.end - core.begin);
    const bool mark = !rest.empty() && std::string_view(")>.,").find(rest.back()) != kNoDot;
    size = rest.ends_with("&gt;") ? 4 : mark ? 1 : 0;
  }
  // Brackets that open inside take their closing ones, and what is before those, back.
  constexpr std::pair<std::string_view, std::string_view> kBrackets[] = {
      {"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}};
  for (const auto& [open, close] : kBrackets) {
    const std::string_view inside = word.substr(core.begin, core.end - core.begin);
    const size_t opened = count(inside, open);
    if (opened <= count(inside, close)) continue;
    for (size_t n = std::min(opened, count(word.substr(core.end), close)); n > 0; --n) {
      core.end = word.find(close, core.end) + close.size();
    }
  }
  return core;
}

class Linker {
 public:
  Linker(Interpreter& run, const BoundArguments& args) : run_(run), args_(args) {
    rel_ = attribute("rel", rel());
    if (const Value* target = args.given(2); target && truthy(*target)) {
      target_ = attribute("target", to_text(*target, run.budget()));
    }
    if (const Value* schemes = args.given(4)) {
      for (const Value& scheme : to_items(*schemes, run.budget())) {
        if (!scheme.text() || !is_scheme(scheme.text()->bytes())) {
          throw Error("urlize is given a scheme that is none");
        }
        schemes_.push_back(scheme.text()->bytes());
      }
    }
  }

  Text link(const Text& word) const {
    const Core core = core_of(word.bytes());
    const Text middle = word.substr(core.begin, core.end);
    const Text link = anchor(middle);
    Text out = word.substr(0, core.begin);
    out.append(link);
    out.append(word, core.end, word.size());
    return out;
  }

 private:
  static bool is_scheme(std::string_view text) {
    const std::u32string points = code_points(text);
    const size_t colon = points.find(':');
    return colon != kNoDot && colon >= 2 &&
           all(std::u32string_view(points).substr(0, colon),
               [](char32_t c) { return is_python_word(c) || c == '.' || c == '+' || c == '-'; }) &&
           points.size() <= colon + 3 &&
           all(std::u32string_view(points).substr(colon + 1), [](char32_t c) { return c == '/'; });
  }

  // The words of `rel` and Jinja2's own, each once and sorted.
  Text rel() const {
    std::vector<Text> words;
    if (args_[3] && truthy(*args_[3])) {
      words = split_at_space(args_.text(3).as_plain(), -1, false, run_.budget());
    }
    if (args_.flag(1)) words.emplace_back(std::string("nofollow"));
    words.emplace_back(std::string("noopener"));
    std::ranges::stable_sort(words, {}, &Text::bytes);
    words.erase(std::ranges::unique(words, {}, &Text::bytes).begin(), words.end());
    return join_texts(Text(std::string(" ")), words, run_.budget());
  }

  static Text attribute(const char* name, const Text& value) {
    Text out(fmt::format(" {}=\"", name));
    out.append(escape(value));
    out.append("\"");
    return out;
  }

  static Text anchored(const char* scheme, const Text& address, const Text& attributes,
                       const Text& shown) {
    Text out(fmt::format("<a href=\"{}", scheme));
    out.append(address);
    out.append("\"");
    out.append(attributes);
    out.append(">");
    out.append(shown);
    out.append("</a>");
    return out;
  }

  Text trimmed(const Text& address) const {
    if (!args_.given(0)) return address;
    const int64_t limit = args_.integer(0, 0);
    const auto size = static_cast<int64_t>(length_in_code_points(address.bytes()));
    if (size <= limit) return address;
    const int64_t kept = std::max<int64_t>(limit < 0 ? limit + size : limit, 0);
    Text out = address.substr(0, byte_offset(address.bytes(), static_cast<size_t>(kept)));
    out.append("...");
    return out;
  }

  Text anchor(const Text& middle) const {
    const std::string& bytes = middle.bytes();
    const std::u32string points = code_points(bytes);
    const std::u32string_view view = points;
    Text attributes = rel_;
    attributes.append(target_);
    if (is_url(view)) {
      const bool has_scheme = bytes.starts_with("https://") || bytes.starts_with("http://");
      return anchored(has_scheme ? "" : "https://", middle, attributes, trimmed(middle));
    }
    if (bytes.starts_with("mailto:") && is_email(view.substr(7))) {
      return anchored("", middle, Text(), middle.substr(7, middle.size()));
    }
    if (!bytes.starts_with("www.") && bytes.find(':') == std::string::npos && is_email(view)) {
      return bytes.starts_with('@') ? middle : anchored("mailto:", middle, Text(), middle);
    }
    const bool known = std::ranges::any_of(schemes_, [&](const std::string& scheme) {
      return bytes != scheme && bytes.starts_with(scheme);
    });
    return known ? anchored("", middle, attributes, middle) : middle;
  }

  Interpreter& run_;
  const BoundArguments& args_;
  Text rel_, target_;  // attributes of links
  std::vector<std::string> schemes_;
};

}  // namespace

Value urlize(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("urlize", given,
                            {"trim_url_limit", "nofollow", "target", "rel", "extra_schemes"});
  const Linker linker(run, args);
  const Text text = escape(to_text(subject, run.budget())).as_plain();
  run.budget().spend_bytes(text.size() * 2 * kCaseMappingCost);
  Text out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    for (size_t next = at; next < text.size(); end = next) {
      if (is_python_space(next_code_point(text.bytes(), next))) break;
    }
    if (end > at) {
      run.budget().spend_steps(1);
      const Text linked = linker.link(text.substr(at, end));
      run.budget().spend_bytes(linked.size());
      out.append(linked);
      run.budget().check_string(out.size());
    }
    at = end;
    if (at < text.size()) {
      next_code_point(text.bytes(), at);
      out.append(text, end, at);
    }
  }
  return run.autoescape() ? out.as_markup() : out;
}

}  // namespace nibble::jinja
