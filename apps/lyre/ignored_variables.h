#pragma once

#include <string>
#include <vector>

namespace lyre::command {

struct IgnoredVariable {
  std::string name;
  std::string why;
};

/// The variables of an environment ("NAME=value", ended by null) that look as if they were meant
/// for this program and change nothing: those of other servers of the same models that have no
/// counterpart here, and LYRE_ names that no setting has.
std::vector<IgnoredVariable> ignored_variables(const char* const* environment);

}  // namespace lyre::command
