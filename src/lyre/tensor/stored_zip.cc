#include "lyre/tensor/stored_zip.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "lyre/base/check.h"
#include "lyre/base/quote.h"

namespace lyre {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50, kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr uint64_t kLocalHeaderBytes = 30, kCentralHeaderBytes = 46;
constexpr uint64_t kEndBytes = 22, kEnd64Bytes = 56, kEnd64LocatorBytes = 20;
constexpr uint64_t kMostCommentBytes = 0xFFFF;
constexpr uint32_t kIn64 = 0xFFFFFFFF;  // in a field of 32 bits: the value is in the zip64 record
constexpr uint16_t kEncrypted = 1;      // bit of the flags

template <class T>
T load(Bytes bytes, uint64_t at) {
  LYRE_CHECK(at <= bytes.size() && sizeof(T) <= bytes.size() - at);
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

bool holds(Bytes bytes, uint64_t at, uint64_t size) {
  return at <= bytes.size() && size <= bytes.size() - at;
}

std::string_view text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Directory {
  uint64_t begin_bytes = 0, size_bytes = 0, entries = 0;
};

struct Entry {
  std::string_view name;
  uint64_t size_bytes = 0, header_at = 0;
};

class Reader {
 public:
  Reader(Bytes archive, std::string_view file) : archive_(archive), file_(file) {}

  Result<std::map<std::string, Bytes, std::less<>>> read() const {
    LYRE_ASSIGN_OR_RETURN(const Directory directory, find_directory());
    std::map<std::string, Bytes, std::less<>> contents;
    Bytes rest = archive_.subspan(directory.begin_bytes, directory.size_bytes);
    uint64_t left_bytes = archive_.size();  // of distinct entries: more can only be overlapping
    for (uint64_t k = 0; k < directory.entries; ++k) {
      LYRE_ASSIGN_OR_RETURN(const Entry entry, take_entry(rest, k));
      LYRE_ASSIGN_OR_RETURN(const Bytes data, find_data(entry));
      if (data.size() > left_bytes) return error(entry, "overlaps another entry");
      left_bytes -= data.size();
      if (!contents.emplace(entry.name, data).second) return error(entry, "occurs twice");
    }
    if (!rest.empty()) {
      return error("zip directory: expected to end after " + std::to_string(directory.entries) +
                   " entries, found " + std::to_string(rest.size()) + " more bytes");
    }
    return contents;
  }

 private:
  Error error(const std::string& problem) const {
    return {ErrorCode::kDataCorrupt, std::string(file_) + ": " + problem};
  }
  Error error(const Entry& entry, const std::string& problem) const {
    return error("zip entry " + quote(entry.name) + ": " + problem);
  }

  // The end record is the last thing in the file, except for a comment of its own length.
  std::optional<uint64_t> find_end() const {
    if (archive_.size() < kEndBytes) return std::nullopt;
    for (uint64_t comment = 0;
         comment <= kMostCommentBytes && comment + kEndBytes <= archive_.size(); ++comment) {
      const uint64_t at = archive_.size() - kEndBytes - comment;
      if (load<uint32_t>(archive_, at) == kEnd && load<uint16_t>(archive_, at + 20) == comment) {
        return at;
      }
    }
    return std::nullopt;
  }

  Result<Directory> find_directory() const {
    const std::optional<uint64_t> end = find_end();
    if (!end) return error("expected a zip archive, found no end of a zip directory (truncated?)");
    Directory directory{.begin_bytes = load<uint32_t>(archive_, *end + 16),
                        .size_bytes = load<uint32_t>(archive_, *end + 12),
                        .entries = load<uint16_t>(archive_, *end + 10)};
    if (*end >= kEnd64LocatorBytes &&
        load<uint32_t>(archive_, *end - kEnd64LocatorBytes) == kEnd64Locator) {
      const auto end64 = load<uint64_t>(archive_, *end - kEnd64LocatorBytes + 8);
      if (!holds(archive_, end64, kEnd64Bytes) || load<uint32_t>(archive_, end64) != kEnd64) {
        return error("zip64 end record: expected at byte " + std::to_string(end64) +
                     ", found none");
      }
      directory = {.begin_bytes = load<uint64_t>(archive_, end64 + 48),
                   .size_bytes = load<uint64_t>(archive_, end64 + 40),
                   .entries = load<uint64_t>(archive_, end64 + 32)};
    }
    if (!holds(archive_, directory.begin_bytes, directory.size_bytes)) {
      return error("zip directory: expected " + std::to_string(directory.size_bytes) +
                   " bytes at byte " + std::to_string(directory.begin_bytes) + ", the file has " +
                   std::to_string(archive_.size()) + " bytes");
    }
    return directory;
  }

  // Reads the first record of `rest` and removes it.
  Result<Entry> take_entry(Bytes& rest, uint64_t number) const {
    const auto broken = [&] {
      return error("zip directory: entry " + std::to_string(number) + " is truncated");
    };
    if (!holds(rest, 0, kCentralHeaderBytes)) return broken();
    if (load<uint32_t>(rest, 0) != kCentralHeader) {
      return error("zip directory: expected an entry " + std::to_string(number) + ", found none");
    }
    const uint64_t name_bytes = load<uint16_t>(rest, 28), extra_bytes = load<uint16_t>(rest, 30);
    const uint64_t record_bytes =
        kCentralHeaderBytes + name_bytes + extra_bytes + load<uint16_t>(rest, 32);
    if (!holds(rest, 0, record_bytes)) return broken();

    Entry entry{.name = text(rest.subspan(kCentralHeaderBytes, name_bytes)),
                .size_bytes = load<uint32_t>(rest, 24),
                .header_at = load<uint32_t>(rest, 42)};
    const auto flags = load<uint16_t>(rest, 8), method = load<uint16_t>(rest, 10);
    if ((flags & kEncrypted) != 0) return error(entry, "is encrypted");
    if (method != 0) {
      return error(entry, "expected stored data (method 0, as torch.save writes), found method " +
                              std::to_string(method));
    }
    uint64_t stored_bytes = load<uint32_t>(rest, 20);
    LYRE_RETURN_IF_ERROR(read_zip64(rest.subspan(kCentralHeaderBytes + name_bytes, extra_bytes),
                                    entry, stored_bytes));
    if (stored_bytes != entry.size_bytes) return error(entry, "has two sizes");
    rest = rest.subspan(record_bytes);
    return entry;
  }

  // The extra field 1 holds, in this order, those values that do not fit 32 bits.
  Status read_zip64(Bytes extra, Entry& entry, uint64_t& stored_bytes) const {
    if (entry.size_bytes != kIn64 && stored_bytes != kIn64 && entry.header_at != kIn64) {
      return ok_status();
    }
    while (holds(extra, 0, 4)) {
      const auto id = load<uint16_t>(extra, 0), size = load<uint16_t>(extra, 2);
      if (!holds(extra, 4, size)) break;
      Bytes field = extra.subspan(4, size);
      extra = extra.subspan(4u + size);
      if (id != 1) continue;
      for (uint64_t* value : {&entry.size_bytes, &stored_bytes, &entry.header_at}) {
        if (*value != kIn64) continue;
        if (!holds(field, 0, 8)) return error(entry, "zip64 field is truncated");
        *value = load<uint64_t>(field, 0);
        field = field.subspan(8);
      }
      return ok_status();
    }
    return ok_status();  // no zip64: an entry of exactly 2^32 - 1 bytes
  }

  // The data follows the local header, whose own extra field aligns it.
  Result<Bytes> find_data(const Entry& entry) const {
    if (!holds(archive_, entry.header_at, kLocalHeaderBytes) ||
        load<uint32_t>(archive_, entry.header_at) != kLocalHeader) {
      return error(entry, "expected a local header at byte " + std::to_string(entry.header_at) +
                              ", found none");
    }
    const uint64_t name_at = entry.header_at + kLocalHeaderBytes;
    const uint64_t name_bytes = load<uint16_t>(archive_, entry.header_at + 26);
    const uint64_t data_at = name_at + name_bytes + load<uint16_t>(archive_, entry.header_at + 28);
    if (!holds(archive_, name_at, name_bytes) ||
        text(archive_.subspan(name_at, name_bytes)) != entry.name) {
      return error(entry, "its local header has another name");
    }
    if (!holds(archive_, data_at, entry.size_bytes)) {
      return error(entry, "expected " + std::to_string(entry.size_bytes) + " bytes at byte " +
                              std::to_string(data_at) + ", the file has " +
                              std::to_string(archive_.size()) + " bytes");
    }
    return archive_.subspan(data_at, entry.size_bytes);
  }

  Bytes archive_;
  std::string_view file_;
};

}  // namespace

Result<std::map<std::string, std::span<const std::byte>, std::less<>>> read_stored_zip(
    std::span<const std::byte> archive, std::string_view file) {
  return Reader(archive, file).read();
}

}  // namespace lyre
