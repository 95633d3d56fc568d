#include "lyre/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace lyre {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "lyre: internal error: %s is false (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace lyre
