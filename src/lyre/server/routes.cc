#include "lyre/server/routes.h"

namespace lyre::server {

void add_all_routes(RouteTable& routes) {
  add_openai_speech(routes);
  add_pcm_stream(routes);
  add_baseten_speech(routes);
  add_elevenlabs_speech(routes);
  add_model_list(routes);
  add_voice_lists(routes);
  add_health(routes);
  add_warmup(routes);
  add_metrics(routes);
  add_profile(routes);
  add_web_sockets(routes);
  add_api_description(routes);
  add_index(routes);
}

}  // namespace lyre::server
