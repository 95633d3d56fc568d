#include "lyre/tensor/safetensors.h"

#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "lyre/tensor/out_of_memory.h"

namespace lyre {

static_assert(std::endian::native == std::endian::little,
              "the files are little-endian and their data is used in place");

namespace {

constexpr size_t kPrefixBytes = 8;                  // little-endian uint64: bytes of the header
constexpr uint64_t kMostHeaderBytes = 100'000'000;  // the limit of the format's own reader

}  // namespace

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  const auto error = [&](const std::string& problem) {
    return Error{ErrorCode::kDataCorrupt, path.string() + ": " + problem};
  };
  LYRE_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
  const std::string_view text = mapped.text();
  if (text.size() < kPrefixBytes) {
    return error("header length: expected 8 bytes, the file has " + std::to_string(text.size()));
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, text.data(), kPrefixBytes);
  if (header_bytes > kMostHeaderBytes) {
    return error("header length: expected at most " + std::to_string(kMostHeaderBytes) +
                 " bytes, found " + std::to_string(header_bytes) + " (not a safetensors file?)");
  }
  if (header_bytes > text.size() - kPrefixBytes) {
    return error("header: expected " + std::to_string(header_bytes) + " bytes, the file has " +
                 std::to_string(text.size() - kPrefixBytes) + " after the length (truncated?)");
  }
  SafetensorsFile file;
  file.path = path;
  file.data_begin_bytes = static_cast<int64_t>(kPrefixBytes + header_bytes);
  LYRE_ASSIGN_OR_RETURN(
      file.header, parse_safetensors_header(
                       text.substr(kPrefixBytes, static_cast<size_t>(header_bytes)),
                       static_cast<int64_t>(text.size()) - file.data_begin_bytes, path.string()));
  file.mapping = std::make_shared<const MappedFile>(std::move(mapped));
  return file;
}

TensorView SafetensorsFile::view(const SafetensorsHeader::Entry& entry) const {
  return {mapping->bytes().data() + data_begin_bytes + entry.begin_bytes, entry.shape, entry.dtype,
          Device{}};
}

Result<TensorArchive> open_safetensors(const std::filesystem::path& path) {
  return catch_out_of_memory(path, [&]() -> Result<TensorArchive> {
    LYRE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::open(path));
    TensorArchiveBuilder builder;
    const size_t number = builder.add_file(path, file.mapping);
    for (const auto& entry : file.header.entries) {
      LYRE_RETURN_IF_ERROR(builder.add(entry.name, file.view(entry), number));
    }
    for (const auto& [key, value] : file.header.metadata) builder.add_metadata(key, value);
    return std::move(builder).finish();
  });
}

}  // namespace lyre
