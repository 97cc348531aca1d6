// SPDX-License-Identifier: Apache-2.0
//
// The program: subcommands, exit codes, and the one line that an error becomes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <new>
#include <string>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "nibble/nibble.h"

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kWrongUsage = 2, kInterrupted = 130 };

int fail(ExitCode code, const std::string& message) {
  fmt::print(stderr, "nibble: {}\n", message);
  return code;
}

// The name of the subcommand on the command line, to say whose --help helps.
std::string help_for(const CLI::App& app) {
  for (const CLI::App* command : app.get_subcommands()) {
    return fmt::format("see `nibble {} --help`", command->get_name());
  }
  return "see `nibble --help`";
}

void parse_and_run(CLI::App& app, int argc, char** argv) {
  const auto is_named = [&](const CLI::App* command) { return command->check_name(argv[1]); };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(is_named).empty()) {
    throw nibble::cli::UsageError(fmt::format("there is no command '{}'", argv[1]));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    nibble::cli::print(app.help());
  } catch (const CLI::Success& version) {
    nibble::cli::print(fmt::format("{}\n", version.what()));
  }
}

int run(CLI::App& app, int argc, char** argv) {
  using namespace nibble;
  try {
    parse_and_run(app, argc, argv);
    return kDone;
  } catch (const CLI::ParseError& error) {
    return fail(kWrongUsage, fmt::format("{}; {}", error.what(), help_for(app)));
  } catch (const cli::UsageError& error) {
    return fail(kWrongUsage, fmt::format("{}; {}", error.what(), help_for(app)));
  } catch (const cli::OutputClosed&) {
    return kDone;  // the reader has all it wanted
  } catch (const Interrupted& error) {
    return fail(kInterrupted, error.what());
  } catch (const std::filesystem::filesystem_error& error) {  // a loop of links, a name too long
    return fail(
        kFailed,
        Error("cannot look at this path").file(error.path1()).got(error.code().message()).what());
  } catch (const std::bad_alloc&) {
    return fail(kFailed, "out of memory");
  } catch (const std::exception& error) {  // Error among them
    return fail(kFailed, printable(error.what()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  nibble::cli::install_signal_handlers();
  CLI::App app(
      "nibble quantizes and runs Hugging Face language models on the CPU.\n\n"
      "A model is a folder with config.json, tokenizer.json and model.safetensors, as "
      "transformers\n"
      "writes it. `nibble convert` makes one from a GGUF file.\n",
      "nibble");
  app.set_version_flag("--version", "nibble " NIBBLE_VERSION);
  app.require_subcommand(1);
  app.footer(
      "\nExamples:\n"
      "  nibble convert model.Q4_K_M.gguf model        a model folder from a GGUF file\n"
      "  nibble quantize model model-nf4 --scheme nf4 --double-quant\n"
      "  nibble run model-nf4 -p \"Once upon a time\"\n"
      "  nibble chat model-nf4\n"
      "  nibble eval model-nf4 --perplexity wiki.test.raw\n"
      "  nibble bench model --schemes plain,int8,nf4    speed, memory, shares of the machine's "
      "limits\n"
      "  nibble compare model model-nf4 --perplexity wiki.test.raw --plot quality.svg\n"
      "  nibble inspect model-nf4 --compare model\n\n"
      "`nibble COMMAND --help` tells more about each command.\n");
  nibble::cli::add_run_command(app);
  nibble::cli::add_chat_command(app);
  nibble::cli::add_quantize_command(app);
  nibble::cli::add_dequantize_command(app);
  nibble::cli::add_convert_command(app);
  nibble::cli::add_inspect_command(app);
  nibble::cli::add_eval_command(app);
  nibble::cli::add_bench_command(app);
  nibble::cli::add_compare_command(app);
  return run(app, argc, argv);
}
