// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/character_table.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "nibble/text/unicode_updates.h"

namespace nibble {
namespace {

using Kinds = std::vector<CharacterKind>;

void fill(Kinds& kinds, char32_t first, char32_t last, CharacterKind kind) {
  std::fill(kinds.begin() + first, kinds.begin() + last + 1, kind);
}

// ICU calls this for every range of one general category; `limit` is behind its end.
UBool add_category(const void* context, UChar32 start, UChar32 limit, UCharCategory category) {
  Kinds& kinds = *static_cast<Kinds*>(const_cast<void*>(context));
  const uint32_t mask = U_MASK(category);
  const auto last = static_cast<char32_t>(limit - 1);
  if ((mask & U_GC_L_MASK) != 0) fill(kinds, start, last, CharacterKind::kLetter);
  if ((mask & U_GC_N_MASK) != 0) fill(kinds, start, last, CharacterKind::kNumber);
  return 1;
}

Kinds all_kinds(size_t code_points) {
  Kinds kinds(code_points, CharacterKind::kOther);
  u_enumCharTypes(add_category, &kinds);
  for (const PropertyRange& range : kNewProperties) {
    if (range.property.size() != 2) continue;  // no general category
    if (range.property[0] == 'L') fill(kinds, range.first, range.last, CharacterKind::kLetter);
    if (range.property[0] == 'N') fill(kinds, range.first, range.last, CharacterKind::kNumber);
  }
  for (char32_t c = 0; c <= 0x3000; ++c) {  // the last white space
    if (u_isUWhiteSpace(static_cast<UChar32>(c)) != 0) kinds[c] = CharacterKind::kSpace;
  }
  return kinds;
}

}  // namespace

CharacterTable::CharacterTable() {
  const Kinds all = all_kinds(kCodePoints);
  std::map<std::string_view, uint16_t> known;
  for (size_t page = 0; page < pages_.size(); ++page) {
    const CharacterKind* begin = all.data() + page * kPageSize;
    const std::string_view bytes(reinterpret_cast<const char*>(begin), kPageSize);
    const auto next = static_cast<uint16_t>(known.size());
    const auto [found, is_new] = known.emplace(bytes, next);
    if (is_new) kinds_.insert(kinds_.end(), begin, begin + kPageSize);
    pages_[page] = found->second;
  }
}

}  // namespace nibble
