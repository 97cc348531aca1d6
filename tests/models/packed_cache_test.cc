// SPDX-License-Identifier: Apache-2.0
//
// open_model() with a folder for packed weights: what is computed is the same bits, what is stored
// is used until something that it depends on changes, and whatever is wrong with it is made good.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <set>

#include "nibble/format/weight_parts.h"
#include "nibble/io/page_advice.h"
#include "tests/models/model_testing.h"

namespace nibble::testing {
namespace {

constexpr int64_t kPackedModules = 14;  // of the golden models: two blocks of seven

class PackedCacheTest : public ::testing::Test {
 protected:
  PackedCacheTest() { fs::copy(golden_model("llama"), model_, fs::copy_options::recursive); }

  OpenOptions options(const std::string& quant_type = "nf4") const {
    OpenOptions options;
    BitsAndBytesConfig& config = options.quantization.emplace();
    config.load_in_8bit = quant_type == "int8";
    config.load_in_4bit = !config.load_in_8bit;
    if (config.load_in_4bit) config.bnb_4bit_quant_type = quant_type;
    options.packed_cache = cache_;
    return options;
  }

  std::vector<fs::path> cached_files() const {
    std::vector<fs::path> files;
    if (!fs::exists(cache_)) return files;
    for (const auto& entry : fs::recursive_directory_iterator(cache_)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
  }

  static std::string only_note(const RunningModel& running) {
    EXPECT_EQ(running.opened.notes.size(), 1);
    return running.opened.notes.empty() ? "" : running.opened.notes[0];
  }

  ScratchFolder folder_;
  fs::path model_ = folder_ / "model", cache_ = folder_ / "cache";
};

// Another file of the same size and the same header, a second younger.
void zero_first_values(const fs::path& path, const std::string& name) {
  const int64_t at = SafetensorsFile::open(path).find(name)->offset;
  const auto time = fs::last_write_time(path);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file << std::string(256, '\0');
  }
  fs::last_write_time(path, time + std::chrono::seconds(1));
}

std::vector<float> logits_of(const RunningModel& running) {
  KvCache cache = running.model().new_cache();
  return running.run(cache, cache.add_sequence(), {1, 5, 9, 2, 7, 3});
}

TEST_F(PackedCacheTest, LogitsAreTheSameBitsWithoutItAtFirstAndLater) {
  for (const char* backend : {"reference", "cpu"}) {
    for (const char* type : {"nf4", "fp4", "int8"}) {
      SCOPED_TRACE(std::string(backend) + " " + type);
      OpenOptions without = options(type);
      without.packed_cache.reset();
      const RunningModel plain(model_, backend, without);
      const RunningModel first(model_, backend, options(type));
      const RunningModel later(model_, backend, options(type));
      EXPECT_EQ(logits_of(first), logits_of(plain));
      EXPECT_EQ(logits_of(later), logits_of(plain));
      EXPECT_TRUE(only_note(first).starts_with("packed weights of 14 modules are cached in " +
                                               cache_.string()));
      EXPECT_TRUE(later.opened.notes.empty());
      for (const RunningModel* cached : {&first, &later}) {
        EXPECT_EQ(cached->opened.weight_bytes, plain.opened.weight_bytes);
        EXPECT_EQ(cached->opened.memory_footprint, plain.opened.memory_footprint);
        EXPECT_EQ(cached->opened.warnings, plain.opened.warnings);
        cached->model().visit([](const std::string& path, const Linear& linear) {
          for (const auto& [part, tensor] : parts_of(linear.weight().weight()).tensors) {
            EXPECT_TRUE(is_mapped(tensor)) << path << "." << part;
          }
        });
      }
    }
  }
  EXPECT_EQ(cached_files().size(), 2 * 3 * kPackedModules);
}

TEST_F(PackedCacheTest, ActivationsShareItAndAreTheSameBits) {
  for (const char* type : {"nf4", "int8"}) {
    for (const ActivationMode mode : {ActivationMode::kFloat, ActivationMode::kInt8}) {
      OpenOptions with = options(type), without = options(type);
      with.activation = without.activation = mode;
      without.packed_cache.reset();
      EXPECT_EQ(logits_of(RunningModel(model_, "cpu", with)),
                logits_of(RunningModel(model_, "cpu", without)));
    }
  }
  EXPECT_EQ(cached_files().size(), 2 * kPackedModules);
}

TEST_F(PackedCacheTest, AChangedModelIsPackedAnew) {
  const std::vector<float> logits_before = logits_of(RunningModel(model_, "cpu", options()));
  const std::vector<fs::path> files = cached_files();
  zero_first_values(model_ / "model.safetensors", "model.layers.1.mlp.up_proj.weight");
  const RunningModel after(model_, "cpu", options());
  EXPECT_NE(logits_of(after), logits_before);
  EXPECT_TRUE(only_note(after).starts_with("cached weights of 14 modules are made again: "));
  EXPECT_NE(only_note(after).find("another state of the model's files"), std::string::npos);
  OpenOptions without = options();
  without.packed_cache.reset();
  EXPECT_EQ(logits_of(after), logits_of(RunningModel(model_, "cpu", without)));
  EXPECT_EQ(cached_files(), files) << "what was made before is replaced";
  EXPECT_TRUE(RunningModel(model_, "cpu", options()).opened.notes.empty());
}

TEST_F(PackedCacheTest, ATouchedConfigIsAnotherStateToo) {
  const RunningModel before(model_, "cpu", options());
  fs::last_write_time(model_ / "config.json",
                      fs::last_write_time(model_ / "config.json") + std::chrono::nanoseconds(4000));
  EXPECT_FALSE(RunningModel(model_, "cpu", options()).opened.notes.empty());
}

TEST_F(PackedCacheTest, EachWayToQuantizeHasItsOwn) {
  std::set<std::string> notes;
  const auto open = [&](const OpenOptions& options) {
    notes.insert(only_note(RunningModel(model_, "cpu", options)));
  };
  open(options("nf4"));
  open(options("fp4"));
  OpenOptions nested = options("nf4");
  nested.quantization->bnb_4bit_use_double_quant = true;
  open(nested);
  OpenOptions threshold = options("int8");
  threshold.quantization->llm_int8_threshold = 3.0f;
  open(threshold);
  open(options("int8"));
  EXPECT_EQ(notes.size(), 5);
  for (const std::string& note : notes) {
    EXPECT_TRUE(note.starts_with("packed weights of 14 modules are cached in ")) << note;
  }
}

TEST_F(PackedCacheTest, OnlyWhatIsDamagedIsMadeAgain) {
  const std::vector<float> expected = logits_of(RunningModel(model_, "cpu", options()));
  const std::vector<fs::path> files = cached_files();
  fs::resize_file(files[0], fs::file_size(files[0]) - 1);
  fs::resize_file(files[1], 0);
  fs::remove(files[2]);
  const auto untouched = fs::last_write_time(files[3]);
  const RunningModel mended(model_, "cpu", options());
  EXPECT_TRUE(only_note(mended).starts_with("cached weights of 2 modules are made again: " +
                                            cache_.string()));
  EXPECT_EQ(logits_of(mended), expected);
  EXPECT_EQ(cached_files(), files);
  EXPECT_EQ(fs::last_write_time(files[3]), untouched);
  EXPECT_TRUE(RunningModel(model_, "cpu", options()).opened.notes.empty());
}

TEST_F(PackedCacheTest, WithoutAPlaceForItTheModelRunsAndTheUserIsTold) {
  std::ofstream(cache_) << "a file";
  const RunningModel running(model_, "cpu", options());
  ASSERT_EQ(running.opened.warnings.size(), 1);
  EXPECT_TRUE(
      running.opened.warnings[0].starts_with("packed weights are not cached: " + cache_.string()));
  EXPECT_TRUE(running.opened.notes.empty());
  OpenOptions without = options();
  without.packed_cache.reset();
  EXPECT_EQ(logits_of(running), logits_of(RunningModel(model_, "cpu", without)));
}

TEST_F(PackedCacheTest, MappedModelsNeedNone) {
  OpenOptions options;
  options.packed_cache = cache_;
  for (const char* name : {"llama", "llama_nf4", "llama_int8"}) {
    const RunningModel running(golden_model(name), "cpu", options);
    EXPECT_EQ(only_note(running),
              "no packed weights to cache: all are mapped as the model's files have them");
  }
  EXPECT_TRUE(cached_files().empty());
}

}  // namespace
}  // namespace nibble::testing
