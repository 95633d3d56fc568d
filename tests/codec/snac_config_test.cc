#include "lyre/codec/snac_config.h"

#include <gtest/gtest.h>

#include <string>

#include "codec/golden_file.h"

namespace lyre {
namespace {

const std::string kPublic = R"({
  "sampling_rate": 24000, "encoder_dim": 48, "encoder_rates": [2, 4, 8, 8], "latent_dim": null,
  "decoder_dim": 1024, "decoder_rates": [8, 8, 4, 2], "attn_window_size": null,
  "codebook_size": 4096, "codebook_dim": 8, "vq_strides": [4, 2, 1], "noise": true,
  "depthwise": true})";

std::string with(const std::string& field, const std::string& value) {
  std::string json = kPublic;
  const size_t at = json.find("\"" + field + "\"");
  const size_t colon = json.find(": ", at) + 2;
  size_t end = colon;
  for (int depth = 0; depth > 0 || (json[end] != ',' && json[end] != '}'); ++end) {
    depth += json[end] == '[' ? 1 : json[end] == ']' ? -1 : 0;
  }
  return json.replace(colon, end - colon, value);
}

TEST(SnacConfig, PublicModel) {
  const auto c = parse_snac_config(kPublic, "config.json");
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->sampling_rate_hz, 24000);
  EXPECT_EQ(c->latent_dim, 768) << "null: encoder_dim doubled by each block";
  EXPECT_EQ(c->codebook_size, 4096);
  EXPECT_EQ(c->samples_per_latent(), 512);
  EXPECT_EQ(c->samples_per_frame(), 2048);
  EXPECT_EQ(c->decoder_channels(-1), 1024);
  EXPECT_EQ(c->decoder_channels(3), 64);
}

TEST(SnacConfig, SizesComeFromTheFile) {
  const auto demo = read_snac_config(test::codec_folder("demo") / "config.json");
  ASSERT_TRUE(demo.ok()) << demo.error().message;
  EXPECT_EQ(demo->codebook_size, 1024);
  EXPECT_EQ(demo->decoder_dim, 448);
  const auto tiny = read_snac_config(test::codec_folder("tiny") / "config.json");
  ASSERT_TRUE(tiny.ok()) << tiny.error().message;
  EXPECT_EQ(tiny->samples_per_frame(), 480);
  EXPECT_EQ(tiny->codebook_dim, 6);
}

struct BadConfig {
  const char* field;
  const char* value;
  ErrorCode code;
  const char* message;  // a part of it
};

class SnacConfigRefuses : public testing::TestWithParam<BadConfig> {};

TEST_P(SnacConfigRefuses, NamingTheField) {
  const BadConfig& bad = GetParam();
  const auto c = parse_snac_config(with(bad.field, bad.value), "folder/config.json");
  ASSERT_FALSE(c.ok());
  EXPECT_EQ(c.error().code, bad.code) << c.error().message;
  EXPECT_NE(c.error().message.find("folder/config.json"), std::string::npos) << c.error().message;
  EXPECT_NE(c.error().message.find(bad.message), std::string::npos) << c.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, SnacConfigRefuses,
    testing::Values(
        BadConfig{"attn_window_size", "32", ErrorCode::kInvalidArgument, "local attention"},
        BadConfig{"depthwise", "false", ErrorCode::kInvalidArgument, "\"depthwise\""},
        BadConfig{"depthwise", "1", ErrorCode::kDataCorrupt, "true or false"},
        BadConfig{"noise", "null", ErrorCode::kDataCorrupt, "\"noise\""},
        BadConfig{"vq_strides", "[8, 4, 2, 1]", ErrorCode::kInvalidArgument, "[8, 4, 2, 1]"},
        BadConfig{"vq_strides", "[2, 2, 1]", ErrorCode::kInvalidArgument, "1:2:4"},
        BadConfig{"vq_strides", "[]", ErrorCode::kDataCorrupt, "\"vq_strides\""},
        BadConfig{"decoder_dim", "1000", ErrorCode::kDataCorrupt, "multiple of 16 "},
        BadConfig{"decoder_dim", "\"1024\"", ErrorCode::kDataCorrupt, "found \"1024\""},
        BadConfig{"decoder_dim", "1e3", ErrorCode::kDataCorrupt, "\"decoder_dim\""},
        BadConfig{"decoder_dim", "9999999999", ErrorCode::kDataCorrupt, "from 1 to"},
        BadConfig{"decoder_rates", "[8, 8, 4]", ErrorCode::kDataCorrupt, "same product"},
        BadConfig{"decoder_rates", "[8, 0, 4, 2]", ErrorCode::kDataCorrupt, "found 0"},
        BadConfig{"decoder_rates", "8", ErrorCode::kDataCorrupt, "list"},
        BadConfig{"encoder_dim", "-48", ErrorCode::kDataCorrupt, "found -48"},
        BadConfig{"encoder_dim", "16000", ErrorCode::kDataCorrupt, "\"latent_dim\""},
        BadConfig{"latent_dim", "512", ErrorCode::kDataCorrupt, "768"},
        BadConfig{"codebook_size", "0", ErrorCode::kDataCorrupt, "\"codebook_size\""}));

TEST(SnacConfig, RefusesWhatIsNoConfig) {
  for (const char* text : {"", "[]", "null", "{", "{}", "\xff\xfe"}) {
    const auto c = parse_snac_config(text, "x/config.json");
    ASSERT_FALSE(c.ok()) << text;
    EXPECT_EQ(c.error().code, ErrorCode::kDataCorrupt);
    EXPECT_NE(c.error().message.find("x/config.json"), std::string::npos);
  }
  EXPECT_FALSE(parse_snac_config(std::string(100000, '['), "deep").ok());
}

TEST(SnacConfig, MissingFieldIsNamed) {
  for (const char* field :
       {"sampling_rate", "encoder_dim", "encoder_rates", "decoder_dim", "decoder_rates",
        "codebook_size", "codebook_dim", "vq_strides", "noise", "depthwise"}) {
    std::string json = kPublic;
    json.replace(json.find(std::string("\"") + field + "\"") + 1, 1, "_");
    const auto c = parse_snac_config(json, "config.json");
    ASSERT_FALSE(c.ok()) << field;
    EXPECT_NE(c.error().message.find(std::string("\"") + field + "\""), std::string::npos)
        << c.error().message;
  }
}

}  // namespace
}  // namespace lyre
