#include "lyre/ignored_variables.h"

#include <gtest/gtest.h>

#include <string>

namespace lyre::command {
namespace {

std::string names(std::initializer_list<const char*> variables) {
  std::vector<const char*> environment(variables);
  environment.push_back(nullptr);
  std::string joined;
  for (const IgnoredVariable& ignored : ignored_variables(environment.data())) {
    EXPECT_NE(ignored.why, "") << ignored.name;
    joined += ignored.name + " ";
  }
  return joined;
}

TEST(IgnoredVariables, WhatHasNoEffectIsNamed) {
  EXPECT_EQ(names({"TRT_KV_CACHE_MAX_TOKENS=1", "TRT_DTYPE=bf16", "LYRE_PROT=80"}),
            "TRT_KV_CACHE_MAX_TOKENS TRT_DTYPE LYRE_PROT ");
}

TEST(IgnoredVariables, SettingsOtherProgramsAndEmptyOnesAreNot) {
  EXPECT_EQ(
      names({"LYRE_PORT=80", "LYRE_CONFIG=a", "TRT_TEMPERATURE=1", "PATH=/bin", "LYRE_X=", "odd"}),
      "");
}

}  // namespace
}  // namespace lyre::command
