// Engine::open: the folders of a configuration become the parts of an engine.

#include <future>
#include <system_error>
#include <utility>

#include "lyre/base/parse_switch.h"
#include "lyre/base/trace.h"
#include "lyre/engine/chosen_backend.h"
#include "lyre/engine/engine.h"
#include "lyre/engine/engine_parts.h"
#include "lyre/engine/open_models.h"
#include "lyre/engine/open_prompts.h"

namespace lyre {
namespace {

/// The folder's name, or its parent's for the "lm" of a voice folder.
std::string model_name(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::weakly_canonical(folder, error);
  if (error) path = folder;
  if (!path.has_filename()) path = path.parent_path();
  if (path.filename() == "lm" && path.has_parent_path()) path = path.parent_path();
  return path.filename().string();
}

/// The text side needs a core of its own only: it is opened beside the models, which share the
/// thread pool and so come one after the other. Without another thread it is opened when its result
/// is asked for.
std::future<Result<VoiceSetup>> begin_voice_setup(const EngineConfig& config) {
  const auto open = [&config] { return open_voice_setup(config); };
  try {
    return std::async(std::launch::async, [open] {
      trace::name_thread("voices");
      return open();
    });
  } catch (const std::system_error&) {
    return std::async(std::launch::deferred, open);
  }
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const EngineConfig& config) {
  LYRE_RETURN_IF_ERROR(validate(config));
  bool snac_warmup = config.snac_warmup.value_or(true);
  if (!config.snac_warmup) {
    LYRE_ASSIGN_OR_RETURN(snac_warmup, switch_from_environment("ENABLE_SNAC_WARMUP", true));
  }
  EngineParts parts;
  parts.model_name = model_name(config.model);
  parts.device = chosen_device(config);
  parts.threads = std::make_unique<ThreadPool>(config.threads);
  // If several fail, the error is always that of the first in this order.
  std::future<Result<VoiceSetup>> voice_setup = begin_voice_setup(config);
  LYRE_ASSIGN_OR_RETURN(parts.language_model, open_configured_model(config, *parts.threads));
  LYRE_ASSIGN_OR_RETURN(parts.codec, open_configured_codec(config, *parts.threads));
  LYRE_ASSIGN_OR_RETURN(VoiceSetup setup, voice_setup.get());
  LYRE_ASSIGN_OR_RETURN(parts.prompts,
                        bind_prompts(std::move(setup), parts.codec->info().codebook_size));
  LYRE_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine, assemble(config, std::move(parts)));
  if (snac_warmup) {
    WarmupOptions options;
    options.language_model = false;
    engine->warmup_models(options);
  }
  return engine;
}

}  // namespace lyre
