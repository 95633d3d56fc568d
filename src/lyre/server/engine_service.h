#pragma once

#include "lyre/engine/engine.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// The one place where the server meets the engine, which must outlive the service.
SpeechService serve_engine(Engine& engine);

}  // namespace lyre::server
