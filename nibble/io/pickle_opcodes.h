// SPDX-License-Identifier: Apache-2.0
//
// The numbers of a pickle's instructions. For pickle_machine.cc only.
//
// Source: CPython, Lib/pickletools.py.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace nibble::pickle {

// Those that are read.
enum PickleOpcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kEmptyDict = '}',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

// The name, as pickletools prints it, of an opcode that exists but is refused (some of them only on
// some values); empty for others.
inline std::string_view name_of_refused_opcode(uint8_t opcode) {
  struct Named {
    uint8_t opcode;
    std::string_view name;
  };
  constexpr std::array<Named, 25> kNames{{
      {'0', "POP"},
      {'1', "POP_MARK"},
      {'2', "DUP"},
      {'F', "FLOAT"},
      {'I', "INT"},
      {'L', "LONG"},
      {'P', "PERSID"},
      {'S', "STRING"},
      {'V', "UNICODE"},
      {'d', "DICT"},
      {'g', "GET"},
      {'i', "INST"},
      {'l', "LIST"},
      {'o', "OBJ"},
      {'p', "PUT"},
      {0x82, "EXT1"},
      {0x83, "EXT2"},
      {0x84, "EXT4"},
      {0x92, "NEWOBJ_EX"},
      {0x97, "NEXT_BUFFER"},
      {0x98, "READONLY_BUFFER"},
      {kAddItems, "ADDITEMS"},
      {kBuild, "BUILD"},
      {kReduce, "REDUCE"},
      {kNewObj, "NEWOBJ"},
  }};
  for (const Named& named : kNames) {
    if (named.opcode == opcode) return named.name;
  }
  return {};
}

}  // namespace nibble::pickle
