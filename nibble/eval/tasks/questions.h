// SPDX-License-Identifier: Apache-2.0
//
// From the fields of each data set to a question. All throw Error with file, line and field.
#pragma once

#include "nibble/eval/tasks/task.h"

namespace nibble {

Question arc_question(const QuestionFields& fields);
Question hellaswag_question(const QuestionFields& fields);
Question lambada_question(const QuestionFields& fields);
Question mmlu_question(const QuestionFields& fields);
Question openbookqa_question(const QuestionFields& fields);
Question piqa_question(const QuestionFields& fields);
Question truthfulqa_mc1_question(const QuestionFields& fields);
Question truthfulqa_mc2_question(const QuestionFields& fields);
Question winogrande_question(const QuestionFields& fields);

}  // namespace nibble
