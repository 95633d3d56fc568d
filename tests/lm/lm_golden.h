#pragma once

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "lyre/base/check.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/token.h"
#include "lyre/tensor/tensor_archive.h"
#include "support/paths.h"

namespace lyre::test {

/// What the public PyTorch implementation computed for a voice (tools/dump_golden.py says how and
/// names the tensors). A missing tensor or file fails the test at once.
class LmGolden {
 public:
  static constexpr int kPrompts = 3;

  explicit LmGolden(const std::string& voice)  // "demo" or "tiny"
      : voice_(voice == "demo" ? demo_voice() : tiny_voice()) {
    const std::filesystem::path golden = source_dir() / "tests/golden" / voice;
    auto archive = open_safetensors(golden / "golden.safetensors");
    LYRE_CHECK(archive.ok());
    archive_ = *std::move(archive);
    description_ = boost::json::parse(read(golden / "golden.json"));
    const boost::json::value config = boost::json::parse(read(voice_ / "codec/config.json"));
    layout_.codebook_size = static_cast<int>(config.at("codebook_size").as_int64());
    layout_.first_code = special("first_code");
    layout_.stop_ids = {special("stop")};
  }

  std::filesystem::path model_folder() const { return voice_ / "lm"; }
  const CodeLayout& layout() const { return layout_; }

  const TensorView& tensor(const std::string& name) const {
    const TensorView* view = archive_.find(name);
    if (view == nullptr) ADD_FAILURE() << "no golden tensor " << name;
    LYRE_CHECK(view != nullptr);
    return *view;
  }
  std::vector<float> floats(const std::string& name) const {
    const TensorView& view = tensor(name);
    std::vector<float> values(static_cast<size_t>(view.shape.elements()));
    LYRE_CHECK(convert_to_f32(view, values).ok());
    return values;
  }
  std::vector<TokenId> ids(const std::string& name) const {
    const TensorView& view = tensor(name);
    LYRE_CHECK(view.dtype == DType::kI64);
    std::vector<int64_t> wide(static_cast<size_t>(view.shape.elements()));
    std::memcpy(wide.data(), view.data, wide.size() * sizeof(int64_t));
    return {wide.begin(), wide.end()};
  }
  /// "lm.0.greedy" and the like.
  static std::string name(const char* stage, int prompt, const std::string& rest) {
    return std::string(stage) + "." + std::to_string(prompt) + "." + rest;
  }

  /// Settings of every sampler case, by the name of its tensor with "{i}" for the prompt.
  std::vector<std::pair<std::string, SamplingParams>> samplers() const {
    std::vector<std::pair<std::string, SamplingParams>> all;
    for (const auto& sampler : description_.at("samplers").as_object()) {
      const boost::json::value& value = sampler.value();
      const auto number = [&](const char* field) { return value.at(field).to_number<float>(); };
      SamplingParams params;
      params.repetition_penalty = number("repetition_penalty");
      params.temperature = number("temperature");
      params.top_k = static_cast<int>(value.at("top_k").as_int64());
      params.top_p = number("top_p");
      params.min_p = number("min_p");
      params.legal_slots = value.at("legal_slots").as_bool();
      all.emplace_back(std::string(sampler.key()), params);
    }
    return all;
  }

 private:
  static std::string read(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  TokenId special(const char* name) const {
    return static_cast<TokenId>(description_.at("special_ids").at(name).as_int64());
  }

  std::filesystem::path voice_;
  TensorArchive archive_;
  boost::json::value description_;
  CodeLayout layout_;
};

}  // namespace lyre::test
