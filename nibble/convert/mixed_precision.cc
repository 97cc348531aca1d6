// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/mixed_precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/convert/model_files.h"
#include "nibble/convert/model_source.h"
#include "nibble/io/page_advice.h"

namespace nibble {
namespace {

std::vector<ModuleInfo> modules_to_quantize(const ModelSource& source, const Scheme& scheme) {
  LoadOptions load;
  load.quantize_with = &scheme;
  load.skip_modules = scheme.skip_modules();
  std::vector<ModuleInfo> modules = modules_of(source.config, load);
  check_matrices(source.checkpoint, modules);
  std::erase_if(modules, [](const ModuleInfo& module) {
    return module.kind != ModuleInfo::Kind::kLinear || !module.tied_to.empty() ||
           !module.quantizable;
  });
  if (modules.empty()) {
    throw Error("there is no module to quantize").file(source.config_file());
  }
  return modules;
}

// Sorted by size, without those that a smaller or equal one beats.
void keep_what_pays(PlannedModule& module) {
  std::vector<size_t> order(module.choices.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    const PrecisionChoice &x = module.choices[a], &y = module.choices[b];
    return x.bytes != y.bytes ? x.bytes < y.bytes : x.error < y.error;
  });
  PlannedModule kept;
  for (const size_t i : order) {
    const PrecisionChoice& choice = module.choices[i];
    if (!kept.choices.empty() && choice.error >= kept.choices.back().error) continue;
    kept.choices.push_back(choice);
    kept.ways.push_back(module.ways[i]);
  }
  module.choices = std::move(kept.choices);
  module.ways = std::move(kept.ways);
}

// Without choices where no way has the words for the shape.
PlannedModule measure(const ModuleInfo& info, const Tensor& dense,
                      const std::vector<PrecisionWay>& ways, std::span<const double> input_squares,
                      ThreadPool& pool) {
  PlannedModule module;
  module.name = info.name;
  module.weights = info.rows * info.cols;
  // Sums of squares do not compare across modules, whose outputs are of all sizes.
  const double whole = input_squares.empty() ? weight_energy(dense, pool) : 1.0;
  for (const PrecisionWay& way : ways) {
    if (!way.holds(info.rows, info.cols)) continue;
    const Weight weight = way.scheme->quantize(dense, pool);
    int64_t bytes = 0;
    for (const NamedTensor& part : way.scheme->save(weight, info.name)) {
      bytes += part.tensor.nbytes();
    }
    const double error = weight_error(weight, dense, input_squares, pool);
    module.choices.push_back({bytes, whole > 0 ? error / whole : 0.0});
    module.ways.push_back(way);
  }
  keep_what_pays(module);
  return module;
}

// A module without choices stays plain where its shape keeps codes of some bits from filling words,
// as GPTQ's configs can say; groups are the user's to choose.
void require_groups_of_another_size(const ModuleInfo& info, const std::vector<PrecisionWay>& ways) {
  const bool words = std::ranges::all_of(
      ways, [&](const PrecisionWay& way) { return !way.scheme->misfit(info.rows, info.cols); });
  const bool gptq = ways.front().scheme->name() == GptqConfig::kMethod;
  if (gptq && !words) return;
  throw Error(fmt::format("{} has no groups for this matrix", ways.front().scheme->name()))
      .got(to_string(Shape{info.rows, info.cols}))
      .hint(gptq ? "give a group size that divides the columns"
                 : "name it in the skip list to leave it plain, or give a group size");
}

// Of all tensors that stay plain, in the dtype that they are saved in.
int64_t plain_bytes(const ModelSource& source, const std::vector<PlannedModule>& quantized,
                    DType plain) {
  std::set<std::string> packed;
  for (const PlannedModule& module : quantized) packed.insert(module.name + ".weight");
  int64_t bytes = 0;
  for (const std::string& name : source.checkpoint.names()) {
    if (packed.contains(name) || source.repeated.contains(name)) continue;
    const TensorInfo& info = source.checkpoint.info(name);
    bytes += info.nbytes / size_of(info.dtype) *
             size_of(dtype_beside_quantized(name, info.dtype, plain));
  }
  return bytes;
}

void allocate(PrecisionPlan& plan, const PrecisionBudget& budget, int64_t plain) {
  int64_t bytes = std::numeric_limits<int64_t>::max();
  if (budget.bits_per_weight) {
    // Compared as numbers: a budget may be larger than any count of bytes.
    const double most = *budget.bits_per_weight * static_cast<double>(plan.weights) / 8;
    if (most < 0x1p62) bytes = static_cast<int64_t>(most);
  }
  if (budget.bytes) bytes = std::min(bytes, *budget.bytes - plain);
  std::vector<std::vector<PrecisionChoice>> choices;
  int64_t least = 0;
  for (const PlannedModule& module : plan.modules) {
    choices.push_back(module.choices);
    least += module.choices.front().bytes;
  }
  const auto chosen = allocate_precision(choices, bytes);
  if (!chosen) {
    const double weights = static_cast<double>(plan.weights);
    const bool by_bits = !budget.bytes || bytes > *budget.bytes - plain;
    const auto with_bits = [&](double module_bytes) {
      return fmt::format("{:.3f} bits per weight", 8 * module_bytes / weights);
    };
    throw Error("the budget is less than the fewest bits take")
        .expected(by_bits ? "at least " + with_bits(static_cast<double>(least))
                          : fmt::format("at least {} bytes, of which {} stay plain", least + plain,
                                        plain))
        .got(by_bits ? with_bits(*budget.bits_per_weight * weights / 8)
                     : fmt::format("{} bytes", *budget.bytes));
  }
  for (size_t i = 0; i < plan.modules.size(); ++i) {
    PlannedModule& module = plan.modules[i];
    module.chosen = (*chosen)[i];
    plan.module_bytes += module.choice().bytes;
    plan.error += module.choice().error;
  }
  plan.total_bytes = plan.module_bytes + plain;
}

std::shared_ptr<const Scheme> scheme_of_plan(const PrecisionPlan& plan) {
  std::map<std::pair<int64_t, int64_t>, std::pair<int64_t, const PrecisionWay*>> counts;
  std::map<std::string, PrecisionWay> ways;
  for (const PlannedModule& module : plan.modules) {
    auto& [count, way] = counts[{module.way().group_size, module.way().bits}];
    count += module.weights;
    way = &module.way();
    ways.emplace(module.name, module.way());
  }
  const auto usual =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second.first; });
  return scheme_of_ways(ways, *usual->second.second, plan.plain);
}

}  // namespace

ModuleSchemes PrecisionPlan::schemes() const {
  ModuleSchemes schemes;
  for (const PlannedModule& module : modules) schemes.emplace(module.name, module.way().scheme);
  return schemes;
}

PrecisionPlan plan_precision(const std::filesystem::path& source_folder,
                             const MixedPrecisionOptions& options, ThreadPool& pool,
                             Progress* progress) {
  const ModelSource source(source_folder);
  source.require_plain();
  const Checkpoint& checkpoint = source.checkpoint;
  const DType plain =
      dtype_in_config(source.config_json, source.config_file()).value_or(main_dtype(checkpoint));
  const std::vector<PrecisionWay> ways =
      options.gptq ? gptq_ways(*options.gptq) : hqq_ways(options.group_size, options.skip_modules);
  const std::vector<ModuleInfo> modules = modules_to_quantize(source, *ways.front().scheme);

  PrecisionPlan plan;
  if (progress) progress->begin("measuring", static_cast<int64_t>(modules.size()));
  for (const ModuleInfo& info : modules) {
    const std::string name = info.name + ".weight";
    const Tensor stored = checkpoint.tensor(name);
    prefetch_pages(stored);
    try {
      const Tensor dense = to_dtype(stored, dtype_before_quantization(plain));
      const auto squares = options.input_squares.find(info.name);
      if (squares == options.input_squares.end() && !options.input_squares.empty()) {
        throw Error("calibration has not seen the inputs of this module");
      }
      PlannedModule module = measure(
          info, dense, ways,
          options.input_squares.empty() ? std::span<const double>() : squares->second, pool);
      if (module.choices.empty()) {
        require_groups_of_another_size(info, ways);
        plan.plain.push_back(info.name);
      } else {
        plan.weights += module.weights;
        plan.modules.push_back(std::move(module));
      }
    } catch (Error& error) {
      throw error.file(checkpoint.file_of(name)).tensor(name);
    }
    drop_pages(stored);
    if (progress) progress->advance(1, info.name);
  }
  if (progress) progress->end();
  if (plan.modules.empty()) {
    throw Error(fmt::format("the model has no module that files of {} can hold",
                            ways.front().scheme->name()))
        .file(source.config_file());
  }
  allocate(plan, options.budget, plain_bytes(source, plan.modules, plain));
  plan.scheme = scheme_of_plan(plan);
  return plan;
}

}  // namespace nibble
