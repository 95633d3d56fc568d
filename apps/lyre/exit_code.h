#pragma once

namespace lyre::command {

/// What the program tells the shell; docs/command.md documents them.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,         // an input or output error, or a fault of ours
  kExitUsage = 2,          // a flag, a setting, the text or an input file is wrong
  kExitModel = 3,          // the model cannot be loaded
  kExitCut = 4,            // the speech was cut at a limit; what was spoken is written
  kExitInterrupted = 130,  // Ctrl-C, as shells count it: 128 + SIGINT
};

}  // namespace lyre::command
