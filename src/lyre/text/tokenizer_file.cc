#include "lyre/text/tokenizer_file.h"

#include <algorithm>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parser.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/text/byte_alphabet.h"

namespace lyre {
namespace {

namespace json = boost::json;

// A tokenizer.json is eight levels deep at most.
constexpr size_t kMostDepth = 16;
// The 128,256 rows of Llama 3 make 17 MB.
constexpr size_t kMostBytes = size_t{256} << 20;
constexpr int64_t kLastId = PieceTable::kIdLimit - 1;

// GPT-2's pattern, which the ByteLevel pre-tokenizer applies by itself where use_regex is on.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string_view view(const json::string& s) { return {s.data(), s.size()}; }

class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  Result<TokenizerParts> read(const json::value& root);

 private:
  Error bad(const std::string& field, const std::string& problem) const {
    return {ErrorCode::kDataCorrupt, name_ + ": " + field + ": " + problem};
  }
  Result<TokenId> read_id(const json::value& value, const std::string& field) const;
  Result<bool> read_flag(const json::object& object, const char* key,
                         const std::string& field) const;
  Status check_model(const json::object& model, TokenizerParts& parts) const;
  Status read_vocabulary(const json::object& model, TokenizerParts& parts) const;
  Status read_merges(const json::object& model, TokenizerParts& parts) const;
  Status read_added_tokens(const json::object& root, TokenizerParts& parts) const;
  Status read_pre_tokenizer(const json::value& value, const std::string& field, bool last,
                            TokenizerParts& parts) const;
  Status read_split(const json::object& split, const std::string& field,
                    TokenizerParts& parts) const;
  Status read_byte_level(const json::object& byte_level, const std::string& field,
                         TokenizerParts& parts) const;
  Status add_pattern(std::string_view pattern, const std::string& field,
                     TokenizerParts& parts) const;

  const std::string& name_;
};

std::string at(const std::string& field, size_t index) {
  return field + "[" + std::to_string(index) + "]";
}

// The member, or null if it is absent or null: the files use both for "none".
const json::value* member(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(json::string_view(key.data(), key.size()));
  return value != nullptr && !value->is_null() ? value : nullptr;
}

bool is_type(const json::object& object, std::string_view type) {
  const json::value* value = member(object, "type");
  return value != nullptr && value->is_string() && view(value->get_string()) == type;
}

std::string type_of(const json::object& object) {
  const json::value* value = member(object, "type");
  return value != nullptr && value->is_string() ? std::string(view(value->get_string()))
                                                : "no type";
}

Result<TokenId> Reader::read_id(const json::value& value, const std::string& field) const {
  if (!value.is_int64() || value.get_int64() < 0 || value.get_int64() >= PieceTable::kIdLimit)
    return bad(field, "expected an id from 0 to " + std::to_string(kLastId));
  return static_cast<TokenId>(value.get_int64());
}

Result<bool> Reader::read_flag(const json::object& object, const char* key,
                               const std::string& field) const {
  const json::value* value = member(object, key);
  if (value == nullptr) return false;
  if (!value->is_bool()) return bad(field + "." + key, "expected true or false");
  return value->get_bool();
}

Status Reader::check_model(const json::object& model, TokenizerParts& parts) const {
  // Files of before 2020 have no type.
  if (model.contains("type") && !is_type(model, "BPE"))
    return bad("model.type", "expected BPE, found " + type_of(model));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json::value* value = member(model, key);
    if (value != nullptr && !(value->is_string() && value->get_string().empty()))
      return bad(std::string("model.") + key, "not supported: byte-level BPE has none");
  }
  if (const json::value* dropout = member(model, "dropout"); dropout != nullptr) {
    if (!dropout->is_double() || dropout->get_double() != 0.0)
      return bad("model.dropout", "not supported: it is for training");
  }
  LYRE_ASSIGN_OR_RETURN(const bool byte_fallback, read_flag(model, "byte_fallback", "model"));
  if (byte_fallback) return bad("model.byte_fallback", "not supported: expected byte-level BPE");
  LYRE_ASSIGN_OR_RETURN(parts.ignore_merges, read_flag(model, "ignore_merges", "model"));
  return ok_status();
}

Status Reader::read_vocabulary(const json::object& model, TokenizerParts& parts) const {
  const json::value* vocab = member(model, "vocab");
  if (vocab == nullptr || !vocab->is_object())
    return bad("model.vocab", "expected an object of pieces and ids");
  const json::object& entries = vocab->get_object();
  size_t bytes = 0;
  for (const json::key_value_pair& entry : entries) bytes += entry.key().size();
  parts.pieces.reserve(entries.size(), bytes);

  std::string spelled;
  for (const json::key_value_pair& entry : entries) {
    const std::string_view piece(entry.key().data(), entry.key().size());
    const auto field = [&] { return "model.vocab[" + quote(piece) + "]"; };
    const Result<TokenId> id = read_id(entry.value(), "");
    if (!id) return bad(field(), "expected an id from 0 to " + std::to_string(kLastId));
    if (parts.pieces.has(*id))
      return bad(field(), "id " + std::to_string(*id) + " is already that of another piece");
    // A piece with a character that is no byte letter can never come of text; it keeps its id.
    if (!spell_bytes(piece, spelled)) {
      parts.pieces.set(piece, *id);
    } else if (!parts.pieces.insert(spelled, *id)) {
      return bad(field(), "the piece occurs twice");
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const TokenId id = parts.pieces.find({&c, 1});
    if (id == PieceTable::kNone)
      return bad("model.vocab", "no piece for the single byte " + std::to_string(byte) +
                                    ": not a byte-level BPE, some text would be lost");
    parts.byte_id[static_cast<size_t>(byte)] = id;
  }
  return ok_status();
}

Status Reader::read_merges(const json::object& model, TokenizerParts& parts) const {
  const json::value* merges = member(model, "merges");
  if (merges == nullptr || !merges->is_array())
    return bad("model.merges", "expected an array of pairs of pieces");
  const json::array& rows = merges->get_array();
  parts.merges.reserve(rows.size());
  std::string left_bytes, right_bytes, joined;
  uint32_t rank = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    std::string_view left, right;
    if (const json::string* line = rows[row].if_string(); line != nullptr) {  // "a b"
      const std::string_view pair = view(*line);
      if (pair.starts_with("#version")) continue;  // first line of old merge files
      const size_t blank = pair.find(' ');
      if (blank != std::string_view::npos && pair.find(' ', blank + 1) == std::string_view::npos) {
        left = pair.substr(0, blank);
        right = pair.substr(blank + 1);
      }
    } else if (const json::array* pair = rows[row].if_array();
               pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() &&
               (*pair)[1].is_string()) {  // ["a", "b"]
      left = view((*pair)[0].get_string());
      right = view((*pair)[1].get_string());
    }
    const auto field = [&] { return at("model.merges", row); };
    if (left.empty() || right.empty()) return bad(field(), "expected two pieces");
    const bool spelled = spell_bytes(left, left_bytes) && spell_bytes(right, right_bytes);
    joined.assign(left_bytes).append(right_bytes);
    const TokenId left_id = spelled ? parts.pieces.find(left_bytes) : PieceTable::kNone;
    const TokenId right_id = spelled ? parts.pieces.find(right_bytes) : PieceTable::kNone;
    const TokenId id = spelled ? parts.pieces.find(joined) : PieceTable::kNone;
    if (left_id == PieceTable::kNone || right_id == PieceTable::kNone || id == PieceTable::kNone) {
      const std::string missing = left_id == PieceTable::kNone ? std::string(left)
                                  : right_id == PieceTable::kNone
                                      ? std::string(right)
                                      : std::string(left) + std::string(right);
      return bad(field(), "the piece " + quote(missing) + " is not in model.vocab");
    }
    parts.merges.insert(left_id, right_id, {rank++, id});
  }
  return ok_status();
}

Status Reader::read_added_tokens(const json::object& root, TokenizerParts& parts) const {
  const json::value* added = member(root, "added_tokens");
  if (added == nullptr) return ok_status();
  if (!added->is_array()) return bad("added_tokens", "expected an array");
  const json::array& tokens = added->get_array();
  std::string spelled;
  for (size_t row = 0; row < tokens.size(); ++row) {
    const auto field = [&] { return at("added_tokens", row); };
    const json::object* token = tokens[row].if_object();
    if (token == nullptr) return bad(field(), "expected an object");
    const json::value* content = member(*token, "content");
    if (content == nullptr || !content->is_string() || content->get_string().empty())
      return bad(field() + ".content", "expected a string that is not empty");
    const json::value* id_value = member(*token, "id");
    if (id_value == nullptr) return bad(field() + ".id", "missing");
    LYRE_ASSIGN_OR_RETURN(const TokenId id, read_id(*id_value, field() + ".id"));
    AddedTokens::Flags flags;
    LYRE_ASSIGN_OR_RETURN(flags.single_word, read_flag(*token, "single_word", field()));
    LYRE_ASSIGN_OR_RETURN(flags.lstrip, read_flag(*token, "lstrip", field()));
    LYRE_ASSIGN_OR_RETURN(flags.rstrip, read_flag(*token, "rstrip", field()));
    LYRE_ASSIGN_OR_RETURN(flags.normalized, read_flag(*token, "normalized", field()));

    const std::string_view name = view(content->get_string());
    const bool is_spelled = spell_bytes(name, spelled);
    const std::string_view bytes = is_spelled ? std::string_view(spelled) : name;
    // An added token may repeat a row of the vocabulary, but only with the same content.
    const bool same_row = parts.pieces.has(id) && parts.pieces.bytes(id) == bytes;
    if (parts.added_bytes.has(id) || (parts.pieces.has(id) && !same_row))
      return bad(field() + ".id", std::to_string(id) + " is already that of another token");
    if (!same_row && is_spelled && parts.pieces.find(bytes) != PieceTable::kNone)
      return bad(field() + ".content", quote(name) + " has another id in model.vocab");
    if (!parts.added.insert(name, id, flags))
      return bad(field() + ".content", quote(name) + " occurs twice");
    parts.added_bytes.set(bytes, id);
  }
  return ok_status();
}

Status Reader::read_pre_tokenizer(const json::value& value, const std::string& field, bool last,
                                  TokenizerParts& parts) const {
  const json::object* object = value.if_object();
  if (object == nullptr) return bad(field, "expected an object");
  if (last && is_type(*object, "ByteLevel")) return read_byte_level(*object, field, parts);
  if (!last && is_type(*object, "Split")) return read_split(*object, field, parts);
  if (!is_type(*object, "Sequence") || field != "pre_tokenizer")
    return bad(field, std::string("expected ") + (last ? "ByteLevel" : "Split") + ", found " +
                          type_of(*object));
  const json::value* list = member(*object, "pretokenizers");
  if (list == nullptr || !list->is_array() || list->get_array().empty())
    return bad(field + ".pretokenizers", "expected an array that is not empty");
  const json::array& steps = list->get_array();
  for (size_t step = 0; step < steps.size(); ++step) {
    LYRE_RETURN_IF_ERROR(read_pre_tokenizer(steps[step], at(field + ".pretokenizers", step),
                                            step + 1 == steps.size(), parts));
  }
  return ok_status();
}

Status Reader::read_split(const json::object& split, const std::string& field,
                          TokenizerParts& parts) const {
  const json::value* pattern = member(split, "pattern");
  const json::object* kind = pattern != nullptr ? pattern->if_object() : nullptr;
  const json::value* regex = kind != nullptr ? member(*kind, "Regex") : nullptr;
  if (regex == nullptr || !regex->is_string())
    return bad(field + ".pattern", "expected {\"Regex\": \"...\"}");
  const json::value* behavior = member(split, "behavior");
  if (behavior == nullptr || !behavior->is_string() || view(behavior->get_string()) != "Isolated")
    return bad(field + ".behavior", "only Isolated is supported");
  LYRE_ASSIGN_OR_RETURN(const bool invert, read_flag(split, "invert", field));
  if (invert) return bad(field + ".invert", "only false is supported");
  return add_pattern(view(regex->get_string()), field + ".pattern.Regex", parts);
}

Status Reader::read_byte_level(const json::object& byte_level, const std::string& field,
                               TokenizerParts& parts) const {
  const json::value* prefix = member(byte_level, "add_prefix_space");
  if (prefix == nullptr || !prefix->is_bool() || prefix->get_bool())
    return bad(field + ".add_prefix_space", "only false is supported");
  const json::value* use_regex = member(byte_level, "use_regex");  // true where it is absent
  if (use_regex != nullptr && !use_regex->is_bool())
    return bad(field + ".use_regex", "expected true or false");
  if (use_regex != nullptr && !use_regex->get_bool()) return ok_status();
  return add_pattern(kByteLevelPattern, field + ".use_regex", parts);
}

Status Reader::add_pattern(std::string_view pattern, const std::string& field,
                           TokenizerParts& parts) const {
  Result<SplitPattern> split = SplitPattern::compile(pattern);
  if (!split) return bad(field, split.error().message);
  parts.splits.push_back(std::move(*split));
  return ok_status();
}

Result<TokenizerParts> Reader::read(const json::value& root) {
  const json::object* file = root.if_object();
  if (file == nullptr) return bad("file", "expected an object");
  const json::value* model = member(*file, "model");
  if (model == nullptr || !model->is_object()) return bad("model", "expected an object");
  if (const json::value* normalizer = member(*file, "normalizer"); normalizer != nullptr) {
    const json::object* object = normalizer->if_object();
    return bad("normalizer", (object != nullptr ? type_of(*object) : "a normalizer") +
                                 " is not supported: byte-level BPE of the Llama 3 kind has null");
  }
  const json::value* decoder = member(*file, "decoder");
  if (decoder == nullptr || !decoder->is_object() || !is_type(decoder->get_object(), "ByteLevel"))
    return bad("decoder", "expected ByteLevel");
  const json::value* pre_tokenizer = member(*file, "pre_tokenizer");
  if (pre_tokenizer == nullptr) return bad("pre_tokenizer", "missing");

  TokenizerParts parts;
  LYRE_RETURN_IF_ERROR(read_pre_tokenizer(*pre_tokenizer, "pre_tokenizer", true, parts));
  LYRE_RETURN_IF_ERROR(check_model(model->get_object(), parts));
  LYRE_RETURN_IF_ERROR(read_vocabulary(model->get_object(), parts));
  LYRE_RETURN_IF_ERROR(read_merges(model->get_object(), parts));
  LYRE_RETURN_IF_ERROR(read_added_tokens(*file, parts));
  parts.size = std::max(parts.pieces.size(), parts.added_bytes.size());
  return parts;
}

}  // namespace

Result<TokenizerParts> parse_tokenizer_file(std::string_view text, const std::string& name) {
  if (text.size() > kMostBytes) {
    return Error{ErrorCode::kDataCorrupt,
                 name + ": " + std::to_string(text.size()) + " bytes are too many for a tokenizer"};
  }
  json::parse_options options;
  options.max_depth = kMostDepth;
  // The document lives for this function only: nothing in it is freed one by one.
  json::monotonic_resource arena;
  json::error_code error;
  json::parser parser(json::storage_ptr{}, options);
  parser.reset(&arena);
  const size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error && read < text.size()) error = json::error::extra_data;
  if (error) {
    return Error{ErrorCode::kDataCorrupt,
                 name + ": not JSON at byte " + std::to_string(read) + ": " + error.message()};
  }
  const json::value root = parser.release();
  return Reader(name).read(root);
}

}  // namespace lyre
