// The command line as a whole, as far as it goes without a model; tests/e2e goes further.
#include "lyre/command.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "lyre/base/cuda/gpus.h"
#include "lyre/exit_code.h"
#include "lyre/settings.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace lyre::command {
namespace {

struct Outcome {
  int exit_code = 0;
  std::string out, err;
};

/// Runs the program without the settings of whoever runs the tests.
Outcome lyre_with(std::vector<const char*> arguments) {
  for (const Setting& setting : settings_table()) ::unsetenv(setting.environment);
  ::unsetenv("LYRE_CONFIG");
  arguments.insert(arguments.begin(), "lyre");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.exit_code = run(static_cast<int>(arguments.size()), arguments.data());
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

bool has(const std::string& text, const char* part) { return text.find(part) != text.npos; }

TEST(Command, VersionNamesTheCommit) {
  const Outcome outcome = lyre_with({"--version"});
  EXPECT_EQ(outcome.exit_code, kExitOk);
  EXPECT_TRUE(outcome.out.starts_with("lyre 0.")) << outcome.out;
  EXPECT_EQ(outcome.err, "");
}

TEST(Command, HelpTeachesWithExamples) {
  const Outcome all = lyre_with({"--help"});
  EXPECT_EQ(all.exit_code, kExitOk);
  for (const char* part : {"say", "serve", "bench", "warmup-demo", "profile", "inspect", "codec",
                           "Examples:", "Exit codes"}) {
    EXPECT_TRUE(has(all.out, part)) << part;
  }
  for (const char* name : {"say", "serve", "bench", "warmup-demo", "profile", "inspect"}) {
    const Outcome one = lyre_with({name, "--help"});
    EXPECT_EQ(one.exit_code, kExitOk) << name;
    EXPECT_TRUE(has(one.out, "Examples:")) << name;
  }
  EXPECT_TRUE(has(lyre_with({"codec", "encode", "--help"}).out, "Example:"));
}

TEST(Command, WrongUseIs2AndPointsToTheHelp) {
  const std::vector<std::vector<const char*>> cases = {
      {},          {"sing"}, {"say", "--nosuch"}, {"serve", "--port"}, {"bench", "-n", "0"},
      {"inspect"}, {"codec"}};
  for (const auto& arguments : cases) {
    const Outcome outcome = lyre_with(arguments);
    EXPECT_EQ(outcome.exit_code, kExitUsage);
    EXPECT_TRUE(has(outcome.err, "--help")) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_TRUE(has(lyre_with({"say", "--nosuch"}).err, "Try 'lyre say --help'"));
}

TEST(Command, AnEmptyTextIs2) {
  for (const char* text : {"", "  ", "\n"}) {
    const Outcome outcome = lyre_with({"say", text});
    EXPECT_EQ(outcome.exit_code, kExitUsage);
    EXPECT_TRUE(has(outcome.err, "empty")) << outcome.err;
  }
}

TEST(Command, AWrongSettingIs2) {
  const Outcome flag = lyre_with({"say", "a", "--threads", "many"});
  EXPECT_EQ(flag.exit_code, kExitUsage);
  EXPECT_TRUE(has(flag.err, "--threads: expected an integer")) << flag.err;
  const Outcome file = lyre_with({"say", "a", "--config", "/nowhere/lyre.toml"});
  EXPECT_EQ(file.exit_code, kExitUsage);
  EXPECT_TRUE(has(file.err, "/nowhere/lyre.toml")) << file.err;
  const Outcome off = lyre_with({"say", "a", "--legal-slots=perhaps"});
  EXPECT_EQ(off.exit_code, kExitUsage);
}

TEST(Command, ASwitchDoesNotEatTheText) {
  // Had it, there would be no text; as it is, the missing folder is what is wrong.
  const Outcome outcome = lyre_with({"say", "--fast-start", "a", "--voice-dir", "/nowhere"});
  EXPECT_EQ(outcome.exit_code, kExitModel) << outcome.err;
}

TEST(Command, AFolderThatIsNoModelIs3AndSaysWhatIsMissing) {
  const lyre::test::TempFolder folder;
  const std::string path = folder.path().string();
  const Outcome half = lyre_with({"say", "a", "--model", path.c_str()});
  EXPECT_EQ(half.exit_code, kExitModel);
  EXPECT_TRUE(has(half.err, "--codec DIR")) << half.err;
  const Outcome empty = lyre_with({"say", "a", "--model", path.c_str(), "--codec", path.c_str()});
  EXPECT_EQ(empty.exit_code, kExitModel);
  EXPECT_TRUE(has(empty.err, "config.json")) << empty.err;
  const Outcome inspected = lyre_with({"inspect", path.c_str()});
  EXPECT_EQ(inspected.exit_code, kExitModel);
  EXPECT_TRUE(has(inspected.err, "config.json")) << inspected.err;
}

TEST(Command, GpusAreToldWhereThereAreNone) {
  const std::string voice = lyre::test::demo_voice().string();
  // 1,000 is more than any machine has: an error in every build, and never a report.
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"inspect", voice.c_str(), "--device", "1000"},
                                             {"inspect", "--device", "1000", "--json"}}) {
    const Outcome outcome = lyre_with(arguments);
    EXPECT_EQ(outcome.exit_code, kExitModel) << outcome.err;
    EXPECT_TRUE(has(outcome.err, "--device: ")) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
  if (list_gpus().empty()) {
    const Outcome every = lyre_with({"inspect", voice.c_str(), "--device"});
    EXPECT_EQ(every.exit_code, kExitModel);
    EXPECT_TRUE(has(every.err, built_with_cuda() ? "no GPU was found" : "no CUDA backends"))
        << every.err;
  }
  const Outcome wrong = lyre_with({"inspect", voice.c_str(), "--device", "all"});
  EXPECT_EQ(wrong.exit_code, kExitUsage);
  EXPECT_TRUE(has(wrong.err, "--device")) << wrong.err;
}

TEST(Command, CodesThatAreNoCodesAre2) {
  const lyre::test::TempFolder folder;
  const std::string codes = folder.write("a.codes", "1 2 3\n").string();
  const std::string codec = (lyre::test::demo_voice() / "codec").string();
  const Outcome outcome =
      lyre_with({"codec", "decode", codes.c_str(), "--codec", codec.c_str(), "-o", "/dev/null"});
  EXPECT_EQ(outcome.exit_code, kExitUsage);
  EXPECT_TRUE(has(outcome.err, "a.codes:1:")) << outcome.err;
}

}  // namespace
}  // namespace lyre::command
