#include "lyre/model_location.h"

#include <gtest/gtest.h>

#include "support/paths.h"
#include "support/temp_folder.h"

namespace lyre::command {
namespace {

namespace fs = std::filesystem;
using lyre::test::TempFolder;

void make_voice(const fs::path& folder) {
  fs::create_directories(folder / "lm");
  fs::create_directories(folder / "codec");
}

TEST(ModelLocation, FindsTheDemoVoiceAboveABuild) {
  const fs::path root = lyre::test::source_dir();
  EXPECT_EQ(find_demo_voice(root / "build/cpu-release/bin/lyre"), root / "voices/demo");
  EXPECT_EQ(find_demo_voice(root / "lyre"), root / "voices/demo");
}

TEST(ModelLocation, FindsTheDemoVoiceOfAnInstallation) {
  const TempFolder folder;
  const fs::path executable = folder.path() / "usr/bin/lyre";
  EXPECT_EQ(find_demo_voice(executable), std::nullopt);
  make_voice(folder.path() / "usr/share/lyre/voices/demo");
  EXPECT_EQ(find_demo_voice(executable), folder.path() / "usr/share/lyre/voices/demo");
}

TEST(ModelLocation, WithoutAnyVoiceTheErrorSaysWhatToDo) {
  Settings settings;
  const Status located = locate_models("/nowhere/bin/lyre", settings);
  ASSERT_FALSE(located.ok());
  EXPECT_NE(located.error().message.find("--model DIR --codec DIR"), std::string::npos);
}

TEST(ModelLocation, AVoiceFolderIsBoth) {
  const TempFolder folder;
  make_voice(folder.path());
  Settings by_folder;
  by_folder.voice_dir = folder.path();
  ASSERT_TRUE(locate_models("/bin/lyre", by_folder).ok());
  Settings by_model;
  by_model.engine.model = folder.path();
  ASSERT_TRUE(locate_models("/bin/lyre", by_model).ok());
  for (const Settings& settings : {by_folder, by_model}) {
    EXPECT_EQ(settings.engine.model, folder.path() / "lm");
    EXPECT_EQ(settings.engine.codec, folder.path() / "codec");
  }
}

TEST(ModelLocation, WhatIsNamedWinsOverTheVoiceFolder) {
  const TempFolder folder;
  make_voice(folder.path());
  Settings settings;
  settings.voice_dir = folder.path();
  settings.engine.codec = "/other/codec";
  ASSERT_TRUE(locate_models("/bin/lyre", settings).ok());
  EXPECT_EQ(settings.engine.model, folder.path() / "lm");
  EXPECT_EQ(settings.engine.codec, "/other/codec");
}

TEST(ModelLocation, AVoiceFolderAsModelWinsOverTheVoiceFolder) {
  const TempFolder one, other;
  make_voice(one.path());
  make_voice(other.path());
  Settings settings;
  settings.voice_dir = one.path();
  settings.engine.model = other.path();
  ASSERT_TRUE(locate_models("/bin/lyre", settings).ok());
  EXPECT_EQ(settings.engine.model, other.path() / "lm");
  EXPECT_EQ(settings.engine.codec, other.path() / "codec");
}

TEST(ModelLocation, TwoFoldersAreTakenAsTheyAre) {
  Settings settings;
  settings.engine.model = "/a";
  settings.engine.codec = "/b";
  ASSERT_TRUE(locate_models("/bin/lyre", settings).ok());
  EXPECT_EQ(settings.engine.model, "/a");
  EXPECT_EQ(settings.engine.codec, "/b");
}

TEST(ModelLocation, HalfAPairIsAnErrorThatNamesTheOtherFlag) {
  const TempFolder folder;
  Settings no_codec;
  no_codec.engine.model = folder.path();
  EXPECT_NE(locate_models("/bin/lyre", no_codec).error().message.find("--codec DIR"),
            std::string::npos);
  Settings no_folder;
  no_folder.engine.model = "/nowhere";
  EXPECT_NE(locate_models("/bin/lyre", no_folder).error().message.find("not a folder"),
            std::string::npos);
  Settings no_model;
  no_model.engine.codec = folder.path();
  EXPECT_NE(locate_models("/bin/lyre", no_model).error().message.find("--model DIR"),
            std::string::npos);
  Settings no_voice;
  no_voice.voice_dir = folder.path();
  EXPECT_NE(locate_models("/bin/lyre", no_voice).error().message.find("codec/ (SNAC)"),
            std::string::npos);
}

TEST(ModelLocation, ACodecAlone) {
  const TempFolder folder;
  make_voice(folder.path());
  Settings of_folder, named, demo;
  of_folder.voice_dir = folder.path();
  ASSERT_TRUE(locate_codec("/bin/lyre", of_folder).ok());
  EXPECT_EQ(of_folder.engine.codec, folder.path() / "codec");
  named.engine.codec = "/snac";
  ASSERT_TRUE(locate_codec("/bin/lyre", named).ok());
  EXPECT_EQ(named.engine.codec, "/snac");
  ASSERT_TRUE(locate_codec(lyre::test::source_dir() / "build/bin/lyre", demo).ok());
  EXPECT_EQ(demo.engine.codec, lyre::test::demo_voice() / "codec");
  EXPECT_FALSE(locate_codec("/nowhere/lyre", *std::make_unique<Settings>()).ok());
}

}  // namespace
}  // namespace lyre::command
