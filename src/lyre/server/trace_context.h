#pragma once

#include <string>
#include <string_view>

namespace lyre::server {

/// The trace id of a W3C `traceparent` header, 32 hex digits; empty if it is not well formed.
std::string trace_id(std::string_view traceparent);

}  // namespace lyre::server
