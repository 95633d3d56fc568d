#include "lyre/lm/llama_config.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>
#include <optional>
#include <string>

#include <boost/json.hpp>

namespace lyre {
namespace {

namespace json = boost::json;

constexpr std::streamoff kMostConfigBytes = 1 << 20;
constexpr int64_t kMostSize = 1 << 24;  // of any one dimension; products stay far inside int64_t
constexpr int kMostLayers = 1024;

// Reads typed members of one JSON object; every message names file and field.
class FieldReader {
 public:
  FieldReader(const json::object& object, std::string_view file, std::string_view prefix = "")
      : object_(object), file_(file), prefix_(prefix) {}

  Error corrupt(std::string_view field, std::string_view expected) const {
    return make(ErrorCode::kDataCorrupt, field, "expected " + std::string(expected));
  }
  Error unsupported(std::string_view field, std::string_view why) const {
    return make(ErrorCode::kInvalidArgument, field, std::string(why));
  }

  // The member, or null where it is absent or spelled `null`.
  const json::value* find(std::string_view field) const {
    const json::value* value = object_.if_contains(field);
    return value != nullptr && !value->is_null() ? value : nullptr;
  }

  Result<int> size(std::string_view field, std::optional<int> absent = std::nullopt) const {
    const json::value* value = find(field);
    if (value == nullptr && absent) return *absent;
    const int64_t* number = value != nullptr ? value->if_int64() : nullptr;
    if (number == nullptr || *number < 1 || *number > kMostSize) {
      return corrupt(field, "an integer from 1 to " + std::to_string(kMostSize));
    }
    return static_cast<int>(*number);
  }

  Result<double> positive(std::string_view field,
                          std::optional<double> absent = std::nullopt) const {
    const json::value* value = find(field);
    if (value == nullptr && absent) return *absent;
    boost::system::error_code none;
    const double number = value != nullptr ? value->to_number<double>(none) : 0.0;
    if (value == nullptr || none || !(number > 0.0) || !std::isfinite(number)) {
      return corrupt(field, "a positive number");
    }
    return number;
  }

  Result<bool> flag(std::string_view field, bool absent) const {
    const json::value* value = find(field);
    if (value == nullptr) return absent;
    if (!value->is_bool()) return corrupt(field, "true or false");
    return value->get_bool();
  }

  Result<std::string> text(std::string_view field, std::string_view absent) const {
    const json::value* value = find(field);
    if (value == nullptr) return std::string(absent);
    if (!value->is_string()) return corrupt(field, "a string");
    return std::string(value->get_string());
  }

 private:
  Error make(ErrorCode code, std::string_view field, std::string what) const {
    const json::value* value = object_.if_contains(field);
    std::string found = value != nullptr ? json::serialize(*value) : "nothing";
    if (found.size() > 80) found = found.substr(0, 77) + "...";
    return {code, std::string(file_) + ": " + std::string(prefix_) + std::string(field) + ": " +
                      what + ", found " + found};
  }

  const json::object& object_;
  std::string_view file_, prefix_;
};

Status check_architecture(const FieldReader& fields) {
  LYRE_ASSIGN_OR_RETURN(const std::string type, fields.text("model_type", "llama"));
  if (type != "llama") {
    return fields.unsupported("model_type", "only Llama models are supported (\"llama\")");
  }
  if (const json::value* list = fields.find("architectures")) {
    bool llama = false;
    if (!list->is_array()) return fields.corrupt("architectures", "a list of names");
    for (const json::value& name : list->get_array()) llama |= name == "LlamaForCausalLM";
    if (!llama) {
      return fields.unsupported("architectures",
                                "only Llama models are supported (\"LlamaForCausalLM\")");
    }
  }
  if (fields.find("quantization_config") != nullptr) {
    return fields.unsupported("quantization_config",
                              "quantised checkpoints are not supported; use the bf16, fp16 or fp32 "
                              "tensors");
  }
  for (const char* bias : {"attention_bias", "mlp_bias"}) {
    LYRE_ASSIGN_OR_RETURN(const bool on, fields.flag(bias, false));
    if (on) return fields.unsupported(bias, "biases are not supported, expected false");
  }
  LYRE_ASSIGN_OR_RETURN(const std::string activation, fields.text("hidden_act", "silu"));
  if (activation != "silu") {
    return fields.unsupported("hidden_act", "only \"silu\" is supported");
  }
  return ok_status();
}

// Settings of one RoPE object; theta stands inside it (`rope_parameters`) or beside it.
Result<RopeConfig> read_rope_object(const FieldReader& fields, double theta_beside,
                                    int max_positions) {
  RopeConfig rope;
  LYRE_ASSIGN_OR_RETURN(rope.theta, fields.positive("rope_theta", theta_beside));
  const char* type_field = fields.find("rope_type") != nullptr ? "rope_type" : "type";
  LYRE_ASSIGN_OR_RETURN(const std::string type, fields.text(type_field, "default"));
  if (type == "default") return rope;
  if (type != "llama3" && type != "linear") {
    return fields.unsupported(type_field,
                              "only \"default\", \"linear\" and \"llama3\" are supported");
  }
  LYRE_ASSIGN_OR_RETURN(rope.factor, fields.positive("factor"));
  rope.type = RopeType::kLinear;
  if (type == "linear") return rope;
  rope.type = RopeType::kLlama3;
  LYRE_ASSIGN_OR_RETURN(rope.low_freq_factor, fields.positive("low_freq_factor"));
  LYRE_ASSIGN_OR_RETURN(rope.high_freq_factor, fields.positive("high_freq_factor"));
  LYRE_ASSIGN_OR_RETURN(rope.original_max_positions,
                        fields.positive("original_max_position_embeddings", max_positions));
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    return fields.corrupt("high_freq_factor", "more than low_freq_factor");
  }
  return rope;
}

// Old files: `rope_theta` and `rope_scaling` (null or an object). New files: `rope_parameters`.
Result<RopeConfig> read_rope(const FieldReader& fields, std::string_view file, int max_positions) {
  LYRE_ASSIGN_OR_RETURN(const double theta, fields.positive("rope_theta", 10000.0));
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    const json::value* value = fields.find(name);
    if (value == nullptr) continue;
    if (!value->is_object()) return fields.corrupt(name, "an object or null");
    const std::string prefix = std::string(name) + ".";
    return read_rope_object(FieldReader(value->get_object(), file, prefix), theta, max_positions);
  }
  RopeConfig rope;
  rope.theta = theta;
  return rope;
}

}  // namespace

Result<LlamaConfig> parse_llama_config(std::string_view text, std::string_view file) {
  boost::system::error_code failed;
  const json::value document = json::parse(text, failed);
  if (failed || !document.is_object()) {
    return Error{ErrorCode::kDataCorrupt,
                 std::string(file) + ": expected a JSON object" +
                     (failed ? ", found a syntax error: " + failed.message() : "")};
  }
  const FieldReader fields(document.get_object(), file);
  LYRE_RETURN_IF_ERROR(check_architecture(fields));

  LlamaConfig config;
  LYRE_ASSIGN_OR_RETURN(config.vocabulary, fields.size("vocab_size"));
  LYRE_ASSIGN_OR_RETURN(config.hidden, fields.size("hidden_size"));
  LYRE_ASSIGN_OR_RETURN(config.layers, fields.size("num_hidden_layers"));
  if (config.layers > kMostLayers) return fields.corrupt("num_hidden_layers", "at most 1024");
  LYRE_ASSIGN_OR_RETURN(config.heads, fields.size("num_attention_heads"));
  LYRE_ASSIGN_OR_RETURN(config.kv_heads, fields.size("num_key_value_heads", config.heads));
  LYRE_ASSIGN_OR_RETURN(config.ffn, fields.size("intermediate_size"));
  LYRE_ASSIGN_OR_RETURN(config.max_positions, fields.size("max_position_embeddings", 2048));
  LYRE_ASSIGN_OR_RETURN(config.rms_norm_eps, fields.positive("rms_norm_eps", 1e-6));
  LYRE_ASSIGN_OR_RETURN(config.tied_embeddings, fields.flag("tie_word_embeddings", false));
  if (fields.find("head_dim") == nullptr && config.hidden % config.heads != 0) {
    return fields.corrupt("hidden_size", "a multiple of num_attention_heads");
  }
  LYRE_ASSIGN_OR_RETURN(config.head_dim, fields.size("head_dim", config.hidden / config.heads));
  if (config.head_dim % 2 != 0 || config.head_dim > 1024) {
    return fields.corrupt("head_dim", "an even number up to 1024");
  }
  if (config.heads % config.kv_heads != 0) {
    return fields.corrupt("num_key_value_heads", "a divisor of num_attention_heads");
  }
  if (int64_t{config.heads} * config.head_dim > kMostSize) {
    return fields.corrupt("num_attention_heads", "a smaller number");
  }
  LYRE_ASSIGN_OR_RETURN(config.rope, read_rope(fields, file, config.max_positions));
  return config;
}

Result<LlamaConfig> read_llama_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream) {
    return Error{ErrorCode::kNotFound,
                 path.string() + ": cannot be read; expected a Hugging Face model folder"};
  }
  const std::streamoff bytes = stream.tellg();
  if (bytes < 0 || bytes > kMostConfigBytes) {
    return Error{ErrorCode::kDataCorrupt, path.string() + ": expected a file of at most " +
                                              std::to_string(kMostConfigBytes) + " bytes, found " +
                                              std::to_string(bytes)};
  }
  std::string text(static_cast<size_t>(bytes), '\0');
  stream.seekg(0);
  if (!stream.read(text.data(), bytes)) {
    return Error{ErrorCode::kDataCorrupt, path.string() + ": reading failed"};
  }
  return parse_llama_config(text, path.string());
}

std::vector<float> rope_frequencies(const LlamaConfig& config) {
  const RopeConfig& rope = config.rope;
  std::vector<float> frequencies(static_cast<size_t>(config.head_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / config.head_dim;
    double frequency = 1.0 / std::pow(rope.theta, exponent);
    if (rope.type == RopeType::kLinear) frequency /= rope.factor;
    if (rope.type == RopeType::kLlama3) {
      // How often the pair turns within the positions that the model was first trained on.
      const double turns = rope.original_max_positions * frequency / (2.0 * std::numbers::pi);
      const double keep = std::clamp(
          (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0,
          1.0);
      frequency = (1.0 - keep) * frequency / rope.factor + keep * frequency;
    }
    frequencies[i] = static_cast<float>(frequency);
  }
  return frequencies;
}

}  // namespace lyre
