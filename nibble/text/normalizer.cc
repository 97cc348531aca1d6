// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/normalizer.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "nibble/text/bert_normalizer.h"
#include "nibble/text/byte_level.h"
#include "nibble/text/component_config.h"
#include "nibble/text/precompiled.h"
#include "nibble/text/reference_unicode.h"
#include "nibble/text/replace.h"

namespace nibble {
namespace {

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  bool normalize(std::string& text) const override {
    apply_normal_form(form_, text);
    return false;
  }

 private:
  NormalForm form_;
};

class Lowercase : public Normalizer {
 public:
  bool normalize(std::string& text) const override {
    lower_case(text);
    return false;
  }
};

class StripAccents : public Normalizer {
 public:
  bool normalize(std::string& text) const override { return remove_characters(text, is_mark_); }

 private:
  CharClass is_mark_{is_combining_mark_v9};
};

// The cleaning of the NMT systems before SentencePiece: control characters go, and what looks like
// white space becomes a space.
class Nmt : public Normalizer {
 public:
  bool normalize(std::string& text) const override {
    const bool start_removed = remove_characters(text, is_removed);
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if (is_space(next_code_point(text, at))) {
        out += ' ';
      } else {
        out.append(text, begin, at - begin);
      }
    }
    text = std::move(out);
    return start_removed;
  }

 private:
  static bool is_removed(char32_t c) {
    return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
           c == 0x9F;
  }
  static bool is_space(char32_t c) {
    return c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
  }
};

class ByteLevelNormalizer : public Normalizer {
 public:
  bool normalize(std::string& text) const override {
    std::string out;
    append_byte_level(out, text);
    text = std::move(out);
    return false;
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  bool normalize(std::string& text) const override {
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
    return begin > 0;
  }

 private:
  bool left_, right_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  bool normalize(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
    return false;
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  explicit Replace(Replacement replacement) : replacement_(std::move(replacement)) {}
  bool normalize(std::string& text) const override {
    bool start_removed = false;
    text = replacement_.apply(text, &start_removed);
    return start_removed;
  }

 private:
  Replacement replacement_;
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> steps)
      : steps_(std::move(steps)) {}
  bool normalize(std::string& text) const override {
    bool start_removed = false;
    for (const auto& step : steps_) start_removed |= step->normalize(text);
    return start_removed;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

void lower_case(std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c == 0x130) {
      out += "i\xCC\x87";  // the one character with a longer lower case: i and a dot above
    } else {
      append_utf8(out, simple_lower_case(c));
    }
  }
  text = std::move(out);
}

std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& object,
                                            const std::string& source) {
  const ComponentConfig config(object, "normalizer", source);
  const std::string& type = config.type();
  if (type == "NFC") return std::make_unique<UnicodeForm>(NormalForm::kNfc);
  if (type == "NFD") return std::make_unique<UnicodeForm>(NormalForm::kNfd);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(NormalForm::kNfkc);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(NormalForm::kNfkd);
  if (type == "BertNormalizer") return std::make_unique<BertNormalizer>(config);
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "Precompiled") return std::make_unique<Precompiled>(config);
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
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
    return std::make_unique<NormalizerSequence>(std::move(steps));
  }
  throw config.unsupported();
}

}  // namespace nibble
