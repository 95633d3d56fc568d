#pragma once

#include <string>
#include <string_view>

namespace lyre {

/// Appends `text` as a JSON string, quotes included. What is not UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace lyre
