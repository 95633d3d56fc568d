#pragma once

#include <filesystem>
#include <memory>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/codec/codec.h"

namespace lyre {

enum class CodecBackend : uint8_t { kReference, kCpu, kCuda };

struct CodecOptions {
  std::filesystem::path
      folder;  // SNAC folder: config.json and pytorch_model.bin or model.safetensors
  CodecBackend backend = CodecBackend::kCpu;
  int max_streams = 16;
  int most_frames_per_push = 8;
  int device = 0;  // index of the GPU; the CUDA backend only
};

/// Opens the backend chosen; the pool must outlive the codec. A backend that is not built returns
/// kUnavailable.
Result<std::unique_ptr<Codec>> open_codec(const CodecOptions& options, ThreadPool& threads);

}  // namespace lyre
