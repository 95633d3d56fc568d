#include "lyre/tensor/weight_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "lyre/base/clock.h"
#include "lyre/base/log.h"
#include "lyre/base/quote.h"
#include "lyre/tensor/archive_builder.h"
#include "lyre/tensor/file_hash_index.h"
#include "lyre/tensor/out_of_memory.h"
#include "lyre/tensor/published_file.h"
#include "lyre/tensor/safetensors.h"

namespace lyre {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".safetensors";
constexpr size_t kDigits = 32;

// Keys of the metadata.
constexpr std::string_view kFormat = "lyre.format", kKey = "lyre.key", kHead = "lyre.head";
constexpr std::string_view kSum = "lyre.xxh3.";  // and the name of a tensor

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Keeps a file open and locked against being cleared away.
class UsedFile {
 public:
  explicit UsedFile(const fs::path& path)
      : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), number_(errno) {
    if (file_ < 0) return;
    ::flock(file_, LOCK_SH | LOCK_NB);
    ::futimens(file_, nullptr);  // used now; not allowed in a folder that is only lent
  }
  ~UsedFile() {
    if (file_ >= 0) ::close(file_);
  }
  UsedFile(const UsedFile&) = delete;
  UsedFile& operator=(const UsedFile&) = delete;

  bool is_absent() const noexcept { return file_ < 0 && (number_ == ENOENT || number_ == ENOTDIR); }

 private:
  const int file_;
  const int number_;
};

// The head's own checksum stands in the head: it is taken with zeros in its place.
std::string head_field(std::string_view digits) {
  return "\"" + std::string(kHead) + "\":\"" + std::string(digits) + "\"";
}

std::string no_digits() { return std::string(kDigits, '0'); }

void sign_head(std::string& head) {
  const ContentHash hash = hash_text(head);
  const std::string field = head_field(no_digits());
  head.replace(head.find(field), field.size(), head_field(hash.to_string()));
}

bool is_signed_head(std::string_view head, std::string_view digits) {
  std::string unsigned_head(head);
  const std::string field = head_field(digits);
  const size_t at = unsigned_head.find(field);
  if (digits.size() != kDigits || at == std::string::npos) return false;
  unsigned_head.replace(at, field.size(), head_field(no_digits()));
  return hash_text(unsigned_head).to_string() == digits;
}

bool is_filler(std::string_view name) { return name.starts_with(SafetensorsPlan::kFillerPrefix); }

bool is_key(std::string_view text) {
  ContentHash hash;
  return parse_content_hash(text, hash);
}

enum class FileKind { kForeign, kKept, kTemporary };

FileKind kind_of(const std::string& name) {
  if (name.size() <= kDigits || !is_key(name.substr(0, kDigits))) return FileKind::kForeign;
  const std::string_view rest = std::string_view(name).substr(kDigits);
  if (rest == kSuffix || rest == FileHashIndex::kSuffix) return FileKind::kKept;
  const bool temporary = rest.ends_with(PublishedFile::kSuffix) &&
                         (rest.starts_with(std::string(kSuffix) + ".") ||
                          rest.starts_with(std::string(FileHashIndex::kSuffix) + "."));
  return temporary ? FileKind::kTemporary : FileKind::kForeign;
}

bool is_idle(const fs::directory_entry& entry) {
  std::error_code error;
  const fs::file_time_type used = entry.last_write_time(error);
  if (error) return false;
  return fs::file_time_type::clock::now() - used >
         std::chrono::hours(24 * WeightCache::kMostIdleDays);
}

void clear_away(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const FileKind kind = kind_of(at->path().filename().string());
    if (kind == FileKind::kForeign || (kind == FileKind::kKept && !is_idle(*at))) continue;
    if (PublishedFile::remove_unlocked(at->path())) {
      log_debug("a file of the weight cache is cleared away", {{"file", at->path().string()}});
    }
  }
}

}  // namespace

fs::path WeightCache::file_of(const ContentHash& key) const {
  return folder_ / (key.to_string() + std::string(kSuffix));
}

ContentHash WeightCache::key(const TensorArchive& sources, std::string_view form,
                             ThreadPool& threads) const {
  const FileHashIndex index(folder_);
  const std::vector<TensorArchive::File>& files = sources.files();
  std::vector<ContentHash> hashes(files.size());
  std::vector<size_t> unknown;
  std::vector<std::span<const std::byte>> contents;
  for (size_t i = 0; i < files.size(); ++i) {
    if (const auto known = index.find(files[i].mapping->identity())) {
      hashes[i] = *known;
    } else {
      unknown.push_back(i);
      contents.push_back(files[i].mapping->bytes());
    }
  }
  const int64_t begun_ns = now_ns();
  const std::vector<ContentHash> found = hash_contents(contents, threads);
  for (size_t k = 0; k < unknown.size(); ++k) {
    const TensorArchive::File& file = files[unknown[k]];
    hashes[unknown[k]] = found[k];
    // Unless it was written while it was read.
    const Result<FileIdentity> now = identify_file(file.path);
    if (now && *now == file.mapping->identity()) index.remember(*now, found[k], begun_ns);
  }
  // Which file a tensor is taken from is a matter of the folder's index, not of the file.
  std::string recipe = std::to_string(kFormatVersion) + '\n' + std::string(form) + '\n';
  for (const auto& [name, view] : sources.tensors()) {
    recipe += hashes[sources.file_index(name)].to_string() + ' ' + name + '\n';
  }
  return hash_text(recipe);
}

Result<TensorArchive> WeightCache::open_checked(const fs::path& path, const ContentHash& key,
                                                ThreadPool& threads) const {
  const auto damaged = [&](const std::string& problem) {
    return Error{ErrorCode::kDataCorrupt, path.string() + ": " + problem};
  };
  LYRE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::open(path));
  const auto& metadata = file.header.metadata;
  const auto value = [&](std::string_view name) {
    const auto at = metadata.find(name);
    return at == metadata.end() ? std::string() : at->second;
  };
  if (!is_signed_head(file.mapping->text().substr(0, static_cast<size_t>(file.data_begin_bytes)),
                      value(kHead))) {
    return damaged("the head does not have the checksum that it names");
  }
  if (value(kFormat) != std::to_string(kFormatVersion)) {
    return damaged("format: expected " + std::to_string(kFormatVersion) + ", found " +
                   quote(value(kFormat)));
  }
  if (value(kKey) != key.to_string()) {
    return damaged("key: expected that of the name, found " + quote(value(kKey)));
  }
  TensorArchiveBuilder builder;
  const size_t number = builder.add_file(path, file.mapping);
  std::vector<std::span<const std::byte>> contents;
  std::vector<const std::string*> names;
  for (const auto& entry : file.header.entries) {
    const TensorView view = file.view(entry);
    const std::span<const std::byte> bytes(view.as<std::byte>(),
                                           static_cast<size_t>(view.size_bytes()));
    if (is_filler(entry.name)) {
      if (std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; })) {
        return damaged("tensor " + quote(entry.name) + ": expected zeros");
      }
      continue;
    }
    contents.push_back(bytes);
    names.push_back(&entry.name);
    LYRE_RETURN_IF_ERROR(builder.add(entry.name, view, number));
  }
  const std::vector<ContentHash> sums = hash_contents(contents, threads);
  for (size_t i = 0; i < sums.size(); ++i) {
    if (value(std::string(kSum) + *names[i]) == sums[i].to_string()) continue;
    return damaged("tensor " + quote(*names[i]) + " does not have its checksum");
  }
  for (const auto& [name, text] : metadata) {
    if (name != kFormat && name != kKey && name != kHead && !name.starts_with(kSum)) {
      builder.add_metadata(name, text);
    }
  }
  return std::move(builder).finish();
}

std::optional<TensorArchive> WeightCache::find(const ContentHash& key, ThreadPool& threads) const {
  if (!enabled()) return std::nullopt;
  const fs::path path = file_of(key);
  const auto used = std::make_shared<const UsedFile>(path);
  if (used->is_absent()) return std::nullopt;
  Result<TensorArchive> archive =
      catch_out_of_memory(path, [&] { return open_checked(path, key, threads); });
  if (archive) {
    archive->keep(used);
    return *std::move(archive);
  }
  if (archive.error().code == ErrorCode::kNotFound) return std::nullopt;  // cleared away just now
  log_warning("stored weights cannot be used and are made anew",
              {{"problem", archive.error().message}});
  if (archive.error().code == ErrorCode::kDataCorrupt) {
    std::error_code ignored;  // a folder that is only lent: the warning comes at every start
    fs::remove(path, ignored);
  }
  return std::nullopt;
}

Status WeightCache::store(const ContentHash& key, std::span<const NamedTensor> tensors,
                          Metadata metadata) const {
  if (!enabled()) return ok_status();
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    return Error{ErrorCode::kInternal,
                 folder_.string() + ": cannot create the folder: " + error.message()};
  }
  clear_away(folder_);
  const fs::path path = file_of(key);
  if (fs::exists(path, error)) return ok_status();  // of another start at the same time
  metadata.emplace(kFormat, std::to_string(kFormatVersion));
  metadata.emplace(kKey, key.to_string());
  metadata.emplace(kHead, no_digits());
  for (const NamedTensor& tensor : tensors) {
    const std::span<const std::byte> bytes(tensor.view.as<std::byte>(),
                                           static_cast<size_t>(tensor.view.size_bytes()));
    metadata.emplace(std::string(kSum) + tensor.name, hash_content(bytes).to_string());
  }
  SafetensorsPlan plan = plan_safetensors(tensors, metadata);
  sign_head(plan.head);
  LYRE_ASSIGN_OR_RETURN(PublishedFile file, PublishedFile::create(path, plan.file_bytes));
  if (const Status status = write_safetensors(file.descriptor(), plan); !status) {
    return Error{status.error().code, path.string() + ": " + status.error().message};
  }
  return file.publish();
}

std::jthread store_in_background(WeightCache cache, ContentHash key,
                                 std::vector<NamedTensor> tensors, WeightCache::Metadata metadata) {
  try {
    return std::jthread([cache = std::move(cache), key, tensors = std::move(tensors),
                         metadata = std::move(metadata)]() mutable {
      // Requests come first. Linux has a priority for each thread.
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10);
      const TimePoint start = Clock::now();
      const Status status = cache.store(key, tensors, std::move(metadata));
      if (status.ok()) {
        log_debug("converted weights are stored for later starts",
                  {{"key", key.to_string()}, {"ms", milliseconds_since(start)}});
      } else {
        log_warning("converted weights cannot be stored for later starts",
                    {{"problem", status.error().message}});
      }
    });
  } catch (const std::system_error& error) {
    log_warning("converted weights cannot be stored for later starts", {{"problem", error.what()}});
    return {};
  }
}

}  // namespace lyre
