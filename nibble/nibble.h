// SPDX-License-Identifier: Apache-2.0
//
// The public headers of nibble in one: what a program needs to open, run, quantize, convert,
// inspect and evaluate models. Backends' insides are not here; backend/registry.h makes backends.
#pragma once

#include "nibble/backend/registry.h"
#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/base/printable.h"
#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/convert/convert_model.h"
#include "nibble/convert/gguf_import.h"
#include "nibble/convert/inspect.h"
#include "nibble/convert/quantize_model.h"
#include "nibble/eval/perplexity.h"
#include "nibble/generate/chat_prompt.h"
#include "nibble/generate/generation_config.h"
#include "nibble/generate/generator.h"
#include "nibble/generate/sampler.h"
#include "nibble/generate/text_generator.h"
#include "nibble/io/checkpoint.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/io/gguf.h"
#include "nibble/io/json_file.h"
#include "nibble/models/model.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/bitsandbytes_config.h"
#include "nibble/quant/registry.h"
#include "nibble/tensor/tensor.h"
#include "nibble/text/chat_template.h"
#include "nibble/text/tokenizer.h"
