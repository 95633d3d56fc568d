#pragma once

#include <string>
#include <string_view>

namespace lyre::server {

/// The client's id if it is safe to log and to send back (1 to 128 letters, digits and "._-"),
/// else a new one, "req_" and 32 hexadecimal digits. Any thread.
std::string request_id(std::string_view from_client);

}  // namespace lyre::server
