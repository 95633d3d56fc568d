#include "lyre/server/server_state.h"

#include <algorithm>

#include "lyre/server/routes.h"
#include "lyre/server/warmup_key.h"

namespace lyre::server {

ServerState::ServerState(ServerConfig config)
    : config_(std::move(config)),
      warmup_key_(new_warmup_key()),
      readiness_(config_.ready_when, static_cast<size_t>(std::max(0, config_.max_early_requests))),
      admission_({config_.max_running, config_.max_queue, config_.max_queue_of_a_client}),
      voice_aliases_(std::make_shared<const VoiceAliases>(config_.voice_aliases)),
      warmup_(readiness_) {
  add_all_routes(routes_);
}

Status ServerState::set_voice_aliases(VoiceAliases aliases) {
  auto shared = std::make_shared<const VoiceAliases>(std::move(aliases));
  const std::lock_guard lock(mutex_);
  if (service_) LYRE_RETURN_IF_ERROR(check_voice_aliases(*shared, service_->info));
  voice_aliases_ = std::move(shared);
  return ok_status();
}

}  // namespace lyre::server
