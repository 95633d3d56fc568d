#pragma once

#include <string>
#include <vector>

#include "lyre/base/result.h"

namespace lyre::command {

/// The words that this process was started with, without the program.
Result<std::vector<std::string>> own_arguments();

struct ProcessEnd {
  int exit_code = 0;   // 128 + the signal, if one ended it
  std::string output;  // standard output
};

/// Runs this very program with other arguments, in a process that shares environment, folder and
/// standard error, to its end. The error says what the system refused.
Result<ProcessEnd> run_own_program(const std::vector<std::string>& arguments);

}  // namespace lyre::command
