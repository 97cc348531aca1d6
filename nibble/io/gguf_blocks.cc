// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/gguf_blocks.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "nibble/base/error.h"
#include "nibble/base/half.h"

namespace nibble {
namespace {

using Bytes = const uint8_t*;

template <typename T>
T load(Bytes from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

float load_half(Bytes from) { return to_float(load<fp16>(from)); }

// Runs `decode(block, out)` over whole blocks. `kSize` elements, `kBytes` bytes each.
template <int64_t kSize, int64_t kBytes, void (*decode)(Bytes, float*)>
void each_block(std::span<const std::byte> blocks, std::span<float> out) {
  auto from = reinterpret_cast<Bytes>(blocks.data());
  for (size_t i = 0; i < out.size(); i += kSize, from += kBytes) decode(from, &out[i]);
}

// --- one element a block -------------------------------------------------------------------------

void decode_f32(Bytes from, float* out) { *out = load<float>(from); }
void decode_f16(Bytes from, float* out) { *out = load_half(from); }
void decode_bf16(Bytes from, float* out) { *out = to_float(load<bf16>(from)); }
void decode_f64(Bytes from, float* out) { *out = static_cast<float>(load<double>(from)); }

// --- 32 elements a block: byte j of the codes holds elements j (low half) and j + 16
// --------------

constexpr int kHalfBlock = 16;

// fp16 d; 16 bytes of 4-bit codes: d * (code - 8).
void decode_q4_0(Bytes block, float* out) {
  const float d = load_half(block);
  const Bytes codes = block + 2;
  for (int j = 0; j < kHalfBlock; ++j) {
    out[j] = static_cast<float>((codes[j] & 0xf) - 8) * d;
    out[j + kHalfBlock] = static_cast<float>((codes[j] >> 4) - 8) * d;
  }
}

// fp16 d, fp16 m; 16 bytes of 4-bit codes: d * code + m.
void decode_q4_1(Bytes block, float* out) {
  const float d = load_half(block);
  const float m = load_half(block + 2);
  const Bytes codes = block + 4;
  for (int j = 0; j < kHalfBlock; ++j) {
    out[j] = static_cast<float>(codes[j] & 0xf) * d + m;
    out[j + kHalfBlock] = static_cast<float>(codes[j] >> 4) * d + m;
  }
}

// The fifth bit of element i is bit i of `high`.
int five_bits(int low, uint32_t high, int i) {
  return low | static_cast<int>(((high >> i) & 1u) << 4);
}

// fp16 d; 32 fifth bits; 16 bytes of low bits: d * (code - 16).
void decode_q5_0(Bytes block, float* out) {
  const float d = load_half(block);
  const auto high = load<uint32_t>(block + 2);
  const Bytes codes = block + 6;
  for (int j = 0; j < kHalfBlock; ++j) {
    out[j] = static_cast<float>(five_bits(codes[j] & 0xf, high, j) - 16) * d;
    out[j + kHalfBlock] =
        static_cast<float>(five_bits(codes[j] >> 4, high, j + kHalfBlock) - 16) * d;
  }
}

// fp16 d, fp16 m; 32 fifth bits; 16 bytes of low bits: d * code + m.
void decode_q5_1(Bytes block, float* out) {
  const float d = load_half(block);
  const float m = load_half(block + 2);
  const auto high = load<uint32_t>(block + 4);
  const Bytes codes = block + 8;
  for (int j = 0; j < kHalfBlock; ++j) {
    out[j] = static_cast<float>(five_bits(codes[j] & 0xf, high, j)) * d + m;
    out[j + kHalfBlock] =
        static_cast<float>(five_bits(codes[j] >> 4, high, j + kHalfBlock)) * d + m;
  }
}

// fp16 d; 32 int8 codes: d * code.
void decode_q8_0(Bytes block, float* out) {
  const float d = load_half(block);
  for (int j = 0; j < 2 * kHalfBlock; ++j) {
    out[j] = static_cast<float>(load<int8_t>(block + 2 + j)) * d;
  }
}

// fp16 d; 16 bytes of 4-bit indices into a fixed table: d * table[index].
void decode_iq4_nl(Bytes block, float* out) {
  static constexpr std::array<int8_t, 16> kTable{-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};
  const float d = load_half(block);
  const Bytes codes = block + 2;
  for (int j = 0; j < kHalfBlock; ++j) {
    out[j] = d * static_cast<float>(kTable[codes[j] & 0xf]);
    out[j + kHalfBlock] = d * static_cast<float>(kTable[codes[j] >> 4]);
  }
}

// --- 256 elements a block ("k-quants"): sub-blocks with small scales under one or two fp16
// --------

constexpr int kSuperBlock = 256;

// 16 x (4-bit scale, 4-bit min); 64 bytes of 2-bit codes; fp16 d, fp16 dmin. Sub-blocks of 16:
// (d * scale) * code - (dmin * min). 32 bytes hold 128 elements, each two bits a run of 32.
void decode_q2_k(Bytes block, float* out) {
  const Bytes scales = block;
  const Bytes codes = block + 16;
  const float d = load_half(block + 80);
  const float dmin = load_half(block + 82);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int sub = i / 16;
    const float scale = d * static_cast<float>(scales[sub] & 0xf);
    const float min = dmin * static_cast<float>(scales[sub] >> 4);
    const int code = (codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
    out[i] = scale * static_cast<float>(code) - min;
  }
}

// 32 bytes of third bits; 64 bytes of low two bits as in Q2_K; 16 6-bit scales in 12 bytes; fp16 d.
// Sub-blocks of 16: (d * (scale - 32)) * (code - 4), where the third bit is worth 4.
void decode_q3_k(Bytes block, float* out) {
  const Bytes high = block;
  const Bytes codes = block + 32;
  const Bytes scales = block + 96;
  const float d = load_half(block + 108);
  for (int sub = 0; sub < 16; ++sub) {
    // Bytes 0-7: the low four bits of scales 0-7, then of 8-15. Bytes 8-11: the high two bits.
    const int low = sub < 8 ? scales[sub] & 0xf : scales[sub - 8] >> 4;
    const int top = (scales[8 + sub % 4] >> (sub / 4 * 2)) & 3;
    const float scale = d * static_cast<float>((low | top << 4) - 32);
    for (int i = sub * 16; i < sub * 16 + 16; ++i) {
      const int two_bits = (codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
      const int third_bit = (high[i % 32] >> (i / 32)) & 1;
      out[i] = scale * static_cast<float>(two_bits - (third_bit ? 0 : 4));
    }
  }
}

struct ScaleMin {
  float scale, min;
};

// Eight 6-bit scales and eight 6-bit mins in 12 bytes, as in Q4_K and Q5_K: those of sub-blocks 0-3
// in the low six bits of bytes 0-3 and 4-7; of 4-7, the low four bits in bytes 8-11 (scale low,
// min high) and the top two in the top bits of bytes 0-3 and 4-7.
ScaleMin unpack_scale_min(Bytes packed, int sub) {
  if (sub < 4) {
    return {static_cast<float>(packed[sub] & 63), static_cast<float>(packed[sub + 4] & 63)};
  }
  return {static_cast<float>((packed[sub + 4] & 0xf) | (packed[sub - 4] >> 6 << 4)),
          static_cast<float>((packed[sub + 4] >> 4) | (packed[sub] >> 6 << 4))};
}

// fp16 d, fp16 dmin; 12 bytes of scales and mins; 128 bytes of 4-bit codes, of which 32 bytes hold
// two sub-blocks of 32: (d * scale) * code - (dmin * min).
void decode_q4_k(Bytes block, float* out) {
  const float d = load_half(block);
  const float dmin = load_half(block + 2);
  const Bytes codes = block + 16;
  for (int sub = 0; sub < 8; ++sub) {
    const ScaleMin packed = unpack_scale_min(block + 4, sub);
    const float scale = d * packed.scale;
    const float min = dmin * packed.min;
    for (int j = 0; j < 32; ++j) {
      const int code = (codes[sub / 2 * 32 + j] >> (sub % 2 * 4)) & 0xf;
      out[sub * 32 + j] = scale * static_cast<float>(code) - min;
    }
  }
}

// As Q4_K with 32 bytes of fifth bits before the codes: bit `sub` of byte j.
void decode_q5_k(Bytes block, float* out) {
  const float d = load_half(block);
  const float dmin = load_half(block + 2);
  const Bytes high = block + 16;
  const Bytes codes = block + 48;
  for (int sub = 0; sub < 8; ++sub) {
    const ScaleMin packed = unpack_scale_min(block + 4, sub);
    const float scale = d * packed.scale;
    const float min = dmin * packed.min;
    for (int j = 0; j < 32; ++j) {
      const int low = (codes[sub / 2 * 32 + j] >> (sub % 2 * 4)) & 0xf;
      const int code = low | ((high[j] >> sub) & 1) << 4;
      out[sub * 32 + j] = scale * static_cast<float>(code) - min;
    }
  }
}

// 128 bytes of low four bits, 64 bytes of high two bits, 16 int8 scales, fp16 d. Sub-blocks of 16:
// (d * scale) * (code - 32). Half a block takes 64 and 32 bytes: runs of 32 elements share bytes.
void decode_q6_k(Bytes block, float* out) {
  const float d = load_half(block + 208);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int half = i / 128;
    const int run = i % 128 / 32;
    const int low = (block[half * 64 + run % 2 * 32 + i % 32] >> (run / 2 * 4)) & 0xf;
    const int high = (block[128 + half * 32 + i % 32] >> (run * 2)) & 3;
    const float scale = d * static_cast<float>(load<int8_t>(block + 192 + i / 16));
    out[i] = scale * static_cast<float>((low | high << 4) - 32);
  }
}

// clang-format off
constexpr GgmlTypeTraits kBlockTypes[] = {
    {GgmlType::kF32,     "F32",     1,   4,   each_block<1, 4, decode_f32>},
    {GgmlType::kF16,     "F16",     1,   2,   each_block<1, 2, decode_f16>},
    {GgmlType::kBF16,    "BF16",    1,   2,   each_block<1, 2, decode_bf16>},
    {GgmlType::kF64,     "F64",     1,   8,   each_block<1, 8, decode_f64>},
    {GgmlType::kQ4_0,    "Q4_0",    32,  18,  each_block<32, 18, decode_q4_0>},
    {GgmlType::kQ4_1,    "Q4_1",    32,  20,  each_block<32, 20, decode_q4_1>},
    {GgmlType::kQ5_0,    "Q5_0",    32,  22,  each_block<32, 22, decode_q5_0>},
    {GgmlType::kQ5_1,    "Q5_1",    32,  24,  each_block<32, 24, decode_q5_1>},
    {GgmlType::kQ8_0,    "Q8_0",    32,  34,  each_block<32, 34, decode_q8_0>},
    {GgmlType::kIQ4_NL,  "IQ4_NL",  32,  18,  each_block<32, 18, decode_iq4_nl>},
    {GgmlType::kQ2_K,    "Q2_K",    256, 84,  each_block<256, 84, decode_q2_k>},
    {GgmlType::kQ3_K,    "Q3_K",    256, 110, each_block<256, 110, decode_q3_k>},
    {GgmlType::kQ4_K,    "Q4_K",    256, 144, each_block<256, 144, decode_q4_k>},
    {GgmlType::kQ5_K,    "Q5_K",    256, 176, each_block<256, 176, decode_q5_k>},
    {GgmlType::kQ6_K,    "Q6_K",    256, 210, each_block<256, 210, decode_q6_k>},
    // Known by size only: a file that holds them can be listed.
    {GgmlType::kIQ2_XXS, "IQ2_XXS", 256, 66,  nullptr},
    {GgmlType::kIQ2_XS,  "IQ2_XS",  256, 74,  nullptr},
    {GgmlType::kIQ2_S,   "IQ2_S",   256, 82,  nullptr},
    {GgmlType::kIQ3_XXS, "IQ3_XXS", 256, 98,  nullptr},
    {GgmlType::kIQ3_S,   "IQ3_S",   256, 110, nullptr},
    {GgmlType::kIQ1_S,   "IQ1_S",   256, 50,  nullptr},
    {GgmlType::kIQ1_M,   "IQ1_M",   256, 56,  nullptr},
    {GgmlType::kIQ4_XS,  "IQ4_XS",  256, 136, nullptr},
    {GgmlType::kTQ1_0,   "TQ1_0",   256, 54,  nullptr},
    {GgmlType::kTQ2_0,   "TQ2_0",   256, 66,  nullptr},
    {GgmlType::kMXFP4,   "MXFP4",   32,  17,  nullptr},
    {GgmlType::kI8,      "I8",      1,   1,   nullptr},
    {GgmlType::kI16,     "I16",     1,   2,   nullptr},
    {GgmlType::kI32,     "I32",     1,   4,   nullptr},
    {GgmlType::kI64,     "I64",     1,   8,   nullptr},
};
// clang-format on

}  // namespace

const GgmlTypeTraits* ggml_type_traits(GgmlType type) {
  for (const GgmlTypeTraits& traits : kBlockTypes) {
    if (traits.type == type) return &traits;
  }
  return nullptr;
}

void decode_blocks(GgmlType type, std::span<const std::byte> blocks, std::span<float> out) {
  const GgmlTypeTraits* traits = ggml_type_traits(type);
  if (traits == nullptr || traits->decode == nullptr) {
    throw Error("ggml type is not decoded")
        .got(traits == nullptr ? fmt::format("type {}", static_cast<uint32_t>(type))
                               : std::string(traits->name))
        .hint("start from a file in another type, such as Q8_0 or Q4_K");
  }
  const auto count = static_cast<int64_t>(out.size());
  const auto bytes = static_cast<int64_t>(blocks.size());
  if (count % traits->block_size != 0 || bytes % traits->block_bytes != 0 ||
      bytes / traits->block_bytes != count / traits->block_size) {
    throw Error("sizes do not fit for decoding blocks")
        .expected(fmt::format("whole blocks of {} elements in {} bytes", traits->block_size,
                              traits->block_bytes))
        .got(fmt::format("{} elements, {} bytes", count, bytes));
  }
  traits->decode(blocks, out);
}

}  // namespace nibble
