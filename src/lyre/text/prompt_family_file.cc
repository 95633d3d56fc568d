#include "lyre/text/prompt_family_file.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <initializer_list>
#include <optional>
#include <utility>

#include "lyre/base/quote.h"

namespace lyre {
namespace {

namespace json = boost::json;

constexpr std::string_view kComment = "//";

std::string_view view(const json::string& s) { return {s.data(), s.size()}; }

// One object of a file: typed members by key, each error with the file and the path of the key.
class Fields {
 public:
  static Result<Fields> of(const json::value& value, std::string where,
                           std::initializer_list<std::string_view> known) {
    const json::object* object = value.if_object();
    if (object == nullptr) return Error{ErrorCode::kDataCorrupt, where + ": expected an object"};
    for (const json::key_value_pair& entry : *object) {
      const std::string_view key(entry.key().data(), entry.key().size());
      if (key == kComment || std::find(known.begin(), known.end(), key) != known.end()) continue;
      std::string keys;
      for (const std::string_view k : known) keys.append(keys.empty() ? "" : ", ").append(k);
      return Error{ErrorCode::kDataCorrupt,
                   where + ": unknown key " + quote(key) + "; known are " + keys};
    }
    return Fields(*object, std::move(where));
  }

  const std::string& where() const { return where_; }
  Error bad(std::string_view key, const std::string& problem) const {
    return {ErrorCode::kDataCorrupt, where_ + ": " + std::string(key) + ": " + problem};
  }
  const json::value* find(std::string_view key) const {
    return object_->if_contains(json::string_view(key.data(), key.size()));
  }

  Status read(std::string_view key, std::string& out) const {
    const json::value* value = find(key);
    if (value == nullptr) return ok_status();
    if (!value->is_string()) return bad(key, "expected a string");
    out = view(value->get_string());
    return ok_status();
  }
  Status read(std::string_view key, std::vector<std::string>& out) const {
    const json::value* value = find(key);
    if (value == nullptr) return ok_status();
    if (!value->is_array()) return bad(key, "expected an array of strings");
    for (const json::value& item : value->get_array()) {
      if (!item.is_string() || item.get_string().empty())
        return bad(key, "expected an array of strings that are not empty");
      out.emplace_back(view(item.get_string()));
    }
    return ok_status();
  }
  // A number in [low, high], or (low, high] if `open`.
  Status read(std::string_view key, std::optional<float>& out, double low, double high,
              bool open) const {
    const json::value* value = find(key);
    if (value == nullptr) return ok_status();
    json::error_code error;
    const double number = value->is_number() ? value->to_number<double>(error) : high + 1;
    if (error || !(number <= high) || (open ? !(number > low) : !(number >= low))) {
      return bad(key, "expected a number " + std::string(open ? "above " : "of at least ") +
                          shortest(low) + " and at most " + shortest(high));
    }
    out = static_cast<float>(number);
    return ok_status();
  }
  template <class Integer>
  Status read_count(std::string_view key, std::optional<Integer>& out) const {
    const json::value* value = find(key);
    if (value == nullptr) return ok_status();
    json::error_code error;
    Integer number{};
    if (value->is_int64() || value->is_uint64()) number = value->to_number<Integer>(error);
    if (error || value->is_double() || !value->is_number() || std::cmp_less(number, 0))
      return bad(key, "expected a whole number that is not negative");
    out = number;
    return ok_status();
  }
  Status read(std::string_view key, std::optional<bool>& out) const {
    const json::value* value = find(key);
    if (value == nullptr) return ok_status();
    if (!value->is_bool()) return bad(key, "expected true or false");
    out = value->get_bool();
    return ok_status();
  }

 private:
  Fields(const json::object& object, std::string where)
      : object_(&object), where_(std::move(where)) {}
  static std::string shortest(double limit) { return std::to_string(static_cast<int>(limit)); }

  const json::object* object_;
  std::string where_;
};

Status read_sampling(const Fields& file, SamplingOverrides& sampling) {
  const json::value* value = file.find("sampling");
  if (value == nullptr) return ok_status();
  LYRE_ASSIGN_OR_RETURN(const Fields fields,
                        Fields::of(*value, file.where() + ": sampling",
                                   {"temperature", "top_p", "top_k", "min_p", "repetition_penalty",
                                    "seed", "legal_slots"}));
  LYRE_RETURN_IF_ERROR(fields.read("temperature", sampling.temperature, 0, 100, false));
  LYRE_RETURN_IF_ERROR(fields.read("top_p", sampling.top_p, 0, 1, true));
  LYRE_RETURN_IF_ERROR(fields.read("min_p", sampling.min_p, 0, 1, false));
  LYRE_RETURN_IF_ERROR(
      fields.read("repetition_penalty", sampling.repetition_penalty, 0, 100, true));
  LYRE_RETURN_IF_ERROR(fields.read_count("top_k", sampling.top_k));
  LYRE_RETURN_IF_ERROR(fields.read_count("seed", sampling.seed));
  return fields.read("legal_slots", sampling.legal_slots);
}

Status read_voices(const Fields& file, std::vector<Voice>& voices) {
  const json::value* value = file.find("voices");
  if (value == nullptr) return ok_status();
  if (!value->is_array()) return file.bad("voices", "expected an array of names or objects");
  for (const json::value& item : value->get_array()) {
    const std::string where = file.where() + ": voices[" + std::to_string(voices.size()) + "]";
    Voice voice;
    if (item.is_string()) {
      voice.name = view(item.get_string());
    } else {
      LYRE_ASSIGN_OR_RETURN(const Fields fields,
                            Fields::of(item, where, {"name", "description", "language", "gender"}));
      LYRE_RETURN_IF_ERROR(fields.read("name", voice.name));
      LYRE_RETURN_IF_ERROR(fields.read("description", voice.description));
      LYRE_RETURN_IF_ERROR(fields.read("language", voice.language));
      LYRE_RETURN_IF_ERROR(fields.read("gender", voice.gender));
    }
    if (const Status valid = validate_voice_name(voice.name); !valid)
      return Error{ErrorCode::kDataCorrupt, where + ": name: " + valid.error().message};
    for (const Voice& other : voices) {
      if (other.name == voice.name)
        return Error{ErrorCode::kDataCorrupt,
                     where + ": name: " + quote(voice.name) + " occurs twice"};
    }
    voices.push_back(std::move(voice));
  }
  return ok_status();
}

Status read_default_voice(const Fields& file, const std::vector<Voice>& voices,
                          std::string& default_voice) {
  LYRE_RETURN_IF_ERROR(file.read("default_voice", default_voice));
  if (default_voice.empty() || voices.empty()) return ok_status();
  for (const Voice& voice : voices) {
    if (voice.name == default_voice) return ok_status();
  }
  return file.bad("default_voice", quote(default_voice) + " is none of the voices");
}

Result<json::value> parse_json(std::string_view text, const std::string& name) {
  json::error_code error;
  json::value root = json::parse(json::string_view(text.data(), text.size()), error);
  if (error) return Error{ErrorCode::kDataCorrupt, name + ": not JSON: " + error.message()};
  return root;
}

}  // namespace

Result<PromptFamily> parse_family_file(std::string_view text, const std::string& name) {
  LYRE_ASSIGN_OR_RETURN(const json::value root, parse_json(text, name));
  LYRE_ASSIGN_OR_RETURN(
      const Fields file,
      Fields::of(root, name,
                 {"name", "description", "source", "prefix", "text_template", "suffix",
                  "first_code", "stop", "detect", "tags", "sampling", "voices", "default_voice"}));
  PromptFamily family;
  LYRE_RETURN_IF_ERROR(file.read("name", family.name));
  LYRE_RETURN_IF_ERROR(file.read("description", family.description));
  LYRE_RETURN_IF_ERROR(file.read("source", family.source));
  LYRE_RETURN_IF_ERROR(file.read("prefix", family.prefix));
  LYRE_RETURN_IF_ERROR(file.read("text_template", family.text_template));
  LYRE_RETURN_IF_ERROR(file.read("suffix", family.suffix));
  LYRE_RETURN_IF_ERROR(file.read("first_code", family.first_code));
  LYRE_RETURN_IF_ERROR(file.read("stop", family.stop));
  LYRE_RETURN_IF_ERROR(file.read("detect", family.detect));
  LYRE_RETURN_IF_ERROR(file.read("tags", family.tags));
  LYRE_RETURN_IF_ERROR(read_sampling(file, family.sampling));
  LYRE_RETURN_IF_ERROR(read_voices(file, family.voices));
  LYRE_RETURN_IF_ERROR(read_default_voice(file, family.voices, family.default_voice));
  if (family.name.empty()) return file.bad("name", "missing");
  if (family.first_code.empty())
    return file.bad("first_code", "missing: the name of the token of slot 0, code 0");
  if (family.stop.empty())
    return file.bad("stop", "expected at least one token that ends the speech");
  if (const auto parts = parse_prompt_template(family.text_template); !parts)
    return file.bad("text_template", parts.error().message);
  return family;
}

Result<VoiceFile> parse_voice_file(std::string_view text, const std::string& name) {
  LYRE_ASSIGN_OR_RETURN(const json::value root, parse_json(text, name));
  LYRE_ASSIGN_OR_RETURN(const Fields file,
                        Fields::of(root, name, {"family", "voices", "default_voice", "sampling"}));
  VoiceFile voices;
  LYRE_RETURN_IF_ERROR(file.read("family", voices.family));
  LYRE_RETURN_IF_ERROR(read_voices(file, voices.voices));
  LYRE_RETURN_IF_ERROR(read_default_voice(file, voices.voices, voices.default_voice));
  LYRE_RETURN_IF_ERROR(read_sampling(file, voices.sampling));
  return voices;
}

}  // namespace lyre
