// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/prompt_encoder.h"

#include <algorithm>
#include <span>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"

namespace nibble {
namespace {

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

}  // namespace

// A stretch of the prompt: text with all its added tokens, or a control token spelled by somebody
// who may not write it.
struct PromptEncoder::Part {
  std::string_view text;
  bool spelled = false;
  int64_t own_controls = 0;           // that the template wrote, in text
  std::vector<RenderedPiece> pieces;  // of text, by origin
};

PromptEncoder::PromptEncoder(std::shared_ptr<const Tokenizer> tokenizer,
                             const ChatTemplate& chat_template)
    : tokenizer_(std::move(tokenizer)) {
  for (const AddedTokenInfo& token : tokenizer_->added_tokens()) {
    if (token.content.empty()) continue;
    // White space is an added token of some vocabularies and text in every template.
    if (token.special || (!is_blank(token.content) && chat_template.spells(token.content))) {
      controls_.add(token.content, token.id);
      control_ids_.insert(token.id);
    }
  }
  newline_ = tokenizer_->encode("\n", {.add_special_tokens = false});
}

std::vector<PromptEncoder::Part> PromptEncoder::cut(const std::vector<RenderedPiece>& pieces,
                                                    const std::string& text) const {
  std::vector<size_t> ends;  // of the pieces, in text
  for (const RenderedPiece& piece : pieces) {
    ends.push_back((ends.empty() ? 0 : ends.back()) + piece.text.size());
  }
  // A token may reach over several pieces: it is the template's only if no other byte is in it.
  size_t piece = 0;  // that holds the place looked at
  const auto may_write = [&](size_t begin, size_t end, bool special) {
    for (size_t i = piece; i < pieces.size() && ends[i] - pieces[i].text.size() < end; ++i) {
      if (ends[i] <= begin) continue;
      const TextOrigin origin = pieces[i].origin;
      if (origin == TextOrigin::kUser || (origin == TextOrigin::kModel && special)) return false;
    }
    return true;
  };

  std::vector<Part> parts(1);
  size_t done = 0, controls = 0, next_piece = 0;
  const auto close_text = [&](size_t end) {
    Part& part = parts.back();
    part.text = std::string_view(text).substr(done, end - done);
    part.own_controls = static_cast<int64_t>(std::exchange(controls, 0));
    while (next_piece < pieces.size() && ends[next_piece] <= done) ++next_piece;
    for (size_t i = next_piece; i < pieces.size() && ends[i] - pieces[i].text.size() < end; ++i) {
      const size_t begin = std::max(done, ends[i] - pieces[i].text.size());
      const size_t stop = std::min(end, ends[i]);
      if (begin < stop) {
        part.pieces.push_back({text.substr(begin, stop - begin), pieces[i].origin});
      }
    }
  };
  for (size_t at = 0; at < text.size();) {
    while (ends[piece] <= at) ++piece;
    int32_t id = -1;
    const size_t size = controls_.match(text, at, id);
    if (size == 0) {
      ++at;
      continue;
    }
    if (may_write(at, at + size, tokenizer_->is_special(id))) {
      ++controls;
    } else {
      close_text(at);
      parts.emplace_back().text = std::string_view(text).substr(at, size);
      parts.back().spelled = true;
      parts.emplace_back();
      done = at + size;
    }
    at += size;
  }
  close_text(text.size());
  return parts;
}

// Behind a newline, whose ids are taken off again: at the start of a text some vocabularies put a
// space that belongs there only.
std::vector<int32_t> PromptEncoder::encode_inside(std::string_view text, bool is_first,
                                                  bool plain) const {
  const EncodeOptions options{.add_special_tokens = false, .parse_added_tokens = !plain};
  if (!is_first) {
    std::vector<int32_t> ids = tokenizer_->encode("\n" + std::string(text), options);
    if (std::ranges::equal(std::span(ids).first(std::min(newline_.size(), ids.size())), newline_)) {
      ids.erase(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(newline_.size()));
      return ids;
    }
  }
  return tokenizer_->encode(text, options);
}

void PromptEncoder::append_spelled(std::string_view text, std::vector<int32_t>& ids) const {
  int32_t control = -1;
  controls_.match(text, 0, control);
  const auto forged = [&](const std::vector<int32_t>& made) {
    return std::ranges::find(made, control) != made.end();
  };
  std::vector<int32_t> made = encode_inside(text, false, true);
  if (forged(made)) {
    // The model's vocabulary holds it as a word too: its characters one by one.
    made.clear();
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      next_code_point(text, at);
      const auto more = encode_inside(text.substr(begin, at - begin), false, true);
      made.insert(made.end(), more.begin(), more.end());
    }
    if (forged(made)) {
      throw Error("a message spells a control token that the vocabulary has as plain text too")
          .got(std::string(text))
          .hint("remove it from the message");
    }
  }
  ids.insert(ids.end(), made.begin(), made.end());
}

void PromptEncoder::append_text(const Part& part, bool is_first, std::vector<int32_t>& ids) const {
  if (part.text.empty()) return;
  std::vector<int32_t> made = encode_inside(part.text, is_first, false);
  const auto controls =
      std::ranges::count_if(made, [&](int32_t id) { return control_ids_.contains(id); });
  if (controls > part.own_controls) {
    // A message spells one in a form that only the normalizer makes equal: no added tokens there.
    made.clear();
    for (const RenderedPiece& piece : part.pieces) {
      const auto more = encode_inside(piece.text, is_first && made.empty(),
                                      piece.origin != TextOrigin::kTemplate);
      made.insert(made.end(), more.begin(), more.end());
    }
  }
  ids.insert(ids.end(), made.begin(), made.end());
}

std::vector<int32_t> PromptEncoder::encode(const std::vector<RenderedPiece>& pieces) const {
  std::string text;
  for (const RenderedPiece& piece : pieces) text += piece.text;
  std::vector<int32_t> ids;
  bool is_first = true;
  for (const Part& part : cut(pieces, text)) {
    if (part.spelled) {
      append_spelled(part.text, ids);
    } else {
      append_text(part, is_first, ids);
    }
    is_first = false;
  }
  return ids;
}

}  // namespace nibble
