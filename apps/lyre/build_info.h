#pragma once

namespace lyre::command {

extern const char* const kVersion;  // "0.1.0"
/// Commit that the build was configured from, with "-dirty" if the tree had changes; "unknown"
/// outside a git checkout.
extern const char* const kCommit;
extern const char* const kCompiler;   // "GNU 12.2.0"
extern const char* const kBuildType;  // "Release"

}  // namespace lyre::command
