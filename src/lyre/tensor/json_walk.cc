#include "lyre/tensor/json_walk.h"

#include <boost/json/basic_parser_impl.hpp>
#include <optional>
#include <unordered_set>
#include <vector>

#include "lyre/base/quote.h"

namespace lyre {
namespace {

namespace json = boost::json;

// Event handler of boost::json::basic_parser. An event that returns false sets `failure` first.
struct Walker {
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);

  explicit Walker(const std::function<Status(const JsonNode&)>& visitor) : visit(visitor) {}

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }

  bool on_object_begin(json::error_code& ec) {
    if (!value({.path = path, .kind = JsonNode::Kind::kObject}, ec)) return false;
    open.push_back({.is_object = true, .keys = {}});
    return true;
  }
  bool on_object_end(size_t, json::error_code&) { return close(); }
  bool on_array_begin(json::error_code& ec) {
    if (!value({.path = path, .kind = JsonNode::Kind::kArray}, ec)) return false;
    open.push_back({.is_object = false, .keys = {}});
    path.emplace_back();
    return true;
  }
  bool on_array_end(size_t, json::error_code&) {
    path.pop_back();
    return close();
  }

  bool on_key_part(json::string_view part, size_t, json::error_code&) {
    buffer += part;
    return true;
  }
  bool on_key(json::string_view part, size_t, json::error_code& ec) {
    buffer += part;
    if (!open.back().keys.insert(buffer).second) {
      failure = Error{ErrorCode::kDataCorrupt, "key " + quote(buffer) + " occurs twice"};
      at_offset = true;
      ec = json::error::test_failure;
      return false;
    }
    path.push_back(std::move(buffer));
    buffer.clear();
    return true;
  }

  bool on_string_part(json::string_view part, size_t, json::error_code&) {
    buffer += part;
    return true;
  }
  bool on_string(json::string_view part, size_t, json::error_code& ec) {
    buffer += part;
    const bool go_on = value({.path = path, .kind = JsonNode::Kind::kString, .text = buffer}, ec);
    buffer.clear();
    return go_on && scalar_done();
  }

  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t number, json::string_view, json::error_code& ec) {
    if (number < 0) return other(ec);
    return on_uint64(static_cast<uint64_t>(number), {}, ec);
  }
  bool on_uint64(uint64_t number, json::string_view, json::error_code& ec) {
    return value({.path = path, .kind = JsonNode::Kind::kInteger, .integer = number}, ec) &&
           scalar_done();
  }
  bool on_double(double, json::string_view, json::error_code& ec) { return other(ec); }
  bool on_bool(bool, json::error_code& ec) { return other(ec); }
  bool on_null(json::error_code& ec) { return other(ec); }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

  bool value(const JsonNode& node, json::error_code& ec) {
    Status status = visit(node);
    if (status.ok()) return true;
    failure = std::move(status).error();
    ec = json::error::test_failure;
    return false;
  }
  bool other(json::error_code& ec) {
    return value({.path = path, .kind = JsonNode::Kind::kOther}, ec) && scalar_done();
  }
  bool close() {
    open.pop_back();
    return scalar_done();
  }
  // A member's key ends with its value; an array's "" stays until the array ends.
  bool scalar_done() {
    if (!open.empty() && open.back().is_object) path.pop_back();
    return true;
  }

  struct Open {
    bool is_object;
    std::unordered_set<std::string> keys;  // of an object, to find duplicates
  };

  const std::function<Status(const JsonNode&)>& visit;
  std::vector<Open> open;
  std::vector<std::string> path;
  std::string buffer;  // a key or string whose parts are not complete
  std::optional<Error> failure;
  bool at_offset = false;  // `failure` still lacks file and offset
};

}  // namespace

Status json_walk(std::string_view text, std::string_view where, int most_depth,
                 const std::function<Status(const JsonNode&)>& visit) {
  json::parse_options options;
  options.max_depth = static_cast<size_t>(most_depth);
  json::basic_parser<Walker> parser(options, visit);
  json::error_code ec;
  const size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && read < text.size()) ec = json::error::extra_data;
  if (!ec) return ok_status();

  Walker& walker = parser.handler();
  if (walker.failure && !walker.at_offset) return std::move(*walker.failure);
  const std::string reason = walker.failure ? walker.failure->message : ec.message();
  return Error{ErrorCode::kDataCorrupt,
               std::string(where) + ": JSON at byte " + std::to_string(read) + ": " + reason};
}

}  // namespace lyre
