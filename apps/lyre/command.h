#pragma once

namespace lyre::command {

/// The whole program: parses the command line, runs the subcommand, returns the exit code.
int run(int argc, const char* const* argv);

}  // namespace lyre::command
