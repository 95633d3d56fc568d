#include "lyre/codec/snac_config.h"

#include <boost/json.hpp>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

namespace lyre {
namespace {

namespace json = boost::json;

// Far above any real model, low enough that products of sizes stay in 64 bits and a hostile file
// cannot ask for terabytes.
constexpr int64_t kMostChannels = 16384;
constexpr int64_t kMostStride = 64;
constexpr int64_t kMostBlocks = 12;
constexpr int64_t kMostSamplesPerFrame = int64_t{1} << 20;
constexpr int64_t kMostCodes = int64_t{1} << 20;
constexpr size_t kMostConfigBytes = size_t{1} << 20;

// Reads fields of one object; the first error stays.
class FieldReader {
 public:
  FieldReader(const json::object& object, std::string_view origin)
      : object_(object), origin_(origin) {}

  int integer(const char* name, int64_t least, int64_t most) {
    const json::value* value = object_.if_contains(name);
    return value == nullptr ? (fail(name, "is missing"), 0) : checked(*value, name, least, most);
  }

  std::vector<int> integers(const char* name, int64_t least, int64_t most) {
    std::vector<int> out;
    const json::value* value = object_.if_contains(name);
    const json::array* array = value == nullptr ? nullptr : value->if_array();
    if (array == nullptr || array->empty() || static_cast<int64_t>(array->size()) > kMostBlocks) {
      fail(name, "must be a list of 1 to " + std::to_string(kMostBlocks) + " integers");
      return out;
    }
    for (const json::value& item : *array) out.push_back(checked(item, name, least, most));
    return out;
  }

  bool boolean(const char* name) {
    const json::value* value = object_.if_contains(name);
    if (value == nullptr || !value->is_bool()) {
      fail(name, "must be true or false");
      return false;
    }
    return value->get_bool();
  }

  bool is_null_or_absent(const char* name) const {
    const json::value* value = object_.if_contains(name);
    return value == nullptr || value->is_null();
  }

  void fail(const char* name, const std::string& what, ErrorCode code = ErrorCode::kDataCorrupt) {
    if (failed_) return;
    failed_ = true;
    error_ = {code, std::string(origin_) + ": field \"" + name + "\" " + what};
  }

  bool failed() const { return failed_; }
  const Error& error() const { return error_; }

 private:
  int checked(const json::value& value, const char* name, int64_t least, int64_t most) {
    const int64_t* number = value.if_int64();
    if (number == nullptr || *number < least || *number > most) {
      fail(name, "must be an integer from " + std::to_string(least) + " to " +
                     std::to_string(most) + ", found " + json::serialize(value).substr(0, 40));
      return static_cast<int>(least);
    }
    return static_cast<int>(*number);
  }

  const json::object& object_;
  std::string_view origin_;
  bool failed_ = false;
  Error error_;
};

int64_t product(const std::vector<int>& factors) {
  int64_t p = 1;
  for (const int f : factors) p = std::min(p * f, int64_t{1} << 40);
  return p;
}

std::string text(const std::vector<int>& values) {
  std::string s = "[";
  for (const int v : values) s += (s.size() > 1 ? ", " : "") + std::to_string(v);
  return s + "]";
}

// What the fields say together.
void check_consistency(const SnacConfig& c, FieldReader& read) {
  const int64_t hop = product(c.decoder_rates);
  if (product(c.encoder_rates) != hop) {
    read.fail("encoder_rates", text(c.encoder_rates) + " and decoder_rates " +
                                   text(c.decoder_rates) + " must have the same product");
  }
  if (hop * c.vq_strides.front() > kMostSamplesPerFrame) {
    read.fail("decoder_rates",
              "give frames of more than " + std::to_string(kMostSamplesPerFrame) + " samples");
  }
  const int64_t halvings = int64_t{1} << c.decoder_rates.size();
  if (c.decoder_dim % halvings != 0) {
    read.fail("decoder_dim", "must be a multiple of " + std::to_string(halvings) +
                                 " (halved by each of the decoder_rates), found " +
                                 std::to_string(c.decoder_dim));
  }
  // A code frame of Orpheus-type models holds one, two and four codes of three levels.
  const int finest = c.vq_strides.back();
  if (c.vq_strides != std::vector<int>{4 * finest, 2 * finest, finest}) {
    read.fail("vq_strides",
              text(c.vq_strides) +
                  " is not supported: frames of 7 codes need levels of 1:2:4, "
                  "such as [4, 2, 1]",
              ErrorCode::kInvalidArgument);
  }
}

}  // namespace

int SnacConfig::samples_per_latent() const { return static_cast<int>(product(decoder_rates)); }

Result<SnacConfig> parse_snac_config(std::string_view json_text, std::string_view origin) {
  json::error_code parse_error;
  const json::value root = json::parse(json_text, parse_error);
  if (parse_error || !root.is_object()) {
    return Error{ErrorCode::kDataCorrupt,
                 std::string(origin) + ": expected a JSON object" +
                     (parse_error ? " (" + parse_error.message() + ")" : std::string())};
  }
  FieldReader read(root.get_object(), origin);
  if (!read.is_null_or_absent("attn_window_size")) {
    read.fail("attn_window_size",
              "is set: models with local attention (the 32 and 44 kHz ones) are not supported; "
              "the 24 kHz model has null here",
              ErrorCode::kInvalidArgument);
  }
  SnacConfig c;
  c.sampling_rate_hz = read.integer("sampling_rate", 1, 1000000);
  c.encoder_dim = read.integer("encoder_dim", 1, kMostChannels);
  c.encoder_rates = read.integers("encoder_rates", 2, kMostStride);
  c.decoder_dim = read.integer("decoder_dim", 1, kMostChannels);
  c.decoder_rates = read.integers("decoder_rates", 1, kMostStride);
  c.codebook_size = read.integer("codebook_size", 1, kMostCodes);
  c.codebook_dim = read.integer("codebook_dim", 1, kMostChannels);
  c.vq_strides = read.integers("vq_strides", 1, kMostStride);
  c.noise = read.boolean("noise");
  if (!read.boolean("depthwise")) {
    read.fail("depthwise", "is false: only models with depthwise convolutions are supported",
              ErrorCode::kInvalidArgument);
  }
  if (read.failed()) return read.error();

  const int64_t encoder_out = int64_t{c.encoder_dim} << c.encoder_rates.size();
  c.latent_dim = read.is_null_or_absent("latent_dim")
                     ? static_cast<int>(std::min<int64_t>(encoder_out, kMostChannels + 1))
                     : read.integer("latent_dim", 1, kMostChannels);
  if (c.latent_dim != encoder_out) {
    read.fail("latent_dim", "must be encoder_dim doubled by each of the encoder_rates, " +
                                std::to_string(encoder_out) + " (at most " +
                                std::to_string(kMostChannels) + "), found " +
                                std::to_string(c.latent_dim));
  }
  check_consistency(c, read);
  if (read.failed()) return read.error();
  return c;
}

Result<SnacConfig> read_snac_config(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return Error{ErrorCode::kNotFound, file.string() + ": cannot be opened"};
  std::string contents(kMostConfigBytes + 1, '\0');
  in.read(contents.data(), static_cast<std::streamsize>(contents.size()));
  contents.resize(static_cast<size_t>(in.gcount()));
  if (contents.size() > kMostConfigBytes) {
    return Error{ErrorCode::kDataCorrupt, file.string() + ": longer than 1 MiB"};
  }
  return parse_snac_config(contents, file.string());
}

}  // namespace lyre
