#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"

namespace lyre::server {

/// The keys of which a request must carry one. Only their SHA-256 is kept. Constant; any thread.
class ApiKeys {
 public:
  /// One a line, "NAME KEY" or "KEY", which is then named key1, key2, ... by its place; # begins a
  /// comment. A name may have several keys, so that they can be changed one after the other.
  /// kInvalidArgument names file and line, never a key.
  static Result<ApiKeys> parse(std::string_view text, const std::string& file);
  static Result<ApiKeys> read(const std::filesystem::path& file);

  /// Whose key this is; the time that it takes does not depend on how much of a key was guessed.
  std::optional<std::string> name_of(std::string_view key) const;
  size_t size() const noexcept { return keys_.size(); }

 private:
  using Digest = std::array<unsigned char, 32>;
  struct Key {
    std::string name;
    Digest digest;
  };
  static Digest digest_of(std::string_view key);
  std::vector<Key> keys_;
};

/// True if anybody on the machine may read the file.
bool readable_by_everybody(const std::filesystem::path& file);

}  // namespace lyre::server
