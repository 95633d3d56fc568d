#pragma once

#include <filesystem>

namespace lyre::test {

/// Root of the repository that this build was configured from.
inline std::filesystem::path source_dir() { return LYRE_TEST_SOURCE_DIR; }
inline std::filesystem::path demo_voice() { return source_dir() / "voices/demo"; }
inline std::filesystem::path tiny_voice() { return source_dir() / "tests/golden/tiny_voice"; }

}  // namespace lyre::test
