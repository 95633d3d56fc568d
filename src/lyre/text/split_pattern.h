#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

/// The regular expression that cuts text into words before BPE (a "Split" pre-tokenizer of
/// behaviour "Isolated"), compiled by PCRE2. The reference runs Oniguruma: patterns are limited to
/// what both read alike, and \s is made to mean Unicode's White_Space as it does there (PCRE2 adds
/// U+180E). What is left is the Unicode version: characters younger than that of the installed
/// PCRE2 (14 in Debian 12) are no letters or digits. Any thread.
class SplitPattern {
 public:
  /// kInvalidArgument with the offset in the pattern.
  static Result<SplitPattern> compile(std::string_view pattern);

  /// Appends the ends of the words of text[begin, end): matches, and what lies between them, so
  /// that the last one is `end`. Precondition: valid UTF-8. kResourceExhausted if the pattern
  /// backtracks without bound on this text.
  Status split(std::string_view text, size_t begin, size_t end, std::vector<size_t>& ends) const;

 private:
  struct Free {
    void operator()(void* code) const noexcept;  // pcre2_code*
  };
  std::unique_ptr<void, Free> code_;
  bool has_jit_ = false;
};

}  // namespace lyre
