#pragma once

#include <string>
#include <string_view>

namespace lyre {

/// A name or value out of foreign input, fit for an error message or a log line: in single quotes,
/// control bytes and bytes outside ASCII text that is not UTF-8 as \xNN, cut after `most_bytes`.
std::string quote(std::string_view foreign, size_t most_bytes = 120);

}  // namespace lyre
