// SPDX-License-Identifier: Apache-2.0
//
// One function per subcommand, each in the file of its name: it declares the options and runs the
// command when the command line names it.
#pragma once

#include <CLI/CLI.hpp>

namespace nibble::cli {

void add_run_command(CLI::App& app);
void add_chat_command(CLI::App& app);
void add_quantize_command(CLI::App& app);
void add_dequantize_command(CLI::App& app);
void add_convert_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_compare_command(CLI::App& app);

}  // namespace nibble::cli
