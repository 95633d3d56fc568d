#include "lyre/text/prompt_family.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "lyre/base/embedded.h"
#include "lyre/base/quote.h"
#include "lyre/base/utf8.h"
#include "lyre/text/code_point.h"
#include "lyre/text/prompt_family_file.h"

namespace lyre {
namespace {

constexpr int64_t kMostNameCharacters = 64;
constexpr std::string_view kExtension = ".json";

// The file name is the family's name, so that names need no parsing; a test holds the two equal.
std::string_view name_of(const embedded::EmbeddedFile& file) {
  return file.name.substr(0, file.name.size() - kExtension.size());
}

std::string names_in_words() {
  std::string names;
  for (const std::string& name : family_names())
    names.append(names.empty() ? "" : ", ").append(name);
  return names;
}

bool is_path(const std::string& name_or_path) {
  return name_or_path.find('/') != std::string::npos || name_or_path.ends_with(kExtension);
}

Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string contents{std::istreambuf_iterator<char>(file), {}};
  if (!file || std::filesystem::is_directory(path))
    return Error{ErrorCode::kNotFound, path.string() + ": cannot be read"};
  return contents;
}

}  // namespace

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const embedded::EmbeddedFile& file : embedded::families()) names.emplace_back(name_of(file));
  std::sort(names.begin(), names.end());
  return names;
}

Result<PromptFamily> load_family(const std::string& name_or_path) {
  if (is_path(name_or_path)) {
    LYRE_ASSIGN_OR_RETURN(const std::string contents, read_file(name_or_path));
    return parse_family_file(contents, name_or_path);
  }
  for (const embedded::EmbeddedFile& file : embedded::families()) {
    if (name_of(file) == name_or_path)
      return parse_family_file(file.contents, std::string(file.name));
  }
  return Error{ErrorCode::kNotFound, "no prompt family " + quote(name_or_path) + "; there are " +
                                         names_in_words() + ", or the path of a family file"};
}

Result<PromptFamily> detect_family(const Tokenizer& tokenizer) {
  PromptFamily best;
  for (const embedded::EmbeddedFile& file : embedded::families()) {
    LYRE_ASSIGN_OR_RETURN(PromptFamily family,
                          parse_family_file(file.contents, std::string(file.name)));
    bool has_all = true;
    for (const std::string& token : family.detect) has_all &= tokenizer.find(token).has_value();
    if (has_all && family.detect.size() > best.detect.size()) best = std::move(family);
  }
  if (!best.detect.empty()) return best;
  return Error{ErrorCode::kNotFound,
               "the tokenizer has the tokens of no known prompt family; name one of " +
                   names_in_words() + ", or a family file"};
}

Result<VoiceFile> load_voice_file(const std::filesystem::path& file) {
  LYRE_ASSIGN_OR_RETURN(const std::string contents, read_file(file));
  LYRE_ASSIGN_OR_RETURN(VoiceFile voices, parse_voice_file(contents, file.string()));
  if (is_path(voices.family)) voices.family = (file.parent_path() / voices.family).string();
  return voices;
}

Status validate_voice_name(std::string_view name) {
  const auto bad = [](const std::string& problem) {
    return Error{ErrorCode::kInvalidArgument, problem};
  };
  if (name.empty()) return bad("expected a voice name, found an empty string");
  if (find_invalid_utf8(name)) return bad("expected a voice name in UTF-8, found " + quote(name));
  if (utf8_code_points(name) > kMostNameCharacters)
    return bad("expected a voice name of at most " + std::to_string(kMostNameCharacters) +
               " characters, found " + quote(name));
  for (size_t at = 0; at < name.size();) {
    const CodePoint point = decode_utf8(name, at);
    const auto c = static_cast<UChar32>(point.value);
    const bool at_end = at == 0 || at + point.bytes == name.size();
    if ((U_GET_GC_MASK(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_ZL_MASK | U_GC_ZP_MASK)) != 0)
      return bad("expected a voice name without control characters, found " + quote(name));
    if (at_end && u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) != 0)
      return bad("expected a voice name without blanks at its ends, found " + quote(name));
    at += point.bytes;
  }
  return ok_status();
}

}  // namespace lyre
