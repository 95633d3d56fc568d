#pragma once

#include <string_view>

#include "lyre/base/result.h"

namespace lyre {

/// true, false, 1, 0, yes, no, on, off; any case. kInvalidArgument: "expected ..., found ...".
Result<bool> parse_switch(std::string_view text);

/// A switch of the environment: `otherwise` if the variable is not set or empty; an error that
/// names it if it is neither yes nor no.
Result<bool> switch_from_environment(const char* variable, bool otherwise);

}  // namespace lyre
