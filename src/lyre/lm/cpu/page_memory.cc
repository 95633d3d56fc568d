#include "lyre/lm/cpu/page_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace lyre::cpu {
namespace {

uintptr_t system_page_bytes() { return static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace

Result<PageMemory> PageMemory::allocate(int64_t bytes, const char* what) {
  PageMemory memory;
  memory.size_bytes_ = static_cast<size_t>(bytes > 0 ? bytes : 1);
  // MAP_NORESERVE: a KV pool for the worst case may exceed what the machine would promise at once.
  void* data = ::mmap(nullptr, memory.size_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    memory.size_bytes_ = 0;
    return Error{ErrorCode::kResourceExhausted, std::string(what) + ": " + std::to_string(bytes) +
                                                    " bytes of memory are not to be had"};
  }
  memory.data_ = static_cast<std::byte*>(data);
  ::madvise(data, memory.size_bytes_, MADV_HUGEPAGE);  // a wish: it may be refused
  return memory;
}

PageMemory::PageMemory(PageMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

PageMemory& PageMemory::operator=(PageMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

PageMemory::~PageMemory() {
  if (data_ != nullptr) ::munmap(data_, size_bytes_);
}

Status make_writable(std::span<std::byte> range) {
  if (range.empty()) return ok_status();
  const uintptr_t page = system_page_bytes();
  const uintptr_t begin = reinterpret_cast<uintptr_t>(range.data()) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(range.data()) + range.size();
#if defined(MADV_POPULATE_WRITE)
  if (::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE) == 0) {
    return ok_status();
  }
  if (errno != EINVAL) {
    return Error{ErrorCode::kResourceExhausted, std::to_string(range.size()) +
                                                    " bytes of memory cannot be populated: " +
                                                    std::generic_category().message(errno)};
  }
#endif
  // Before Linux 5.14: one write a page, of what is there.
  for (uintptr_t at = reinterpret_cast<uintptr_t>(range.data()); at < end;
       at = at / page * page + page) {
    auto* const byte = reinterpret_cast<volatile std::byte*>(at);
    *byte = *byte;
  }
  return ok_status();
}

void release_pages(std::span<const std::byte> range) noexcept {
  const uintptr_t page = system_page_bytes();
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(range.data()) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(range.data()) + range.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace lyre::cpu
