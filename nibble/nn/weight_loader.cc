// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/weight_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/resident_memory.h"
#include "nibble/io/page_advice.h"
#include "nibble/quant/skip_modules.h"

namespace nibble {
namespace {

std::string describe(DType dtype, const Shape& shape) {
  return fmt::format("{} {}", torch_name(dtype), to_string(shape));
}

bool is_all_zero(const Tensor& tensor) {
  return std::ranges::all_of(tensor.bytes(), [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

bool is_held(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

struct WeightLoader::State {
  const Checkpoint* checkpoint = nullptr;  // null: recording
  Backend* backend = nullptr;
  ThreadPool* pool = nullptr;
  std::unique_ptr<Stream> stream;
  LoadOptions options;
  SkipMatcher skip{{}};
  std::vector<ModuleInfo> modules;
  std::unordered_set<std::string> used;
  int64_t weight_bytes = 0, memory_footprint = 0;

  void use(const std::string& name) {
    if (used.insert(name).second && options.progress) options.progress->advance(1, name);
  }

  // Every tensor below `module`: the parts of a packed weight, and a bias of zeros, which AutoGPTQ
  // stores for every module.
  void use_all(const std::string& module, bool has_bias) {
    const std::string prefix = module + '.', bias = prefix + "bias";
    if (!has_bias && checkpoint->contains(bias) && is_all_zero(checkpoint->tensor(bias))) use(bias);
    const std::vector<std::string>& names = checkpoint->names();  // sorted
    for (auto it = std::ranges::lower_bound(names, prefix);
         it != names.end() && it->starts_with(prefix); ++it) {
      if (*it != bias) use(*it);
    }
  }

  // True when `module` has tensors that only a quantized checkpoint has.
  bool looks_packed(const std::string& module) const {
    const std::string weight = module + ".weight";
    return checkpoint->contains(module + ".SCB") || checkpoint->contains(weight + ".absmax") ||
           (checkpoint->contains(weight) && !is_float(checkpoint->info(weight).dtype));
  }

  // A float tensor of this shape, mapped where its dtype stays.
  Tensor floats(const std::string& name, const Shape& shape) {
    const TensorInfo& info = checkpoint->info(name);
    if (!is_float(info.dtype) || info.dtype == DType::kF8E8M0 || info.shape != shape) {
      Error error("the tensor does not fit the model");
      error.file(checkpoint->file_of(name)).tensor(name);
      error.expected("a float dtype, shape " + to_string(shape));
      error.got(describe(info.dtype, info.shape));
      const bool is_weight = name.ends_with(".weight");
      if (is_weight && looks_packed(name.substr(0, name.size() - 7))) {
        error.hint(options.packed_with
                       ? fmt::format("the quantization_config of config.json says {}, which the "
                                     "tensor is not",
                                     options.packed_with->name())
                       : "the tensor is quantized, but config.json has no quantization_config: "
                         "restore the config.json that was saved with it");
      } else if (info.shape != shape) {
        error.hint("config.json does not belong to this checkpoint");
      }
      throw error;
    }
    use(name);
    return checkpoint->tensor(name);
  }

  Tensor dense_matrix(const std::string& name, int64_t rows, int64_t cols) {
    const Tensor tensor = floats(name, {rows, cols});
    const DType kept = is_held(tensor.dtype()) ? tensor.dtype() : DType::kF32;
    return to_dtype(tensor, options.dtype.value_or(kept));
  }

  Tensor small(const std::string& name, int64_t size) {
    const Tensor tensor = floats(name, {size});
    weight_bytes += tensor.numel() * size_of(DType::kF32);
    memory_footprint += tensor.numel() * size_of(options.dtype.value_or(tensor.dtype()));
    return backend->upload(*stream, to_dtype(tensor, DType::kF32));
  }

  std::shared_ptr<const PreparedWeight> prepare(Weight weight) {
    if (options.activation && weight.layout() != Layout::kDense) {
      weight = weight.with_activation_mode(*options.activation);
    }
    auto prepared = backend->prepare(std::move(weight));
    weight_bytes += prepared->weight().total_bytes();
    memory_footprint += prepared->weight().code_bytes();
    return prepared;
  }

  bool is_packed(const std::string& module) const {
    return options.packed_with && options.packed_with->is_packed(*checkpoint, module);
  }

  bool converts(const std::string& module) const {
    if (checkpoint && is_packed(module)) return true;
    // In a quantized checkpoint a module that is plain stays plain.
    const bool in_force = options.quantize_with || (!checkpoint && options.packed_with);
    return in_force && !skip.skips(module);
  }

  // The weight of a module that converts: from the cache, or made now.
  Weight converted(const std::string& module, int64_t rows, int64_t cols, bool bias) {
    std::optional<Weight> cached;
    if (options.cache) cached = options.cache->find(module, rows, cols);
    Weight weight = cached ? *cached : made(module, rows, cols);
    if (is_packed(module)) {
      use_all(module, bias);
    } else {
      use(module + ".weight");
    }
    if (cached || !options.cache) return weight;
    // In the backend's form, which does not depend on the activations that prepare() chooses.
    auto prepared = backend->prepare(std::move(weight));
    Weight kept = options.cache->keep(module, prepared->weight());
    prepared.reset();
    return_freed_memory();  // else holes of mapped weights add up to most of what they took
    return kept;
  }

  Weight made(const std::string& module, int64_t rows, int64_t cols) {
    if (!is_packed(module)) return quantized(module + ".weight", rows, cols);
    return options.packed_with->load(*checkpoint, module, rows, cols, *pool);
  }

  Weight quantized(const std::string& name, int64_t rows, int64_t cols) {
    const Tensor dense = dense_matrix(name, rows, cols);
    try {
      Weight weight = options.quantize_with->quantize(dense, *pool);
      drop_pages(checkpoint->tensor(name));
      return weight;
    } catch (const Interrupted&) {
      throw;
    } catch (Error& error) {
      throw error.file(checkpoint->file_of(name)).tensor(name);
    }
  }
};

WeightLoader::WeightLoader(const Checkpoint& checkpoint, Backend& backend, ThreadPool& pool,
                           LoadOptions options)
    : WeightLoader(std::move(options)) {
  if (state_->options.dtype && !is_held(*state_->options.dtype)) {
    throw Error("weights cannot be held in this dtype")
        .expected("float32, float16 or bfloat16")
        .got(std::string(torch_name(*state_->options.dtype)));
  }
  state_->checkpoint = &checkpoint;
  state_->backend = &backend;
  state_->pool = &pool;
  state_->stream = backend.new_stream();
}

WeightLoader::WeightLoader(LoadOptions options) : state_(std::make_shared<State>()) {
  if (options.skip_modules) set_skip_modules(*options.skip_modules);
  state_->options = std::move(options);
}

WeightLoader::WeightLoader(std::shared_ptr<State> state, std::string prefix)
    : state_(std::move(state)), prefix_(std::move(prefix)) {}

WeightLoader::~WeightLoader() = default;

WeightLoader WeightLoader::sub(std::string_view name) const {
  return WeightLoader(state_, prefix_ + std::string(name) + '.');
}

WeightLoader WeightLoader::sub(int64_t index) const { return sub(std::to_string(index)); }

std::shared_ptr<const PreparedWeight> WeightLoader::linear(std::string_view name, int64_t rows,
                                                           int64_t cols, bool bias) const {
  const std::string module = prefix_ + std::string(name);
  const bool convert = state_->converts(module);
  state_->modules.push_back({ModuleInfo::Kind::kLinear, module, rows, cols, bias, convert, ""});
  if (!state_->checkpoint) return nullptr;
  return state_->prepare(convert
                             ? state_->converted(module, rows, cols, bias)
                             : Weight::dense(state_->dense_matrix(module + ".weight", rows, cols)));
}

Tensor WeightLoader::bias(std::string_view name, int64_t rows) const {
  if (!state_->checkpoint) return {};
  return state_->small(prefix_ + std::string(name) + ".bias", rows);
}

std::shared_ptr<const PreparedWeight> WeightLoader::embedding(std::string_view name, int64_t rows,
                                                              int64_t cols,
                                                              std::string_view stored_as) const {
  const std::string module = prefix_ + std::string(name);
  state_->modules.push_back({ModuleInfo::Kind::kEmbedding, module, rows, cols, false, false, ""});
  if (!state_->checkpoint) return nullptr;
  const std::string tensor = (stored_as.empty() ? module : std::string(stored_as)) + ".weight";
  return state_->prepare(Weight::dense(state_->dense_matrix(tensor, rows, cols)));
}

Tensor WeightLoader::parameter(std::string_view name, int64_t size) const {
  const std::string tensor = prefix_ + std::string(name);
  state_->modules.push_back({ModuleInfo::Kind::kParameter, tensor, size, 1, false, false, ""});
  if (!state_->checkpoint) return {};
  return state_->small(tensor, size);
}

void WeightLoader::tie(std::string_view name, std::string_view tied_to, int64_t rows,
                       int64_t cols) const {
  state_->modules.push_back({ModuleInfo::Kind::kLinear, std::string(name), rows, cols, false, false,
                             std::string(tied_to)});
  const std::string copy = std::string(name) + ".weight";
  if (state_->checkpoint && state_->checkpoint->contains(copy)) state_->use(copy);
}

bool WeightLoader::has_weight(std::string_view name) const {
  return state_->checkpoint && state_->checkpoint->contains(std::string(name) + ".weight");
}

bool WeightLoader::differ(std::string_view name, std::string_view other) const {
  const std::string a = std::string(name) + ".weight", b = std::string(other) + ".weight";
  if (!has_weight(name) || !has_weight(other)) return false;
  const Tensor left = state_->checkpoint->tensor(a), right = state_->checkpoint->tensor(b);
  return left.dtype() != right.dtype() || left.shape() != right.shape() ||
         std::memcmp(left.raw(), right.raw(), static_cast<size_t>(left.nbytes())) != 0;
}

bool WeightLoader::wants_skip_modules() const {
  const LoadOptions& options = state_->options;
  return (options.quantize_with || options.packed_with) && !options.skip_modules;
}

void WeightLoader::set_skip_modules(std::vector<std::string> skip_modules) const {
  state_->skip = SkipMatcher(skip_modules);
  state_->options.skip_modules = std::move(skip_modules);
}

const std::vector<ModuleInfo>& WeightLoader::modules() const { return state_->modules; }

std::vector<std::string> WeightLoader::unused() const {
  std::vector<std::string> names;
  if (!state_->checkpoint) return names;
  for (const std::string& name : state_->checkpoint->names()) {
    if (!state_->used.contains(name)) names.push_back(name);
  }
  return names;
}

int64_t WeightLoader::weight_bytes() const { return state_->weight_bytes; }

int64_t WeightLoader::memory_footprint() const { return state_->memory_footprint; }

}  // namespace nibble
