// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/torch_file.h"

#include <fmt/format.h>

#include <array>
#include <unordered_map>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/byte_reader.h"
#include "nibble/io/pickle_machine.h"
#include "nibble/io/torch_objects.h"
#include "nibble/io/torch_storages.h"
#include "nibble/io/zip_archive.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Kind = PickleValue::Kind;

constexpr const char* kSaveAgain = "load the file with torch and save its state dict again";
// Of the legacy format: a pickled number of 10 bytes, least significant first.
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t kLegacyProtocol = 1001;
constexpr auto kPickleStart = std::byte{0x80};
// A tar archive says so in its first header.
constexpr size_t kTarMagicAt = 257;
constexpr std::string_view kTarMagic = "ustar";
// Names under which training scripts put the state dict, the likelier first.
constexpr std::array<std::string_view, 4> kWrappers{"state_dict", "model_state_dict", "model",
                                                    "module"};
constexpr int kMaxWrappers = 4;  // one within the other

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Of a key that comes twice the last value counts, as in Python.
const PickleValue* value_of(const PickleValue& dict, std::string_view key) {
  const PickleValue* found = nullptr;
  const PickleValue::Items& items = dict.items();
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i]->is(Kind::kString) && items[i]->text() == key) found = items[i + 1];
  }
  return found;
}

bool holds_tensors(const PickleValue& dict) {
  const PickleValue::Items& items = dict.items();
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i]->is(Kind::kString) && items[i + 1]->is(Kind::kTensor)) return true;
  }
  return false;
}

class Parser {
 public:
  explicit Parser(const MappedFile& file)
      : path_(file.path()),
        bytes_(file.bytes()),
        objects_(path_),
        storages_(path_, std::ssize(bytes_)) {}

  std::vector<TensorInfo> parse() {
    const PickleValue* saved = nullptr;
    if (ZipArchive::begins(bytes_)) {
      saved = read_archive();
    } else if (!bytes_.empty() && bytes_[0] == kPickleStart) {
      saved = read_legacy();
    } else {
      throw not_a_torch_file();
    }
    return tensors_of(state_dict_in(*saved));
  }

 private:
  Error error(const char* what) const { return Error(what).file(path_); }

  Error not_a_torch_file() const {
    const std::string_view text = text_of(bytes_);
    if (text.starts_with("version https://git-lfs")) {
      return error("file is a Git LFS pointer, not weights").hint("run `git lfs pull`");
    }
    if (text.size() > kTarMagicAt && text.substr(kTarMagicAt).starts_with(kTarMagic)) {
      return error("file is in the tar format of PyTorch before 0.1.10, which is not read")
          .hint(kSaveAgain);
    }
    return error("file is not one that torch.save writes")
        .expected("a zip archive or a pickle")
        .at_byte(0);
  }

  const PickleValue* read_archive() {
    const ZipArchive archive(path_, bytes_);
    const ZipMember* pickle = archive.find("data.pkl");
    if (pickle == nullptr) {
      throw error("zip archive is not one that torch.save writes")
          .expected(fmt::format("a member '{}/data.pkl'", archive.root()));
    }
    if (archive.find("constants.pkl") != nullptr) {
      throw error("file is a TorchScript program, not a state dict").hint(kSaveAgain);
    }
    const ZipMember* order = archive.find("byteorder");
    if (order != nullptr && text_of(archive.bytes(*order)) != "little") {
      throw error("file is not little-endian")
          .got(std::string(text_of(archive.bytes(*order))))
          .at_byte(order->offset)
          .hint(kSaveAgain);
    }
    ByteReader reader(path_, archive.bytes(*pickle), pickle->offset);
    const PickleValue* saved = PickleMachine(reader, objects_).run();
    for (const PickledStorage& storage : objects_.storages()) {
      if (const ZipMember* member = archive.find(fmt::format("data/{}", storage.key))) {
        storages_.add(storage.key, {member->offset, member->size});
      }
    }
    return saved;
  }

  // Pickles of the magic number, the version, facts about the machine that saved, the object, and
  // the keys of its storages; then the storages in that order, each behind its number of elements.
  // All of it is little-endian, whatever the machine was.
  const PickleValue* read_legacy() {
    ByteReader reader(path_, bytes_);
    const auto next = [&] { return PickleMachine(reader, objects_).run(); };
    const PickleValue* magic = next();
    const auto* digits = std::get_if<std::string_view>(&magic->content);
    if (!magic->is(Kind::kOpaque) || digits == nullptr || *digits != kLegacyMagic) {
      throw error("pickle is not one that torch.save writes")
          .expected("PyTorch's magic number first")
          .at_byte(0);
    }
    const int64_t version_at = reader.offset();
    const PickleValue* version = next();
    if (!version->is(Kind::kInt) || version->number() != kLegacyProtocol) {
      throw error("version of the file's format is not known")
          .expected(fmt::format("{}", kLegacyProtocol))
          .at_byte(version_at);
    }
    next();  // the machine: says nothing about the bytes
    const PickleValue* saved = next();
    const int64_t keys_at = reader.offset();
    const PickleValue* keys = next();
    std::unordered_map<std::string_view, int64_t> sizes;  // of an element, by key
    for (const PickledStorage& storage : objects_.storages()) {
      sizes.emplace(storage.key, size_of(storage.dtype));
    }
    for (const PickleValue* key : keys->items()) {
      const auto size = key->is(Kind::kString) ? sizes.find(key->text()) : sizes.end();
      if (!keys->is(Kind::kList) || size == sizes.end()) {
        throw error("list of storages does not fit the pickle").at_byte(keys_at);
      }
      const auto count = reader.read<int64_t>("a storage");
      reader.require(static_cast<uint64_t>(count), size->second, "a storage");
      storages_.add(key->text(), {reader.offset(), count * size->second});
      reader.take(static_cast<uint64_t>(count * size->second), "a storage");
    }
    return saved;
  }

  const PickleValue& state_dict_in(const PickleValue& saved) const {
    const PickleValue* dict = &saved;
    for (int depth = 0; depth <= kMaxWrappers && dict->is(Kind::kDict); ++depth) {
      if (holds_tensors(*dict)) return *dict;
      const PickleValue* inner = nullptr;
      for (const std::string_view name : kWrappers) {
        const PickleValue* candidate = value_of(*dict, name);
        if (inner == nullptr && candidate != nullptr && candidate->is(Kind::kDict)) {
          inner = candidate;
        }
      }
      if (inner == nullptr) break;
      dict = inner;
    }
    throw error("file holds no state dict")
        .expected("a dict from names to tensors, or one under 'state_dict' or 'model'")
        .got(dict->is(Kind::kDict) ? keys_of(*dict) : std::string(kind_name(dict->kind)));
  }

  // The first keys of a dict, for an error.
  static std::string keys_of(const PickleValue& dict) {
    constexpr size_t kMostNamed = 5;
    std::string keys;
    size_t count = 0;
    for (size_t i = 0; i + 1 < dict.items().size() && count < kMostNamed; i += 2) {
      const PickleValue& key = *dict.items()[i];
      if (!key.is(Kind::kString)) continue;
      keys += fmt::format("{}'{}'", count++ == 0 ? "" : ", ", key.text());
    }
    return keys.empty() ? "a dict without tensors" : fmt::format("a dict with {}", keys);
  }

  std::vector<TensorInfo> tensors_of(const PickleValue& dict) const {
    std::vector<TensorInfo> infos;
    std::unordered_map<std::string_view, size_t> places;  // in infos
    const PickleValue::Items& items = dict.items();
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (!items[i]->is(Kind::kString) || !items[i + 1]->is(Kind::kTensor)) continue;
      const std::string_view name = items[i]->text();
      const PickledTensor& tensor = objects_.tensors()[static_cast<size_t>(items[i + 1]->number())];
      TensorInfo info =
          storages_.place(std::string(name), tensor, objects_.storages()[tensor.storage]);
      const auto [place, is_new] = places.emplace(name, infos.size());
      if (is_new) {
        infos.push_back(std::move(info));
      } else {
        infos[place->second] = std::move(info);
      }
    }
    return infos;
  }

  const fs::path& path_;
  std::span<const std::byte> bytes_;
  TorchObjects objects_;
  TorchStorages storages_;
};

}  // namespace

TorchFile TorchFile::open(const fs::path& path) {
  auto mapped = MappedFile::open(path);
  std::vector<TensorInfo> tensors = Parser(*mapped).parse();
  return TorchFile("pytorch", std::move(mapped), std::move(tensors));
}

}  // namespace nibble
