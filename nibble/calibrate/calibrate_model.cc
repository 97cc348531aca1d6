// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibrate_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/calibrate/awq_calibration.h"
#include "nibble/calibrate/gptq_calibration.h"
#include "nibble/calibrate/input_squares.h"
#include "nibble/calibrate/loss_sensitivity.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/awq.h"
#include "nibble/quant/gptq.h"
#include "nibble/quant/gptq_packing.h"
#include "nibble/quant/plain_modules.h"
#include "nibble/text/tokenizer.h"

namespace nibble {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

// Of a sequence by which inputs are only measured.
constexpr int64_t kUsualTokens = 512;

// What a method has of its own.
struct Method {
  const Scheme& scheme;
  const char* file;  // "a GPTQ file"
  int64_t group_size;
  int64_t seqlen;  // that of the method's own experiments
  std::function<bool(int64_t rows, int64_t cols)> fits = {};
  // What is wrong with a shape that fits in groups of this size, or nullptr.
  std::function<const char*(int64_t rows, int64_t cols, int64_t group)> misfit = {};
  std::function<Calibration(OpenedModel& opened, const Sequences& sequences,
                            std::set<std::string> modules)>
      run = {};
};

void check_groups(const ModuleInfo& module, const Method& method) {
  const int64_t group = resolved_group_size(method.group_size, module.cols);
  if (module.cols % group != 0) {
    throw Error("group_size does not divide the columns")
        .tensor(module.name + ".weight")
        .expected(fmt::format("a divisor of {}, or -1", module.cols))
        .got(fmt::format("{}", group));
  }
  if (!method.misfit) return;
  if (const char* wanted = method.misfit(module.rows, module.cols, group)) {
    throw Error("this matrix cannot be packed for the format")
        .tensor(module.name + ".weight")
        .expected(wanted)
        .got(fmt::format("{} in groups of {}", to_string(Shape{module.rows, module.cols}), group));
  }
}

// Sorts the modules that the scheme converts into those that its files can hold and the others.
std::set<std::string> choose_modules(const ModelConfig& model, const Method& method,
                                     std::vector<std::string>& plain) {
  LoadOptions load;
  load.quantize_with = &method.scheme;
  load.skip_modules = method.scheme.skip_modules();
  const WeightLoader recorder(load);
  make_model(model, recorder);
  std::set<std::string> chosen;
  for (const ModuleInfo& module : recorder.modules()) {
    if (!module.quantizable) continue;
    if (!method.fits(module.rows, module.cols)) {
      plain.push_back(module.name);
      continue;
    }
    check_groups(module, method);
    chosen.insert(module.name);
  }
  if (chosen.empty()) {
    throw Error(fmt::format("the model has no module that {} can hold", method.file))
        .expected("rows and columns that fill words of 32 bits");
  }
  return chosen;
}

Sequences sequences_for(const ModelConfig& model, const std::filesystem::path& folder,
                        const CalibrationOptions& options, CalibrationTextOptions& text,
                        int64_t usual) {
  const int64_t longest = model.max_position_embeddings;
  text.samples = options.samples;
  text.seqlen = options.seqlen.value_or(longest > 0 ? std::min(usual, longest) : usual);
  if (longest > 0 && text.seqlen > longest) {
    throw Error("sequences of the calibration are longer than the model's context")
        .expected(fmt::format("at most {} tokens", longest))
        .got(fmt::format("{}", text.seqlen));
  }
  return calibration_sequences(options.texts, *Tokenizer::load(folder), text);
}

ModelConfig plain_config(const std::filesystem::path& folder) {
  ModelConfig model = ModelConfig::load(folder);
  if (!names_quantization(folder, model.quantization)) return model;
  throw Error("the model is quantized already")
      .file(quantization_file(folder, model.quantization))
      .hint("run `nibble dequantize` first, or start from the original model");
}

OpenedModel open_plain(const ModelConfig& model, const std::filesystem::path& folder,
                       const CalibrationOptions& options, const std::shared_ptr<ThreadPool>& pool,
                       Progress* progress) {
  OpenOptions open;
  open.backend = options.backend;
  open.pool = pool;
  open.progress = progress;
  if (model.dtype && is_held(*model.dtype)) open.dtype = model.dtype;
  return open_model(folder, open);
}

// All but the config; `record` is what the config says of the calibration.
CalibratedModel calibrate_with(const Method& method, const std::filesystem::path& folder,
                               const CalibrationOptions& options,
                               const std::shared_ptr<ThreadPool>& pool, Progress* progress,
                               nlohmann::ordered_json& record) {
  const ModelConfig model = plain_config(folder);
  CalibratedModel result;
  std::set<std::string> modules = choose_modules(model, method, result.plain);
  CalibrationTextOptions text;
  const Sequences sequences = sequences_for(model, folder, options, text, method.seqlen);

  OpenedModel opened = open_plain(model, folder, options, pool, progress);
  result.calibration = method.run(opened, sequences, std::move(modules));
  record = {{"calibration",
             {{"texts", options.texts.filename().string()},
              {"samples", sequences.size()},
              {"seqlen", text.seqlen},
              {"tokens", result.calibration.modules.front().tokens},
              {"seed", text.seed}}}};
  return result;
}

// The config, in which modules that stay plain are named.
QuantizationConfig naming_plain(QuantizationConfig config, const CalibratedModel& result) {
  std::vector<std::string> packed;
  for (const CalibratedModule& module : result.calibration.modules) packed.push_back(module.name);
  return leaving_plain(std::move(config), result.plain, packed);
}

}  // namespace

CalibratedModel calibrate_model(const std::filesystem::path& folder, const GptqConfig& config,
                                const CalibrationOptions& options,
                                const std::shared_ptr<ThreadPool>& pool, Progress* progress) {
  const GptqScheme scheme(config);
  Method method{
      .scheme = scheme, .file = "a GPTQ file", .group_size = config.group_size, .seqlen = 2048};
  method.fits = [&](int64_t rows, int64_t cols) { return fits_gptq(rows, cols, config.bits); };
  method.run = [&](OpenedModel& opened, const Sequences& sequences, std::set<std::string> modules) {
    GptqCalibrationOptions run;
    run.modules = std::move(modules);
    run.progress = progress;
    run.grid_of_cols = [&](int64_t cols) { return scheme.grid_options(cols); };
    run.solver.damp_percent = config.damp_percent;
    run.solver.desc_act = config.desc_act;
    run.solver.static_groups = config.static_groups;
    run.solver.parity = options.parity;
    run.solver.act_group_aware = config.act_group_aware && !config.desc_act;
    return calibrate_gptq(*opened.model, *opened.backend, *pool, sequences, run);
  };
  GptqConfig described = config;
  CalibratedModel result = calibrate_with(method, folder, options, pool, progress, described.meta);
  if (options.parity) described.meta["calibration"]["parity"] = true;
  result.config = naming_plain(std::move(described), result);
  return result;
}

CalibratedModel calibrate_model(const std::filesystem::path& folder, const AwqConfig& config,
                                const CalibrationOptions& options,
                                const std::shared_ptr<ThreadPool>& pool, Progress* progress) {
  const AwqScheme scheme(config);
  Method method{
      .scheme = scheme, .file = "an AWQ file", .group_size = config.group_size, .seqlen = 512};
  method.fits = [&](int64_t rows, int64_t cols) { return scheme.fills_words(rows, cols); };
  method.misfit = [&](int64_t rows, int64_t cols, int64_t group) {
    return scheme.misfit_of_groups(rows, cols, group);
  };
  method.run = [&](OpenedModel& opened, const Sequences& sequences, std::set<std::string> modules) {
    AwqCalibrationOptions run;
    run.modules = std::move(modules);
    run.progress = progress;
    run.grid_of_cols = [&](int64_t cols) { return scheme.grid_options(cols); };
    return calibrate_awq(*opened.model, *opened.backend, *pool, sequences, run);
  };
  AwqConfig described = config;
  CalibratedModel result = calibrate_with(method, folder, options, pool, progress, described.meta);
  result.config = naming_plain(std::move(described), result);
  return result;
}

InputSquares measure_loss_sensitivity(const std::filesystem::path& folder,
                                      const CalibrationOptions& options,
                                      const std::shared_ptr<ThreadPool>& pool, Progress* progress) {
  const ModelConfig model = plain_config(folder);
  CalibrationTextOptions text;
  const Sequences sequences = sequences_for(model, folder, options, text, kUsualTokens);
  const OpenedModel opened = open_plain(model, folder, options, pool, progress);
  const InputSquares squares =
      measure_input_squares(*opened.model, *opened.backend, sequences, progress);
  LossSensitivityOptions loss;
  loss.progress = progress;
  return weigh_by_loss(*opened.model, *opened.backend, *pool, sequences, squares, loss);
}

}  // namespace nibble
