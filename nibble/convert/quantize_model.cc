// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/quantize_model.h"

#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/convert/model_files.h"
#include "nibble/io/json_file.h"
#include "nibble/quant/registry.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Both conversions walk the same source in the same way.
class Conversion {
 public:
  Conversion(const fs::path& source, const fs::path& destination,
             CheckpointWriterOptions writer_options, Progress* progress)
      : progress_(progress) {
    require_writable_destination(destination, writer_options.overwrite);
    config_json_ = read_json_file(source / "config.json");
    config_ = ModelConfig::load(source);
    checkpoint_ = std::make_unique<Checkpoint>(Checkpoint::open(source));
    writer_ = std::make_unique<CheckpointWriter>(destination, std::move(writer_options));
    report_.bytes_before = checkpoint_->total_bytes();
  }

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const ModelConfig& config() const { return config_; }
  std::string config_file() const { return (checkpoint_->folder() / "config.json").string(); }
  Json& config_json() { return config_json_; }

  void write(std::string name, const Tensor& tensor) {
    writer_->add(std::move(name), tensor);
    ++report_.tensors;
  }

  void begin(std::string_view what) {
    if (progress_) progress_->begin(what, static_cast<int64_t>(checkpoint_->names().size()));
  }

  void step(const std::string& tensor) {
    if (progress_) progress_->advance(1, tensor);
  }

  void count_module(bool converted) {
    ++(converted ? report_.modules_converted : report_.modules_kept);
  }

  ConversionReport commit() {
    writer_->add_file("config.json", format_json(config_json_));
    copy_companions(checkpoint_->folder(), *writer_);
    writer_->commit();
    report_.bytes_after = writer_->bytes_written();
    report_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (progress_) progress_->end();
    return report_;
  }

 private:
  Progress* progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Json config_json_;
  ModelConfig config_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<CheckpointWriter> writer_;
  ConversionReport report_;
};

// `module`.weight of a plain model, checked against the shape that the config asks for.
Tensor dense_weight(const Checkpoint& checkpoint, const ModuleInfo& module) {
  const std::string name = module.name + ".weight";
  Tensor tensor = checkpoint.tensor(name);
  if (tensor.shape() != Shape{module.rows, module.cols}) {
    throw Error("wrong shape")
        .file(checkpoint.file_of(name))
        .tensor(name)
        .expected(to_string(Shape{module.rows, module.cols}))
        .got(to_string(tensor.shape()));
  }
  // A scheme takes the dtypes that a model is held in; others come as they would be loaded.
  const DType dtype = tensor.dtype();
  const bool held = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
  return held || !is_float(dtype) ? tensor : to_dtype(tensor, DType::kF32);
}

// True when `name` is a tied weight that the file holds a second time, with the same values.
bool is_copy(const Checkpoint& checkpoint, const std::string& name,
             const std::map<std::string, std::string>& tied) {
  const auto found = tied.find(name);
  if (found == tied.end() || !checkpoint.contains(found->second)) return false;
  const Tensor copy = checkpoint.tensor(name), original = checkpoint.tensor(found->second);
  return copy.dtype() == original.dtype() && copy.shape() == original.shape() &&
         std::memcmp(copy.raw(), original.raw(), static_cast<size_t>(copy.nbytes())) == 0;
}

}  // namespace

ConversionReport quantize_model(const fs::path& source, const fs::path& destination,
                                const Scheme& scheme, ThreadPool& pool,
                                CheckpointWriterOptions writer_options, Progress* progress) {
  Conversion conversion(source, destination, std::move(writer_options), progress);
  const Checkpoint& checkpoint = conversion.checkpoint();
  if (!conversion.config().quantization.is_null()) {
    throw Error("the model is quantized already")
        .file(conversion.config_file())
        .hint("run `nibble dequantize` first, or start from the original model");
  }
  LoadOptions options;
  options.quantize_with = &scheme;
  options.skip_modules = scheme.skip_modules();
  std::map<std::string, ModuleInfo> to_quantize;  // by the name of the weight
  std::map<std::string, std::string> tied;        // weight -> the weight that it shares
  for (const ModuleInfo& module : modules_of(conversion.config(), options)) {
    if (!module.tied_to.empty()) {
      tied[module.name + ".weight"] = module.tied_to + ".weight";
    } else if (module.kind == ModuleInfo::Kind::kLinear) {
      if (module.quantizable) to_quantize.emplace(module.name + ".weight", module);
      if (!checkpoint.contains(module.name + ".weight"))
        dense_weight(checkpoint, module);  // throws
      conversion.count_module(module.quantizable);
    }
  }

  conversion.begin("quantizing");
  for (const std::string& name : checkpoint.names()) {
    const auto found = to_quantize.find(name);
    if (found != to_quantize.end()) {
      const ModuleInfo& module = found->second;
      const Tensor dense = dense_weight(checkpoint, module);
      Weight packed;
      try {
        packed = scheme.quantize(dense, pool);
      } catch (const Interrupted&) {
        throw;
      } catch (Error& error) {
        throw error.file(checkpoint.file_of(name)).tensor(name);
      }
      for (NamedTensor& part : scheme.save(packed, module.name)) {
        conversion.write(std::move(part.name), part.tensor);
      }
    } else if (!is_copy(checkpoint, name, tied)) {  // transformers writes a tied weight once
      conversion.write(name, checkpoint.tensor(name));
    }
    conversion.step(name);
  }
  Json& config = conversion.config_json();
  if (!dtype_in_config(config, conversion.config_file())) {
    set_dtype_in_config(config, main_dtype(checkpoint));
  }
  config["quantization_config"] = scheme.config_json();
  return conversion.commit();
}

ConversionReport dequantize_model(const fs::path& source, const fs::path& destination,
                                  std::optional<DType> dtype, ThreadPool& pool,
                                  CheckpointWriterOptions writer_options, Progress* progress) {
  Conversion conversion(source, destination, std::move(writer_options), progress);
  const Checkpoint& checkpoint = conversion.checkpoint();
  if (conversion.config().quantization.is_null()) {
    throw Error("the model is not quantized: it has no quantization_config")
        .file(conversion.config_file());
  }
  const std::unique_ptr<Scheme> scheme =
      make_scheme(conversion.config().quantization, conversion.config_file());
  std::map<std::string, ModuleInfo> packed;  // by module name
  for (const ModuleInfo& module : modules_of(conversion.config())) {
    if (module.kind != ModuleInfo::Kind::kLinear || !module.tied_to.empty()) continue;
    const bool convert = scheme->is_packed(checkpoint, module.name);
    if (convert) packed.emplace(module.name, module);
    conversion.count_module(convert);
  }
  // Null for a tensor of no packed module.
  const auto module_of = [&](const std::string& tensor) -> const ModuleInfo* {
    for (size_t dot = tensor.find('.'); dot != std::string::npos; dot = tensor.find('.', dot + 1)) {
      const auto found = packed.find(tensor.substr(0, dot));
      if (found != packed.end()) return &found->second;
    }
    return nullptr;
  };

  const DType plain =
      dtype.value_or(dtype_in_config(conversion.config_json(), conversion.config_file())
                         .value_or(main_dtype(checkpoint)));
  conversion.begin("dequantizing");
  for (const std::string& name : checkpoint.names()) {
    const ModuleInfo* module = module_of(name);
    if (module && name == module->name + ".weight") {
      const Weight weight = scheme->load(checkpoint, module->name, module->rows, module->cols);
      conversion.write(name, dequantize(weight, plain, pool));
    } else if (!module || name == module->name + ".bias") {
      const Tensor tensor = checkpoint.tensor(name);
      const bool cast = dtype && is_float(tensor.dtype());
      conversion.write(name, cast ? to_dtype(tensor, *dtype) : tensor);
    }  // else a side tensor of the packing, which goes with it
    conversion.step(name);
  }
  Json& config = conversion.config_json();
  config.erase("quantization_config");
  set_dtype_in_config(config, plain);
  return conversion.commit();
}

}  // namespace nibble
