#include "lyre/base/parse_switch.h"

#include <cstdlib>
#include <string>

#include "lyre/base/quote.h"

namespace lyre {

Result<bool> parse_switch(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const char* yes : {"true", "1", "yes", "on"}) {
    if (lower == yes) return true;
  }
  for (const char* no : {"false", "0", "no", "off"}) {
    if (lower == no) return false;
  }
  return Error{ErrorCode::kInvalidArgument,
               "expected true or false (or 1, 0, yes, no, on, off), found " + quote(text)};
}

Result<bool> switch_from_environment(const char* variable, bool otherwise) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return otherwise;
  Result<bool> value = parse_switch(text);
  if (value) return value;
  return Error{ErrorCode::kInvalidArgument,
               std::string(variable) + ": " + std::move(value).error().message};
}

}  // namespace lyre
