// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <filesystem>

#include "cli/output.h"

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLoading = "Loading";

// An option whose value may be left out takes what stands behind it: a model, if that comes last.
fs::path packed_cache_folder(const std::string& given) {
  if (fs::exists(fs::path(given) / "config.json")) {
    throw UsageError(fmt::format(
        "--cache-packed: '{}' is a model, no folder for a cache: name models before the option",
        given));
  }
  return given.empty() ? user_cache_folder() / "packed" : fs::path(given);
}

}  // namespace

void add_common_options(CLI::App& command, CommonOptions& options) {
  command.add_option("--threads", options.threads, "Threads to use (default: all processors)")
      ->check(CLI::Range(1, 4096));
  command.add_option("--device", options.device, "Where to compute: cpu")->capture_default_str();
  command.add_flag("--quiet", options.quiet, "No progress and no timings on stderr");
  command.add_flag("--json", options.json, "Print one JSON document on stdout and nothing else");
}

std::shared_ptr<ThreadPool> make_pool(const CommonOptions& options) {
  Device device;
  try {
    device = parse_device(options.device);
  } catch (const Error& error) {
    throw UsageError(fmt::format("--device: {}", error.what()));
  }
  if (!device.is_cpu()) {
    throw Error(
        fmt::format("there is no device '{}': this build computes on the CPU only", device.name()))
        .hint("use --device cpu");
  }
  return std::make_shared<ThreadPool>(options.threads);
}

void add_loading_options(CLI::App& command, LoadingOptions& options) {
  BitsAndBytesConfig& bnb = options.bnb;
  const auto group = [](CLI::Option* option) { return option->group(kLoading); };
  CLI::Option* eight = group(command.add_flag("--load-in-8bit", bnb.load_in_8bit,
                                              "Quantize linear layers to LLM.int8() on loading"));
  CLI::Option* four = group(
      command.add_flag("--load-in-4bit", bnb.load_in_4bit, "Quantize linear layers to 4 bits"));
  eight->excludes(four);
  group(command.add_option("--bnb-4bit-quant-type", bnb.bnb_4bit_quant_type, "nf4 or fp4"))
      ->check(CLI::IsMember({"nf4", "fp4"}))
      ->capture_default_str()
      ->needs(four);
  group(command.add_option("--bnb-4bit-compute-dtype", options.compute_dtype,
                           "Recorded; this engine computes in float32"))
      ->needs(four);
  group(command.add_flag("--bnb-4bit-use-double-quant", bnb.bnb_4bit_use_double_quant,
                         "Quantize the scales too"))
      ->needs(four);
  group(command.add_option("--bnb-4bit-quant-storage", options.quant_storage,
                           "Dtype that packed codes are declared as"))
      ->needs(four);
  group(command.add_option("--llm-int8-threshold", bnb.llm_int8_threshold,
                           "Activations of this magnitude stay float"))
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  group(add_skip_modules_option(command, options.skip_modules,
                                "Modules to leave unquantized, separated by commas"));
  group(command.add_flag("--llm-int8-enable-fp32-cpu-offload", bnb.llm_int8_enable_fp32_cpu_offload,
                         "Accepted for compatibility; everything is on the CPU here"));
  group(command.add_flag("--llm-int8-has-fp16-weight", bnb.llm_int8_has_fp16_weight,
                         "Accepted for compatibility"));
  group(command.add_option(
      "--dtype", options.dtype,
      "Dtype of plain weights (default: the file's; config.json's before quantizing)"));
  group(command.add_option("--activation", options.activation,
                           "Activations of quantized weights: float, or int8 (the default of "
                           "LLM.int8(), there with float outliers); less exact, faster"))
      ->check(CLI::IsMember({"float", "int8"}));
}

void add_kv_cache_option(CLI::App& command, LoadingOptions& options) {
  command
      .add_option("--kv-cache-dtype", options.kv_cache_dtype,
                  "Cached keys and values: float32, float16 (half the memory; perplexity moves by "
                  "less than 0.01 %), int8 (a quarter; by some 0.2 %), or auto: float16 for models "
                  "in 16 bits, else float32")
      ->check(CLI::IsMember({"auto", "float32", "float16", "int8"}))
      ->capture_default_str()
      ->group(kLoading);
}

void add_packed_cache_option(CLI::App& command, LoadingOptions& options) {
  command
      .add_option_function<std::string>(
          "--cache-packed",
          [&options](const std::string& folder) { options.cache_packed = folder; },
          "Keep weights that loading quantizes or unpacks (GPTQ, AWQ, HQQ, EETQ, int8 in groups) "
          "in "
          "files of this folder, to map them at the next load (default: packed in "
          "$XDG_CACHE_HOME/nibble or ~/.cache/nibble)")
      ->expected(0, 1)
      ->type_name("[DIR]")
      ->group(kLoading);
}

CLI::Option* add_skip_modules_option(CLI::App& command,
                                     std::optional<std::vector<std::string>>& modules,
                                     const std::string& description) {
  const auto set = [&modules](const std::vector<std::string>& given) {
    modules = given;
    std::erase(*modules, "");
  };
  return command
      .add_option_function<std::vector<std::string>>(
          "--llm-int8-skip-modules,--modules-to-not-convert", set, description)
      ->delimiter(',')
      ->allow_extra_args(false);
}

OpenOptions open_options(const LoadingOptions& loading, const CommonOptions& common,
                         Progress* progress) {
  OpenOptions options;
  options.pool = make_pool(common);
  options.progress = progress;
  options.dtype = parse_dtype("--dtype", loading.dtype);
  if (loading.kv_cache_dtype != "auto") {
    options.kv_cache_dtype = dtype_from_torch(loading.kv_cache_dtype);
  }
  if (loading.cache_packed) options.packed_cache = packed_cache_folder(*loading.cache_packed);
  if (!loading.activation.empty()) {
    options.activation =
        loading.activation == "int8" ? ActivationMode::kInt8 : ActivationMode::kFloat;
  }
  if (loading.bnb.load_in_8bit || loading.bnb.load_in_4bit) {
    BitsAndBytesConfig config = loading.bnb;
    config.llm_int8_skip_modules = loading.skip_modules;
    if (const auto dtype = parse_dtype("--bnb-4bit-compute-dtype", loading.compute_dtype)) {
      config.bnb_4bit_compute_dtype = *dtype;
    }
    if (!loading.quant_storage.empty()) {
      config.bnb_4bit_quant_storage = parse_storage_dtype(loading.quant_storage);
    }
    try {
      config.validate();
    } catch (const Error& error) {
      throw UsageError(error.what());
    }
    options.quantization = std::move(config);
  }
  return options;
}

void tell_of(const OpenedModel& opened, const CommonOptions& common) {
  for (const std::string& warning : opened.warnings) warn(warning);
  for (const std::string& text : opened.notes) note(text, common.quiet);
}

OpenedModel open_for(const std::string& folder, const LoadingOptions& loading,
                     const CommonOptions& common, Progress* progress) {
  OpenOptions options = open_options(loading, common, progress);
  require_model_folder(folder);
  OpenedModel opened = open_model(folder, std::move(options));
  tell_of(opened, common);
  return opened;
}

void add_output_options(CLI::App& command, OutputOptions& options) {
  command
      .add_option("--max-shard-size", options.max_shard_size,
                  "Bytes of weights per file: 5GB, 200MB, 1GiB")
      ->capture_default_str();
  command.add_flag("--overwrite", options.overwrite, "Replace the model in DST if it is not empty");
  command.add_flag("--resume", options.resume,
                   "Go on where the same command was interrupted or killed");
}

CheckpointWriterOptions writer_options(const OutputOptions& options) {
  CheckpointWriterOptions writer;
  writer.max_shard_size = parse_size("--max-shard-size", options.max_shard_size);
  writer.overwrite = options.overwrite;
  writer.resume = options.resume;
  return writer;
}

std::optional<DType> parse_dtype(const std::string& option, const std::string& name) {
  if (name.empty()) return std::nullopt;
  const std::optional<DType> dtype = dtype_from_torch(name);
  if (dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16) return dtype;
  throw UsageError(
      fmt::format("{}: expected float32, float16 or bfloat16, got '{}'", option, name));
}

DType parse_storage_dtype(const std::string& name) {
  const std::optional<DType> dtype = dtype_from_torch(name);
  if (!dtype) throw UsageError(fmt::format("--bnb-4bit-quant-storage: unknown dtype '{}'", name));
  return *dtype;
}

int64_t parse_size(const std::string& option, const std::string& text) {
  struct Unit {
    const char* name;
    double bytes;
  };
  constexpr Unit kUnits[] = {{"", 1},         {"KB", 1e3},     {"MB", 1e6},
                             {"GB", 1e9},     {"TB", 1e12},    {"KIB", 0x1p10},
                             {"MIB", 0x1p20}, {"GIB", 0x1p30}, {"TIB", 0x1p40}};
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(static_cast<const char*>(end), text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' '));  // "5 GB", as transformers takes it
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const Unit& known : kUnits) {
    const double bytes = number * known.bytes;
    if (failure == std::errc() && unit == known.name && bytes >= 1 && bytes < 0x1p62) {
      return static_cast<int64_t>(bytes);
    }
  }
  throw UsageError(
      fmt::format("{}: expected a size such as 5GB, 200MB or 1GiB, got '{}'", option, text));
}

void require_folder_for(const std::string& file) {
  const fs::path folder = fs::path(file).parent_path();
  if (folder.empty() || fs::is_directory(folder)) return;
  throw Error("there is no folder for this file").file(file);
}

void require_model_folder(const std::string& path) {
  if (!fs::exists(path)) throw Error("no such model folder").file(path);
  if (is_gguf(path)) {
    throw Error("a GGUF file is not run directly")
        .file(path)
        .hint("make a model folder of it: nibble convert " + path + " DST");
  }
  if (!fs::is_directory(path)) {
    throw Error("not a model folder")
        .file(path)
        .expected("a folder with config.json and model.safetensors");
  }
}

}  // namespace nibble::cli
