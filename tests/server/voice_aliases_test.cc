#include "lyre/server/voice_aliases.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace lyre::server {
namespace {

ServiceInfo info_of(std::initializer_list<const char*> names) {
  ServiceInfo info;
  for (const char* name : names) info.voices.push_back({name, "", "", ""});
  return info;
}

std::string resolved(std::string_view name, const VoiceAliases& set, const ServiceInfo& info) {
  const Result<std::string> voice = resolve_voice(name, set, info);
  return voice ? *voice : "error: " + voice.error().message;
}

TEST(VoiceAliases, OpenAisNamesShareTheVoicesInTurn) {
  const ServiceInfo info = info_of({"ada", "max", "eve"});
  const std::map<std::string, std::string> expected = {
      {"alloy", "ada"}, {"ash", "max"},   {"ballad", "eve"}, {"coral", "ada"}, {"echo", "max"},
      {"fable", "eve"}, {"onyx", "ada"},  {"nova", "max"},   {"sage", "eve"},  {"shimmer", "ada"},
      {"verse", "max"}, {"marin", "eve"}, {"cedar", "ada"}};
  std::map<std::string, std::string> found;
  for (const VoiceAlias& alias : all_voice_aliases({}, info)) found[alias.name] = alias.voice;
  EXPECT_EQ(found, expected);
  for (const auto& [name, voice] : expected) EXPECT_EQ(resolved(name, {}, info), voice);
}

TEST(VoiceAliases, AVoiceOfTheModelIsHeardUnderItsName) {
  const ServiceInfo info = info_of({"ada", "alloy"});
  EXPECT_EQ(resolved("alloy", {}, info), "alloy");
  EXPECT_EQ(resolved("ash", {}, info), "alloy");
  EXPECT_EQ(resolved("ada", {}, info), "ada");
}

TEST(VoiceAliases, WhatIsSetWinsAndMovesNoOther) {
  const ServiceInfo info = info_of({"ada", "max"});
  const VoiceAliases set = {{"alloy", "max"}, {"butler", "max"}};
  EXPECT_EQ(resolved("alloy", set, info), "max");
  EXPECT_EQ(resolved("butler", set, info), "max");
  EXPECT_EQ(resolved("ash", set, info), "max");
  EXPECT_EQ(resolved("ballad", set, info), "ada");
  EXPECT_EQ(all_voice_aliases(set, info).size(), 14u);
}

TEST(VoiceAliases, NoNameIsTheDefaultVoice) { EXPECT_EQ(resolved("", {}, info_of({"ada"})), ""); }

TEST(VoiceAliases, AnUnknownNameListsTheVoices) {
  for (const char* name : {"nobody", "ADA", " ada", "ada\n", "../ada"}) {
    const Result<std::string> voice = resolve_voice(name, {}, info_of({"ada", "max"}));
    ASSERT_FALSE(voice.ok()) << name;
    EXPECT_EQ(voice.error().code, ErrorCode::kNotFound);
    EXPECT_NE(voice.error().message.find("ada, max"), std::string::npos) << voice.error().message;
  }
}

TEST(VoiceAliases, AModelThatTakesAnyNameGetsIt) {
  const ServiceInfo info = info_of({});
  EXPECT_EQ(resolved("alloy", {}, info), "alloy");
  EXPECT_EQ(resolved("someone", {}, info), "someone");
  EXPECT_EQ(resolved("alloy", {{"alloy", "tara"}}, info), "tara");
  EXPECT_TRUE(all_voice_aliases({}, info).empty());
}

TEST(VoiceAliases, ReadsPairs) {
  const auto aliases = parse_voice_aliases("alloy=ada, nova = max,");
  ASSERT_TRUE(aliases.ok());
  ASSERT_EQ(aliases->size(), 2u);
  EXPECT_EQ((*aliases)[0].name, "alloy");
  EXPECT_EQ((*aliases)[0].voice, "ada");
  EXPECT_EQ((*aliases)[1].name, "nova");
  EXPECT_EQ((*aliases)[1].voice, "max");
  EXPECT_TRUE(parse_voice_aliases("")->empty());
}

TEST(VoiceAliases, BrokenPairsAreNamed) {
  const struct {
    const char* text;
    const char* part;
  } cases[] = {
      {"alloy", "'alloy'"}, {"=ada", "'=ada'"}, {"a=x,nova=", "'nova='"}, {"a=x,a=y", "'a' twice"}};
  for (const auto& c : cases) {
    const auto aliases = parse_voice_aliases(c.text);
    ASSERT_FALSE(aliases.ok()) << c.text;
    EXPECT_NE(aliases.error().message.find(c.part), std::string::npos) << aliases.error().message;
  }
}

TEST(VoiceAliases, MustFitTheModel) {
  const ServiceInfo info = info_of({"ada", "max"});
  EXPECT_TRUE(check_voice_aliases({{"alloy", "max"}}, info).ok());
  EXPECT_TRUE(check_voice_aliases({{"alloy", "whoever"}}, info_of({})).ok());
  const Status unknown = check_voice_aliases({{"alloy", "eve"}}, info);
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("'eve'"), std::string::npos) << unknown.error().message;
  const Status hidden = check_voice_aliases({{"ada", "max"}}, info);
  ASSERT_FALSE(hidden.ok());
  EXPECT_NE(hidden.error().message.find("'ada'"), std::string::npos) << hidden.error().message;
}

}  // namespace
}  // namespace lyre::server
