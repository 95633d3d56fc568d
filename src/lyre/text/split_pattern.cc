#define PCRE2_CODE_UNIT_WIDTH 8
#include "lyre/text/split_pattern.h"

#include <pcre2.h>

#include <array>
#include <limits>

#include "lyre/base/check.h"
#include "lyre/base/utf8.h"
#include "lyre/text/code_point.h"

namespace lyre {
namespace {

// The published patterns stay below two steps a byte; this many more are refused, not waited for.
constexpr size_t kFreeSteps = 100'000;
constexpr size_t kStepsPerByte = 64;
// The interpreter's memory, where there is no JIT or its stack was too small.
constexpr uint32_t kHeapLimitKibibytes = 64 * 1024;

Error bad_pattern(const std::string& what, size_t offset) {
  return {ErrorCode::kInvalidArgument, what + " at offset " + std::to_string(offset)};
}

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

// Escapes that mean the same to both; \v for one is a tab, \h a hex digit, \w and \b differ.
constexpr std::string_view kCommonEscapes = "dDpPrntfaex";
constexpr std::array<std::string_view, 10> kCommonGroups = {
    "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)", "(?-i:", "(?-i)"};

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Rewrites the pattern for PCRE2 and refuses what Oniguruma (in its Ruby syntax) and PCRE2 read
// differently.
Result<std::string> translate(std::string_view pattern) {
  std::string out = "(*LF)";  // what a dot does not match, as in Ruby
  const auto unsupported = [](const std::string& what, size_t at) {
    return bad_pattern("the pattern has an unsupported " + what, at);
  };
  bool in_class = false;
  for (size_t at = 0; at < pattern.size(); ++at) {
    const std::string_view rest = pattern.substr(at);
    const char c = rest[0];
    if (c == '\\') {
      if (rest.size() < 2) return unsupported("backslash", at);
      const char escaped = rest[1];
      if (escaped == 's') {
        out += "\\p{White_Space}";
      } else if (escaped == 'S') {
        out += "\\P{White_Space}";
      } else if (!is_alphanumeric(escaped) || kCommonEscapes.find(escaped) != kCommonEscapes.npos) {
        size_t length = 2;
        if (rest.size() > 2 && rest[2] == '{' &&
            std::string_view("pPx").find(escaped) != rest.npos) {
          length = rest.find('}') + 1;  // \p{L}, \x{20}: its braces are no repetition
          if (length == 0) return unsupported("brace", at);
        }
        out += rest.substr(0, length);
        at += length - 2;
      } else {
        return unsupported(std::string("escape \\") + escaped, at);
      }
      ++at;
      continue;
    }
    if (in_class) {
      if (c == '[' || rest.starts_with("&&")) return unsupported("class inside a class", at);
      if (c == ']') in_class = false;
      out += c;
      continue;
    }
    if (c == '[') {
      // "[]" and "[^]" are a class with a bracket to the one and an error to the other.
      if (rest.starts_with("[]") || rest.starts_with("[^]")) return unsupported("class", at);
      in_class = true;
    } else if (c == '^' || c == '$') {  // of a line, or of the text
      return unsupported("anchor", at);
    } else if (rest.starts_with("}+") || rest.starts_with("{,")) {
      return unsupported("repetition", at);
    } else if (rest.starts_with("(*")) {
      return unsupported("verb", at);
    } else if (rest.starts_with("(?")) {
      bool common = false;
      for (const std::string_view group : kCommonGroups) common |= rest.starts_with(group);
      if (!common) return unsupported("group", at);
    }
    out += c;
  }
  return out;
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const noexcept { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const noexcept {
    pcre2_match_context_free(context);
  }
};

}  // namespace

void SplitPattern::Free::operator()(void* code) const noexcept {
  pcre2_code_free(static_cast<pcre2_code*>(code));
}

Result<SplitPattern> SplitPattern::compile(std::string_view pattern) {
  if (const std::optional<size_t> bad = find_invalid_utf8(pattern))
    return bad_pattern("the pattern is not UTF-8", *bad);
  LYRE_ASSIGN_OR_RETURN(const std::string translated, translate(pattern));
  int error = 0;
  PCRE2_SIZE offset = 0;
  SplitPattern split;
  // UCP: classes are those of Unicode. NEVER_BACKSLASH_C: \C would cut characters.
  split.code_.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  if (!split.code_) {
    return Error{ErrorCode::kInvalidArgument, "the pattern does not compile: " + message_of(error)};
  }
  split.has_jit_ = pcre2_jit_compile(static_cast<pcre2_code*>(split.code_.get()),
                                     PCRE2_JIT_COMPLETE) == 0;  // else the interpreter serves
  return split;
}

Status SplitPattern::split(std::string_view text, size_t begin, size_t end,
                           std::vector<size_t>& ends) const {
  // A word of its own to the pattern: nothing looks behind its begin or beyond its end.
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data() + begin);
  const size_t length = end - begin;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_data, FreeMatchData> match(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeMatchContext> context(
      pcre2_match_context_create(nullptr));
  if (!match || !context) return Error{ErrorCode::kResourceExhausted, "out of memory"};
  const size_t steps = kFreeSteps + kStepsPerByte * length;
  pcre2_set_match_limit(context.get(), static_cast<uint32_t>(std::min<size_t>(
                                           steps, std::numeric_limits<uint32_t>::max())));
  pcre2_set_heap_limit(context.get(), kHeapLimitKibibytes);

  size_t word = 0;  // where the next word begins
  for (size_t from = 0; from < length;) {
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (has_jit_) {
      found = pcre2_jit_match(code, subject, length, from, 0, match.get(), context.get());
    }
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code, subject, length, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                          match.get(), context.get());
    }
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      return Error{ErrorCode::kResourceExhausted, "the split pattern failed at byte " +
                                                      std::to_string(begin + from) +
                                                      " of the text: " + message_of(found)};
    }
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
    // \K can put the start behind the end or before `from`; translate() lets no \K through.
    LYRE_CHECK(span[0] >= from && span[1] >= span[0] && span[1] <= length);
    if (span[0] > word) ends.push_back(begin + span[0]);
    if (span[1] > span[0]) ends.push_back(begin + span[1]);
    word = span[1];
    from = span[1];
    // An empty match only marks a border: the search goes on behind the next character.
    if (span[1] == span[0] && from < length)
      from += decode_utf8(text.substr(begin, length), from).bytes;
  }
  if (word < length) ends.push_back(end);
  return ok_status();
}

}  // namespace lyre
