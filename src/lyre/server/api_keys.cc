#include "lyre/server/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "lyre/base/quote.h"

namespace lyre::server {
namespace {

constexpr size_t kMostFileBytes = 1 << 20;
constexpr size_t kLeastKeyBytes = 8, kMostKeyBytes = 512, kMostNameBytes = 64;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t i = 0; i < line.size();) {
    while (i < line.size() && is_blank(line[i])) ++i;
    const size_t begin = i;
    while (i < line.size() && !is_blank(line[i])) ++i;
    if (i > begin) words.push_back(line.substr(begin, i - begin));
  }
  return words;
}

bool is_printable(std::string_view word) {
  return std::all_of(word.begin(), word.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

ApiKeys::Digest ApiKeys::digest_of(std::string_view key) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

Result<ApiKeys> ApiKeys::parse(std::string_view text, const std::string& file) {
  ApiKeys keys;
  int number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    ++number;
    const auto bad = [&](const std::string& what) {
      return Error{ErrorCode::kInvalidArgument, file + ":" + std::to_string(number) + ": " + what};
    };
    const auto words = words_of(line.substr(0, line.find('#')));
    if (words.empty()) continue;
    if (words.size() > 2) return bad("expected NAME KEY or KEY, found more words");
    const std::string_view key = words.back();
    if (key.size() < kLeastKeyBytes || key.size() > kMostKeyBytes || !is_printable(key)) {
      return bad("expected a key of " + std::to_string(kLeastKeyBytes) + " to " +
                 std::to_string(kMostKeyBytes) + " ASCII characters, found one of " +
                 std::to_string(key.size()) + " bytes");
    }
    std::string name =
        words.size() == 2 ? std::string(words[0]) : "key" + std::to_string(keys.size() + 1);
    if (name.size() > kMostNameBytes || !is_printable(name)) {
      return bad("expected a name of up to " + std::to_string(kMostNameBytes) +
                 " ASCII characters, found " + quote(name));
    }
    const Digest digest = digest_of(key);
    for (const Key& other : keys.keys_) {
      if (other.digest == digest) return bad("the key is already that of " + quote(other.name));
    }
    keys.keys_.push_back({std::move(name), digest});
  }
  if (keys.keys_.empty()) {
    // As good as an open server, which is not what a file of keys was made for.
    return Error{ErrorCode::kInvalidArgument, file + ": expected at least one key, found none"};
  }
  return keys;
}

Result<ApiKeys> ApiKeys::read(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string text(kMostFileBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.is_open() || stream.bad()) {
    return Error{ErrorCode::kNotFound, "cannot read the file of API keys " + quote(file.string())};
  }
  text.resize(static_cast<size_t>(stream.gcount()));
  if (text.size() > kMostFileBytes) {
    return Error{ErrorCode::kInvalidArgument,
                 file.string() + ": expected at most " + std::to_string(kMostFileBytes) + " bytes"};
  }
  return parse(text, file.string());
}

std::optional<std::string> ApiKeys::name_of(std::string_view key) const {
  const Digest digest = digest_of(key.substr(0, kMostKeyBytes + 1));
  const Key* found = nullptr;
  for (const Key& candidate : keys_) {
    if (CRYPTO_memcmp(candidate.digest.data(), digest.data(), digest.size()) == 0) {
      found = &candidate;
    }
  }
  if (found == nullptr) return std::nullopt;
  return found->name;
}

bool readable_by_everybody(const std::filesystem::path& file) {
  std::error_code failure;
  const auto permissions = std::filesystem::status(file, failure).permissions();
  return !failure &&
         (permissions & std::filesystem::perms::others_read) != std::filesystem::perms::none;
}

}  // namespace lyre::server
