#include "lyre/server/query.h"

#include <algorithm>

namespace lyre::server {
namespace {

/// Of a hexadecimal digit; -1: it is none.
int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decode_value(std::string_view text) {
  std::string blanks(text);
  std::replace(blanks.begin(), blanks.end(), '+', ' ');
  return decode_url(blanks);
}

}  // namespace

std::string decode_url(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = digit_value(text[i + 1]), low = digit_value(text[i + 2]);
      if (high >= 0 && low >= 0) {
        decoded += static_cast<char>(high * 16 + low);
        i += 2;
        continue;
      }
    }
    decoded += text[i];
  }
  return decoded;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const size_t equals = pair.find('=');
    if (decode_value(pair.substr(0, equals)) == name) {
      return equals == pair.npos ? "" : decode_value(pair.substr(equals + 1));
    }
    query.remove_prefix(end == query.npos ? query.size() : end + 1);
  }
  return std::nullopt;
}

}  // namespace lyre::server
