// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/gguf_import.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numbers>

#include "nibble/base/error.h"
#include "nibble/convert/gguf_config.h"
#include "nibble/io/checkpoint.h"
#include "nibble/io/json_file.h"
#include "nibble/text/tokenizer.h"
#include "tests/convert/gguf_writer.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// Rows of each head as llama.cpp's converter orders them: [2, half] becomes [half, 2].
Tensor interleave(const Tensor& rows, int64_t head_dim) {
  Tensor out = Tensor::empty(rows.dtype(), rows.shape());
  const int64_t bytes = rows.nbytes() / rows.dim(0);
  auto* to = static_cast<char*>(out.raw());
  for (int64_t head = 0; head < rows.dim(0) / head_dim; ++head) {
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      for (int64_t part = 0; part < 2; ++part) {
        const int64_t from = head * head_dim + part * (head_dim / 2) + i;
        std::memcpy(to, static_cast<const char*>(rows.raw()) + from * bytes,
                    static_cast<size_t>(bytes));
        to += bytes;
      }
    }
  }
  return out;
}

std::string gguf_name(std::string name) {
  const std::pair<const char*, const char*> parts[] = {{"model.embed_tokens", "token_embd"},
                                                       {"model.norm", "output_norm"},
                                                       {"lm_head", "output"},
                                                       {"model.layers.", "blk."},
                                                       {"input_layernorm", "attn_norm"},
                                                       {"post_attention_layernorm", "ffn_norm"},
                                                       {"self_attn.q_proj", "attn_q"},
                                                       {"self_attn.k_proj", "attn_k"},
                                                       {"self_attn.v_proj", "attn_v"},
                                                       {"self_attn.o_proj", "attn_output"},
                                                       {"mlp.gate_proj", "ffn_gate"},
                                                       {"mlp.up_proj", "ffn_up"},
                                                       {"mlp.down_proj", "ffn_down"}};
  for (const auto& [from, to] : parts) {
    const size_t at = name.find(from);
    if (at != name.npos) name.replace(at, std::strlen(from), to);
  }
  return name;
}

class GgufImportTest : public ::testing::Test {
 protected:
  // The file that llama.cpp's converter would write for the tiny model.
  void fill(const std::string& architecture = "llama") {
    const auto key = [&](const char* name) { return architecture + "." + name; };
    gguf_.add("general.architecture", architecture);
    gguf_.add(key("block_count"), static_cast<uint32_t>(model_.layers));
    gguf_.add(key("context_length"), static_cast<uint32_t>(model_.context));
    gguf_.add(key("embedding_length"), static_cast<uint32_t>(model_.hidden));
    gguf_.add(key("feed_forward_length"), static_cast<uint32_t>(model_.intermediate));
    gguf_.add(key("attention.head_count"), static_cast<uint32_t>(model_.heads));
    gguf_.add(key("attention.head_count_kv"), static_cast<uint32_t>(model_.kv_heads));
    gguf_.add(key("attention.layer_norm_rms_epsilon"), 1e-5f);
    gguf_.add(key("rope.freq_base"), 10000.0f);
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<int32_t> types = {2, 3, 3};  // unknown, control, control
    for (int32_t id = 3; id < model_.vocab; ++id) {
      const char c = static_cast<char>(id - 3 + ' ');
      tokens.push_back(c == ' ' ? "\u0120" : std::string(1, c));  // the byte alphabet of GPT-2
      types.push_back(1);
    }
    gguf_.add("tokenizer.ggml.model", "gpt2");
    gguf_.add("tokenizer.ggml.pre", "gpt-2");
    gguf_.add("tokenizer.ggml.tokens", tokens);
    gguf_.add("tokenizer.ggml.token_type", types);
    gguf_.add("tokenizer.ggml.merges", std::vector<std::string>{});
    gguf_.add("tokenizer.ggml.bos_token_id", uint32_t{1});
    gguf_.add("tokenizer.ggml.eos_token_id", uint32_t{2});
    gguf_.add("tokenizer.ggml.add_bos_token", true);
    gguf_.add("tokenizer.chat_template", "{{ messages[0]['content'] }}");
    for (const auto& [name, tensor] : model_.tensors()) {
      const bool rotated = name.find("q_proj") != name.npos || name.find("k_proj") != name.npos;
      gguf_.add_tensor(gguf_name(name), rotated && architecture == "llama"
                                            ? interleave(tensor, model_.head_dim)
                                            : tensor);
    }
  }

  ConversionReport import(std::optional<DType> dtype = std::nullopt) {
    gguf_.write(file_);
    return import_gguf(file_, out_, dtype, pool_);
  }

  void expect_failure(const std::string& says) {
    try {
      import();
      ADD_FAILURE() << "no error about " << says;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
    }
    EXPECT_FALSE(fs::exists(out_));
  }

  testing::ScratchFolder folder_;
  const fs::path file_ = folder_ / "model.gguf", out_ = folder_ / "out";
  ThreadPool pool_{2};
  testing::TinyModel model_;
  testing::GgufWriter gguf_;
};

TEST_F(GgufImportTest, GivesBackTheWeightsThatWereExported) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    fs::remove_all(out_);
    model_.dtype = dtype;
    fill();
    import();
    const Checkpoint checkpoint = Checkpoint::open(out_);
    const auto tensors = model_.tensors();
    EXPECT_EQ(checkpoint.names().size(), tensors.size());
    for (const auto& [name, tensor] : tensors) {
      const Tensor imported = checkpoint.tensor(name);
      EXPECT_EQ(imported.dtype(), dtype);
      EXPECT_EQ(imported.shape(), tensor.shape()) << name;
      EXPECT_EQ(std::memcmp(imported.raw(), tensor.raw(), static_cast<size_t>(tensor.nbytes())), 0)
          << name;
    }
  }
}

TEST_F(GgufImportTest, WritesTheConfigOfTheModel) {
  fill();
  import();
  const auto config = read_json_file(out_ / "config.json");
  const auto expected = model_.config();
  for (const auto& [key, value] : expected.items()) {
    if (key == "mlp_bias") continue;  // false by default
    EXPECT_EQ(config.at(key), value) << key;
  }
  EXPECT_EQ(read_json_file(out_ / "generation_config.json").at("eos_token_id"), 2);
}

TEST_F(GgufImportTest, BringsTokenizerAndChatTemplate) {
  fill();
  import();
  const auto tokenizer = Tokenizer::load(out_);
  std::vector<int32_t> expected = {1};
  for (const char c : std::string("Hello you")) expected.push_back(testing::TinyModel::id_of(c));
  EXPECT_EQ(tokenizer->encode("Hello you"), expected);
  EXPECT_EQ(tokenizer->chat_template(), "{{ messages[0]['content'] }}");
}

TEST_F(GgufImportTest, DecodesQuantizedTensorsToBfloat16) {
  fill();
  // Q8_0: blocks of 32 as a float16 scale and 32 signed bytes.
  std::string blocks;
  for (int64_t block = 0; block < model_.vocab * model_.hidden / 32; ++block) {
    const fp16 scale = to_fp16(0.5f);
    blocks.append(reinterpret_cast<const char*>(&scale), 2);
    for (int i = 0; i < 32; ++i) blocks += static_cast<char>(i - 16);
  }
  gguf_.add_tensor("token_embd.weight", GgmlType::kQ8_0, {model_.vocab, model_.hidden}, blocks);
  import();
  const Tensor table = Checkpoint::open(out_).tensor("model.embed_tokens.weight");
  ASSERT_EQ(table.dtype(), DType::kBF16);
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(to_float(table.data<bf16>()[i]), 0.5f * (static_cast<float>(i % 32) - 16));
  }
  EXPECT_EQ(read_json_file(out_ / "config.json").at("dtype"), "bfloat16");
  fs::remove_all(out_);
  import(DType::kF32);
  EXPECT_EQ(Checkpoint::open(out_).info("model.norm.weight").dtype, DType::kF32);
}

TEST_F(GgufImportTest, QwenRowsStayAndItsHeadNormsCome) {
  fill("qwen3");
  gguf_.add("qwen3.attention.key_length", static_cast<uint32_t>(model_.head_dim));
  for (const char* name :
       {"blk.0.attn_q_norm", "blk.0.attn_k_norm", "blk.1.attn_q_norm", "blk.1.attn_k_norm"}) {
    gguf_.add_tensor(std::string(name) + ".weight",
                     Tensor::from(std::vector<float>(16, 1.5f), {16}));
  }
  import();
  const Checkpoint checkpoint = Checkpoint::open(out_);
  const Tensor q = checkpoint.tensor("model.layers.0.self_attn.q_proj.weight");
  const Tensor original = model_.tensors().at("model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(std::memcmp(q.raw(), original.raw(), static_cast<size_t>(q.nbytes())), 0);
  EXPECT_EQ(checkpoint.info("model.layers.1.self_attn.k_norm.weight").shape, Shape{16});
  EXPECT_EQ(read_json_file(out_ / "config.json").at("architectures").at(0), "Qwen3ForCausalLM");
}

TEST_F(GgufImportTest, RecognizesTheRopeFactorsOfLlama3) {
  fill();
  // The table that llama.cpp computes for factor 8 (transformers' "llama3", written independently).
  std::vector<float> factors;
  for (int i = 0; i < 8; ++i) {
    const double frequency = std::pow(10000.0, -2.0 * i / 16.0);
    const double wavelength = 2 * std::numbers::pi / frequency;
    double scaled = frequency;
    if (wavelength > 8192.0) scaled = frequency / 8;
    if (wavelength >= 2048.0 && wavelength <= 8192.0) {
      const double smooth = (8192.0 / wavelength - 1) / 3;
      scaled = (1 - smooth) * frequency / 8 + smooth * frequency;
    }
    factors.push_back(static_cast<float>(frequency / scaled));
  }
  gguf_.add_tensor("rope_freqs.weight", Tensor::from(factors, {8}));
  import();
  const auto scaling = read_json_file(out_ / "config.json").at("rope_scaling");
  EXPECT_EQ(scaling.at("rope_type"), "llama3");
  EXPECT_EQ(scaling.at("factor"), 8.0);

  fs::remove_all(out_);
  factors[3] = 5.0f;
  gguf_.add_tensor("rope_freqs.weight", Tensor::from(factors, {8}));
  expect_failure("llama3");
  factors.pop_back();
  gguf_.add_tensor("rope_freqs.weight", Tensor::from(factors, {7}));
  expect_failure("tensor 'rope_freqs.weight': wrong shape");
}

TEST_F(GgufImportTest, ReadsLinearAndYarnScaling) {
  fill();
  gguf_.add("llama.rope.scaling.type", "yarn");
  gguf_.add("llama.rope.scaling.factor", 4.0f);
  gguf_.add("llama.rope.scaling.original_context_length", uint32_t{32});
  import();
  EXPECT_EQ(read_json_file(out_ / "config.json").at("rope_scaling"),
            (nlohmann::ordered_json{
                {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}}));
  fs::remove_all(out_);
  gguf_.add("llama.rope.scaling.type", "mystery");
  expect_failure("rope.scaling.type");
}

TEST_F(GgufImportTest, RefusesWhatItDoesNotKnow) {
  fill();
  gguf_.add("general.architecture", "mamba");
  expect_failure("mamba");
}

TEST_F(GgufImportTest, NamesAMissingATooMuchAndAMisshapenTensor) {
  fill();
  const Tensor up = model_.tensors().at("model.layers.1.mlp.up_proj.weight");
  gguf_.remove_tensor("blk.1.ffn_up.weight");
  expect_failure("model.layers.1.mlp.up_proj.weight");
  gguf_.add_tensor("blk.1.ffn_up.weight", up.slice_rows(0, 32));
  expect_failure("blk.1.ffn_up.weight");
  gguf_.add_tensor("blk.1.ffn_up.weight", up);
  gguf_.add_tensor("blk.1.ssm_in.weight", up);
  expect_failure("ssm_in");
}

TEST_F(GgufImportTest, RefusesMetadataThatIsMissingOrContradictsItself) {
  fill();
  gguf_.remove("llama.embedding_length");
  expect_failure("llama.embedding_length");
  gguf_.add("llama.embedding_length", uint32_t{64});
  gguf_.add("llama.rope.dimension_count", uint32_t{8});
  expect_failure("rope.dimension_count");
  gguf_.remove("llama.rope.dimension_count");
  gguf_.add("llama.attention.head_count", uint32_t{0});
  expect_failure("head_count");
  gguf_.add("llama.attention.head_count", uint32_t{3});  // 64 / 3 heads
  expect_failure("");
  gguf_.add("llama.attention.head_count", uint32_t{4});
  gguf_.add("llama.expert_count", uint32_t{8});
  expect_failure("expert");
}

TEST(HuggingFaceName, MapsOnlyNamesOfTheseArchitectures) {
  EXPECT_EQ(hugging_face_name("token_embd.weight"), "model.embed_tokens.weight");
  EXPECT_EQ(hugging_face_name("blk.12.attn_q.bias"), "model.layers.12.self_attn.q_proj.bias");
  for (const char* name :
       {"", "blk", "blk.", "blk.1", "blk.1.", "blk.1.attn_q", "blk..attn_q.weight",
        "blk.x.attn_q.weight", "blk.1.attn_q.scale", "blk.1.attn_z.weight"}) {
    EXPECT_EQ(hugging_face_name(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace nibble
