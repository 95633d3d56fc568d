#include "lyre/tensor/safetensors_writer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace lyre {
namespace {

const std::array<std::byte, SafetensorsPlan::kTensorAlignBytes> kZeros{};

std::string quoted(const std::string& text) {
  return boost::json::serialize(boost::json::string(text));
}

const char* format_name(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return "F64";
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kI64:
      return "I64";
    case DType::kI32:
      return "I32";
    case DType::kI16:
      return "I16";
    case DType::kI8:
      return "I8";
    case DType::kU8:
      return "U8";
    case DType::kBool:
      return "BOOL";
  }
  LYRE_CHECK(false);
}

std::string entry(const std::string& name, DType dtype, const Shape& shape, int64_t begin,
                  int64_t end) {
  std::string text = quoted(name) + ":{\"dtype\":\"" + format_name(dtype) + "\",\"shape\":[";
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axis > 0) text += ',';
    text += std::to_string(shape[axis]);
  }
  return text + "],\"data_offsets\":[" + std::to_string(begin) + ',' + std::to_string(end) + "]}";
}

// Written in whole huge pages at multiples of their size, a file lies in the page cache in huge
// pages where the file system can (ext4 since Linux 6.16, xfs since 6.3), and is mapped in them.
constexpr size_t kChunkBytes = size_t{4} << 20;

Status write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int number = errno;
      const bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
      return Error{full ? ErrorCode::kResourceExhausted : ErrorCode::kInternal,
                   "cannot write: " + std::generic_category().message(number)};
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return ok_status();
}

}  // namespace

SafetensorsPlan plan_safetensors(std::span<const NamedTensor> tensors,
                                 const std::map<std::string, std::string, std::less<>>& metadata) {
  SafetensorsPlan plan;
  std::string json = "{\"__metadata__\":{";
  for (const auto& [key, value] : metadata) {
    if (json.back() != '{') json += ',';
    json += quoted(key) + ':' + quoted(value);
  }
  json += '}';
  int64_t at = 0;
  int fillers = 0;
  for (const NamedTensor& tensor : tensors) {
    const int64_t bytes = tensor.view.size_bytes();
    json += ',' + entry(tensor.name, tensor.view.dtype, tensor.view.shape, at, at + bytes);
    plan.data.emplace_back(tensor.view.as<std::byte>(), static_cast<size_t>(bytes));
    at += bytes;
    const int64_t odd = at % SafetensorsPlan::kTensorAlignBytes;
    if (odd == 0) continue;
    const int64_t missing = SafetensorsPlan::kTensorAlignBytes - odd;
    json += ',' + entry(SafetensorsPlan::kFillerPrefix + std::to_string(fillers++), DType::kU8,
                        {missing}, at, at + missing);
    plan.data.emplace_back(kZeros.data(), static_cast<size_t>(missing));
    at += missing;
  }
  json += '}';
  constexpr size_t kLengthBytes = 8, kAlign = SafetensorsPlan::kTensorAlignBytes;
  while ((kLengthBytes + json.size()) % kAlign != 0) json += ' ';
  const uint64_t length = json.size();
  plan.head.resize(kLengthBytes);
  std::memcpy(plan.head.data(), &length, kLengthBytes);  // little-endian, see safetensors.cc
  plan.head += json;
  plan.file_bytes = static_cast<int64_t>(plan.head.size()) + at;
  return plan;
}

Status write_safetensors(int file, const SafetensorsPlan& plan) {
  std::vector<std::byte> chunk;
  chunk.reserve(std::min(kChunkBytes, static_cast<size_t>(plan.file_bytes)));
  const auto add = [&](std::span<const std::byte> bytes) -> Status {
    while (!bytes.empty()) {
      const size_t part = std::min(bytes.size(), kChunkBytes - chunk.size());
      chunk.insert(chunk.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(part));
      bytes = bytes.subspan(part);
      if (chunk.size() < kChunkBytes) continue;
      LYRE_RETURN_IF_ERROR(write_all(file, chunk));
      chunk.clear();
    }
    return ok_status();
  };
  LYRE_RETURN_IF_ERROR(add(std::as_bytes(std::span(plan.head))));
  for (const std::span<const std::byte> bytes : plan.data) LYRE_RETURN_IF_ERROR(add(bytes));
  return write_all(file, chunk);
}

}  // namespace lyre
