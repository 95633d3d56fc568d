#pragma once

#include <string>
#include <string_view>

namespace lyre::command {

/// JSON for people, out of JSON without white space: two blanks a level, plain lists on one line.
std::string indented_json(std::string_view compact);

}  // namespace lyre::command
