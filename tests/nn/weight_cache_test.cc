// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/weight_cache.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "nibble/backend/registry.h"
#include "nibble/base/atomic_file.h"
#include "nibble/base/random.h"
#include "nibble/format/weight_parts.h"
#include "nibble/quant/registry.h"
#include "tests/testing/scratch_folder.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kCachedRows = 48, kCachedCols = 128;

Tensor normal_values(const Shape& shape, uint64_t seed) {
  Random random(seed);
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  for (float& value : tensor.mutable_data<float>()) value = random.normal();
  return tensor;
}

// A matrix in each form that a load can make.
std::vector<Weight> made_weights(ThreadPool& pool) {
  const Tensor dense = to_dtype(normal_values({kCachedRows, kCachedCols}, 1), DType::kBF16);
  std::vector<Weight> weights;
  for (const bool double_quant : {false, true}) {
    BitsAndBytesConfig config;
    config.load_in_4bit = true;
    config.bnb_4bit_use_double_quant = double_quant;
    weights.push_back(make_scheme(config)->quantize(dense, pool));
  }
  BitsAndBytesConfig eight;
  eight.load_in_8bit = true;
  weights.push_back(make_scheme(eight)->quantize(dense, pool));
  for (const char* config :
       {R"({"quant_method": "gptq", "bits": 4, "group_size": 32})",
        R"({"quant_method": "gptq", "bits": 3, "group_size": 128, "sym": false})",
        R"({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": true})",
        R"({"quant_method": "eetq", "weights": "int8"})",
        R"({"quant_method": "fp8", "weight_block_size": [16, 32]})"}) {
    weights.push_back(
        make_scheme(nlohmann::ordered_json::parse(config), "test")->quantize(dense, pool));
  }
  return weights;
}

void flip_bit(const fs::path& path, int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const int byte = file.get();
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 0x10));
}

class WeightCacheTest : public ::testing::Test {
 protected:
  WeightCache cache(const std::string& key = "key") {
    return WeightCache(folder_.path(), {"slot", key}, pool_);
  }
  fs::path file() const { return folder_ / "slot" / "module.safetensors"; }
  Weight a_weight() { return made_weights(pool_)[0]; }
  std::optional<Weight> found(WeightCache& cache) {
    return cache.find("module", kCachedRows, kCachedCols);
  }

  testing::ScratchFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(WeightCacheTest, EveryFormComesBackMappedAndGivesTheSameProduct) {
  for (const char* name : {"reference", "cpu"}) {
    const auto backend = make_backend(name, std::make_shared<ThreadPool>(2));
    const auto stream = backend->new_stream();
    const Tensor x = normal_values({3, kCachedCols}, 2);
    const auto product = [&](const Weight& weight) {
      const auto prepared = backend->prepare(weight);
      Tensor y = Tensor::empty(DType::kF32, {3, kCachedRows});
      const Tensor no_bias;
      const LinearPart part{*prepared, no_bias, y};
      backend->linear(*stream, x, {&part, 1});
      return y;
    };
    int64_t index = 0;
    for (const Weight& made : made_weights(pool_)) {
      SCOPED_TRACE(fmt::format("{} {} {}", name, index, layout_name(made.layout())));
      const Weight weight = backend->prepare(made)->weight();
      const std::string module = fmt::format("{}.{}", name, index++);
      WeightCache writer = cache(), reader = cache();
      const Weight kept = writer.keep(module, weight);
      const auto read = reader.find(module, kCachedRows, kCachedCols);
      ASSERT_TRUE(read) << reader.refusal() << writer.failure();
      EXPECT_EQ(writer.stored(), 1);
      EXPECT_EQ(reader.found(), 1);
      EXPECT_EQ(read->total_bytes(), weight.total_bytes());
      const Tensor expected = product(weight);
      for (const Weight& other : {kept, *read}) {
        EXPECT_TRUE(std::ranges::equal(product(other).bytes(), expected.bytes()));
        const auto prepared = backend->prepare(other);
        for (const auto& [part, tensor] : parts_of(prepared->weight()).tensors) {
          EXPECT_FALSE(tensor.buffer()->writable()) << part << " is a copy";
        }
      }
    }
  }
}

TEST_F(WeightCacheTest, WhatTheModelsFileHoldsAsItIsIsNotStored) {
  WeightCache first = cache();
  const Weight mapped = first.keep("module", a_weight());
  WeightCache second = cache();
  const Weight again = second.keep("other", mapped);
  EXPECT_EQ(again.as_code_block().codes.raw(), mapped.as_code_block().codes.raw());
  EXPECT_EQ(second.stored(), 0);
  EXPECT_EQ(second.keep("dense", Weight::dense(normal_values({2, 2}, 3))).rows(), 2);
  EXPECT_EQ(second.stored(), 0);
}

TEST_F(WeightCacheTest, AnotherKeyIsRefusedAndReplaced) {
  WeightCache old = cache("old");
  old.keep("module", a_weight());
  WeightCache changed = cache("new");
  EXPECT_FALSE(found(changed));
  EXPECT_EQ(changed.refused(), 1);
  EXPECT_EQ(changed.refusal(), file().string() +
                                   ": made from another state of the model's files, "
                                   "or by another nibble");
  changed.keep("module", a_weight());
  EXPECT_TRUE(found(changed));
  EXPECT_FALSE(found(old));
}

TEST_F(WeightCacheTest, AnotherShapeIsRefused) {
  WeightCache writer = cache();
  writer.keep("module", a_weight());
  EXPECT_FALSE(writer.find("module", kCachedCols, kCachedRows));
  EXPECT_EQ(writer.refused(), 1);
}

TEST_F(WeightCacheTest, ABitThatChangesAnywhereIsFound) {
  WeightCache writer = cache();
  writer.keep("module", a_weight());
  const auto size = static_cast<int64_t>(fs::file_size(file()));
  for (int64_t at = 0; at < size; at += at < 1600 ? 1 : 37) {  // the header, and some of the data
    flip_bit(file(), at);
    WeightCache reader = cache();
    // Spaces that pad the header do not count.
    if (const auto weight = found(reader)) {
      EXPECT_EQ(parts_of(*weight).values, parts_of(a_weight()).values) << at;
      EXPECT_TRUE(std::ranges::equal(weight->dequantize().bytes(), a_weight().dequantize().bytes()))
          << at;
    } else {
      EXPECT_EQ(reader.refused(), 1) << at;
    }
    flip_bit(file(), at);
  }
  EXPECT_TRUE(found(writer));
}

TEST_F(WeightCacheTest, ShortFilesAreRefused) {
  WeightCache writer = cache();
  writer.keep("module", a_weight());
  const auto size = static_cast<int64_t>(fs::file_size(file()));
  for (const int64_t left : {size - 1, size / 2, int64_t{100}, int64_t{7}, int64_t{0}}) {
    fs::resize_file(file(), static_cast<uintmax_t>(left));
    WeightCache reader = cache();
    EXPECT_FALSE(found(reader)) << left;
    EXPECT_EQ(reader.refused(), 1) << left;
  }
  WeightCache again = cache();
  EXPECT_FALSE(found(again));
  again.keep("module", a_weight());
  EXPECT_TRUE(found(again));
}

TEST_F(WeightCacheTest, WithoutPlaceTheWeightIsGivenBack) {
  write_file_atomically(folder_ / "slot", "a file where the folder should be");
  WeightCache blocked = cache();
  const Weight weight = a_weight();
  EXPECT_FALSE(found(blocked));
  EXPECT_EQ(blocked.keep("module", weight).as_code_block().codes.raw(),
            weight.as_code_block().codes.raw());
  EXPECT_NE(blocked.failure().find((folder_ / "slot").string()), std::string::npos);
  fs::remove(folder_ / "slot");
  blocked.keep("module", weight);
  EXPECT_EQ(blocked.stored(), 0) << "one failure is enough";
}

TEST_F(WeightCacheTest, LeftoversOfKilledWritersGo) {
  WeightCache first = cache();
  first.keep("module", a_weight());
  const fs::path old = folder_ / "slot" / "a.safetensors.abcdef.tmp";
  const fs::path young = folder_ / "slot" / "b.safetensors.abcdef.tmp";
  for (const fs::path& path : {old, young}) write_file_atomically(path, "half");
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
  cache().keep("other", a_weight());
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(young)) << "its writer may live";
  EXPECT_TRUE(fs::exists(file()));
}

// Readers see whole files while others replace them.
TEST_F(WeightCacheTest, ManyMayWriteAndReadAtOnce) {
  const Weight weight = a_weight();
  const Tensor expected = weight.dequantize();
  std::vector<std::thread> users;
  std::vector<std::string> wrong(4);
  for (size_t i = 0; i < wrong.size(); ++i) {
    users.emplace_back([&, i] {
      ThreadPool pool(1);
      for (int round = 0; round < 50; ++round) {
        WeightCache own(folder_.path(), {"slot", "key"}, pool);
        const Weight mapped = own.keep("module", weight);
        const auto read = own.find("module", kCachedRows, kCachedCols);
        const bool same = read &&
                          std::ranges::equal(read->dequantize().bytes(), expected.bytes()) &&
                          std::ranges::equal(mapped.dequantize().bytes(), expected.bytes());
        if (!same) wrong[i] = "differs: " + own.refusal() + own.failure();
      }
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(wrong, std::vector<std::string>(4));
}

}  // namespace
}  // namespace nibble
