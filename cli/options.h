// SPDX-License-Identifier: Apache-2.0
//
// Options that several commands share: those of every command, those of commands that open a model
// (Hugging Face's names, dashes for underscores), and those of commands that write one.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/nibble.h"

namespace nibble::cli {

struct CommonOptions {
  int threads = 0;  // 0: all processors
  std::string device = "cpu";
  bool quiet = false;
  bool json = false;
};

void add_common_options(CLI::App& command, CommonOptions& options);

// Throws UsageError for a device that is no device, Error for one that this build lacks.
std::shared_ptr<ThreadPool> make_pool(const CommonOptions& options);

// The fields of BitsAndBytesConfig that describe codes; `quantize` has them under short names too.
struct LoadingOptions {
  BitsAndBytesConfig bnb;
  std::optional<std::vector<std::string>> skip_modules;
  std::string compute_dtype, quant_storage, dtype, activation;
  std::string kv_cache_dtype = "auto";
  std::optional<std::string> cache_packed;  // "": the user's folder for caches
};

void add_loading_options(CLI::App& command, LoadingOptions& options);

// --kv-cache-dtype, of the commands that run the model that they open.
void add_kv_cache_option(CLI::App& command, LoadingOptions& options);

// --cache-packed, of the commands that open a model.
void add_packed_cache_option(CLI::App& command, LoadingOptions& options);

// What open_model() takes. Throws UsageError when the options contradict each other.
OpenOptions open_options(const LoadingOptions& loading, const CommonOptions& common,
                         Progress* progress);

// Prints the warnings and notes of a model that was opened.
void tell_of(const OpenedModel& opened, const CommonOptions& common);

// Opens the model and does that, too. Throws Error when `folder` is no model folder.
OpenedModel open_for(const std::string& folder, const LoadingOptions& loading,
                     const CommonOptions& common, Progress* progress);

// --llm-int8-skip-modules a,b: an empty text is an empty list, which differs from none given.
CLI::Option* add_skip_modules_option(CLI::App& command,
                                     std::optional<std::vector<std::string>>& modules,
                                     const std::string& description);

struct OutputOptions {
  std::string max_shard_size = "5GB";
  bool overwrite = false;
  bool resume = false;
};

void add_output_options(CLI::App& command, OutputOptions& options);
CheckpointWriterOptions writer_options(const OutputOptions& options);

// The exact name of a float dtype ("bfloat16", "bf16", ...); throws UsageError. Empty: absent.
std::optional<DType> parse_dtype(const std::string& option, const std::string& name);

// Any dtype that safetensors has; BitsAndBytesConfig decides which may hold codes.
DType parse_storage_dtype(const std::string& name);

// "5GB", "200MB", "1GiB", "1000000": bytes; throws UsageError.
int64_t parse_size(const std::string& option, const std::string& text);

// Before long work whose result goes to `file`: there is a folder for it. Empty: no file.
void require_folder_for(const std::string& file);

// The model folder of a command line: exists, is a folder, and is not a GGUF file.
void require_model_folder(const std::string& path);

}  // namespace nibble::cli
