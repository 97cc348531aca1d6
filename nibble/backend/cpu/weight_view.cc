// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/weight_view.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace nibble::cpu {
namespace {

constexpr float kCodesMinus8[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

float largest_magnitude(std::span<const float> values) {
  float largest = 0.0f;
  for (const float value : values) {
    const float magnitude = std::fabs(value);
    largest = magnitude <= std::numeric_limits<float>::max()
                  ? std::max(largest, magnitude)
                  : std::numeric_limits<float>::infinity();
  }
  return largest;
}

CodeBlockView blocks_of(const AffineGroup& packed, int64_t rows, int64_t cols) {
  CodeBlockView block;
  const int64_t size = std::min(packed.group_size, cols);
  const bool whole = size > 0 && cols % size == 0 && cols % 2 == 0;
  if (packed.bits != 4 || !whole || packed.scales.dim(0) != rows) return block;
  block.codes = packed.codes.data<uint8_t>().data();
  block.low_nibble_first = true;
  block.codebook = kCodesMinus8;
  block.largest = 8.0f;
  block.values_are_whole = true;
  block.block_size = size;
  block.scale_dtype = packed.scales.dtype();
  block.absmax = packed.scales.raw();
  if (!packed.zeros_are_middle) block.zeros = packed.zeros.raw();
  block.zero_form = packed.zero_form;
  return block;
}

}  // namespace

int64_t WeightView::row_bytes() const {
  switch (layout) {
    case Layout::kDense:
      return std::max<int64_t>(1, cols * size_of(dtype));
    case Layout::kInt8Row:
    case Layout::kFloat8Block:
      return std::max<int64_t>(1, cols);
    case Layout::kAffineGroup:
      return std::max<int64_t>(1, affine_row_bytes(cols, affine->bits));
    case Layout::kCodeBlock:
      break;
  }
  return cols / 2 + 1;
}

WeightView view_of(const Weight& weight) {
  WeightView view;
  view.layout = weight.layout();
  view.rows = weight.rows();
  view.cols = weight.cols();
  switch (weight.layout()) {
    case Layout::kDense:
      view.dtype = weight.as_dense().values.dtype();
      view.elements = weight.as_dense().values.raw();
      break;
    case Layout::kInt8Row:
      view.elements = weight.as_int8_row().codes.data<int8_t>().data();
      view.row_absmax = weight.as_int8_row().absmax.data<float>().data();
      view.activations_are_int8 = weight.activation_mode() == ActivationMode::kInt8;
      if (view.activations_are_int8) view.llm_int8_threshold = weight.llm_int8_threshold();
      break;
    case Layout::kCodeBlock: {
      const CodeBlock& packed = weight.as_code_block();
      view.activations_are_int8 = weight.activation_mode() == ActivationMode::kInt8;
      view.block.codes = packed.codes.data<uint8_t>().data();
      view.block.codebook = packed.codebook.data<float>().data();
      view.block.largest = largest_magnitude(packed.codebook.data<float>());
      view.block.block_size = packed.block_size;
      if (packed.nested) {
        view.block.nested_codes = packed.nested->codes.data<uint8_t>().data();
        view.block.nested_absmax = packed.nested->absmax.data<float>().data();
        view.block.nested_codebook = packed.nested->codebook.data<float>().data();
        view.block.nested_block_size = packed.nested->block_size;
        view.block.nested_offset = packed.nested->offset;
      } else {
        view.block.scale_dtype = packed.absmax.dtype();
        view.block.absmax = packed.absmax.raw();
      }
      break;
    }
    case Layout::kAffineGroup:
      view.affine = &weight.as_affine_group();
      view.block = blocks_of(*view.affine, view.rows, view.cols);
      if (view.affine->positions.defined()) {
        view.positions = view.affine->positions.data<int32_t>().data();
      }
      view.activations_are_int8 = weight.activation_mode() == ActivationMode::kInt8;
      break;
    case Layout::kFloat8Block:
      view.float8 = &weight.as_float8_block();
      view.dtype = view.float8->codes.dtype();
      view.elements = view.float8->codes.raw();
      view.activations_are_int8 = weight.activation_mode() == ActivationMode::kInt8;
      break;
  }
  return view;
}

}  // namespace nibble::cpu
