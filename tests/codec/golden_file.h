#pragma once

#include <span>
#include <string>
#include <vector>

#include "lyre/codec/code_frame.h"
#include "lyre/tensor/tensor_archive.h"
#include "support/paths.h"

namespace lyre::test {

/// Goldens of one voice ("demo" or "tiny"), written by tools/dump_golden.py. A missing tensor ends
/// the test program: it is a mistake in the test or a stale file.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& voice)
      : archive_(*open_safetensors(source_dir() / "tests/golden" / voice / "golden.safetensors")) {}

  bool has(const std::string& name) const { return archive_.find(name) != nullptr; }

  std::span<const float> floats(const std::string& name) const {
    const TensorView& view = get(name, DType::kF32);
    return {view.as<float>(), static_cast<size_t>(view.shape.elements())};
  }

  std::span<const int32_t> integers(const std::string& name) const {
    const TensorView& view = get(name, DType::kI32);
    return {view.as<int32_t>(), static_cast<size_t>(view.shape.elements())};
  }

  std::vector<CodeFrame> frames(const std::string& name) const {
    const auto codes = integers(name);
    std::vector<CodeFrame> frames(codes.size() / CodeFrame::kSlots);
    for (size_t i = 0; i < codes.size(); ++i) {
      frames[i / CodeFrame::kSlots].codes[i % CodeFrame::kSlots] = codes[i];
    }
    return frames;
  }

  /// Names that start with the prefix, in order.
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> out;
    for (const auto& [name, view] : archive_.tensors()) {
      if (name.starts_with(prefix)) out.push_back(name);
    }
    return out;
  }

 private:
  const TensorView& get(const std::string& name, DType dtype) const {
    const TensorView* view = archive_.find(name);
    LYRE_CHECK(view != nullptr && view->dtype == dtype);
    return *view;
  }

  TensorArchive archive_;
};

inline std::filesystem::path codec_folder(const std::string& voice) {
  return (voice == "demo" ? demo_voice() : tiny_voice()) / "codec";
}

}  // namespace lyre::test
