// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibrate_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/gptq.h"
#include "nibble/quant/gptq_packing.h"
#include "nibble/quant/plain_modules.h"
#include "nibble/quant/quantization_config.h"
#include "nibble/text/tokenizer.h"

namespace nibble {
namespace {

// That of GPTQ's own experiments.
constexpr int64_t kUsualSeqlen = 2048;

// Sorts the modules that the scheme converts into those that its files can hold and the others.
std::set<std::string> choose_modules(const ModelConfig& model, const GptqScheme& scheme,
                                     CalibratedModel& result) {
  LoadOptions load;
  load.quantize_with = &scheme;
  const WeightLoader recorder(load);
  make_model(model, recorder);
  std::set<std::string> chosen;
  for (const ModuleInfo& module : recorder.modules()) {
    if (!module.quantizable) continue;
    if (!fits_gptq(module.rows, module.cols, result.config.bits)) {
      result.plain.push_back(module.name);
      continue;
    }
    const int64_t group = resolved_group_size(result.config.group_size, module.cols);
    if (module.cols % group != 0) {
      throw Error("group_size does not divide the columns")
          .tensor(module.name + ".weight")
          .expected(fmt::format("a divisor of {}, or -1", module.cols))
          .got(fmt::format("{}", group));
    }
    chosen.insert(module.name);
  }
  if (chosen.empty()) {
    throw Error("the model has no module that a GPTQ file can hold")
        .expected("rows and columns that fill words of 32 bits");
  }
  return chosen;
}

}  // namespace

CalibratedModel calibrate_model(const std::filesystem::path& folder, const GptqConfig& config,
                                const CalibrationOptions& options,
                                const std::shared_ptr<ThreadPool>& pool, Progress* progress) {
  const ModelConfig model = ModelConfig::load(folder);
  if (names_quantization(folder, model.quantization)) {
    throw Error("the model is quantized already")
        .file(quantization_file(folder, model.quantization))
        .hint("run `nibble dequantize` first, or start from the original model");
  }
  CalibratedModel result;
  result.config = config;
  const GptqScheme scheme(config);
  GptqCalibrationOptions run;
  run.modules = choose_modules(model, scheme, result);
  run.progress = progress;
  run.grid_of_cols = [&](int64_t cols) { return scheme.grid_options(cols); };
  run.solver.damp_percent = config.damp_percent;
  run.solver.desc_act = config.desc_act;
  run.solver.static_groups = config.static_groups;
  run.solver.parity = options.parity;
  run.solver.act_group_aware = config.act_group_aware && !config.desc_act;

  const int64_t longest = model.max_position_embeddings;
  CalibrationTextOptions text;
  text.samples = options.samples;
  text.seqlen =
      options.seqlen.value_or(longest > 0 ? std::min(kUsualSeqlen, longest) : kUsualSeqlen);
  if (longest > 0 && text.seqlen > longest) {
    throw Error("sequences of the calibration are longer than the model's context")
        .expected(fmt::format("at most {} tokens", longest))
        .got(fmt::format("{}", text.seqlen));
  }
  const std::vector<std::vector<int32_t>> sequences =
      calibration_sequences(options.texts, *Tokenizer::load(folder), text);

  OpenOptions open;
  open.backend = options.backend;
  open.pool = pool;
  open.progress = progress;
  if (model.dtype && is_held(*model.dtype)) open.dtype = model.dtype;
  const OpenedModel opened = open_model(folder, open);
  result.calibration = calibrate_gptq(*opened.model, *opened.backend, *pool, sequences, run);
  result.config.meta = {{"calibration",
                         {{"texts", options.texts.filename().string()},
                          {"samples", sequences.size()},
                          {"seqlen", text.seqlen},
                          {"tokens", result.calibration.modules.front().tokens},
                          {"seed", text.seed}}}};
  if (options.parity) result.config.meta["calibration"]["parity"] = true;
  std::vector<std::string> packed;
  for (const CalibratedModule& module : result.calibration.modules) packed.push_back(module.name);
  result.config = std::get<GptqConfig>(leaving_plain(result.config, result.plain, packed));
  return result;
}

}  // namespace nibble
