#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lyre::server {

/// Text of a part of a URL, %XX read as bytes; a % that begins none stays as it is.
std::string decode_url(std::string_view text);

/// The first value of this name in a query string ("a=1&b=2"), decoded, '+' read as a blank;
/// "a" alone is the empty value. Nothing: there is none.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

}  // namespace lyre::server
