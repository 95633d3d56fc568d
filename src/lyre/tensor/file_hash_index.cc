#include "lyre/tensor/file_hash_index.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "lyre/tensor/published_file.h"
#include "lyre/tensor/safetensors_writer.h"

namespace lyre {
namespace {

// Raised when the hash or the text below changes.
constexpr int kIndexVersion = 1;

std::string identity_text(const FileIdentity& identity) {
  std::string text = "lyre source " + std::to_string(kIndexVersion) + '\n';
  for (const uint64_t number : {identity.device, identity.inode, identity.size_bytes}) {
    text += std::to_string(number) + ' ';
  }
  return text + std::to_string(identity.modified_ns) + ' ' + std::to_string(identity.changed_ns) +
         '\n';
}

std::string entry_text(const FileIdentity& identity, const ContentHash& hash) {
  const std::string text = identity_text(identity) + hash.to_string() + '\n';
  return text + hash_text(text).to_string() + '\n';
}

}  // namespace

std::filesystem::path FileHashIndex::entry_of(const FileIdentity& identity) const {
  return folder_ / (hash_text(identity_text(identity)).to_string() + kSuffix);
}

std::optional<ContentHash> FileHashIndex::find(const FileIdentity& identity) const {
  const std::filesystem::path path = entry_of(identity);
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const size_t begin = identity_text(identity).size();
  ContentHash hash;
  if (text.size() < begin + 32 || !parse_content_hash(text.substr(begin, 32), hash) ||
      text != entry_text(identity, hash)) {
    return std::nullopt;
  }
  std::error_code ignored;  // that it is used, for the clearing away
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now(), ignored);
  return hash;
}

bool FileHashIndex::is_provable(const FileIdentity& identity, int64_t begun_ns) noexcept {
  const int64_t last_ns = std::max(identity.modified_ns, identity.changed_ns);
  return begun_ns - last_ns >= kRacyNs && identity.changed_ns % 1'000'000'000 != 0;
}

void FileHashIndex::remember(const FileIdentity& identity, const ContentHash& hash,
                             int64_t begun_ns) const {
  if (!is_provable(identity, begun_ns)) return;
  std::error_code ignored;
  std::filesystem::create_directories(folder_, ignored);
  const std::string text = entry_text(identity, hash);
  Result<PublishedFile> file =
      PublishedFile::create(entry_of(identity), static_cast<int64_t>(text.size()));
  if (!file) return;  // whoever stores weights here says why
  const SafetensorsPlan plan{text, {}, static_cast<int64_t>(text.size())};
  if (!write_safetensors(file->descriptor(), plan)) return;
  if (!file->publish()) return;
}

}  // namespace lyre
