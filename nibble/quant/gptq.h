// SPDX-License-Identifier: Apache-2.0
//
// GPTQ (arXiv 2210.17323) as AutoGPTQ, GPTQModel and transformers save it: "qweight", "qzeros",
// "scales" and "g_idx" (gptq_packing.h), or "B" and "s" for the Marlin kernel. quantize() rounds to
// nearest; codes that an algorithm has chosen are handed to save() in a Weight.
#pragma once

#include "nibble/quant/affine_rtn.h"
#include "nibble/quant/gptq_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class GptqScheme final : public Scheme {
 public:
  // Throws Error for a format that is none of "gptq", "gptq_v2" and "marlin".
  explicit GptqScheme(GptqConfig config);

  std::string_view name() const override { return GptqConfig::kMethod; }

  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  std::optional<std::string> misfit(int64_t rows, int64_t cols) const override;

  // The grid of a matrix with `cols` columns, for algorithms that choose its codes otherwise. The
  // second: of this module, by the rules of "dynamic".
  RtnOptions grid_options(int64_t cols) const;
  RtnOptions grid_options(int64_t cols, const std::string& module) const;

  // Without a g_idx columns are in order. Of a symmetric model the zeros say themselves whether
  // they are stored less one, whatever the format says: there are files of both kinds. Asymmetric
  // zeros that AutoGPTQ has ruined are refused (count_ruined_words()).
  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  // That zeros are not stored as the config says.
  std::vector<std::string> remarks(const Checkpoint& checkpoint) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;

  // Integer codes as they are. "gptq" takes no zero of 0: readers disagree about it.
  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override { return skip_; }
  nlohmann::ordered_json config_json() const override { return config_.to_json(); }

 private:
  // The config as the rules of "dynamic" change it for a module.
  GptqConfig config_for(const std::string& module) const;
  bool is_marlin() const { return config_.format == "marlin"; }
  Weight load_marlin(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                     int64_t cols, ThreadPool& pool) const;
  std::vector<NamedTensor> save_marlin(const Weight& weight, const std::string& module) const;

  GptqConfig config_;
  GptqRules rules_;
  std::optional<std::vector<std::string>> skip_;  // the automatic list
};

}  // namespace nibble
