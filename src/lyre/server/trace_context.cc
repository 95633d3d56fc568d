#include "lyre/server/trace_context.h"

namespace lyre::server {
namespace {

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == text.npos;
}
bool is_zero(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

}  // namespace

// version-trace-parent-flags; a later version may append more behind a dash (Trace Context, 3.2).
std::string trace_id(std::string_view traceparent) {
  constexpr size_t kSize = 55;
  if (traceparent.size() < kSize) return {};
  const std::string_view version = traceparent.substr(0, 2), trace = traceparent.substr(3, 32),
                         parent = traceparent.substr(36, 16), flags = traceparent.substr(53, 2);
  const bool dashes = traceparent[2] == '-' && traceparent[35] == '-' && traceparent[52] == '-';
  if (!dashes || !is_hex(version) || !is_hex(trace) || !is_hex(parent) || !is_hex(flags)) return {};
  if (version == "ff" || is_zero(trace) || is_zero(parent)) return {};
  if (traceparent.size() > kSize && (version == "00" || traceparent[kSize] != '-')) return {};
  return std::string(trace);
}

}  // namespace lyre::server
