// SPDX-License-Identifier: Apache-2.0
//
// What Python's operators, subscripts and iteration do with values. Integers are 64 bits wide: a
// result beyond throws, where Python would go on with a longer integer.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "nibble/text/jinja/ast.h"
#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

Value binary_operation(ast::BinaryOp op, const Value& left, const Value& right, Budget& budget);
Value unary_sign(ast::UnaryOp op, const Value& operand);  // kNegate or kPlus

// object.name and object[key] of Jinja2: methods and items, in this and the other order. Nothing
// whose name starts with an underscore but a dict's own key, and nothing that would change a
// value, is reachable. What is missing is undefined.
Value get_attribute(const Value& object, std::string_view name, Budget& budget);
Value get_item(const Value& object, const Value& key, Budget& budget);

// object[start:stop:step]; null bounds are Python's None.
Value get_slice(const Value& object, const Value* start, const Value* stop, const Value* step,
                Budget& budget);

// Python's len(), or nothing for what has no length.
std::optional<int64_t> length_of(const Value& value);

// The items of a value one by one: characters, items, keys. Throws for what is not iterable. The
// budget must outlive the result.
using Puller = std::function<std::optional<Value>()>;
Puller iterate(const Value& value, Budget& budget);
bool is_iterable(const Value& value);
std::vector<Value> to_items(const Value& value, Budget& budget);

}  // namespace nibble::jinja
