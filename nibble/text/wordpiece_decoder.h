// SPDX-License-Identifier: Apache-2.0
//
// The decoders that write words apart and may take the spaces before punctuation back: WordPiece
// for subwords, CTC for the output of speech models.
#pragma once

#include <memory>

#include "nibble/text/component_config.h"
#include "nibble/text/decoder.h"

namespace nibble {

// Reads "prefix" and "cleanup".
std::unique_ptr<Decoder> make_wordpiece_decoder(const ComponentConfig& config);
// Reads "pad_token", "word_delimiter_token" and "cleanup".
std::unique_ptr<Decoder> make_ctc_decoder(const ComponentConfig& config);

}  // namespace nibble
