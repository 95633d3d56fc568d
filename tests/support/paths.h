#pragma once

#include <cstdlib>
#include <filesystem>

namespace lyre::test {

/// Root of the repository that this build was configured from, or where the environment's
/// LYRE_SOURCE_DIR says that it lies: test programs are taken to machines that build nothing.
inline std::filesystem::path source_dir() {
  const char* elsewhere = std::getenv("LYRE_SOURCE_DIR");
  return elsewhere != nullptr ? elsewhere : LYRE_TEST_SOURCE_DIR;
}
inline std::filesystem::path demo_voice() { return source_dir() / "voices/demo"; }
inline std::filesystem::path tiny_voice() { return source_dir() / "tests/golden/tiny_voice"; }

}  // namespace lyre::test
