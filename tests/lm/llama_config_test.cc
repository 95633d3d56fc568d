#include "lyre/lm/llama_config.h"

#include <cmath>
#include <numbers>
#include <string>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/paths.h"

namespace lyre::test {
namespace {

// The shape of Orpheus 3B with the fields of a real file; `extra` comes last and so wins.
std::string config_text(const std::string& extra = "") {
  return R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 3072, "intermediate_size": 8192,
    "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
    "num_attention_heads": 24, "num_hidden_layers": 28, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": true,
    "vocab_size": 156940)" +
         (extra.empty() ? "" : ", " + extra) + "}";
}

constexpr const char* kLlama3Rope =
    R"({"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"})";

LlamaConfig parsed(const std::string& text) {
  auto config = parse_llama_config(text, "config.json");
  EXPECT_TRUE(config.ok()) << (config.ok() ? "" : config.error().message);
  return config.ok() ? *config : LlamaConfig{};
}

TEST(LlamaConfig, ReadsEverySize) {
  const LlamaConfig config = parsed(config_text());
  EXPECT_EQ(config.vocabulary, 156940);
  EXPECT_EQ(config.hidden, 3072);
  EXPECT_EQ(config.layers, 28);
  EXPECT_EQ(config.heads, 24);
  EXPECT_EQ(config.kv_heads, 8);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.ffn, 8192);
  EXPECT_EQ(config.max_positions, 131072);
  EXPECT_DOUBLE_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.rope.type, RopeType::kDefault);
  EXPECT_DOUBLE_EQ(config.rope.theta, 500000);
}

TEST(LlamaConfig, DefaultsOfAbsentFields) {
  const LlamaConfig config = parsed(
      R"({"vocab_size": 10, "hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 6,
          "intermediate_size": 96, "head_dim": null, "rope_scaling": null})");
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.kv_heads, 6);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_DOUBLE_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_DOUBLE_EQ(config.rope.theta, 10000);
}

TEST(LlamaConfig, BothSpellingsOfRopeMeanTheSame) {
  const LlamaConfig old_spelling =
      parsed(config_text("\"rope_scaling\": " + std::string(kLlama3Rope)));
  std::string with_theta = kLlama3Rope;
  with_theta.insert(1, "\"rope_theta\": 500000.0, ");
  std::string without = config_text("\"rope_parameters\": " + with_theta);
  without.erase(without.find("\"rope_theta\": 500000.0, "), 24);
  const LlamaConfig new_spelling = parsed(without);
  EXPECT_EQ(old_spelling.rope.type, RopeType::kLlama3);
  EXPECT_EQ(rope_frequencies(old_spelling), rope_frequencies(new_spelling));
  EXPECT_NE(rope_frequencies(old_spelling), rope_frequencies(parsed(config_text())));
}

TEST(LlamaConfig, OldestFilesSayTypeInsteadOfRopeType) {
  const LlamaConfig config =
      parsed(config_text(R"("rope_scaling": {"type": "linear", "factor": 4.0})"));
  EXPECT_EQ(config.rope.type, RopeType::kLinear);
  const std::vector<float> plain = rope_frequencies(parsed(config_text()));
  EXPECT_FLOAT_EQ(rope_frequencies(config)[3], plain[3] / 4);
}

TEST(LlamaConfig, Llama3KeepsShortWavesAndStretchesLongOnes) {
  const std::vector<float> plain = rope_frequencies(parsed(config_text()));
  const std::vector<float> scaled =
      rope_frequencies(parsed(config_text("\"rope_scaling\": " + std::string(kLlama3Rope))));
  ASSERT_EQ(scaled.size(), 64u);
  int kept = 0, stretched = 0, between = 0;
  for (size_t i = 0; i < scaled.size(); ++i) {
    const double wavelength = 2 * std::numbers::pi / static_cast<double>(plain[i]);
    if (wavelength < 8192.0 / 4) {
      EXPECT_FLOAT_EQ(scaled[i], plain[i]);
      ++kept;
    } else if (wavelength > 8192.0) {
      EXPECT_FLOAT_EQ(scaled[i], plain[i] / 32);
      ++stretched;
    } else {
      EXPECT_LT(scaled[i], plain[i]);
      EXPECT_GT(scaled[i], plain[i] / 32);
      ++between;
    }
  }
  EXPECT_GT(kept, 20);
  EXPECT_GT(stretched, 20);
  EXPECT_GT(between, 2);
}

TEST(LlamaConfig, RefusesOtherModels) {
  const auto refused = [](const std::string& extra, std::initializer_list<std::string_view> words) {
    return is_error(parse_llama_config(config_text(extra), "dir/config.json"),
                    ErrorCode::kInvalidArgument, words);
  };
  EXPECT_TRUE(
      refused(R"("model_type": "qwen3")", {"dir/config.json", "model_type", "Llama", "qwen3"}));
  EXPECT_TRUE(refused(R"("architectures": ["Qwen3ForCausalLM"])", {"architectures", "Qwen3"}));
  EXPECT_TRUE(refused(R"("attention_bias": true)", {"attention_bias", "found true"}));
  EXPECT_TRUE(refused(R"("mlp_bias": true)", {"mlp_bias"}));
  EXPECT_TRUE(refused(R"("hidden_act": "gelu")", {"hidden_act", "silu", "gelu"}));
  EXPECT_TRUE(refused(R"("quantization_config": {"bits": 4})", {"quantization_config", "bf16"}));
  EXPECT_TRUE(refused(R"("rope_scaling": {"rope_type": "yarn", "factor": 4})",
                      {"rope_scaling.rope_type", "yarn", "llama3"}));
}

TEST(LlamaConfig, NamesTheFieldThatIsWrong) {
  const auto corrupt = [](const std::string& extra, std::initializer_list<std::string_view> words) {
    return is_error(parse_llama_config(config_text(extra), "config.json"), ErrorCode::kDataCorrupt,
                    words);
  };
  for (const char* field :
       {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "intermediate_size", "max_position_embeddings", "num_key_value_heads"}) {
    for (const char* value : {"0", "-1", "1.5", "\"12\"", "99999999999", "[]"}) {
      EXPECT_TRUE(corrupt("\"" + std::string(field) + "\": " + value, {field, value}));
    }
  }
  EXPECT_TRUE(corrupt(R"("num_hidden_layers": 2000)", {"num_hidden_layers", "1024"}));
  EXPECT_TRUE(corrupt(R"("head_dim": 127)", {"head_dim", "even"}));
  EXPECT_TRUE(corrupt(R"("num_key_value_heads": 7)", {"num_key_value_heads", "divisor"}));
  EXPECT_TRUE(corrupt(R"("rms_norm_eps": -1)", {"rms_norm_eps", "positive"}));
  EXPECT_TRUE(corrupt(R"("rope_theta": 0)", {"rope_theta"}));
  EXPECT_TRUE(corrupt(R"("rope_scaling": 3)", {"rope_scaling", "object"}));
  EXPECT_TRUE(corrupt(R"("rope_scaling": {"rope_type": "llama3"})", {"rope_scaling.factor"}));
  EXPECT_TRUE(corrupt(R"("tie_word_embeddings": 1)", {"tie_word_embeddings", "true or false"}));
  EXPECT_TRUE(corrupt(R"("hidden_size": 3073, "head_dim": null)", {"hidden_size", "multiple"}));
}

TEST(LlamaConfig, BrokenJson) {
  for (const char* text : {"", "{", "[]", "nonsense", "{\"a\": }"}) {
    EXPECT_TRUE(is_error(parse_llama_config(text, "config.json"), ErrorCode::kDataCorrupt,
                         {"config.json", "JSON object"}));
  }
  EXPECT_TRUE(is_error(parse_llama_config(std::string(100'000, '['), "config.json"),
                       ErrorCode::kDataCorrupt, {"config.json"}));
}

TEST(LlamaConfig, MissingFile) {
  EXPECT_TRUE(is_error(read_llama_config("/nonexistent/model"), ErrorCode::kNotFound,
                       {"/nonexistent/model/config.json"}));
}

TEST(LlamaConfig, TheVoicesOfTheRepository) {
  const auto demo = read_llama_config(demo_voice() / "lm");
  ASSERT_TRUE(demo.ok());
  EXPECT_EQ(demo->rope.type, RopeType::kLlama3);
  const auto tiny = read_llama_config(tiny_voice() / "lm");
  ASSERT_TRUE(tiny.ok());
  EXPECT_EQ(tiny->rope.type, RopeType::kLlama3);
  EXPECT_FALSE(tiny->tied_embeddings);
}

}  // namespace
}  // namespace lyre::test
