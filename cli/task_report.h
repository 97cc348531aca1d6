// SPDX-License-Identifier: Apache-2.0
//
// What is printed and written of tasks of questions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/nibble.h"

namespace nibble::cli {

std::string tasks_table(const std::vector<TaskResult>& results);  // a line for each metric
nlohmann::ordered_json tasks_json(const std::vector<TaskResult>& results);

// JSON lines, one for each question: where it stands, what each choice got, what it counts.
std::string samples_text(const std::vector<TaskResult>& results);

}  // namespace nibble::cli
