// SPDX-License-Identifier: Apache-2.0
//
// One function per family of models: it appends the family's modules to an outline. Which types
// belong to which family is the list in outline/registry.cc. Facts are those of the modeling files
// of transformers 5.23, and of 4.46 where the two differ.
#pragma once

#include "nibble/outline/family_config.h"

namespace nibble {

// Each has the same form: the root of the model, and its config.
void outline_llama(const OutlineBuilder& root, const FamilyConfig& config);  // and its many kin
void outline_phi(const OutlineBuilder& root, const FamilyConfig& config);
void outline_opt(const OutlineBuilder& root, const FamilyConfig& config);
void outline_bloom(const OutlineBuilder& root, const FamilyConfig& config);
void outline_falcon(const OutlineBuilder& root, const FamilyConfig& config);
void outline_mpt(const OutlineBuilder& root, const FamilyConfig& config);
void outline_gpt2(const OutlineBuilder& root, const FamilyConfig& config);  // and gpt_bigcode
void outline_gpt_neo(const OutlineBuilder& root, const FamilyConfig& config);
void outline_gpt_neox(const OutlineBuilder& root, const FamilyConfig& config);
void outline_gptj(const OutlineBuilder& root, const FamilyConfig& config);
void outline_t5(const OutlineBuilder& root, const FamilyConfig& config);
void outline_bert(const OutlineBuilder& root, const FamilyConfig& config);  // and roberta
void outline_whisper(const OutlineBuilder& root, const FamilyConfig& config);
void outline_vit(const OutlineBuilder& root, const FamilyConfig& config);
void outline_clip(const OutlineBuilder& root, const FamilyConfig& config);
void outline_blip2(const OutlineBuilder& root, const FamilyConfig& config);

}  // namespace nibble
