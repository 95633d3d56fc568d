#include "lyre/server/server_state.h"

#include <algorithm>

#include "lyre/server/routes.h"
#include "lyre/server/warmup_key.h"

namespace lyre::server {

ServerState::ServerState(ServerConfig config)
    : config_(std::move(config)),
      warmup_key_(new_warmup_key()),
      readiness_(config_.ready_when, static_cast<size_t>(std::max(0, config_.max_early_requests))),
      warmup_(readiness_) {
  add_all_routes(routes_);
}

}  // namespace lyre::server
