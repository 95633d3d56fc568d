#pragma once

#include <string>
#include <vector>

#include "lyre/base/api.h"
#include "lyre/base/trace.h"

namespace lyre::trace {

/// Names of the operations in which threads spent most time themselves (OperationTotals::self_ns),
/// longest first, at most so many. Waiting is none, nor is what is below 1 % of the whole.
LYRE_API std::vector<std::string> bottlenecks(const Snapshot& snapshot, size_t most = 5);

/// For people: a line for each operation, those of most time first, then the bottlenecks. Shares
/// are of the recording's duration: with several threads they may exceed 100 % together.
LYRE_API std::string profile_table(const Snapshot& snapshot);

/// The same as a JSON object without white space: wall_ms, operations (name, category, count,
/// mean_ms, min_ms, max_ms, total_ms, self_ms, share, self_share, arguments), bottlenecks (name,
/// self_share), threads (id, name, dropped_events). Shares are fractions.
LYRE_API std::string profile_json(const Snapshot& snapshot);

}  // namespace lyre::trace
