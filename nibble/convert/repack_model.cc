// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/repack_model.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/convert/conversion.h"
#include "nibble/convert/model_source.h"
#include "nibble/io/page_advice.h"
#include "nibble/quant/registry.h"
#include "nibble/quant/repacking.h"

namespace nibble {

ConversionReport repack_model(const std::filesystem::path& source_folder,
                              const std::filesystem::path& destination, const std::string& packing,
                              ThreadPool& pool, CheckpointWriterOptions writer_options,
                              Progress* progress) {
  Conversion conversion(destination, {{"command", "repack"}, {"packing", packing}}, pool,
                        std::move(writer_options), progress);
  ModelSource source(source_folder);
  const PackedModules packed(source, conversion.report());
  const QuantizationConfig config =
      packed.naming_plain(repacked_config(packed.config(), packing, source.quantization_file()));
  const std::unique_ptr<Scheme> target = make_scheme(config, source.quantization_file());
  const Checkpoint& checkpoint = source.checkpoint;
  conversion.describe_source(checkpoint);
  conversion.start("repacking", checkpoint.total_bytes());
  for (const std::string& name : checkpoint.names()) {
    conversion.step(name, checkpoint.info(name).nbytes, [&] {
      if (source.repeated.contains(name)) return;
      const ModuleInfo* module = packed.module_of(name);
      if (!module) {
        conversion.write(name, checkpoint.tensor(name));
      } else if (packed.is_turn_of(*module, name)) {
        const Tensor codes = checkpoint.tensor(name);
        prefetch_pages(codes);
        try {
          for (const NamedTensor& part : target->save(packed.load(*module, pool), module->name)) {
            conversion.write(part.name, part.tensor);
          }
        } catch (Error& error) {
          throw error.has_file() ? error : error.file(checkpoint.file_of(name));
        }
        drop_pages(codes);
      }  // else a side tensor of the old packing, which goes with it
    });
  }
  source.config_json["quantization_config"] = target->config_json();
  return source.finish(conversion);
}

}  // namespace nibble
