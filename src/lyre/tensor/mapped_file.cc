#include "lyre/tensor/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace lyre {
namespace {

constexpr size_t kLargeFileBytes = size_t{8} << 20;

struct FileDescriptor {
  int value = -1;
  ~FileDescriptor() {
    if (value >= 0) ::close(value);
  }
};

Error system_error(ErrorCode code, const std::filesystem::path& path, const char* what,
                   int number) {
  return {code, path.string() + ": " + what + ": " + std::generic_category().message(number)};
}

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

FileIdentity identity_of(const struct stat& status) {
  return {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
          static_cast<uint64_t>(status.st_size), nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim)};
}

}  // namespace

Result<FileIdentity> identify_file(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return identity_of(status);
  const int number = errno;
  return system_error(number == ENOENT ? ErrorCode::kNotFound : ErrorCode::kInternal, path,
                      "cannot stat", number);
}

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a named pipe must be refused below, not wait for a writer.
  const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.value < 0) {
    const int number = errno;
    const bool absent = number == ENOENT || number == ENOTDIR;
    return system_error(absent ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument, path,
                        "cannot open", number);
  }
  struct stat status {};
  if (::fstat(file.value, &status) != 0) {
    return system_error(ErrorCode::kInternal, path, "cannot stat", errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kInvalidArgument,
                 path.string() + ": expected a regular file, found " +
                     (S_ISDIR(status.st_mode) ? "a folder" : "a special file")};
  }
  MappedFile mapped;
  mapped.identity_ = identity_of(status);
  if (status.st_size > 0) {  // a mapping of no bytes is refused by the system
    mapped.size_bytes_ = static_cast<size_t>(status.st_size);
    void* data = ::mmap(nullptr, mapped.size_bytes_, PROT_READ, MAP_PRIVATE, file.value, 0);
    if (data == MAP_FAILED) {
      mapped.size_bytes_ = 0;
      return system_error(ErrorCode::kResourceExhausted, path, "cannot map", errno);
    }
    mapped.data_ = static_cast<const std::byte*>(data);
#if defined(MADV_HUGEPAGE)
    // A wish: where the file system keeps huge pages, what is streamed costs no TLB misses, and
    // bringing it in takes no time.
    if (mapped.size_bytes_ >= kLargeFileBytes) {
      ::madvise(data, mapped.size_bytes_, MADV_HUGEPAGE);
    }
#endif
  }
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      identity_(other.identity_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(identity_, other.identity_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_bytes_);
}

void make_resident(std::span<const std::byte> range) noexcept {
  if (range.empty()) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(range.data()) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(range.data()) + range.size();
#if defined(MADV_POPULATE_READ)
  if (::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ) == 0) return;
#endif
  // Before Linux 5.14: one read a page.
  for (uintptr_t at = reinterpret_cast<uintptr_t>(range.data()); at < end; at += page) {
    static_cast<void>(*reinterpret_cast<const volatile std::byte*>(at));
  }
}

}  // namespace lyre
