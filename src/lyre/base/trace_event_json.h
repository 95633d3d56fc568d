#pragma once

#include <string>

#include "lyre/base/api.h"
#include "lyre/base/trace.h"

namespace lyre::trace {

/// The events of a snapshot as a Chrome trace file, which https://ui.perfetto.dev opens: complete
/// events ("X") on the tracks of their threads, detached ones as asynchronous pairs ("b", "e"),
/// times in microseconds.
LYRE_API std::string trace_event_json(const Snapshot& snapshot);

}  // namespace lyre::trace
