#pragma once

#include <gtest/gtest.h>

/// 1 under the thread sanitizer. Its runtime of clang defines the global allocation operators
/// itself and cannot be linked with a second set, so tests that replace them skip themselves there,
/// visibly; they run in the plain and the address sanitizer builds.
#if defined(__SANITIZE_THREAD__)
#define LYRE_TEST_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LYRE_TEST_THREAD_SANITIZER 1
#endif
#endif
#ifndef LYRE_TEST_THREAD_SANITIZER
#define LYRE_TEST_THREAD_SANITIZER 0
#endif

/// First line of such a test.
#define LYRE_SKIP_UNDER_THREAD_SANITIZER()                                      \
  if (LYRE_TEST_THREAD_SANITIZER) {                                             \
    GTEST_SKIP() << "the thread sanitizer has allocation operators of its own"; \
  }
