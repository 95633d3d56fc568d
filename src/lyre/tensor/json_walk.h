#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "lyre/base/result.h"

namespace lyre {

/// One value of a JSON text as json_walk meets it; an object or array before its members.
struct JsonNode {
  enum class Kind : uint8_t { kObject, kArray, kString, kInteger, kOther };

  /// Keys from the outermost object to this value; an element of an array has the key "".
  std::span<const std::string> path;
  Kind kind;
  std::string_view text = {};  // kString
  uint64_t integer = 0;        // kInteger: not negative, no fraction, no exponent
};

/// Walks a JSON document without building it, in document order: the memory needed is that of the
/// keys of the open objects, whatever the input. Refused: more than `most_depth` open objects and
/// arrays, a key twice in one object, invalid UTF-8, anything after the document. Errors
/// (kDataCorrupt) begin with `where` and give the byte offset; an error of the visitor ends the
/// walk and is returned as it is.
Status json_walk(std::string_view json, std::string_view where, int most_depth,
                 const std::function<Status(const JsonNode&)>& visit);

}  // namespace lyre
