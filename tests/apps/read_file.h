#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace lyre::command {

inline std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

}  // namespace lyre::command
