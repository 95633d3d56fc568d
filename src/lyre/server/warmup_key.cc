#include "lyre/server/warmup_key.h"

#include <cstdio>
#include <random>

namespace lyre::server {

std::string new_warmup_key() {
  std::random_device device;
  std::string key;
  for (int i = 0; i < 4; ++i) {
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", device());
    key += digits;
  }
  return key;
}

bool same_key(std::string_view given, std::string_view key) noexcept {
  if (given.size() != key.size()) return false;
  volatile unsigned char differences = 0;
  for (size_t i = 0; i < key.size(); ++i) {
    differences = static_cast<unsigned char>(
        differences | (static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(key[i])));
  }
  return differences == 0;
}

}  // namespace lyre::server
