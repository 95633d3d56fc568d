#include "lyre/audio/ffmpeg_library.h"

extern "C" {
#include <libavutil/avutil.h>
#include <libavutil/error.h>
}

#include "lyre/base/dynamic_library.h"

namespace lyre {
namespace {

using DescribeError = int(int number, char* text, size_t bytes);

/// Null, if it cannot be loaded.
DescribeError* load_describe_error() {
  static_assert(std::is_same_v<DescribeError, decltype(::av_strerror)>);
  const auto library = DynamicLibrary::open("libavutil.so." AV_STRINGIFY(LIBAVUTIL_VERSION_MAJOR));
  DescribeError* describe = nullptr;
  if (library.ok() && !library->find("av_strerror", describe).ok()) return nullptr;
  return describe;
}

}  // namespace

Error ffmpeg_error(const std::string& what, int number) {
  static DescribeError* const describe = load_describe_error();
  char text[AV_ERROR_MAX_STRING_SIZE] = "";
  if (describe != nullptr) describe(number, text, sizeof text);
  return Error{ErrorCode::kInternal, what + ": " + (text[0] != '\0' ? text : "error") + " (" +
                                         std::to_string(number) + ")"};
}

}  // namespace lyre
