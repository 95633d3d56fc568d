#include "lyre/backend_defaults.h"

#include "lyre/base/log.h"
#include "lyre/engine/chosen_backend.h"

namespace lyre::command {

void apply_backend_defaults(Settings& settings) {
  apply_backend_defaults(settings, chosen_backend(settings.engine.backend));
}

void apply_backend_defaults(Settings& settings, BackendChoice backend) {
  EngineConfig& engine = settings.engine;
  engine.backend = backend;
  if (backend == BackendChoice::kCuda) {
    if (!settings.max_batch_chosen) engine.max_batch = kGpuMaxBatch;
  } else if (engine.device != 0) {
    log_warning("a setting has no effect",
                {{"name", "device"}, {"why", "it names a GPU, and the backend uses none"}});
  }
}

}  // namespace lyre::command
