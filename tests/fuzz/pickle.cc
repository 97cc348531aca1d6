// SPDX-License-Identifier: Apache-2.0
//
// A file of torch.save, in the archive and in the legacy format: every tensor is materialised. Few
// mutations of an archive keep its directory right, so an input that is a pickle by itself stands
// for an archive with that pickle and storages "0" to "3" of zeros.
#include <algorithm>
#include <string>
#include <vector>

#include "nibble/io/torch_file.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

// The archive that is made around a pickle is part of the fixed size. A byte of a pickle can ask
// for one value; views that repeat elements are as large as the file at most.
const MemoryBound kMemory{.fixed = 1 << 20, .per_byte = 512};

namespace {

constexpr std::string_view kLegacyStart = "\x80\x02\x8a\x0a";
constexpr size_t kStorageBytes = 1024;

void append(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

// For the fields that stay zero.
void append_zeros(std::string& out, size_t bytes) { out.append(bytes, '\0'); }

// A zip archive of stored members.
class Archive {
 public:
  void add(const std::string& name, std::string_view content) {
    append(directory_, 0x02014b50, 4);
    append_zeros(directory_, 16);  // versions, flags, method, time, CRC
    append(directory_, content.size(), 4);
    append(directory_, content.size(), 4);
    append(directory_, name.size(), 2);
    append_zeros(directory_, 12);  // extra field, comment, disk, attributes
    append(directory_, members_.size(), 4);
    directory_ += name;
    append(members_, 0x04034b50, 4);
    append_zeros(members_, 14);
    append(members_, content.size(), 4);
    append(members_, content.size(), 4);
    append(members_, name.size(), 2);
    append_zeros(members_, 2);
    members_ += name;
    members_ += content;
    ++count_;
  }

  std::string bytes() const {
    std::string out = members_ + directory_;
    append(out, 0x06054b50, 4);
    append(out, 0, 4);
    append(out, count_, 2);
    append(out, count_, 2);
    append(out, directory_.size(), 4);
    append(out, members_.size(), 4);
    append(out, 0, 2);
    return out;
  }

 private:
  std::string members_, directory_;
  uint64_t count_ = 0;
};

std::string file_of(Input input) {
  const std::string_view text = text_of(input);
  if (!text.starts_with('\x80') || text.starts_with(kLegacyStart)) return std::string(text);
  Archive archive;
  archive.add("a/data.pkl", text);
  for (const char* key : {"0", "1", "2", "3"}) {
    archive.add(std::string("a/data/") + key, std::string(kStorageBytes, '\0'));
  }
  return archive.bytes();
}

}  // namespace

void read(Input input) {
  const InputFile on_disk(file_of(input));
  const TorchFile file = TorchFile::open(on_disk.path());
  for (const TensorInfo& info : file.tensors()) {
    const Tensor tensor = file.tensor(info);
    require(tensor.nbytes() == info.nbytes, "a tensor is as large as it says");
    require(std::ranges::equal(file.tensor(info).bytes(), tensor.bytes()),
            "a tensor reads the same twice");
  }
}

}  // namespace nibble::fuzz
