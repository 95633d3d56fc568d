#include "lyre/server/json_fields.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/base/utf8.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

/// "line 3, column 14", both from 1, columns in characters.
std::string position(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  const int64_t column = 1 + utf8_code_points(before.substr(start));
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

ApiError invalid_json(const std::string& what) {
  return {400, "The request body is not valid JSON: " + what + ".", "", "invalid_json"};
}

const char* kind_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "something else";
}

std::string found(const json::value& value) {
  std::string text = kind_name(value);
  if (value.is_number()) text += " (" + json::serialize(value) + ")";
  if (value.is_string()) text += " (" + quote({value.get_string()}, 40) + ")";
  return text;
}

ApiError wrong_type(std::string_view name, const char* expected, const json::value& value) {
  return {400, "'" + std::string(name) + "' must be " + expected + "; found " + found(value) + ".",
          std::string(name), "invalid_type"};
}

std::optional<double> finite_number(const json::value& field) {
  json::error_code failure;
  const double value = field.to_number<double>(failure);
  // 1e999 is read as infinity; and settings are held as float.
  if (failure || !(std::abs(value) <= std::numeric_limits<float>::max())) return std::nullopt;
  return value;
}

}  // namespace

struct JsonFields::Document {
  json::value value;

  /// Null if absent or null.
  const json::value* find(std::string_view name) const {
    const json::object* object = &value.get_object();
    for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.')) {
      const json::value* outer = object->if_contains(name.substr(0, dot));
      object = outer == nullptr ? nullptr : outer->if_object();
      if (object == nullptr) return nullptr;
      name.remove_prefix(dot + 1);
    }
    const json::value* field = object->if_contains(name);
    return field == nullptr || field->is_null() ? nullptr : field;
  }
};

JsonFields::JsonFields(std::string_view body) {
  if (const auto bad = find_invalid_utf8(body)) {
    fail(invalid_json("bytes that are not UTF-8 at " + position(body, *bad)));
    return;
  }
  json::stream_parser parser;
  json::error_code failure;
  const size_t taken = parser.write_some(body.data(), body.size(), failure);
  const bool cut = !failure && (parser.finish(failure), failure);
  const std::string_view rest = body.substr(taken);
  if (!cut && !failure && rest.find_first_not_of(" \t\r\n") != rest.npos) {
    failure = json::error::extra_data;
  }
  if (failure) {
    const std::string what = body.empty() ? "it is empty"
                             : cut        ? "it ends early"
                                          : failure.message();
    fail(invalid_json(what + " at " + position(body, taken)));
    return;
  }
  json::value value = parser.release();
  if (!value.is_object()) {
    fail({400,
          std::string("The request body must be a JSON object; found ") + kind_name(value) + ".",
          "", "invalid_json"});
    return;
  }
  document_ = std::make_unique<Document>(Document{std::move(value)});
}

JsonFields::~JsonFields() = default;

void JsonFields::fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

std::optional<std::string> JsonFields::text(std::string_view name) {
  const json::value* field = error_ ? nullptr : document_->find(name);
  if (field == nullptr) return std::nullopt;
  if (const json::string* text = field->if_string()) return std::string(*text);
  fail(wrong_type(name, "a string", *field));
  return std::nullopt;
}

std::string JsonFields::required_text(std::string_view name) {
  std::optional<std::string> value = text(name);
  if (value) return *std::move(value);
  fail({400, "'" + std::string(name) + "' is required.", std::string(name), "missing_field"});
  return "";
}

std::optional<std::string> JsonFields::text_or_id(std::string_view name) {
  const json::value* field = error_ ? nullptr : document_->find(name);
  if (field == nullptr) return std::nullopt;
  if (const json::object* object = field->if_object()) field = object->if_contains("id");
  if (field != nullptr && field->is_string()) return std::string(field->get_string());
  fail(wrong_type(name, "a string or an object with the string \"id\"", *document_->find(name)));
  return std::nullopt;
}

std::optional<bool> JsonFields::boolean(std::string_view name) {
  const json::value* field = error_ ? nullptr : document_->find(name);
  if (field == nullptr) return std::nullopt;
  if (const bool* value = field->if_bool()) return *value;
  fail(wrong_type(name, "true or false", *field));
  return std::nullopt;
}

std::optional<double> JsonFields::number(std::string_view name) {
  const json::value* field = error_ ? nullptr : document_->find(name);
  if (field == nullptr) return std::nullopt;
  if (const auto value = finite_number(*field)) return value;
  fail(wrong_type(name, "a finite number", *field));
  return std::nullopt;
}

std::optional<double> JsonFields::number(std::string_view object, std::string_view name) {
  const json::value* outer = error_ ? nullptr : document_->find(object);
  if (outer == nullptr) return std::nullopt;
  if (!outer->is_object()) {
    fail(wrong_type(object, "an object", *outer));
    return std::nullopt;
  }
  const json::value* field = outer->get_object().if_contains(name);
  if (field == nullptr || field->is_null()) return std::nullopt;
  if (const auto value = finite_number(*field)) return value;
  fail(wrong_type(std::string(object) + "." + std::string(name), "a finite number", *field));
  return std::nullopt;
}

std::optional<int> JsonFields::integer(std::string_view name) {
  const json::value* field = error_ ? nullptr : document_->find(name);
  if (field == nullptr) return std::nullopt;
  json::error_code failure;
  const int value = field->to_number<int>(failure);
  if (!failure) return value;
  fail(wrong_type(name, "an integer of 32 bits", *field));
  return std::nullopt;
}

std::optional<uint64_t> JsonFields::unsigned_integer(std::string_view name) {
  const json::value* field = error_ ? nullptr : document_->find(name);
  if (field == nullptr) return std::nullopt;
  json::error_code failure;
  const uint64_t value = field->to_number<uint64_t>(failure);
  if (!failure) return value;
  fail(wrong_type(name, "an integer from 0 to 18446744073709551615", *field));
  return std::nullopt;
}

}  // namespace lyre::server
