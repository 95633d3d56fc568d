#include "lyre/tensor/published_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace lyre {
namespace {

Error file_error(const std::filesystem::path& path, const char* what, int number) {
  const bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
  return {full ? ErrorCode::kResourceExhausted : ErrorCode::kInternal,
          path.string() + ": " + what + ": " + std::generic_category().message(number)};
}

// Opens a new file and locks it. Between the two somebody may take it for one that was left, and
// remove it: then it has no name any more.
int open_locked(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) return -1;
  // Waits for who is about to remove it. A file system without locks: others leave the file alone.
  while (::flock(file, LOCK_EX) != 0 && errno == EINTR) {
  }
  struct stat status {};
  if (::fstat(file, &status) == 0 && status.st_nlink > 0) return file;
  ::close(file);
  errno = EEXIST;
  return -1;
}

}  // namespace

Result<PublishedFile> PublishedFile::create(std::filesystem::path path, int64_t bytes) {
  // Beyond this limit a write does not fail: it ends the process.
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      static_cast<uint64_t>(bytes) > limit.rlim_cur) {
    return file_error(path, "larger than the process may write", EFBIG);
  }
  constexpr int kMostTries = 100;
  for (int attempt = 0; attempt < kMostTries; ++attempt) {
    std::filesystem::path temporary = path;
    temporary +=
        "." + std::to_string(::getpid()) + "-" + std::to_string(attempt) + PublishedFile::kSuffix;
    const int descriptor = open_locked(temporary);
    if (descriptor < 0 && errno == EEXIST) continue;  // of a thread beside this, or another machine
    if (descriptor < 0) return file_error(temporary, "cannot create", errno);
    PublishedFile file(std::move(path), std::move(temporary), descriptor);
    // A full disk says so now, not after gigabytes. Not every file system can reserve.
    if (bytes > 0 && ::fallocate(descriptor, 0, 0, bytes) != 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
      return file_error(file.temporary_, "no room", errno);
    }
    return file;
  }
  return file_error(path, "no free temporary name beside it", EEXIST);
}

PublishedFile::PublishedFile(PublishedFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

PublishedFile::~PublishedFile() {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(descriptor_);
}

Status PublishedFile::publish() {
  if (::fsync(descriptor_) != 0) return file_error(temporary_, "cannot write to the disk", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return file_error(path_, "cannot rename the finished file", errno);
  }
  ::close(std::exchange(descriptor_, -1));
  // The name too is to survive; if not, the file is written again some day.
  const std::filesystem::path parent = path_.has_parent_path() ? path_.parent_path() : ".";
  const int folder = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return ok_status();
}

bool PublishedFile::remove_unlocked(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (file < 0) return false;
  // With the lock in hand nobody else renames or removes the file; but it may have happened before.
  struct stat opened {
  }, named{};
  const bool ours = ::flock(file, LOCK_EX | LOCK_NB) == 0 && ::fstat(file, &opened) == 0 &&
                    ::lstat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
                    opened.st_ino == named.st_ino;
  const bool removed = ours && ::unlink(path.c_str()) == 0;
  ::close(file);
  return removed;
}

}  // namespace lyre
