#pragma once

#include <string>
#include <string_view>

#include "lyre/base/api.h"
#include "lyre/base/trace.h"

namespace lyre::trace {

/// A Gantt chart of a snapshot in text of 100 columns: a row for each span, indented below the one
/// that it is part of, under the name of its thread; time runs from the origin of the recording to
/// the right. At most `most_rows` rows: the shortest spans are left out, and the head says which.
LYRE_API std::string chart(const Snapshot& snapshot, std::string_view title, int most_rows = 40);

}  // namespace lyre::trace
