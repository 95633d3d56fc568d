// The small parts of the command that have no state of their own.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "apps/read_file.h"
#include "lyre/bench_requests.h"
#include "lyre/code_text.h"
#include "lyre/json_text.h"
#include "lyre/progress_bar.h"
#include "lyre/quantiles.h"
#include "lyre/speech_output.h"
#include "lyre/text_input.h"
#include "support/temp_folder.h"

namespace lyre::command {
namespace {

using lyre::test::TempFolder;

std::string text_error(const TextSource& source) {
  const auto text = read_text(source);
  return text ? "no error" : text.error().message;
}

TEST(TextInput, WordsAreJoined) {
  EXPECT_EQ(*read_text({{"Hello", "there."}, ""}), "Hello there.");
  EXPECT_EQ(*read_text({{"Hello there."}, ""}), "Hello there.");
}

TEST(TextInput, AFileIsTakenAsItIsWithoutTheMarkOfEditors) {
  const TempFolder folder;
  EXPECT_EQ(*read_text({{}, folder.write("a", "One.\n\nTwo.\n")}), "One.\n\nTwo.\n");
  EXPECT_EQ(*read_text({{}, folder.write("b", "\xef\xbb\xbfOne.")}), "One.");
}

TEST(TextInput, WhatCannotBeSpokenIsAnError) {
  const TempFolder folder;
  EXPECT_NE(text_error({{""}, ""}).find("empty"), std::string::npos);
  EXPECT_NE(text_error({{" ", "\t\n"}, ""}).find("empty"), std::string::npos);
  EXPECT_NE(text_error({{}, folder.write("a", "abc\xff")}).find("byte 3"), std::string::npos);
  EXPECT_NE(text_error({{}, "/nowhere/text"}).find("/nowhere/text"), std::string::npos);
  EXPECT_NE(text_error({{"a"}, "b"}).find("not both"), std::string::npos);
}

TEST(ProgressBar, NeverClaimsToBeDone) {
  EXPECT_EQ(progress_line(0, 20, 1),
            "[..............................] 0.0 s of about 20 s, 0.0x real time");
  EXPECT_EQ(progress_line(10, 20, 1),
            "[###############...............] 10.0 s of about 20 s, 10.0x real time");
  EXPECT_EQ(progress_line(30, 20, 1),
            "[#############################.] 30.0 s of about 30 s, 30.0x real time");
  EXPECT_EQ(progress_line(0, 0, 0).substr(0, 32), "[..............................]");
}

TEST(SpeechOutput, WritesWavAndRaw) {
  const TempFolder folder;
  const std::vector<float> samples = {0.0f, 0.5f, -0.5f, 1.0f};
  const std::string pcm("\x00\x00\x00\x40\x00\xc0\xff\x7f", 8);
  for (const bool raw : {true, false}) {
    const auto file = folder.path() / (raw ? "a.pcm" : "a.wav");
    SpeechOutput output(file, raw, 24'000);
    EXPECT_FALSE(output.opened());
    EXPECT_FALSE(std::filesystem::exists(file));  // not before there is something to write
    ASSERT_TRUE(output.write(std::span(samples).first(1)).ok());
    ASSERT_TRUE(output.write(std::span(samples).subspan(1)).ok());
    EXPECT_TRUE(output.opened());
    ASSERT_TRUE(output.finish().ok());
    const std::string bytes = read_file(file);
    EXPECT_EQ(bytes.substr(raw ? 0 : 44), pcm);
    EXPECT_EQ(bytes.size(), raw ? 8u : 52u);
    if (!raw) {
      EXPECT_EQ(bytes.substr(40, 4), std::string("\x08\0\0\0", 4));  // length patched
    }
  }
}

TEST(SpeechOutput, AnImpossibleFileIsNamed) {
  for (const bool raw : {true, false}) {
    SpeechOutput output("/nowhere/a.wav", raw, 24'000);
    const Status written = output.write(std::vector<float>{0.0f});
    ASSERT_FALSE(written.ok());
    EXPECT_NE(written.error().message.find("/nowhere/a.wav"), std::string::npos);
  }
}

TEST(SpeechOutput, AFullDiskIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  for (const bool raw : {true, false}) {
    SpeechOutput output("/dev/full", raw, 24'000);
    const bool written = output.write(std::vector<float>(10, 0.0f)).ok();
    EXPECT_FALSE(written && output.finish().ok());
  }
}

TEST(SpeechOutput, AFreeNameOverwritesNothing) {
  const TempFolder folder;
  EXPECT_EQ(free_output_name(folder.path(), false), "speech.wav");
  EXPECT_EQ(free_output_name(folder.path(), true), "speech.pcm");
  folder.write("speech.wav", "");
  EXPECT_EQ(free_output_name(folder.path(), false), "speech-2.wav");
  folder.write("speech-2.wav", "");
  EXPECT_EQ(free_output_name(folder.path(), false), "speech-3.wav");
}

TEST(CodeText, WhatIsWrittenIsRead) {
  const std::vector<FrameCodes> frames = {{0, 1, 2, 3, 4, 5, 6}, {1023, 0, 0, 0, 0, 0, 1023}};
  const std::string text = format_codes(frames);
  EXPECT_EQ(text, "0 1 2 3 4 5 6\n1023 0 0 0 0 0 1023\n");
  EXPECT_EQ(*parse_codes(text, 1024, "x"), frames);
  EXPECT_EQ(*parse_codes("# note\r\n\n  0\t1 2 3 4 5 6  \r\n1023 0 0 0 0 0 1023", 1024, "x"),
            frames);
  EXPECT_TRUE(parse_codes("", 1024, "x")->empty());
}

TEST(CodeText, ABadLineIsNamed) {
  for (const char* line :
       {"1 2 3 4 5 6", "1 2 3 4 5 6 7 8", "1 2 3 4 5 6 1024", "1 2 3 4 5 6 -1", "1 2 3 4 5 6 7x",
        "1,2,3,4,5,6,7", "a b c d e f g", "1 2 3 4 5 6 99999999999999"}) {
    const auto parsed = parse_codes(std::string("0 0 0 0 0 0 0\n") + line + "\n", 1024, "my.codes");
    ASSERT_FALSE(parsed.ok()) << line;
    EXPECT_NE(parsed.error().message.find("my.codes:2:"), std::string::npos);
    EXPECT_NE(parsed.error().message.find("0 to 1023"), std::string::npos);
  }
}

TEST(JsonText, IndentsObjectsAndKeepsPlainListsOnALine) {
  EXPECT_EQ(indented_json(R"({"a":[1,2],"b":{"c":null},"d":[{"e":"x"}],"f":{},"g":[]})"),
            "{\n"
            "  \"a\": [1,2],\n"
            "  \"b\": {\n"
            "    \"c\": null\n"
            "  },\n"
            "  \"d\": [\n"
            "    {\n"
            "      \"e\": \"x\"\n"
            "    }\n"
            "  ],\n"
            "  \"f\": {},\n"
            "  \"g\": []\n"
            "}");
}

TEST(Quantiles, ByNearestRank) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  const Quantiles of_100 = quantiles(values);
  EXPECT_EQ(of_100.p50, 50);
  EXPECT_EQ(of_100.p90, 90);
  EXPECT_EQ(of_100.p99, 99);
  const Quantiles of_1 = quantiles({7});
  EXPECT_EQ(of_1.p50, 7);
  EXPECT_EQ(of_1.p99, 7);
  EXPECT_EQ(quantiles({}).p50, 0);
  EXPECT_EQ(quantiles({2, 1}).p50, 1);
}

TEST(FirstAudibleSample, SkipsWhatIsBelow50DecibelsForTenMilliseconds) {
  std::vector<float> samples(24'000, 0.001f);  // -60 dBFS
  EXPECT_EQ(first_audible_sample(samples, 24'000), samples.size());
  samples[100] = 0.02f;  // a tick, too short to be heard as speech
  EXPECT_EQ(first_audible_sample(samples, 24'000), samples.size());
  for (size_t i = 12'000; i < samples.size(); ++i) samples[i] = i % 2 == 0 ? 0.1f : -0.1f;
  const size_t first = first_audible_sample(samples, 24'000);
  EXPECT_GT(first, 12'000u - 240);
  EXPECT_LT(first, 12'000u);
  EXPECT_EQ(first_audible_sample(std::vector<float>(240, 1.0f), 24'000), 0u);
  EXPECT_EQ(first_audible_sample({}, 24'000), 0u);
}

}  // namespace
}  // namespace lyre::command
