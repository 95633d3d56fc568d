#include "lyre/tensor/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/tensor/json_walk.h"

namespace lyre {
namespace {

constexpr int kMostDepth = 4;  // header, tensor, shape; one more for the error to name the field
constexpr std::string_view kMetadata = "__metadata__";

constexpr std::array<std::pair<std::string_view, DType>, 10> kDTypes{{
    {"F64", DType::kF64},
    {"F32", DType::kF32},
    {"F16", DType::kF16},
    {"BF16", DType::kBF16},
    {"I64", DType::kI64},
    {"I32", DType::kI32},
    {"I16", DType::kI16},
    {"I8", DType::kI8},
    {"U8", DType::kU8},
    {"BOOL", DType::kBool},
}};

class HeaderReader {
 public:
  explicit HeaderReader(std::string_view file) : file_(file) {}

  Status visit(const JsonNode& node) {
    using Kind = JsonNode::Kind;
    switch (node.path.size()) {
      case 0:
        if (node.kind != Kind::kObject) return error("header", "expected an object");
        return ok_status();
      case 1:
        if (node.kind != Kind::kObject) return error(name(node.path[0]), "expected an object");
        if (node.path[0] != kMetadata) tensors_.emplace_back().entry.name = node.path[0];
        return ok_status();
      case 2:
        return node.path[0] == kMetadata ? metadata(node) : field(node);
      default:
        return element(node);
    }
  }

  Result<SafetensorsHeader> finish(int64_t data_bytes) {
    for (Tensor& tensor : tensors_) {
      LYRE_RETURN_IF_ERROR(check(tensor, data_bytes));
      header_.entries.push_back(std::move(tensor.entry));
    }
    LYRE_RETURN_IF_ERROR(check_tiling(data_bytes));
    return std::move(header_);
  }

 private:
  struct Tensor {
    SafetensorsHeader::Entry entry;
    bool has_dtype = false, has_shape = false;
    int offsets = -1;  // numbers read of data_offsets; -1: the field is absent
  };

  static std::string name(std::string_view tensor) { return "tensor " + quote(tensor); }

  Error error(const std::string& field, const std::string& problem) const {
    return {ErrorCode::kDataCorrupt, std::string(file_) + ": " + field + ": " + problem};
  }

  Status metadata(const JsonNode& node) {
    if (node.kind != JsonNode::Kind::kString) {
      return error("__metadata__ " + quote(node.path[1]), "expected a string");
    }
    header_.metadata.emplace(node.path[1], node.text);
    return ok_status();
  }

  // dtype, shape or data_offsets of the tensor that is read.
  Status field(const JsonNode& node) {
    Tensor& tensor = tensors_.back();
    const std::string& field = node.path[1];
    const bool is_array = node.kind == JsonNode::Kind::kArray;
    if (field == "dtype") {
      const auto* const known = std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& pair) {
        return pair.first == node.text;
      });
      if (known == kDTypes.end()) {
        return error(name(tensor.entry.name),
                     "dtype: expected one of F64 F32 F16 BF16 I64 I32 I16 "
                     "I8 U8 BOOL, found " +
                         quote(node.text));
      }
      tensor.entry.dtype = known->second;
      tensor.has_dtype = true;
    } else if (field == "shape") {
      if (!is_array) return error(name(tensor.entry.name), "shape: expected an array");
      tensor.has_shape = true;
    } else if (field == "data_offsets") {
      if (!is_array) return error(name(tensor.entry.name), "data_offsets: expected an array");
      tensor.offsets = 0;
    } else {
      return error(name(tensor.entry.name),
                   "expected the fields dtype, shape and data_offsets, found " + quote(field));
    }
    return ok_status();
  }

  // One number of shape or data_offsets: the other fields are no containers.
  Status element(const JsonNode& node) {
    Tensor& tensor = tensors_.back();
    const std::string& field = node.path[1];
    if (node.kind != JsonNode::Kind::kInteger ||
        node.integer > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return error(name(tensor.entry.name), field + ": expected integers from 0 to 2^63 - 1");
    }
    const auto value = static_cast<int64_t>(node.integer);
    if (field == "shape") {
      if (tensor.entry.shape.rank() == Shape::kMostDims) {
        return error(name(tensor.entry.name),
                     "shape: expected at most " + std::to_string(Shape::kMostDims) + " sizes");
      }
      tensor.entry.shape.append(value);
      return ok_status();
    }
    if (tensor.offsets == 0) tensor.entry.begin_bytes = value;
    if (tensor.offsets == 1) tensor.entry.end_bytes = value;
    if (++tensor.offsets > 2) {
      return error(name(tensor.entry.name), "data_offsets: expected two numbers, found more");
    }
    return ok_status();
  }

  Status check(const Tensor& tensor, int64_t data_bytes) const {
    const SafetensorsHeader::Entry& entry = tensor.entry;
    const auto missing = [&](const char* field) {
      return error(name(entry.name), std::string("field ") + field + " is missing");
    };
    if (!tensor.has_dtype) return missing("dtype");
    if (!tensor.has_shape) return missing("shape");
    if (tensor.offsets < 0) return missing("data_offsets");
    if (tensor.offsets != 2) {
      return error(name(entry.name),
                   "data_offsets: expected two numbers, found " + std::to_string(tensor.offsets));
    }
    const std::string range =
        "[" + std::to_string(entry.begin_bytes) + ", " + std::to_string(entry.end_bytes) + "]";
    if (entry.begin_bytes > entry.end_bytes || entry.end_bytes > data_bytes) {
      return error(name(entry.name), "data_offsets: expected a range within the " +
                                         std::to_string(data_bytes) +
                                         " bytes after the header, found " + range);
    }
    const std::optional<int64_t> bytes = checked_size_bytes(entry.shape, entry.dtype);
    if (bytes != entry.end_bytes - entry.begin_bytes) {
      return error(name(entry.name),
                   "data_offsets: expected " +
                       (bytes ? std::to_string(*bytes) : std::string("more than 2^63")) +
                       " bytes for " + dtype_name(entry.dtype) + " " + entry.shape.to_string() +
                       ", found " + range);
    }
    return ok_status();
  }

  // The format asks that the data is filled: what lies in a hole would be smuggled in unseen, and
  // an overlap is a mistake of the writer.
  Status check_tiling(int64_t data_bytes) {
    auto& entries = header_.entries;
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return std::tie(a.begin_bytes, a.end_bytes) < std::tie(b.begin_bytes, b.end_bytes);
    });
    int64_t end_bytes = 0;
    for (const auto& entry : entries) {
      if (entry.begin_bytes != end_bytes) {
        return error(name(entry.name),
                     std::string("data_offsets: ") +
                         (entry.begin_bytes < end_bytes ? "overlaps another tensor"
                                                        : "leaves a hole in the data") +
                         ": expected to begin at " + std::to_string(end_bytes) + ", found " +
                         std::to_string(entry.begin_bytes));
      }
      end_bytes = entry.end_bytes;
    }
    if (end_bytes != data_bytes) {
      return error("data", "expected " + std::to_string(end_bytes) +
                               " bytes after the header, found " + std::to_string(data_bytes));
    }
    return ok_status();
  }

  std::string_view file_;
  std::vector<Tensor> tensors_;
  SafetensorsHeader header_;
};

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::string_view json, int64_t data_bytes,
                                                   std::string_view file) {
  HeaderReader reader(file);
  LYRE_RETURN_IF_ERROR(json_walk(json, std::string(file) + ": header", kMostDepth,
                                 [&](const JsonNode& node) { return reader.visit(node); }));
  return reader.finish(data_bytes);
}

}  // namespace lyre
