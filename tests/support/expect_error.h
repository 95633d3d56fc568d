#pragma once

#include <initializer_list>
#include <string_view>

#include <gtest/gtest.h>

#include "lyre/base/result.h"

namespace lyre::test {

/// The result is an error of that code whose message holds all the words: an error that does not
/// name the file and the field helps nobody.
template <class T>
testing::AssertionResult is_error(const Result<T>& result, ErrorCode code,
                                  std::initializer_list<std::string_view> words) {
  if (result.ok()) return testing::AssertionFailure() << "no error";
  const Error& error = result.error();
  if (error.code != code) {
    return testing::AssertionFailure() << "error " << error_code_name(error.code) << ", expected "
                                       << error_code_name(code) << ": " << error.message;
  }
  for (const std::string_view word : words) {
    if (error.message.find(word) == std::string::npos) {
      return testing::AssertionFailure() << "'" << word << "' is not in: " << error.message;
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace lyre::test
