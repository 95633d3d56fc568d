#pragma once

#include "lyre/settings.h"

namespace lyre::command {

/// Puts what the backend kAuto stands for on this machine into the settings, and what depends on
/// it: a GPU speaks with more requests at the same time unless their number was chosen. Warns of
/// settings that have no effect on the backend. May wait for the driver of the GPU to start.
void apply_backend_defaults(Settings& settings);

/// The same for a backend that is known.
void apply_backend_defaults(Settings& settings, BackendChoice backend);

}  // namespace lyre::command
