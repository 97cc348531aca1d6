// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/post_processor.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "nibble/text/component_config.h"

namespace nibble {
namespace {

using nlohmann::json;
using Source = TemplatePart::Source;
using Parts = std::vector<TemplatePart>;

// All tokens of the windows of a pair together.
constexpr int64_t kMaxOverflow = int64_t{1} << 28;

int32_t read_id(const json& value, const ComponentConfig& config) {
  const int64_t id = value.is_number_integer() ? value.get<int64_t>() : -1;
  if (id < 0 || id > INT32_MAX) throw config.error("has a token id that is no id");
  return static_cast<int32_t>(id);
}

// ["</s>", 2]
int32_t read_token_pair(const ComponentConfig& config, const char* key) {
  const json& pair = config.list(key);
  if (pair.size() != 2) throw config.error(std::string("has a malformed \"") + key + "\"");
  return read_id(pair[1], config);
}

TemplatePart special_part(std::vector<int32_t> ids, int32_t type_id) {
  return {Source::kSpecial, std::move(ids), type_id, type_id, true, 0};
}

// The texts on their way through the chain: each is a list of parts. A step may turn one or two
// texts into any number.
struct State {
  std::vector<Parts> texts;
  std::string problem;
};

class Step {
 public:
  virtual ~Step() = default;
  virtual void apply(State& state, bool add_special_tokens) const = 0;
  virtual int64_t added_tokens(bool pair) const = 0;
};

// Bert: CLS A SEP, B SEP. Roberta: CLS A SEP, SEP B SEP, all of type 0.
class Wrap : public Step {
 public:
  Wrap(const ComponentConfig& config, bool roberta)
      : sep_(read_token_pair(config, "sep")),
        cls_(read_token_pair(config, "cls")),
        roberta_(roberta) {}

  int64_t added_tokens(bool pair) const override { return !pair ? 2 : roberta_ ? 4 : 3; }

  void apply(State& state, bool add_special_tokens) const override {
    for (size_t i = 0; i < state.texts.size(); ++i) {
      Parts& parts = state.texts[i];
      for (TemplatePart& part : parts) {
        if (roberta_) part.type_id = 0;
        if (roberta_ && add_special_tokens) part.overflow_type_id = 0;
        if (add_special_tokens) part.special = false;  // only the outermost tokens count
      }
      if (!add_special_tokens) continue;
      if (i == 0) {
        parts.insert(parts.begin(), special_part({cls_}, 0));
      } else if (roberta_) {
        parts.insert(parts.begin(), special_part({sep_}, 0));
      }
      parts.push_back(special_part({sep_}, i == 0 || roberta_ ? 0 : 1));
    }
  }

 private:
  int32_t sep_, cls_;
  bool roberta_;
};

class Template : public Step {
 public:
  explicit Template(const ComponentConfig& config)
      : single_(read(config, "single")), pair_(read(config, "pair")) {}

  int64_t added_tokens(bool pair) const override {
    int64_t count = 0;
    for (const TemplatePart& part : pair ? pair_ : single_) {
      count += static_cast<int64_t>(part.ids.size());
    }
    return count;
  }

  void apply(State& state, bool add_special_tokens) const override {
    if (state.texts.size() > 2) {
      state.problem = "the post_processor puts a template around more than two parts";
      return;
    }
    std::vector<Parts> out;
    for (const TemplatePart& part : state.texts.size() == 2 ? pair_ : single_) {
      if (part.source == Source::kSpecial) {
        if (add_special_tokens) out.push_back({part});
        continue;
      }
      const size_t which = part.source == Source::kFirst ? 0 : 1;
      if (which >= state.texts.size()) {
        state.problem = "the post_processor's template for one text uses a second one";
        return;
      }
      for (TemplatePart& inner : state.texts[which]) inner.type_id = part.type_id;
      out.push_back(state.texts[which]);
    }
    state.texts = std::move(out);
  }

 private:
  static Parts read(const ComponentConfig& config, const char* key) {
    const json& table = config.member("special_tokens");
    if (!table.is_object()) throw config.error("has special_tokens that are no object");
    Parts out;
    for (const json& piece : config.list(key)) out.push_back(read_piece(piece, table, config));
    return out;
  }

  // {"Sequence": {"id": "A", "type_id": 0}} or {"SpecialToken": {"id": NAME, "type_id": 0}}
  static TemplatePart read_piece(const json& piece, const json& table,
                                 const ComponentConfig& config) {
    const bool named = piece.is_object() && piece.size() == 1 && piece.begin()->is_object() &&
                       piece.begin()->contains("id") && (*piece.begin())["id"].is_string() &&
                       piece.begin()->contains("type_id");
    if (!named) throw config.error("has a malformed piece in a template");
    const json& fields = *piece.begin();
    const auto name = fields["id"].get<std::string>();
    const int32_t type_id = read_id(fields["type_id"], config);
    if (piece.contains("Sequence") && (name == "A" || name == "B")) {
      return {name == "A" ? Source::kFirst : Source::kSecond, {}, type_id, type_id, false, 0};
    }
    if (!piece.contains("SpecialToken")) throw config.error("has an unknown piece in a template");
    const auto entry = table.find(name);
    if (entry == table.end() || !entry->is_object() || !entry->contains("ids") ||
        !(*entry)["ids"].is_array()) {
      throw config.error("uses a special token that it does not define").got(name);
    }
    std::vector<int32_t> ids;
    for (const json& id : (*entry)["ids"]) ids.push_back(read_id(id, config));
    return special_part(std::move(ids), type_id);
  }

  Parts single_, pair_;
};

void read_steps(const json& object, const std::string& source,
                std::vector<std::unique_ptr<Step>>& steps) {
  const ComponentConfig config(object, "post_processor", source);
  const std::string& type = config.type();
  if (type == "TemplateProcessing") {
    steps.push_back(std::make_unique<Template>(config));
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    steps.push_back(std::make_unique<Wrap>(config, type == "RobertaProcessing"));
  } else if (type == "Sequence") {
    for (const json& step : config.list("processors")) read_steps(step, source, steps);
  } else if (type != "ByteLevel") {  // which changes offsets only
    throw config.unsupported();
  }
}

State start_state(bool pair) {
  State state;
  state.texts.push_back({{Source::kFirst, {}, 0, 0, false, 0}});
  if (pair) state.texts.push_back({{Source::kSecond, {}, 1, 1, false, 0}});
  return state;
}

Parts flatten(State state) {
  Parts out;
  for (size_t group = 0; group < state.texts.size(); ++group) {
    for (TemplatePart& part : state.texts[group]) {
      part.group = static_cast<int32_t>(group);
      out.push_back(std::move(part));
    }
  }
  return out;
}

// The tokens of a part, `text` being its text; without a text (a special part) its own ids.
void append_part(Encoding& out, const TemplatePart& part, const Encoding* text, int32_t type_id) {
  const auto& ids = text != nullptr ? text->ids : part.ids;
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  out.type_ids.resize(out.ids.size(), type_id);
  out.special_tokens_mask.resize(out.ids.size(), part.special ? 1 : 0);
  out.attention_mask.resize(out.ids.size(), 1);
}

// A text with the special tokens that a step has put right around it; its windows have them, too.
Encoding encode_group(std::span<const TemplatePart> group, const Encoding& first,
                      const Encoding* second) {
  const Encoding* text = nullptr;
  const auto assemble = [&](const Encoding* window) {
    Encoding out;
    for (const TemplatePart& part : group) {
      const bool special = part.source == Source::kSpecial;
      append_part(out, part,
                  special             ? nullptr
                  : window == nullptr ? text
                                      : window,
                  window == nullptr ? part.type_id : part.overflow_type_id);
    }
    return out;
  };
  for (const TemplatePart& part : group) {
    if (part.source == Source::kFirst) text = &first;
    if (part.source == Source::kSecond) text = second;
  }
  Encoding out = assemble(nullptr);
  if (text == nullptr) return out;
  for (const Encoding& window : text->overflowing) out.overflowing.push_back(assemble(&window));
  return out;
}

// Every combination of windows that has at least one of those cut off, in the reference's order.
void append_to_overflow(std::vector<Encoding>& overflowing, const Encoding& so_far,
                        const Encoding& group) {
  std::vector<Encoding> out;
  int64_t tokens = 0;
  const auto combine = [&](const Encoding& left, const Encoding& right) {
    Encoding one = left;
    append_encoding(one, right);
    tokens += one.size();
    if (tokens > kMaxOverflow) {
      throw Error("truncating this pair of texts leaves too many combinations of their parts")
          .hint("truncate with a greater max_length");
    }
    out.push_back(std::move(one));
  };
  for (const Encoding& left : overflowing) {
    combine(left, group);
    for (const Encoding& right : group.overflowing) combine(left, right);
  }
  for (const Encoding& right : group.overflowing) combine(so_far, right);
  overflowing = std::move(out);
}

}  // namespace

PostProcessor::PostProcessor() {
  for (const bool pair : {false, true}) {
    for (Case& one : cases_[pair ? 1 : 0]) one.parts = flatten(start_state(pair));
  }
}

PostProcessor::PostProcessor(const json& object, const std::string& source) : source_(source) {
  std::vector<std::unique_ptr<Step>> steps;
  read_steps(object, source, steps);
  for (const bool pair : {false, true}) {
    for (const auto& step : steps) added_[pair ? 1 : 0] += step->added_tokens(pair);
    for (const bool add_special_tokens : {false, true}) {
      State state = start_state(pair);
      for (const auto& step : steps) {
        if (state.problem.empty()) step->apply(state, add_special_tokens);
      }
      Case& out = cases_[pair ? 1 : 0][add_special_tokens ? 1 : 0];
      out.problem = state.problem;
      if (out.problem.empty()) out.parts = flatten(std::move(state));
    }
  }
}

const std::vector<TemplatePart>& PostProcessor::parts(bool pair, bool add_special_tokens) const {
  const Case& found = cases_[pair ? 1 : 0][add_special_tokens ? 1 : 0];
  if (!found.problem.empty()) throw Error(found.problem).file(source_);
  return found.parts;
}

Encoding PostProcessor::process(const Encoding& first, const Encoding* second,
                                bool add_special_tokens) const {
  Encoding out;
  std::vector<Encoding> overflowing;
  const Parts& all = parts(second != nullptr, add_special_tokens);
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    while (end < all.size() && all[end].group == all[begin].group) ++end;
    const Encoding group = encode_group(std::span(all).subspan(begin, end - begin), first, second);
    append_to_overflow(overflowing, out, group);
    append_encoding(out, group);
  }
  out.overflowing = std::move(overflowing);
  return out;
}

}  // namespace nibble
