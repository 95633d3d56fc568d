#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "lyre/base/api.h"

namespace lyre {

enum class ErrorCode : uint8_t {
  kInvalidArgument,    // the caller's input is wrong: a request, a flag, a setting
  kNotFound,           // a named thing does not exist
  kResourceExhausted,  // a limit is reached: queue, KV pages, memory
  kCancelled,          // the reader went away
  kDeadlineExceeded,
  kDataCorrupt,  // a file is not what it claims to be
  kDeviceLost,   // a GPU fault: everything on it is gone
  kUnavailable,  // not ready, or shutting down
  kInternal,
};

/// Stable lower-case name, for logs and JSON ("invalid_argument").
LYRE_API const char* error_code_name(ErrorCode code) noexcept;

/// What went wrong, for the person who can mend it: names the file or field, what was expected and
/// what was found.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// Value or error: the C++20 stand-in for std::expected<T, Error>.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  explicit operator bool() const noexcept { return ok(); }
  bool ok() const noexcept { return state_.index() == 0; }

  // Precondition of the accessors: the matching state. std::get throws otherwise, which ends the
  // program: a bug of ours.
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

using Status = Result<std::monostate>;

inline Status ok_status() { return std::monostate{}; }

}  // namespace lyre

#define LYRE_CONCAT_INNER(a, b) a##b
#define LYRE_CONCAT(a, b) LYRE_CONCAT_INNER(a, b)

/// Returns the error of `expression` (a Result) to the caller, if it has one.
#define LYRE_RETURN_IF_ERROR(expression)                          \
  do {                                                            \
    auto lyre_status = (expression);                              \
    if (!lyre_status.ok()) return std::move(lyre_status).error(); \
  } while (false)

/// `LYRE_ASSIGN_OR_RETURN(auto file, open(path));`: declares or assigns the value, or returns the
/// error to the caller.
#define LYRE_ASSIGN_OR_RETURN(target, expression) \
  LYRE_ASSIGN_OR_RETURN_IMPL(LYRE_CONCAT(lyre_result_, __LINE__), target, expression)
#define LYRE_ASSIGN_OR_RETURN_IMPL(result, target, expression) \
  auto result = (expression);                                  \
  if (!result.ok()) return std::move(result).error();          \
  target = *std::move(result)
