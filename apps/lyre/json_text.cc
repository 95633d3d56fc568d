#include "lyre/json_text.h"

#include <algorithm>
#include <boost/json.hpp>

namespace lyre::command {
namespace json = boost::json;
namespace {

bool is_plain(const json::value& value) { return !value.is_array() && !value.is_object(); }

void append(const json::value& value, const std::string& margin, std::string& out) {
  const std::string inner = margin + "  ";
  if (const json::object* object = value.if_object(); object != nullptr && !object->empty()) {
    const char* before = "{\n";
    for (const auto& [key, item] : *object) {
      out += before + inner + json::serialize(json::string(key)) + ": ";
      append(item, inner, out);
      before = ",\n";
    }
    out += "\n" + margin + "}";
  } else if (const json::array* array = value.if_array();
             array != nullptr && !std::all_of(array->begin(), array->end(), is_plain)) {
    const char* before = "[\n";
    for (const json::value& item : *array) {
      out += before + inner;
      append(item, inner, out);
      before = ",\n";
    }
    out += "\n" + margin + "]";
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string indented_json(std::string_view compact) {
  std::string out;
  append(json::parse(compact), "", out);
  return out;
}

}  // namespace lyre::command
