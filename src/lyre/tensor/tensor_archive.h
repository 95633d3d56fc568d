#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/tensor/mapped_file.h"
#include "lyre/tensor/tensor.h"

namespace lyre {

/// Named tensors of one or several files. Owns the mappings: its views live as long as any copy of
/// the archive. Every view is aligned to its element: data that a file holds unaligned (old
/// safetensors writers) is copied at open. Immutable after open; any thread. A file must not be
/// truncated while it is open: that would be a fault (SIGBUS) in whoever reads a view.
class TensorArchive {
 public:
  const TensorView* find(std::string_view name) const noexcept;
  const std::map<std::string, TensorView, std::less<>>& tensors() const noexcept {
    return tensors_;
  }
  const std::map<std::string, std::string, std::less<>>& metadata() const noexcept {
    return metadata_;
  }
  /// File that holds the tensor, for error messages.
  std::filesystem::path file_of(std::string_view name) const;
  int64_t size_bytes() const noexcept;  // sum over the tensors

  struct File {
    std::filesystem::path path;
    std::shared_ptr<const MappedFile> mapping;
  };
  const std::vector<File>& files() const noexcept { return files_; }
  /// Whatever must live as long as the archive.
  void keep(std::shared_ptr<const void> owner) { owners_.push_back(std::move(owner)); }
  /// Of find()ed tensors: the index of the file that holds it.
  size_t file_index(std::string_view name) const;

 private:
  friend class TensorArchiveBuilder;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<std::string, size_t, std::less<>> file_index_;
  std::map<std::string, std::string, std::less<>> metadata_;
  std::vector<File> files_;
  std::vector<std::shared_ptr<const void>> owners_;  // of data that no mapping holds, and so on
};

/// One .safetensors file. Errors: kNotFound, kInvalidArgument (not a
/// regular file), kResourceExhausted, kDataCorrupt with file and field. Format:
/// huggingface/safetensors, README "Format".
Result<TensorArchive> open_safetensors(const std::filesystem::path& file);

/// A torch.save checkpoint (zip of a protocol-2 pickle and raw storages) read by a closed
/// unpickler: only the opcodes and globals of a state dict are known, everything else is refused
/// and nothing is ever executed. Storages that are stored uncompressed (as torch writes them) are
/// views into the mapping.
Result<TensorArchive> open_torch_checkpoint(const std::filesystem::path& file);

/// The weights of a Hugging Face model folder: model.safetensors.index.json with its shards, or
/// model.safetensors. Other files of the folder (optimizer, FSDP) are never opened.
Result<TensorArchive> open_safetensors_folder(const std::filesystem::path& folder);

/// One row of a weight table: what a model needs from its archive.
struct WeightSpec {
  std::string name;
  Shape shape;
  bool required = true;
};

/// Looks up every row; a missing required tensor, a wrong shape or a dtype outside `dtypes` is an
/// error that names file, tensor, expected and found. The result has one view a row (data ==
/// nullptr for an absent optional tensor).
Result<std::vector<TensorView>> read_weights(const TensorArchive& archive,
                                             std::span<const WeightSpec> table,
                                             std::span<const DType> dtypes);

/// Copies any floating-point tensor (f64, f32, f16, bf16) to float; out has view.shape.elements()
/// values.
Status convert_to_f32(const TensorView& view, std::span<float> out);

}  // namespace lyre
