// SPDX-License-Identifier: Apache-2.0
//
// Runs the instructions of a pickle without running code: a stack machine for those opcodes of
// protocols 2 to 5 that torch.save emits for state dicts. Whatever else comes is refused with its
// name and byte offset. What classes mean is for TorchObjects, which knows a closed list.
//
// Memory grows with the instructions that stand in the file, never with numbers that they hold.
// Nothing recurses: the depth of nested values costs no stack.
//
// Source: CPython, Lib/pickletools.py.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nibble/io/byte_reader.h"
#include "nibble/io/pickle_value.h"
#include "nibble/io/torch_objects.h"

namespace nibble {

class PickleMachine {
 public:
  // Both must outlive the machine, and `objects` the values that come of it. Strings are views of
  // the reader's bytes.
  PickleMachine(ByteReader& reader, TorchObjects& objects)
      : reader_(reader), objects_(objects), begin_(reader.offset()) {}

  // Runs one pickle, up to and including its STOP. Throws Error. Once.
  PickleValue* run();

 private:
  using Kind = PickleValue::Kind;

  bool step();  // false at STOP
  bool push_data(uint8_t opcode);
  bool change_stack(uint8_t opcode);
  bool use_class(uint8_t opcode);

  void push(PickleValue* value) { stack_.push_back(value); }
  PickleValue* pop();
  PickleValue* top(Kind wanted);
  PickleValue::Items pop_to_mark();
  void push_tuple(PickleValue::Items items);
  void push_tuple_of(size_t count);
  void push_integer(int64_t bytes);
  void push_string(uint64_t length);
  void push_opaque(uint64_t length);
  void put(uint32_t key) { memo_[key] = top_value(); }
  void get(uint32_t key);
  PickleValue* top_value();
  void append(PickleValue::Items items);
  void set_items(PickleValue::Items items);
  void find_class(std::string_view module, std::string_view name);
  std::string read_line();
  Error malformed(const char* what) const;
  [[noreturn]] void refuse(uint8_t opcode) const;

  ByteReader& reader_;
  TorchObjects& objects_;
  int64_t begin_;   // of the pickle, in the file
  int64_t at_ = 0;  // of the instruction, in the file
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, PickleValue*> memo_;
};

}  // namespace nibble
