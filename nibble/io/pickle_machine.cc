// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/pickle_machine.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/pickle_opcodes.h"

namespace nibble {
namespace {

using namespace pickle;  // opcodes

constexpr std::string_view kWhat = "a pickle";
// A hundred times the pickle of any known checkpoint: about 150 bytes per tensor.
constexpr int64_t kMaxProgramBytes = int64_t{128} << 20;
constexpr size_t kMaxLine = 1000;  // of a class's module or name
constexpr uint8_t kHighestProtocol = 5;

}  // namespace

PickleValue* PickleMachine::run() {
  while (step()) {
    if (reader_.offset() - begin_ > kMaxProgramBytes) {
      throw malformed("pickle is too long")
          .expected(fmt::format("at most {} bytes", kMaxProgramBytes));
    }
  }
  PickleValue* result = pop();
  if (!stack_.empty() || !marks_.empty()) throw malformed("pickle leaves more than one value");
  return result;
}

bool PickleMachine::step() {
  at_ = reader_.offset();
  const auto opcode = reader_.read<uint8_t>(kWhat);
  if (opcode == kStop) return false;
  if (!push_data(opcode) && !change_stack(opcode) && !use_class(opcode)) refuse(opcode);
  return true;
}

// Instructions that push a value which stands in the file.
bool PickleMachine::push_data(uint8_t opcode) {
  PickleHeap& heap = objects_.heap();
  switch (opcode) {
    case kNone:
      push(heap.make(Kind::kNone));
      return true;
    case kNewTrue:
    case kNewFalse:
      push(heap.make(Kind::kBool, int64_t{opcode == kNewTrue}));
      return true;
    case kBinInt:
      push(heap.make(Kind::kInt, int64_t{reader_.read<int32_t>(kWhat)}));
      return true;
    case kBinInt1:
      push(heap.make(Kind::kInt, int64_t{reader_.read<uint8_t>(kWhat)}));
      return true;
    case kBinInt2:
      push(heap.make(Kind::kInt, int64_t{reader_.read<uint16_t>(kWhat)}));
      return true;
    case kLong1:
      push_integer(reader_.read<uint8_t>(kWhat));
      return true;
    case kLong4:
      push_integer(reader_.read<int32_t>(kWhat));
      return true;
    case kBinFloat:
      push_opaque(sizeof(double));
      return true;
    case kShortBinString:
    case kShortBinUnicode:
      push_string(reader_.read<uint8_t>(kWhat));
      return true;
    case kBinString:
    case kBinUnicode:
      push_string(reader_.read<uint32_t>(kWhat));
      return true;
    case kBinUnicode8:
      push_string(reader_.read<uint64_t>(kWhat));
      return true;
    case kShortBinBytes:
      push_opaque(reader_.read<uint8_t>(kWhat));
      return true;
    case kBinBytes:
      push_opaque(reader_.read<uint32_t>(kWhat));
      return true;
    case kBinBytes8:
    case kByteArray8:
      push_opaque(reader_.read<uint64_t>(kWhat));
      return true;
    case kEmptyTuple:
      push(heap.make(Kind::kTuple));
      return true;
    case kEmptyList:
      push(heap.make(Kind::kList));
      return true;
    case kEmptyDict:
      push(heap.make(Kind::kDict));
      return true;
    case kEmptySet:
      push(heap.make(Kind::kOpaque));
      return true;
    default:
      return false;
  }
}

// Instructions that combine, name and fetch values.
bool PickleMachine::change_stack(uint8_t opcode) {
  switch (opcode) {
    case kProto:
      if (const auto protocol = reader_.read<uint8_t>(kWhat); protocol > kHighestProtocol) {
        throw malformed("pickle protocol is not known").got(fmt::format("{}", protocol));
      }
      return true;
    case kFrame:
      reader_.require(reader_.read<uint64_t>(kWhat), 1, "a frame of a pickle");
      return true;
    case kMark:
      marks_.push_back(stack_.size());
      return true;
    case kTuple:
      push_tuple(pop_to_mark());
      return true;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      push_tuple_of(static_cast<size_t>(opcode - kTuple1) + 1);
      return true;
    case kAppend:
      append({pop()});
      return true;
    case kAppends:
      append(pop_to_mark());
      return true;
    case kSetItem: {
      PickleValue* value = pop();
      set_items({pop(), value});
      return true;
    }
    case kSetItems:
      set_items(pop_to_mark());
      return true;
    case kAddItems:
      pop_to_mark();
      top(Kind::kOpaque);  // sets mean nothing here
      return true;
    case kFrozenSet:
      pop_to_mark();
      push(objects_.heap().make(Kind::kOpaque));
      return true;
    case kMemoize:
      put(static_cast<uint32_t>(memo_.size()));
      return true;
    case kBinPut:
      put(reader_.read<uint8_t>(kWhat));
      return true;
    case kLongBinPut:
      put(reader_.read<uint32_t>(kWhat));
      return true;
    case kBinGet:
      get(reader_.read<uint8_t>(kWhat));
      return true;
    case kLongBinGet:
      get(reader_.read<uint32_t>(kWhat));
      return true;
    default:
      return false;
  }
}

// Instructions that would import, call or build something in Python.
bool PickleMachine::use_class(uint8_t opcode) {
  switch (opcode) {
    case kGlobal: {
      const std::string module = read_line();
      find_class(module, read_line());
      return true;
    }
    case kStackGlobal: {
      const PickleValue* name = pop();
      const PickleValue* module = pop();
      if (!name->is(Kind::kString) || !module->is(Kind::kString)) {
        throw malformed("STACK_GLOBAL without two strings");
      }
      find_class(module->text(), name->text());
      return true;
    }
    case kReduce:
    case kNewObj: {
      const PickleValue* arguments = pop();
      const PickleValue* callable = pop();
      if (!arguments->is(Kind::kTuple) || !callable->is(Kind::kCallable)) refuse(opcode);
      push(objects_.call(static_cast<TorchCallable>(callable->number()), arguments->items(), at_));
      return true;
    }
    case kBuild: {
      pop();
      // The state of an OrderedDict holds the versions of modules; a value passed over has none.
      const PickleValue* built = top_value();
      if (!built->is(Kind::kDict) && !built->is(Kind::kOpaque)) refuse(opcode);
      return true;
    }
    case kBinPersId:
      push(objects_.storage(*pop(), at_));
      return true;
    default:
      return false;
  }
}

PickleValue* PickleMachine::pop() {
  PickleValue* value = top_value();
  stack_.pop_back();
  return value;
}

PickleValue* PickleMachine::top_value() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
    throw malformed("pickle takes a value that is not there");
  }
  return stack_.back();
}

PickleValue* PickleMachine::top(Kind wanted) {
  PickleValue* value = top_value();
  if (!value->is(wanted)) {
    throw malformed("pickle adds to something else than it should")
        .expected(std::string(kind_name(wanted)))
        .got(std::string(kind_name(value->kind)));
  }
  return value;
}

PickleValue::Items PickleMachine::pop_to_mark() {
  if (marks_.empty()) throw malformed("pickle takes a mark that is not there");
  const auto first = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
  PickleValue::Items items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void PickleMachine::push_tuple(PickleValue::Items items) {
  PickleValue* tuple = objects_.heap().make(Kind::kTuple);
  if (!items.empty()) tuple->mutable_items() = std::move(items);
  push(tuple);
}

void PickleMachine::push_tuple_of(size_t count) {
  PickleValue::Items items(count);
  while (count-- > 0) items[count] = pop();
  push_tuple(std::move(items));
}

// A little-endian two's complement number; beyond 64 bits it is not looked at.
void PickleMachine::push_integer(int64_t bytes) {
  if (bytes < 0) throw malformed("length in a pickle is negative").got(fmt::format("{}", bytes));
  const auto digits = reader_.take(static_cast<uint64_t>(bytes), kWhat);
  if (digits.size() > sizeof(int64_t)) {
    push(objects_.heap().make(
        Kind::kOpaque,
        std::string_view(reinterpret_cast<const char*>(digits.data()), digits.size())));
    return;
  }
  const bool negative = !digits.empty() && (digits.back() & std::byte{0x80}) != std::byte{0};
  uint64_t number = negative ? ~uint64_t{0} : 0;
  for (size_t i = digits.size(); i-- > 0;)
    number = number << 8 | std::to_integer<uint64_t>(digits[i]);
  push(objects_.heap().make(Kind::kInt, static_cast<int64_t>(number)));
}

void PickleMachine::push_string(uint64_t length) {
  const auto text = reader_.take(length, kWhat);
  push(objects_.heap().make(
      Kind::kString, std::string_view(reinterpret_cast<const char*>(text.data()), text.size())));
}

void PickleMachine::push_opaque(uint64_t length) {
  reader_.take(length, kWhat);
  push(objects_.heap().make(Kind::kOpaque));
}

void PickleMachine::get(uint32_t key) {
  const auto found = memo_.find(key);
  if (found == memo_.end()) {
    throw malformed("pickle refers to a value that it has not stored").got(fmt::format("{}", key));
  }
  push(found->second);
}

void PickleMachine::append(PickleValue::Items items) {
  PickleValue::Items& list = top(Kind::kList)->mutable_items();
  list.insert(list.end(), items.begin(), items.end());
}

void PickleMachine::set_items(PickleValue::Items items) {
  if (items.size() % 2 != 0) throw malformed("pickle sets a key without a value");
  PickleValue::Items& dict = top(Kind::kDict)->mutable_items();
  dict.insert(dict.end(), items.begin(), items.end());
}

void PickleMachine::find_class(std::string_view module, std::string_view name) {
  push(objects_.find_class(module, name, at_));
}

std::string PickleMachine::read_line() {
  std::string line;
  for (;;) {
    const auto c = static_cast<char>(reader_.read<uint8_t>(kWhat));
    if (c == '\n') return line;
    line += c;
    if (line.size() > kMaxLine) throw malformed("name of a class is too long").got(line);
  }
}

Error PickleMachine::malformed(const char* what) const {
  return Error(what).file(reader_.path()).at_byte(at_);
}

void PickleMachine::refuse(uint8_t opcode) const {
  const std::string_view name = name_of_refused_opcode(opcode);
  throw malformed(name.empty() ? "pickle has an opcode that does not exist"
                               : "pickle has an instruction that is not read")
      .got(name.empty() ? fmt::format("0x{:02x}", opcode) : std::string(name))
      .hint("pickles can run code: only what torch.save writes for a state dict is read");
}

}  // namespace nibble
