// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/tokenizer_folder.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/mapped_file.h"
#include "nibble/base/utf8.h"
#include "nibble/text/sentencepiece_model.h"
#include "nibble/text/sentencepiece_tokenizer.h"
#include "nibble/text/tokenizer_class.h"

namespace nibble {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string_view view(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::string read_utf8(const fs::path& path) {
  const auto file = MappedFile::open(path);
  if (!is_valid_utf8(view(*file))) throw Error("the file is no UTF-8").file(path);
  return std::string(view(*file));
}

// Lines without their ends, as Rust reads them: no empty line behind the last end.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (end != std::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
    out.push_back(line);
  }
  return out;
}

std::string_view trim_end(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size();) {
    if (!is_whitespace(next_code_point(text, at))) end = at;
  }
  return text.substr(0, end);
}

// A tokenizer.json around the text of a model, for a class that builds the rest.
std::string around_model(const std::string& model) {
  return "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[],"
         "\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":null,\"decoder\":null,"
         "\"model\":" +
         model + "}";
}

void default_class(TokenizerConfig& config, const char* name) {
  if (!default_special_tokens(config.tokenizer_class).empty()) return;
  config.tokenizer_class = name;
  for (const auto& [token, text, lstrip] : default_special_tokens(name)) {
    if (config.options.contains(token)) continue;
    config.special_tokens.try_emplace(
        token, AddedToken{.content = text, .lstrip = lstrip, .normalized = false, .special = true});
  }
}

FolderTokenizer from_word_pieces(const fs::path& path, TokenizerConfig& config) {
  default_class(config, "BertTokenizer");
  const std::string text = read_utf8(path);
  std::string model = json{{"type", "WordPiece"},
                           {"unk_token", config.token("unk_token")},
                           {"continuing_subword_prefix", "##"},
                           {"max_input_chars_per_word", 100}}
                          .dump();
  model.pop_back();
  model += ",\"vocab\":{";
  int64_t id = 0;
  for (std::string_view line : lines_of(text)) {
    model += fmt::format("{}{}:{}", id == 0 ? "" : ",", json(trim_end(line)).dump(), id);
    ++id;
  }
  return {around_model(model + "}}"), path.string()};
}

FolderTokenizer from_merges(const fs::path& vocab, const fs::path& merges,
                            TokenizerConfig& config) {
  default_class(config, "GPT2Tokenizer");
  json options = {{"type", "BPE"}, {"continuing_subword_prefix", ""}, {"end_of_word_suffix", ""}};
  if (config.tokenizer_class == "CLIPTokenizer") {
    options["end_of_word_suffix"] = "</w>";
    options["unk_token"] = config.token("unk_token");
  }
  std::string model = options.dump();
  model.pop_back();
  const auto file = MappedFile::open(vocab);
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  simdjson::dom::object object;
  if (parser.parse(view(*file).data(), view(*file).size()).get(document) != simdjson::SUCCESS ||
      document.get(object) != simdjson::SUCCESS) {
    throw Error("the file is no JSON object").file(vocab);
  }
  model += ",\"vocab\":" + simdjson::minify(document) + ",\"merges\":[";
  const std::string text = read_utf8(merges);
  const char* comma = "";
  for (std::string_view line : lines_of(text)) {
    if (line.starts_with("#version")) continue;
    model += comma + json(line).dump();
    comma = ",";
  }
  return {around_model(model + "]}"), merges.string()};
}

FolderTokenizer from_sentencepiece(const fs::path& path, TokenizerConfig& config) {
  const auto file = MappedFile::open(path);
  const SentencePieceModel model = parse_sentencepiece_model(view(*file), path.string());
  return {sentencepiece_to_json(model, config, path.string()), path.string()};
}

}  // namespace

FolderTokenizer tokenizer_of_folder(const fs::path& folder, TokenizerConfig& config) {
  for (const char* name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
                           "sentencepiece.model", "spm.model"}) {
    if (fs::exists(folder / name)) return from_sentencepiece(folder / name, config);
  }
  const std::array<std::pair<const char*, const char*>, 2> pairs = {
      {{"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}}};
  for (const auto& [vocab, merges] : pairs) {
    if (fs::exists(folder / vocab) && fs::exists(folder / merges)) {
      return from_merges(folder / vocab, folder / merges, config);
    }
  }
  if (fs::exists(folder / "vocab.txt")) return from_word_pieces(folder / "vocab.txt", config);
  throw Error("the folder has no tokenizer")
      .file(folder)
      .expected(
          "tokenizer.json, tokenizer.model, spiece.model, vocab.json with merges.txt, or "
          "vocab.txt");
}

}  // namespace nibble
