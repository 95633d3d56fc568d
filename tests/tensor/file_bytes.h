#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Writers of good and broken files, byte by byte and sharing no code with the readers.
namespace lyre::test {

template <class T>
requires std::is_trivially_copyable_v<T> std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

template <class T>
std::string raw_all(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) bytes += raw(value);
  return bytes;
}

inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  return raw(uint64_t{header.size()}) + std::string(header) + std::string(data);
}

struct ZipOptions {
  bool zip64 = false;
  uint16_t method = 0, flags = 0;
  size_t align_bytes = 1;  // of the data of each entry, through the local extra field
  std::string comment = {};
};

using ZipEntries = std::vector<std::pair<std::string, std::string>>;

/// A zip archive; checksums are zero. Sizes in 32 bits, or all in zip64 records.
inline std::string zip_bytes(const ZipEntries& entries, const ZipOptions& options = {}) {
  constexpr uint32_t kIn64 = 0xFFFFFFFF;
  std::string out, directory;
  for (const auto& [name, contents] : entries) {
    const uint64_t header_at = out.size(), size = contents.size();
    const auto name_bytes = static_cast<uint16_t>(name.size());
    std::string padding;
    while ((header_at + 30 + name.size() + padding.size()) % options.align_bytes != 0) {
      padding += 'x';
    }
    out += raw(uint32_t{0x04034b50}) +
           raw_all<uint16_t>({20, options.flags, options.method, 0, 0}) +
           raw_all<uint32_t>({0, static_cast<uint32_t>(size), static_cast<uint32_t>(size)}) +
           raw_all<uint16_t>({name_bytes, static_cast<uint16_t>(padding.size())}) + name + padding +
           contents;
    const std::string extra = options.zip64
                                  ? raw_all<uint16_t>({0x7777, 2, 0}) + raw_all<uint16_t>({1, 24}) +
                                        raw_all<uint64_t>({size, size, header_at})
                                  : "";
    const uint32_t size32 = options.zip64 ? kIn64 : static_cast<uint32_t>(size);
    directory += raw(uint32_t{0x02014b50}) +
                 raw_all<uint16_t>({45, 45, options.flags, options.method, 0, 0}) +
                 raw_all<uint32_t>({0, size32, size32}) +
                 raw_all<uint16_t>({name_bytes, static_cast<uint16_t>(extra.size()), 0, 0, 0}) +
                 raw_all<uint32_t>({0, options.zip64 ? kIn64 : static_cast<uint32_t>(header_at)}) +
                 name + extra;
  }
  const uint64_t directory_at = out.size(), count = entries.size();
  out += directory;
  if (options.zip64) {
    const uint64_t end64_at = out.size();
    out += raw(uint32_t{0x06064b50}) + raw(uint64_t{44}) + raw_all<uint16_t>({45, 45}) +
           raw_all<uint32_t>({0, 0}) +
           raw_all<uint64_t>({count, count, directory.size(), directory_at});
    out += raw(uint32_t{0x07064b50}) + raw(uint32_t{0}) + raw(end64_at) + raw(uint32_t{1});
  }
  out += raw(uint32_t{0x06054b50}) + raw_all<uint16_t>({0, 0}) +
         (options.zip64
              ? raw_all<uint16_t>({0xFFFF, 0xFFFF}) + raw_all<uint32_t>({kIn64, kIn64})
              : raw_all<uint16_t>({static_cast<uint16_t>(count), static_cast<uint16_t>(count)}) +
                    raw_all<uint32_t>({static_cast<uint32_t>(directory.size()),
                                       static_cast<uint32_t>(directory_at)})) +
         raw(static_cast<uint16_t>(options.comment.size())) + options.comment;
  return out;
}

// Pickle, protocol 2.
namespace pickle {

inline std::string text(std::string_view s) {
  return "X" + raw(static_cast<uint32_t>(s.size())) + std::string(s);
}
inline std::string integer(int64_t value) {
  if (value >= 0 && value < 256) return "K" + raw(static_cast<uint8_t>(value));
  if (value == static_cast<int32_t>(value)) return "J" + raw(static_cast<int32_t>(value));
  return "\x8a\x08" + raw(value);
}
inline std::string tuple(std::initializer_list<std::string> items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}
inline std::string integers(std::initializer_list<int64_t> values) {
  std::string out = "(";
  for (const int64_t value : values) out += integer(value);
  return out + "t";
}
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string ordered_dict() { return global("collections", "OrderedDict") + ")R"; }

struct Tensor {
  std::string storage = "0", type = "FloatStorage";
  int64_t storage_elements = 6, offset = 0;
  std::initializer_list<int64_t> sizes = {2, 3}, strides = {3, 1};
};
inline std::string storage(const Tensor& t) {
  return tuple({text("storage"), global("torch", t.type), text(t.storage), text("cpu"),
                integer(t.storage_elements)}) +
         "Q";
}
inline std::string tensor(const Tensor& t = {}) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({storage(t), integer(t.offset), integers(t.sizes), integers(t.strides), "\x89",
                ordered_dict()}) +
         "R";
}

/// {name: value, ...} of pickled values.
inline std::string state_dict(std::initializer_list<std::pair<std::string, std::string>> entries) {
  std::string out = "\x80\x02}(";
  for (const auto& [name, value] : entries) out += text(name) + value;
  return out + "u.";
}

}  // namespace pickle

inline std::string checkpoint_bytes(const std::string& data_pkl, const ZipEntries& storages,
                                    const ZipOptions& options = {}) {
  ZipEntries entries = {{"model/data.pkl", data_pkl}, {"model/byteorder", "little"}};
  for (const auto& [key, contents] : storages) entries.push_back({"model/data/" + key, contents});
  entries.push_back({"model/version", "3\n"});
  return zip_bytes(entries, options);
}

}  // namespace lyre::test
