#include "lyre/engine/open_models.h"

#include <algorithm>

#include "lyre/base/trace.h"
#include "lyre/codec/open_codec.h"
#include "lyre/engine/chosen_backend.h"
#include "lyre/lm/open_language_model.h"

namespace lyre {
namespace {

constinit trace::Operation kOpenModel("open.language_model"), kOpenCodec("open.codec");

Status check_folder(const char* setting, const std::filesystem::path& folder) {
  if (folder.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string(setting) + ": expected a folder, found nothing"};
  }
  std::error_code error;
  if (std::filesystem::is_directory(folder, error)) return ok_status();
  return Error{ErrorCode::kNotFound,
               std::string(setting) + ": " + folder.string() + " is not a folder"};
}

WeightFormat weight_format(WeightChoice weights) {
  switch (weights) {
    case WeightChoice::kInt8:
      return WeightFormat::kInt8;
    case WeightChoice::kFp8:
      return WeightFormat::kFp8;
    case WeightChoice::kAsStored:
      break;
  }
  return WeightFormat::kAsStored;
}

}  // namespace

Result<std::unique_ptr<LanguageModel>> open_configured_model(const EngineConfig& config,
                                                             ThreadPool& threads) {
  const trace::Span span(kOpenModel);
  LYRE_RETURN_IF_ERROR(check_folder("model", config.model));
  LanguageModelOptions options;
  options.folder = config.model;
  switch (chosen_backend(config.backend)) {
    case BackendChoice::kAuto:
    case BackendChoice::kCpu:
      options.backend = LanguageModelBackend::kCpu;
      break;
    case BackendChoice::kReference:
      options.backend = LanguageModelBackend::kReference;
      break;
    case BackendChoice::kCuda:
      options.backend = LanguageModelBackend::kCuda;
      break;
  }
  options.device = config.device;
  options.weights = weight_format(config.weights);
  options.kv = config.kv == KvChoice::kFp8 ? KvFormat::kFp8 : KvFormat::kDefault;
  options.kv_tokens = config.kv_tokens;
  options.cache_folder = config.cache_folder;
  options.max_sequences = config.max_batch;
  options.max_sequence_tokens = config.max_sequence_tokens;
  // A token for every sequence that decodes, and a prompt's chunk beside them.
  constexpr int kPromptTokens = 192;
  options.max_batch_tokens = config.max_batch + kPromptTokens;
  return open_language_model(options, threads);
}

Result<std::unique_ptr<Codec>> open_configured_codec(const EngineConfig& config,
                                                     ThreadPool& threads) {
  const trace::Span span(kOpenCodec);
  LYRE_RETURN_IF_ERROR(check_folder("codec", config.codec));
  CodecOptions options;
  options.folder = config.codec;
  switch (chosen_backend(config.backend)) {
    case BackendChoice::kAuto:
    case BackendChoice::kCpu:
      options.backend = CodecBackend::kCpu;
      break;
    case BackendChoice::kReference:
      options.backend = CodecBackend::kReference;
      break;
    case BackendChoice::kCuda:
      options.backend = CodecBackend::kCuda;
      break;
  }
  options.device = config.device;
  options.max_streams = config.max_batch;
  options.most_frames_per_push = 1;  // the engine pushes frame by frame
  return open_codec(options, threads);
}

}  // namespace lyre
