#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lyre/server/api_error.h"

namespace lyre::server {

/// The fields of the JSON object in a request body, read one by one. The first thing that is wrong
/// is kept and everything after it reads as absent, so a protocol reads all its fields and then
/// asks once. A field that is null counts as absent, as the SDKs send it; unknown fields are never
/// looked at. "a.b" is the field b of the object a, absent if a is none.
class JsonFields {
 public:
  /// An error if the body is not one JSON object in UTF-8; it tells line and column.
  explicit JsonFields(std::string_view body);
  ~JsonFields();
  JsonFields(const JsonFields&) = delete;
  JsonFields& operator=(const JsonFields&) = delete;

  /// The first error, or null.
  const ApiError* error() const { return error_ ? &*error_ : nullptr; }

  std::optional<std::string> text(std::string_view name);
  std::string required_text(std::string_view name);
  /// A string, or an object with the string "id".
  std::optional<std::string> text_or_id(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  /// Finite, also as a float.
  std::optional<double> number(std::string_view name);
  /// Of a field that is an object itself.
  std::optional<double> number(std::string_view object, std::string_view name);
  std::optional<int> integer(std::string_view name);
  std::optional<uint64_t> unsigned_integer(std::string_view name);

  /// For checks of the protocol's own; kept only if it is the first.
  void fail(ApiError error);

 private:
  struct Document;
  std::unique_ptr<Document> document_;
  std::optional<ApiError> error_;
};

}  // namespace lyre::server
