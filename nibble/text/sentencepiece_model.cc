// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/vocabulary.h"

namespace nibble {
namespace {

// One field of a message: its number, and its value as a number or as bytes.
struct Field {
  uint32_t number = 0;
  enum class Kind { kVarint, kFixed32, kFixed64, kBytes } kind = Kind::kVarint;
  uint64_t value = 0;
  std::string_view bytes;
};

// Walks the fields of one message. `offset` is where the message lies in the file.
class MessageReader {
 public:
  MessageReader(std::string_view message, size_t offset, const std::string& source)
      : message_(message), offset_(offset), source_(source) {}

  bool next(Field& field) {
    if (at_ == message_.size()) return false;
    const uint64_t tag = varint();
    if (tag >> 3 == 0 || tag >> 32 != 0) throw broken("a field without a number");
    field.number = static_cast<uint32_t>(tag >> 3);
    switch (tag & 7) {
      case 0:
        field.kind = Field::Kind::kVarint;
        field.value = varint();
        return true;
      case 1:
        field.kind = Field::Kind::kFixed64;
        field.bytes = take(8);
        return true;
      case 2:
        field.kind = Field::Kind::kBytes;
        field.bytes = take(varint());
        return true;
      case 5:
        field.kind = Field::Kind::kFixed32;
        field.bytes = take(4);
        return true;
      default:
        throw broken("a field of an unknown kind");
    }
  }

  // A reader for a field's bytes.
  MessageReader inner(const Field& field) const {
    if (field.kind != Field::Kind::kBytes) throw broken("a number where a message should be");
    return {field.bytes, offset_ + static_cast<size_t>(field.bytes.data() - message_.data()),
            source_};
  }

  std::string_view text(const Field& field) const {
    if (field.kind != Field::Kind::kBytes) throw broken("a number where a text should be");
    return field.bytes;
  }
  std::string_view utf8(const Field& field) const {
    const std::string_view out = text(field);
    if (!is_valid_utf8(out)) throw broken("a text that is no UTF-8");
    return out;
  }
  int64_t integer(const Field& field) const {
    if (field.kind != Field::Kind::kVarint) throw broken("no number where one should be");
    return static_cast<int64_t>(field.value);
  }
  float real(const Field& field) const {
    if (field.kind != Field::Kind::kFixed32) throw broken("no float where one should be");
    uint32_t bits = 0;
    for (size_t i = 4; i-- > 0;) bits = (bits << 8) | static_cast<uint8_t>(field.bytes[i]);
    const auto out = std::bit_cast<float>(bits);
    if (!std::isfinite(out)) throw broken("a score that is no finite number");
    return out;
  }

  Error broken(const std::string& what) const {
    return Error("the SentencePiece model has " + what)
        .file(source_)
        .at_byte(static_cast<int64_t>(offset_ + at_));
  }

 private:
  uint64_t varint() {
    uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == message_.size()) throw broken("a number that does not end");
      const auto byte = static_cast<uint8_t>(message_[at_++]);
      out |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return out;
    }
    throw broken("a number that does not end");
  }

  std::string_view take(uint64_t count) {
    if (count > message_.size() - at_) throw broken("a field that ends behind its message");
    const std::string_view out = message_.substr(at_, static_cast<size_t>(count));
    at_ += static_cast<size_t>(count);
    return out;
  }

  std::string_view message_;
  size_t offset_;
  const std::string& source_;
  size_t at_ = 0;
};

SentencePieceModel::Piece read_piece(MessageReader reader) {
  using Type = SentencePieceModel::PieceType;
  SentencePieceModel::Piece out;
  for (Field field; reader.next(field);) {
    if (field.number == 1) out.text = reader.utf8(field);
    if (field.number == 2) out.score = reader.real(field);
    if (field.number != 3) continue;
    const int64_t type = reader.integer(field);
    if (type < 1 || type > static_cast<int64_t>(Type::kUnused)) {
      throw reader.broken("a piece of an unknown type");
    }
    out.type = static_cast<Type>(type);
  }
  return out;
}

void read_trainer(MessageReader reader, SentencePieceModel& out) {
  for (Field field; reader.next(field);) {
    switch (field.number) {
      case 3: {
        const int64_t type = reader.integer(field);
        if (type < 1 || type > 4) throw reader.broken("an unknown model_type");
        out.algorithm = static_cast<SentencePieceModel::Algorithm>(type);
        break;
      }
      case 35:
        out.byte_fallback = reader.integer(field) != 0;
        break;
      case 40:
        out.unk_id = reader.integer(field);
        break;
      case 41:
        out.bos_id = reader.integer(field);
        break;
      case 42:
        out.eos_id = reader.integer(field);
        break;
      case 45:
        out.unk_piece = reader.utf8(field);
        break;
      case 46:
        out.bos_piece = reader.utf8(field);
        break;
      case 47:
        out.eos_piece = reader.utf8(field);
        break;
      default:
        break;
    }
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& source) {
  SentencePieceModel out;
  MessageReader reader(bytes, 0, source);
  for (Field field; reader.next(field);) {
    if (field.number == 1) {
      if (out.pieces.size() > static_cast<size_t>(kMaxTokenId)) {
        throw reader.broken("too many pieces");
      }
      out.pieces.push_back(read_piece(reader.inner(field)));
    } else if (field.number == 2) {
      read_trainer(reader.inner(field), out);
    } else if (field.number == 3) {
      MessageReader normalizer = reader.inner(field);
      for (Field inner; normalizer.next(inner);) {
        if (inner.number == 2) out.precompiled_charsmap = normalizer.text(inner);
      }
    }
  }
  if (out.pieces.empty()) throw reader.broken("no pieces");
  return out;
}

}  // namespace nibble
