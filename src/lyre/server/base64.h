#pragma once

#include <string>
#include <string_view>

namespace lyre::server {

/// Appends `bytes` in base 64 with padding (RFC 4648, 4).
void append_base64(std::string_view bytes, std::string& out);

}  // namespace lyre::server
