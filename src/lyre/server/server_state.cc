#include "lyre/server/server_state.h"

#include "lyre/server/routes.h"

namespace lyre::server {

ServerState::ServerState(ServerConfig config) : config_(std::move(config)) {
  add_all_routes(routes_);
}

}  // namespace lyre::server
