#pragma once

#include <boost/json/fwd.hpp>
#include <string>

namespace lyre::command {

/// JSON for people: two blanks a level, short lists on one line.
std::string indented_json(const boost::json::value& value);

/// A string, or null if it is empty.
boost::json::value text_or_null(const std::string& text);

}  // namespace lyre::command
