// SPDX-License-Identifier: Apache-2.0
//
// Small files of every kind that claim 2^60 of something, opened in a process that may take 512 MB
// more than it has: each is refused with one clear line, and what they claim is not allocated.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <new>

#include "nibble/io/gguf.h"
#include "nibble/io/safetensors.h"
#include "nibble/io/torch_file.h"
#include "nibble/text/tokenizer.h"
#include "tests/io/torch_testing.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NIBBLE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NIBBLE_SANITIZED 1
#endif
#endif

namespace nibble {
namespace {

namespace fs = std::filesystem;
using testing::le;
using testing::legacy_head;
using testing::ScratchFolder;
using testing::state_dict;
using testing::storage;
using testing::tensor;
using testing::torch_zip;
using testing::ZipDirectory;

constexpr uint64_t kHuge = uint64_t{1} << 60;

enum class Kind { kSafetensors, kGguf, kTorch, kTokenizer, kSentencePiece };

struct Claim {
  const char* what;
  Kind kind;
  std::string bytes;
  const char* message;  // a part of it
};

std::string safetensors(const std::string& header) { return le(uint64_t{header.size()}) + header; }

std::string gguf_text(const std::string& value) { return le(uint64_t{value.size()}) + value; }

std::string gguf(uint64_t tensors, uint64_t metadata, const std::string& rest) {
  return "GGUF" + le(uint32_t{3}) + le(tensors) + le(metadata) + rest;
}

// A member whose directory entry claims more than there is.
std::string zip_that_claims(const char* name) {
  ZipDirectory directory;
  const std::string member = ZipDirectory::local_header(name) + "bytes";
  directory.add(name, 0, kHuge);
  return member + directory.end(member.size());
}

std::string bpe(const std::string& vocab) {
  return R"({"model": {"type": "BPE", "vocab": {)" + vocab + R"(}, "merges": []}})";
}

std::string unigram(const std::string& rest) {
  return R"({"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 0}, )" + rest + "}";
}

// 2^60 as protobuf spells numbers.
const std::string kVarint = "\x80\x80\x80\x80\x80\x80\x80\x80\x10";

const std::vector<Claim>& claims() {
  static const std::vector<Claim> kClaims = {
      {"header", Kind::kSafetensors, le(kHuge) + "{}", "header"},
      {"shape", Kind::kSafetensors,
       safetensors(R"({"a":{"dtype":"U8","shape":[1152921504606846976],"data_offsets":[0,8]}})"),
       "a"},
      {"offsets", Kind::kSafetensors,
       safetensors(R"({"a":{"dtype":"U8","shape":[1152921504606846976],)"
                   R"("data_offsets":[0,1152921504606846976]}})"),
       "a"},
      {"metadata", Kind::kGguf, gguf(0, kHuge, std::string(76, '\0')), "metadata"},
      {"tensors", Kind::kGguf, gguf(kHuge, 0, std::string(76, '\0')), "tensor"},
      {"strings", Kind::kGguf,
       gguf(0, 1, gguf_text("k") + le(uint32_t{9}) + le(uint32_t{8}) + le(kHuge)), "metadata 'k'"},
      {"numbers", Kind::kGguf,
       gguf(0, 1, gguf_text("k") + le(uint32_t{9}) + le(uint32_t{0}) + le(kHuge)), "metadata 'k'"},
      {"key", Kind::kGguf, gguf(0, 1, le(kHuge) + std::string(68, 'k')), "key"},
      {"shape", Kind::kGguf,
       gguf(1, 0, gguf_text("a") + le(uint32_t{1}) + le(kHuge) + le(uint32_t{0}) + le(uint64_t{0})),
       "tensor"},
      {"storage", Kind::kTorch,
       torch_zip(state_dict(tensor(storage("ByteStorage", int64_t{kHuge}), 0, {1}, {1})), "x"),
       "storage"},
      {"view", Kind::kTorch,
       torch_zip(state_dict(tensor(storage("ByteStorage", 1), 0, {int64_t{kHuge}}, {1})), "x"),
       "tensor"},
      {"member", Kind::kTorch, zip_that_claims("a/data.pkl"), "member"},
      {"text in a zip", Kind::kTorch, torch_zip("\x80\x04\x8d" + le(kHuge)), "within a pickle"},
      {"legacy storage", Kind::kTorch,
       legacy_head() + state_dict(tensor(storage("ByteStorage", int64_t{kHuge}), 0, {1}, {1})) +
           "\x80\x02]" + testing::text("0") + "a." + le(kHuge) + "x",
       "storage"},
      {"legacy text", Kind::kTorch, legacy_head() + "\x80\x04\x8d" + le(kHuge), "within a pickle"},
      {"id", Kind::kTokenizer, bpe(R"("a": 1152921504606846976)"), "id"},
      {"id below 2^31", Kind::kTokenizer, bpe(R"("a": 2147483646)"), "id"},
      {"unknown id", Kind::kTokenizer,
       R"({"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1152921504606846976}})",
       "unk_id"},
      {"padding", Kind::kTokenizer,
       unigram(R"("padding": {"strategy": {"Fixed": 1152921504606846976}, "pad_id": 0, )"
               R"("pad_type_id": 0, "pad_token": "a", "direction": "Right"})"),
       "Fixed"},
      {"truncation", Kind::kTokenizer,
       unigram(R"("truncation": {"max_length": 1152921504606846976, "stride": 0, )"
               R"("strategy": "LongestFirst", "direction": "Right"})"),
       "max_length"},
      {"piece", Kind::kSentencePiece, "\x0A" + kVarint + std::string(90, 'x'), "ends behind"},
      {"text of a piece", Kind::kSentencePiece, "\x0A\x0A\x0A" + kVarint + std::string(88, 'x'),
       "ends behind"},
      {"charsmap", Kind::kSentencePiece,
       "\x0A\x03\x0A\x01"
       "a\x1A\x0A\x12" +
           kVarint,
       "ends behind"},
      {"unknown field", Kind::kSentencePiece,
       "\x0A\x03\x0A\x01"
       "a\xFA\x01" +
           kVarint,
       "ends behind"},
  };
  return kClaims;
}

fs::path write(const ScratchFolder& folder, const Claim& claim) {
  const char* name = claim.kind == Kind::kTokenizer       ? "tokenizer.json"
                     : claim.kind == Kind::kSentencePiece ? "tokenizer.model"
                                                          : "file";
  testing::write_file(folder / name, claim.bytes);
  return folder / name;
}

void open(const fs::path& path, Kind kind) {
  switch (kind) {
    case Kind::kSafetensors:
      SafetensorsFile::open(path);
      return;
    case Kind::kGguf:
      GgufFile::open(path);
      return;
    case Kind::kTorch:
      TorchFile::open(path);
      return;
    case Kind::kTokenizer:
    case Kind::kSentencePiece:
      Tokenizer::load(path.parent_path());
      return;
  }
}

uint64_t address_space() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// What `body` came to in a process of its own that may take 512 MB more: the message of its Error,
// or a word for all else.
std::string outcome_with_little_memory(const std::function<void()>& body) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    const rlim_t most = address_space() + (uint64_t{512} << 20);
    const rlimit limit{most, most};
    std::string outcome = "no error";
    if (::setrlimit(RLIMIT_AS, &limit) != 0) outcome = "no limit";
    try {
      body();
    } catch (const Error& error) {
      outcome = error.what();
    } catch (const std::bad_alloc&) {
      outcome = "out of memory";
    } catch (const std::exception& other) {
      outcome = std::string("another exception: ") + other.what();
    }
    const bool written =
        ::write(ends[1], outcome.data(), outcome.size()) == static_cast<ssize_t>(outcome.size());
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  std::string out;
  char buffer[256];
  for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? out : "died: " + out;
}

TEST(HugeClaims, AreRefusedWithoutTheMemory) {
#ifdef NIBBLE_SANITIZED
  GTEST_SKIP() << "sanitizers take terabytes of addresses";
#endif
  // The limit itself works: a gigabyte is not to be had.
  EXPECT_EQ(outcome_with_little_memory([] {
              std::vector<char> gigabyte(size_t{1} << 30);
              if (gigabyte.back() != 0) throw Error("never");
            }),
            "out of memory");
  for (const Claim& claim : claims()) {
    SCOPED_TRACE(std::to_string(static_cast<int>(claim.kind)) + " " + claim.what);
    EXPECT_LE(claim.bytes.size(), 512u);
    ScratchFolder folder;
    const fs::path path = write(folder, claim);
    const std::string outcome = outcome_with_little_memory([&] { open(path, claim.kind); });
    EXPECT_TRUE(outcome.starts_with(path.string() + ": ")) << outcome;
    EXPECT_NE(outcome.find(claim.message), std::string::npos) << outcome;
    EXPECT_EQ(outcome.find('\n'), std::string::npos) << outcome;
  }
}

}  // namespace
}  // namespace nibble
