// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/text_source.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/base/mapped_file.h"

namespace nibble {
namespace {

bool is_compressed(const std::filesystem::path& file) { return file.extension() == ".zst"; }

// A .zst file, piece by piece.
class ZstdPieces {
 public:
  explicit ZstdPieces(const std::filesystem::path& file)
      : file_(MappedFile::open(file)),
        stream_(ZSTD_createDStream(), ZSTD_freeDStream),
        piece_(ZSTD_DStreamOutSize()) {
    if (!stream_) throw Error("there is no memory to decompress with").file(file);
    if (file_->bytes().empty()) fail_short();
  }

  // Empty at the end. Valid until the next call.
  std::string_view next() {
    const auto bytes = file_->bytes();
    ZSTD_inBuffer in{bytes.data(), bytes.size(), read_};
    ZSTD_outBuffer out{piece_.data(), piece_.size(), 0};
    while (out.pos == 0 && !(in.pos == in.size && frame_ended_)) {
      const size_t before = in.pos;
      const size_t left = ZSTD_decompressStream(stream_.get(), &out, &in);
      if (ZSTD_isError(left)) fail(ZSTD_getErrorName(left), before);
      frame_ended_ = left == 0;
      if (in.pos == in.size && out.pos == 0 && !frame_ended_) fail_short();
    }
    read_ = in.pos;
    return {piece_.data(), out.pos};
  }

 private:
  [[noreturn]] void fail(const char* reason, size_t at) const {
    throw Error("the file cannot be decompressed")
        .file(file_->path())
        .expected("zstd data with a window of at most 128 MiB")
        .got(reason)
        .at_byte(static_cast<int64_t>(at))
        .hint("copy it anew, or decompress it with zstd -d");
  }

  [[noreturn]] void fail_short() const {
    throw Error("the compressed data is cut off")
        .file(file_->path())
        .got(fmt::format("{} bytes", file_->bytes().size()))
        .hint("copy it anew");
  }

  std::shared_ptr<const MappedFile> file_;
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream_;
  std::vector<char> piece_;
  size_t read_ = 0;
  bool frame_ended_ = false;
};

void check_size(size_t bytes, int64_t max_bytes, const char* what,
                const std::filesystem::path& file) {
  if (bytes <= static_cast<size_t>(max_bytes)) return;
  throw Error(fmt::format("{} is too large", what))
      .file(file)
      .expected(fmt::format("at most {} bytes", max_bytes))
      .got(fmt::format("{} or more", bytes));
}

// Takes the whole lines off the front of `text`, as long as `visit` says true.
bool visit_lines(std::string_view& text, const std::function<bool(std::string_view)>& visit) {
  for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) {
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (!visit(line)) return false;
  }
  return true;
}

}  // namespace

std::filesystem::path without_compression(const std::filesystem::path& file) {
  return is_compressed(file) ? file.parent_path() / file.stem() : file;
}

std::string read_text(const std::filesystem::path& file, int64_t max_bytes) {
  if (!is_compressed(file)) return read_text_file(file, max_bytes);
  ZstdPieces pieces(file);
  std::string text;
  for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
    check_size(text.size() + piece.size(), max_bytes, "the text", file);
    text += piece;
  }
  return text;
}

void for_each_line(const std::filesystem::path& file,
                   const std::function<bool(std::string_view line)>& visit, int64_t max_bytes) {
  if (!is_compressed(file)) {
    const auto mapped = MappedFile::open(file);
    std::string_view text(reinterpret_cast<const char*>(mapped->bytes().data()),
                          mapped->bytes().size());
    if (visit_lines(text, visit) && !text.empty()) visit(text);
    return;
  }
  ZstdPieces pieces(file);
  std::string begun;  // of a line that goes on in the next piece
  for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
    if (!begun.empty()) {
      const size_t end = std::min(piece.find('\n'), piece.size());
      check_size(begun.size() + end, max_bytes, "a line", file);
      begun += piece.substr(0, end);
      if (end == piece.size()) continue;
      piece.remove_prefix(end + 1);
      if (!visit(begun)) return;
      begun.clear();
    }
    if (!visit_lines(piece, visit)) return;
    check_size(piece.size(), max_bytes, "a line", file);
    begun = piece;
  }
  if (!begun.empty()) visit(begun);
}

}  // namespace nibble
