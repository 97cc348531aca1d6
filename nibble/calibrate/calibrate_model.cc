// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibrate_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/calibrate/awq_calibration.h"
#include "nibble/calibrate/gptq_calibration.h"
#include "nibble/calibrate/input_squares.h"
#include "nibble/calibrate/loss_sensitivity.h"
#include "nibble/io/page_advice.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/awq.h"
#include "nibble/quant/gptq.h"
#include "nibble/quant/gptq_packing.h"
#include "nibble/quant/marlin_packing.h"
#include "nibble/quant/plain_modules.h"
#include "nibble/text/tokenizer.h"

namespace nibble {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

// Of a sequence by which inputs are only measured.
constexpr int64_t kUsualTokens = 512;

// Sequences of the texts, no longer than the model's context.
Sequences sequences_for(const ModelConfig& model, const std::filesystem::path& folder,
                        const CalibrationOptions& options, CalibrationTextOptions& text,
                        int64_t usual) {
  const int64_t longest = model.max_position_embeddings;
  text.samples = options.samples;
  text.convention = options.convention;
  text.seed = options.seed;
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

// Every Linear of a model as it was opened: mapped, so that they cost nothing.
class OriginalWeights {
 public:
  explicit OriginalWeights(Model& model) : model_(model) {
    model_.visit([this](const std::string& path, Linear& linear) {
      weights_.emplace(path, linear.shared_weight());
    });
  }

  // Lets go of what stands in their place in a block, and of their pages.
  void restore(const std::string& prefix) {
    model_.visit([&](const std::string& path, Linear& linear) {
      if (!path.starts_with(prefix)) return;
      linear.set_weight(weights_.at(path));
      drop_pages(linear.weight().weight().as_dense().values);
    });
  }

 private:
  Model& model_;
  std::map<std::string, std::shared_ptr<const PreparedWeight>> weights_;
};

}  // namespace

// What a method has of its own.
struct ModelCalibration::Method {
  const Scheme& scheme;
  const char* file;  // "a GPTQ file"
  int64_t seqlen;    // that of the method's own experiments
  std::function<RtnOptions(const std::string& module, int64_t cols)> grid = {};
  std::function<bool(const ModuleInfo& module)> fits = {};
  // What is wrong with a shape that fits in groups of this size, or nullptr.
  std::function<const char*(int64_t rows, int64_t cols, int64_t group)> misfit = {};

  void check_groups(const ModuleInfo& module) const {
    const int64_t group = grid(module.name, module.cols).group_size;
    if (module.cols % group != 0) {
      throw Error("group_size does not divide the columns")
          .tensor(module.name + ".weight")
          .expected(fmt::format("a divisor of {}, or -1", module.cols))
          .got(fmt::format("{}", group));
    }
    if (!misfit) return;
    if (const char* wanted = misfit(module.rows, module.cols, group)) {
      throw Error("this matrix cannot be packed for the format")
          .tensor(module.name + ".weight")
          .expected(wanted)
          .got(
              fmt::format("{} in groups of {}", to_string(Shape{module.rows, module.cols}), group));
    }
  }
};

// Sorts the modules that the scheme converts into those that its files can hold and the others, and
// draws the sequences. `record` is what the config says of the calibration.
void ModelCalibration::prepare(const Method& method, nlohmann::ordered_json& record) {
  const ModelConfig model = plain_config(folder_);
  LoadOptions load;
  load.quantize_with = &method.scheme;
  load.skip_modules = method.scheme.skip_modules();
  const WeightLoader recorder(load);
  const std::unique_ptr<Model> structure = make_model(model, recorder);
  for (int64_t i = 0; i < structure->block_count(); ++i) {
    blocks_.push_back(structure->block_prefix(i));
  }
  for (const ModuleInfo& module : recorder.modules()) {
    if (!module.quantizable) continue;
    const bool fits = method.fits(module);
    if (fits) method.check_groups(module);
    (fits ? modules_ : plain_).push_back(module.name);
  }
  if (modules_.empty()) {
    throw Error(fmt::format("the model has no module that {} can hold", method.file))
        .expected("rows and columns that fill words of 32 bits");
  }
  CalibrationTextOptions text;
  sequences_ = sequences_for(model, folder_, options_, text, method.seqlen);
  size_t tokens = 0;
  for (const std::vector<int32_t>& ids : sequences_) tokens += ids.size();
  record = {{"calibration",
             {{"texts", options_.texts.filename().string()},
              {"samples", sequences_.size()},
              {"seqlen", text.seqlen},
              {"tokens", tokens},
              {"convention", to_string(text.convention)},
              {"seed", calibration_seed(text)}}}};
}

ModelCalibration::ModelCalibration(std::filesystem::path folder, const GptqConfig& config,
                                   CalibrationOptions options, std::shared_ptr<ThreadPool> pool)
    : folder_(std::move(folder)), options_(std::move(options)), pool_(std::move(pool)) {
  const auto scheme = std::make_shared<const GptqScheme>(config);
  Method method{.scheme = *scheme, .file = "a GPTQ file", .seqlen = 2048};
  method.grid = [scheme](const std::string& module, int64_t cols) {
    return scheme->grid_options(cols, module);
  };
  method.fits = [&](const ModuleInfo& module) {
    return config.format == "marlin"
               ? fits_marlin(module.rows, module.cols)
               : fits_gptq(module.rows, module.cols, method.grid(module.name, module.cols).bits);
  };
  GptqConfig described = config;
  prepare(method, described.meta);
  if (options_.parity) described.meta["calibration"]["parity"] = true;
  config_ = leaving_plain(std::move(described), plain_, modules_);
  grid_ = method.grid;
  GptqSolverOptions solver;
  solver.damp_percent = config.damp_percent;
  solver.desc_act = config.desc_act;
  solver.static_groups = config.static_groups;
  solver.parity = options_.parity;
  solver.act_group_aware = config.act_group_aware && !config.desc_act;
  method_ = [this, solver](OpenedModel& opened, const CalibrationTask& task,
                           const CalibrationSink& sink) {
    return calibrate_gptq(*opened.model, *opened.backend, *pool_, sequences_, task, solver, sink);
  };
}

ModelCalibration::ModelCalibration(std::filesystem::path folder, const AwqConfig& config,
                                   CalibrationOptions options, std::shared_ptr<ThreadPool> pool)
    : folder_(std::move(folder)), options_(std::move(options)), pool_(std::move(pool)) {
  const auto scheme = std::make_shared<const AwqScheme>(config);
  Method method{.scheme = *scheme, .file = "an AWQ file", .seqlen = 512};
  method.grid = [scheme](const std::string&, int64_t cols) { return scheme->grid_options(cols); };
  method.fits = [&](const ModuleInfo& module) {
    return scheme->fills_words(module.rows, module.cols);
  };
  method.misfit = [&](int64_t rows, int64_t cols, int64_t group) {
    return scheme->misfit_of_groups(rows, cols, group);
  };
  AwqConfig described = config;
  prepare(method, described.meta);
  config_ = leaving_plain(std::move(described), plain_, modules_);
  grid_ = method.grid;
  method_ = [this](OpenedModel& opened, const CalibrationTask& task, const CalibrationSink& sink) {
    return calibrate_awq(*opened.model, *opened.backend, *pool_, sequences_, task, sink);
  };
}

std::vector<CalibratedModule> ModelCalibration::run(const CalibrationWork& work,
                                                    const CalibrationSink& sink,
                                                    Progress* progress) {
  OpenedModel opened = open_plain(ModelConfig::load(folder_), folder_, options_, pool_, progress);
  OriginalWeights originals(*opened.model);
  const CalibrationSink take = [&](int64_t block, Calibration&& calibration) {
    sink(block, std::move(calibration));
    originals.restore(blocks_[static_cast<size_t>(block)]);
  };
  const CalibrationTask task = {.modules = {modules_.begin(), modules_.end()},
                                .grid = grid_,
                                .work = work,
                                .progress = progress};
  return method_(opened, task, take);
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
