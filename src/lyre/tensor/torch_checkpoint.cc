#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/tensor/archive_builder.h"
#include "lyre/tensor/mapped_file.h"
#include "lyre/tensor/out_of_memory.h"
#include "lyre/tensor/state_dict_pickle.h"
#include "lyre/tensor/stored_zip.h"

namespace lyre {

static_assert(std::endian::native == std::endian::little,
              "the files are little-endian and their data is used in place");

namespace {

using Bytes = std::span<const std::byte>;
using Entries = std::map<std::string, Bytes, std::less<>>;

// Number of elements that the view reaches into the storage, from its first; nothing on overflow.
std::optional<int64_t> reach_elements(const PickledTensor& tensor) {
  int64_t last = tensor.offset_elements;
  for (int axis = 0; axis < tensor.shape.rank(); ++axis) {
    int64_t step = 0;
    if (__builtin_mul_overflow(tensor.shape[axis] - 1, tensor.strides[axis], &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return std::nullopt;
    }
  }
  int64_t reach = 0;
  if (__builtin_add_overflow(last, 1, &reach)) return std::nullopt;
  return reach;
}

// Row-major without gaps; the stride of an axis of size 1 means nothing.
bool is_contiguous(const PickledTensor& tensor) {
  int64_t expected = 1;
  for (int axis = tensor.shape.rank() - 1; axis >= 0; --axis) {
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != expected) return false;
    expected *= tensor.shape[axis];
  }
  return true;
}

// Copies one axis after the other, the last one element by element.
void copy_strided(const PickledTensor& tensor, int axis, int64_t element_bytes,
                  const std::byte* from, std::byte*& to) {
  if (axis == tensor.shape.rank()) {
    std::memcpy(to, from, static_cast<size_t>(element_bytes));
    to += element_bytes;
    return;
  }
  for (int64_t k = 0; k < tensor.shape[axis]; ++k) {
    copy_strided(tensor, axis + 1, element_bytes, from, to);
    from += tensor.strides[axis] * element_bytes;
  }
}

class CheckpointReader {
 public:
  CheckpointReader(const std::filesystem::path& path, std::shared_ptr<const MappedFile> mapping)
      : path_(path), mapping_(std::move(mapping)) {}

  Result<TensorArchive> read() {
    const Bytes bytes = mapping_->bytes();
    if (bytes.size() >= 2 && bytes[0] == std::byte{0x80} && bytes[1] == std::byte{2}) {
      return error(
          "expected a zip archive, found a bare pickle: a checkpoint of torch before 1.6, "
          "which has to be saved again");
    }
    LYRE_ASSIGN_OR_RETURN(entries_, read_stored_zip(bytes, path_.string()));
    LYRE_RETURN_IF_ERROR(find_root());
    if (const Bytes* order = entry("byteorder"); order != nullptr && text(*order) != "little") {
      return error("byteorder: expected 'little', found " + quote(text(*order), 20));
    }
    LYRE_ASSIGN_OR_RETURN(
        const std::vector<PickledTensor> tensors,
        read_state_dict_pickle(*entry("data.pkl"), path_.string() + ": data.pkl"));

    file_ = builder_.add_file(path_, mapping_);
    copies_left_bytes_ = static_cast<int64_t>(bytes.size());
    for (const PickledTensor& tensor : tensors) LYRE_RETURN_IF_ERROR(add(tensor));
    return std::move(builder_).finish();
  }

 private:
  static std::string_view text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  Error error(const std::string& problem) const {
    return {ErrorCode::kDataCorrupt, path_.string() + ": " + problem};
  }

  const Bytes* entry(std::string_view name) const {
    const auto found = entries_.find(root_ + std::string(name));
    return found == entries_.end() ? nullptr : &found->second;
  }

  // All entries lie in one folder, named after the file that was first written.
  Status find_root() {
    constexpr std::string_view kPickle = "data.pkl";
    for (const auto& [name, data] : entries_) {
      const size_t slash = name.find('/');
      if (slash == std::string::npos || name.substr(slash + 1) != kPickle) continue;
      if (!root_.empty()) return error("expected one data.pkl, found two");
      root_ = name.substr(0, slash + 1);
    }
    if (root_.empty()) {
      return error("expected a torch checkpoint, found a zip archive without NAME/data.pkl");
    }
    return ok_status();
  }

  Status add(const PickledTensor& tensor) {
    const auto refuse = [&](const std::string& problem) {
      return error("tensor " + quote(tensor.name) + ": " + problem);
    };
    const Bytes* data = entry("data/" + tensor.storage);
    if (data == nullptr) {
      return refuse("expected the zip entry data/" + tensor.storage + ", found none");
    }
    const int64_t element_bytes = dtype_size_bytes(tensor.dtype);
    const auto storage_bytes = static_cast<int64_t>(data->size());
    if (checked_size_bytes({tensor.storage_elements}, tensor.dtype) != storage_bytes) {
      return refuse("storage data/" + tensor.storage + ": expected " +
                    std::to_string(tensor.storage_elements) + " elements of " +
                    dtype_name(tensor.dtype) + ", found " + std::to_string(storage_bytes) +
                    " bytes");
    }
    const std::optional<int64_t> bytes = checked_size_bytes(tensor.shape, tensor.dtype);
    if (!bytes) return refuse("shape " + tensor.shape.to_string() + " overflows");
    TensorView view{nullptr, tensor.shape, tensor.dtype, Device{}};
    if (*bytes == 0) return builder_.add(tensor.name, view, file_);

    const std::optional<int64_t> reach = reach_elements(tensor);
    if (!reach || *reach > tensor.storage_elements) {
      return refuse("expected a view within the " + std::to_string(tensor.storage_elements) +
                    " elements of its storage, found shape " + tensor.shape.to_string() +
                    ", strides " + tensor.strides.to_string() + ", offset " +
                    std::to_string(tensor.offset_elements));
    }
    const std::byte* first =
        aligned_storage(tensor, *data) + tensor.offset_elements * element_bytes;
    view.data = first;
    if (!is_contiguous(tensor)) {
      // Each needs a storage of its size, but many views can share one: a small file must not fill
      // the memory.
      if (*bytes > copies_left_bytes_) {
        return refuse("the strided tensors are larger than the whole file");
      }
      copies_left_bytes_ -= *bytes;
      auto copy = allocate_tensor_data(*bytes);
      std::byte* to = copy.get();
      copy_strided(tensor, 0, element_bytes, first, to);
      view.data = copy.get();
      builder_.keep(std::move(copy));
    }
    return builder_.add(tensor.name, view, file_);
  }

  // torch aligns its storages; other writers may not. Copied once, however many tensors share it.
  const std::byte* aligned_storage(const PickledTensor& tensor, Bytes data) {
    const auto address = reinterpret_cast<uintptr_t>(data.data());
    if (address % static_cast<uintptr_t>(dtype_size_bytes(tensor.dtype)) == 0) return data.data();
    const std::byte*& copy = aligned_[tensor.storage];
    if (copy == nullptr) {
      auto memory = allocate_tensor_data(static_cast<int64_t>(data.size()));
      std::memcpy(memory.get(), data.data(), data.size());
      copy = memory.get();
      builder_.keep(std::move(memory));
    }
    return copy;
  }

  const std::filesystem::path& path_;
  std::shared_ptr<const MappedFile> mapping_;
  Entries entries_;
  std::string root_;  // "pytorch_model/"
  TensorArchiveBuilder builder_;
  size_t file_ = 0;
  int64_t copies_left_bytes_ = 0;
  std::map<std::string, const std::byte*> aligned_;  // storage key -> its aligned copy
};

}  // namespace

Result<TensorArchive> open_torch_checkpoint(const std::filesystem::path& path) {
  return catch_out_of_memory(path, [&]() -> Result<TensorArchive> {
    LYRE_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
    return CheckpointReader(path, std::make_shared<const MappedFile>(std::move(mapped))).read();
  });
}

}  // namespace lyre
