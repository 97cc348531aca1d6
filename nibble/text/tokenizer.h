// SPDX-License-Identifier: Apache-2.0
//
// Text to token ids and back, equal to Hugging Face's tokenizers library for the same
// tokenizer.json. Immutable once built and thread-safe. Truncation and padding happen when asked
// for; the entries of the file are read, but not applied by themselves, as in transformers.
//
// Text that is no UTF-8 is read with U+FFFD for every invalid part; decoded text always is UTF-8.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/encoding.h"

namespace nibble {

struct EncodeOptions {
  // Puts the special tokens of the post-processor (BOS, EOS, ...) around the text.
  bool add_special_tokens = true;
  // Text like "<|im_end|>" becomes the special token. False: it is plain text, so that what a user
  // wrote cannot speak as the system. Added tokens that are not marked special are found always.
  bool parse_special_tokens = true;
  // False: no added token at all is found, special or not.
  bool parse_added_tokens = true;
};

// A token beside the model's own vocabulary.
struct AddedTokenInfo {
  std::string content;
  int32_t id;
  bool special;
};

struct EncodeInput {
  std::string_view text;
  std::optional<std::string_view> pair =
      std::nullopt;  // a second text, for models that compare two
};

struct BatchOptions : EncodeOptions {
  std::optional<Truncation> truncation = std::nullopt;
  std::optional<Padding> padding = std::nullopt;
};

struct DecodeOptions {
  bool skip_special_tokens = false;  // leave BOS, EOS and other special tokens out
  // Takes back the spaces that some tokenizers leave before English punctuation and short forms.
  bool clean_up_tokenization_spaces = false;
};

class Tokenizer {
 public:
  // Reads tokenizer.json of `folder`, else the files of older tokenizers (tokenizer_folder.h), and,
  // where present, tokenizer_config.json, special_tokens_map.json, generation_config.json and
  // chat_template.jinja. Applies the rules of transformers' AutoTokenizer (tokenizer_config.h lists
  // them). Throws Error.
  static std::shared_ptr<const Tokenizer> load(const std::filesystem::path& folder);

  // From texts; `source_name` stands in errors. With a `tokenizer_config_json` the rules of load()
  // apply; without one the result is what the tokenizers library makes of tokenizer.json alone.
  static std::shared_ptr<const Tokenizer> from_json(std::string_view tokenizer_json,
                                                    std::string_view source_name,
                                                    std::string_view tokenizer_config_json = {});

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // With all that models take in besides ids. Throws Error where truncation cannot reach its length
  // or leave its stride, and where the file has no template for a pair.
  Encoding encode_input(const EncodeInput& input, const BatchOptions& options = {}) const;
  std::vector<Encoding> encode_batch(std::span<const EncodeInput> inputs,
                                     const BatchOptions& options = {}) const;

  // What the file asks for; meant for BatchOptions.
  const std::optional<Truncation>& truncation() const;
  const std::optional<Padding>& padding() const;

  // Ids that are no token are passed over, as in the reference.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  int64_t vocab_size() const;  // the highest id, added tokens included, plus 1
  std::optional<int32_t> token_to_id(std::string_view token) const;
  std::string id_to_token(int32_t id) const;         // throws Error when no token has this id
  bool is_special(int32_t id) const;                 // an added token marked special
  std::vector<AddedTokenInfo> added_tokens() const;  // by id

  // By the names in tokenizer_config.json and special_tokens_map.json; nullopt or "" when absent.
  std::optional<int32_t> bos_token_id() const;
  std::optional<int32_t> eos_token_id() const;
  std::optional<int32_t> pad_token_id() const;
  std::optional<int32_t> unk_token_id() const;
  const std::string& bos_token() const;
  const std::string& eos_token() const;
  const std::string& pad_token() const;
  const std::string& unk_token() const;
  // All that have a name, those above and "sep_token", "image_token" and so on: what transformers
  // calls special_tokens_map and gives to chat templates.
  std::map<std::string, std::string> special_tokens() const;

  // The text of a chat template: chat_template.jinja, additional_chat_templates/NAME.jinja, or
  // "chat_template" of tokenizer_config.json (a string, or a list of named ones).
  std::optional<std::string> chat_template(std::string_view name = "default") const;
  std::vector<std::string> chat_template_names() const;  // sorted

  // For the sources of this folder, which know what a tokenizer is made of.
  struct Parts;
  explicit Tokenizer(std::unique_ptr<const Parts> parts);

 private:
  friend class StreamDecoder;

  void append_ids(std::string_view text, const EncodeOptions& options,
                  std::vector<int32_t>& ids) const;

  std::unique_ptr<const Parts> parts_;
};

// Decoding while ids arrive: never splits a character, and never says what a later id could still
// change. The texts of all push() calls and of finish() put together equal decode(all ids).
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, DecodeOptions options = {});
  ~StreamDecoder();
  StreamDecoder(const StreamDecoder&) = delete;
  StreamDecoder& operator=(const StreamDecoder&) = delete;

  std::string push(int32_t id);  // the text that is certain now; often ""
  std::string finish();          // the rest; afterwards a new sequence may begin

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nibble
