#include "lyre/server/text_protocol.h"

namespace lyre::server {

CloseCode close_code(const Error& error) noexcept {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
      return CloseCode::kPolicy;
    case ErrorCode::kResourceExhausted:
    case ErrorCode::kUnavailable:
      return CloseCode::kTryAgainLater;
    default:
      return CloseCode::kInternal;
  }
}

bool is_blank(std::string_view text) noexcept {
  return text.find_first_not_of(" \t\r\n\v\f") == text.npos;
}

}  // namespace lyre::server
