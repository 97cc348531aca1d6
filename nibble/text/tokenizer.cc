// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/clean_up.h"
#include "nibble/text/text_collector.h"
#include "nibble/text/tokenizer_parts.h"

namespace nibble {
namespace {

// Words on their way from a scanner to the model.
class EncoderSink : public WordSink {
 public:
  EncoderSink(std::string_view text, WordEncoder& encoder, std::vector<int32_t>& ids)
      : text_(text), encoder_(encoder), ids_(ids) {}

 private:
  void consume(std::span<const TextSpan> words) override {
    encoder_.encode_words(text_, words, ids_);
  }

  std::string_view text_;
  WordEncoder& encoder_;
  std::vector<int32_t>& ids_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}

Tokenizer::~Tokenizer() = default;

// The ids of the text alone, without those of the post-processor.
void Tokenizer::append_ids(std::string_view text, const EncodeOptions& options,
                           std::vector<int32_t>& ids) const {
  const Parts& p = *parts_;
  const AddedTokens none;
  const AddedTokens& added = options.parse_added_tokens ? p.added : none;
  std::string repaired;
  if (!is_valid_utf8(text)) {
    repaired = repair_utf8(text);
    text = repaired;
  }
  ids.reserve(ids.size() + text.size() / 4 + 8);  // English has some four bytes a token
  const auto encoder = p.model->start();
  if (p.scanner != nullptr) {
    added.visit(text, p.normalizer.get(), options.parse_special_tokens,
                [&](const AddedTokens::Part& part) {
                  if (part.token >= 0) {
                    ids.push_back(part.token);
                  } else {
                    EncoderSink sink(part.text, *encoder, ids);
                    p.scanner->scan(part.text, {0, part.text.size()}, sink);
                    sink.flush();
                  }
                });
  } else {
    PreTokenized input = added.extract(text, p.normalizer.get(), options.parse_special_tokens);
    p.pre_tokenizer->apply(input);
    EncoderSink sink(input.text, *encoder, ids);
    for (const Piece& piece : input.pieces) {
      if (piece.is_text()) {
        sink.add(static_cast<size_t>(piece.begin), static_cast<size_t>(piece.end));
      } else {
        sink.flush();
        ids.push_back(piece.token);
      }
    }
    sink.flush();
  }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  std::optional<size_t> begin;  // where the text's own ids are, once they are there
  size_t count = 0;
  for (const TemplatePart& part :
       parts_->post_processor.parts(/*pair=*/false, options.add_special_tokens)) {
    if (part.source == TemplatePart::Source::kSpecial) {
      ids.insert(ids.end(), part.ids.begin(), part.ids.end());
    } else if (!begin.has_value()) {
      begin = ids.size();
      append_ids(text, options, ids);
      count = ids.size() - *begin;
    } else {
      ids.reserve(ids.size() + count);
      for (size_t i = 0; i < count; ++i) ids.push_back(ids[*begin + i]);
    }
  }
  return ids;
}

Encoding Tokenizer::encode_input(const EncodeInput& input, const BatchOptions& options) const {
  return std::move(encode_batch({&input, 1}, options).front());
}

std::vector<Encoding> Tokenizer::encode_batch(std::span<const EncodeInput> inputs,
                                              const BatchOptions& options) const {
  const auto encode_alone = [&](std::string_view text, int32_t type_id) {
    Encoding out;
    append_ids(text, options, out.ids);
    out.type_ids.assign(out.ids.size(), type_id);
    out.special_tokens_mask.assign(out.ids.size(), 0);
    out.attention_mask.assign(out.ids.size(), 1);
    return out;
  };
  const PostProcessor& post_processor = parts_->post_processor;
  std::vector<Encoding> encodings;
  encodings.reserve(inputs.size());
  for (const EncodeInput& input : inputs) {
    Encoding first = encode_alone(input.text, 0);
    std::optional<Encoding> second;
    if (input.pair.has_value()) second = encode_alone(*input.pair, 1);
    Encoding* second_or_null = second.has_value() ? &*second : nullptr;
    if (options.truncation.has_value()) {
      Truncation truncation = *options.truncation;
      const int64_t added = post_processor.added_tokens(input.pair.has_value());
      if (options.add_special_tokens) truncation.max_length -= added;
      if (truncation.max_length < 0) {
        throw Error("the truncation's length has no room for the special tokens")
            .expected(fmt::format("at least {}", added))
            .got(std::to_string(options.truncation->max_length));
      }
      truncate_encodings(first, second_or_null, truncation);
    }
    encodings.push_back(post_processor.process(first, second_or_null, options.add_special_tokens));
  }
  if (options.padding.has_value()) pad_encodings(encodings, *options.padding);
  return encodings;
}

const std::optional<Truncation>& Tokenizer::truncation() const { return parts_->truncation; }
const std::optional<Padding>& Tokenizer::padding() const { return parts_->padding; }

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  TextCollector text;
  const auto filter = parts_->start_decoding(text, options);
  for (int32_t id : ids) {
    if (const auto token = parts_->decodable(id, options)) filter->push(*token, true);
  }
  filter->finish();
  return text.take();
}

std::unique_ptr<TokenSink> Tokenizer::Parts::start_decoding(TokenSink& text,
                                                            const DecodeOptions& options) const {
  if (!options.clean_up_tokenization_spaces) return decoder->start(text);
  // The decoder's filter and the one behind it as one.
  class Cleaned : public TokenSink {
   public:
    Cleaned(const Decoder& decoder, TokenSink& text)
        : clean_up_(text), decoding_(decoder.start(clean_up_)) {}
    void push(std::string_view part, bool ends_token) override {
      decoding_->push(part, ends_token);
    }
    void finish() override { decoding_->finish(); }

   private:
    CleanUpFilter clean_up_;
    std::unique_ptr<TokenSink> decoding_;
  };
  return std::make_unique<Cleaned>(*decoder, text);
}

int64_t Tokenizer::vocab_size() const {
  return std::max<int64_t>(parts_->model->vocabulary().id_limit(), parts_->added.max_id() + 1);
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return parts_->find(token);
}

std::string Tokenizer::id_to_token(int32_t id) const {
  if (const AddedToken* token = parts_->added.find(id)) return token->content;
  const auto token = parts_->model->vocabulary().token(id);
  if (!token.has_value()) {
    throw Error("no token has this id")
        .expected(fmt::format("0 to {}", vocab_size() - 1))
        .got(std::to_string(id));
  }
  return std::string(*token);
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = parts_->added.find(id);
  return token != nullptr && token->special;
}

std::vector<AddedTokenInfo> Tokenizer::added_tokens() const {
  std::vector<AddedTokenInfo> out;
  for (int32_t id = 0; id <= parts_->added.max_id(); ++id) {
    const AddedToken* token = parts_->added.find(id);
    if (token != nullptr) out.push_back({token->content, id, token->special});
  }
  return out;
}

std::optional<int32_t> Tokenizer::bos_token_id() const { return token_to_id(bos_token()); }
std::optional<int32_t> Tokenizer::eos_token_id() const { return token_to_id(eos_token()); }
std::optional<int32_t> Tokenizer::pad_token_id() const { return token_to_id(pad_token()); }
std::optional<int32_t> Tokenizer::unk_token_id() const { return token_to_id(unk_token()); }
const std::string& Tokenizer::bos_token() const { return parts_->config.token("bos_token"); }
const std::string& Tokenizer::eos_token() const { return parts_->config.token("eos_token"); }
const std::string& Tokenizer::pad_token() const { return parts_->config.token("pad_token"); }
const std::string& Tokenizer::unk_token() const { return parts_->config.token("unk_token"); }

std::map<std::string, std::string> Tokenizer::special_tokens() const {
  std::map<std::string, std::string> out;
  for (const auto& [name, token] : parts_->config.special_tokens) out[name] = token.content;
  return out;
}

std::optional<std::string> Tokenizer::chat_template(std::string_view name) const {
  const auto found = parts_->config.chat_templates.find(std::string(name));
  if (found == parts_->config.chat_templates.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> Tokenizer::chat_template_names() const {
  std::vector<std::string> names;
  for (const auto& [name, source] : parts_->config.chat_templates) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

}  // namespace nibble
