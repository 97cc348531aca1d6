// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "nibble/base/utf8.h"
#include "nibble/text/component_config.h"
#include "nibble/text/mark_order.h"
#include "nibble/text/replace.h"

namespace nibble {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(const icu::Normalizer2* form) : form_(form) {}

  void normalize(std::string& text) const override {
    if (is_ascii(text)) return;  // every form keeps ASCII
    if (text.size() > INT32_MAX) throw Error("a text above 2 GiB cannot be normalized");
    UErrorCode status = U_ZERO_ERROR;
    order_long_mark_runs(text);
    std::string out;
    icu::StringByteSink<std::string> sink(&out, static_cast<int32_t>(text.size()));
    form_->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink,
                         nullptr, status);
    if (U_FAILURE(status)) {
      throw Error(std::string("Unicode normalization failed: ") + u_errorName(status));
    }
    text = std::move(out);
  }

 private:
  const icu::Normalizer2* form_;  // owned by ICU for the life of the process
};

std::unique_ptr<Normalizer> make_form(const std::string& type) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = type == "NFC"    ? icu::Normalizer2::getNFCInstance(status)
                                 : type == "NFD"  ? icu::Normalizer2::getNFDInstance(status)
                                 : type == "NFKC" ? icu::Normalizer2::getNFKCInstance(status)
                                                  : icu::Normalizer2::getNFKDInstance(status);
  if (U_FAILURE(status)) {
    throw Error("ICU has no data for Unicode normalization").got(u_errorName(status));
  }
  return std::make_unique<UnicodeForm>(form);
}

// Character by character and without context, as Rust's char::to_lowercase.
class Lowercase : public Normalizer {
 public:
  void normalize(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const char32_t c = next_code_point(text, at);
      if (c == 0x130) {
        out += "i\xCC\x87";  // the one character with a longer lower case: i and a dot above
      } else {
        append_utf8(out, static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
      }
    }
    text = std::move(out);
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  void normalize(std::string& text) const override {
    size_t begin = 0, end = text.size();
    for (size_t at = 0; left_ && at < text.size() && is_whitespace(next_code_point(text, at));) {
      begin = at;
    }
    if (right_) {
      // The end of the last character that is no white space.
      end = begin;
      for (size_t at = begin; at < text.size();) {
        if (!is_whitespace(next_code_point(text, at))) end = at;
      }
    }
    text = text.substr(begin, end - begin);
  }

 private:
  bool left_, right_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void normalize(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  explicit Replace(Replacement replacement) : replacement_(std::move(replacement)) {}
  void normalize(std::string& text) const override { text = replacement_.apply(text); }

 private:
  Replacement replacement_;
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  void normalize(std::string& text) const override {
    for (const auto& step : steps_) step->normalize(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& object,
                                            const std::string& source) {
  const ComponentConfig config(object, "normalizer", source);
  const std::string& type = config.type();
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") return make_form(type);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "Strip") {
    return std::make_unique<Strip>(config.flag("strip_left"), config.flag("strip_right"));
  }
  if (type == "Prepend") return std::make_unique<Prepend>(config.text("prepend"));
  if (type == "Replace") return std::make_unique<Replace>(Replacement(config));
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const auto& step : config.list("normalizers")) {
      steps.push_back(make_normalizer(step, source));
    }
    return std::make_unique<Sequence>(std::move(steps));
  }
  throw config.unsupported();
}

}  // namespace nibble
