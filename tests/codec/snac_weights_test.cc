#include "lyre/codec/snac_weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "lyre/codec/cpu/cpu_codec.h"
#include "lyre/codec/weight_norm.h"

namespace lyre {
namespace {

namespace fs = std::filesystem;

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Tensor>;

// The smallest writer of the format: an 8 byte length, the JSON header, the data.
void write_safetensors(const fs::path& file, const Tensors& tensors) {
  std::string header = "{", data;
  for (const auto& [name, t] : tensors) {
    std::string shape;
    for (const int64_t size : t.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    const size_t begin = data.size(), bytes = t.values.size() * sizeof(float);
    header += (header.size() > 1 ? ",\"" : "\"") + name + R"(":{"dtype":"F32","shape":[)" + shape +
              "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + bytes) +
              "]}";
    data.append(reinterpret_cast<const char*>(t.values.data()), bytes);
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const uint64_t length = header.size();
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof(length));
  out << header << data;
}

class SnacWeightsTest : public testing::Test {
 protected:
  SnacWeightsTest() {
    folder_ =
        fs::temp_directory_path() / ("lyre_snac_weights_" + std::to_string(::getpid()) + "_" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    fs::copy_file(test::codec_folder("tiny") / "config.json", folder_ / "config.json",
                  fs::copy_options::overwrite_existing);
    const auto archive = open_torch_checkpoint(test::codec_folder("tiny") / "pytorch_model.bin");
    for (const auto& [name, view] : archive->tensors()) {
      Tensor t;
      for (int axis = 0; axis < view.shape.rank(); ++axis) t.shape.push_back(view.shape[axis]);
      t.values.resize(static_cast<size_t>(view.shape.elements()));
      EXPECT_TRUE(convert_to_f32(view, t.values).ok());
      tensors_[name] = t;
    }
  }
  ~SnacWeightsTest() override { fs::remove_all(folder_); }

  Result<SnacDecoderWeights> load() {
    write_safetensors(folder_ / "model.safetensors", tensors_);
    return load_snac_decoder(folder_);
  }
  void expect_error(ErrorCode code, const std::vector<std::string>& parts) {
    const auto w = load();
    ASSERT_FALSE(w.ok());
    EXPECT_EQ(w.error().code, code);
    for (const std::string& part : parts) {
      EXPECT_NE(w.error().message.find(part), std::string::npos) << w.error().message;
    }
  }

  fs::path folder_;
  Tensors tensors_;  // of the tiny voice, which spells weight_g and weight_v
};

TEST_F(SnacWeightsTest, BothSpellingsOfWeightNormAndNoneGiveTheSame) {
  const auto torch = load_snac_decoder(test::codec_folder("tiny"));
  ASSERT_TRUE(torch.ok()) << torch.error().message;
  const auto old_spelling = load();
  ASSERT_TRUE(old_spelling.ok()) << old_spelling.error().message;

  const auto rename = [&](const std::string& from, const std::string& to) {
    Tensors renamed;
    for (auto& [name, t] : tensors_) {
      const bool hit = name.ends_with(from);
      renamed[hit ? name.substr(0, name.size() - from.size()) + to : name] = t;
    }
    tensors_ = renamed;
  };
  rename("weight_g", "parametrizations.weight.original0");
  rename("weight_v", "parametrizations.weight.original1");
  const auto new_spelling = load();
  ASSERT_TRUE(new_spelling.ok()) << new_spelling.error().message;

  // Folded beforehand: the upsampling weight of the first block.
  const auto& folded = torch->blocks[0].upsample;
  tensors_.erase("decoder.model.2.block.1.parametrizations.weight.original0");
  tensors_.erase("decoder.model.2.block.1.parametrizations.weight.original1");
  tensors_["decoder.model.2.block.1.weight"] = {{folded.inputs, folded.outputs, 2 * folded.stride},
                                                folded.weight};
  const auto no_norm = load();
  ASSERT_TRUE(no_norm.ok()) << no_norm.error().message;

  for (const auto* w : {&*old_spelling, &*new_spelling, &*no_norm}) {
    EXPECT_EQ(w->config, torch->config);
    EXPECT_EQ(w->blocks[0].upsample.weight, folded.weight);
    EXPECT_EQ(w->blocks[3].noise.weight, torch->blocks[3].noise.weight);
    EXPECT_EQ(w->blocks[2].units[1].pointwise.weight, torch->blocks[2].units[1].pointwise.weight);
    EXPECT_EQ(w->quantizers[2].codebook, torch->quantizers[2].codebook);
    EXPECT_EQ(w->parameters(), torch->parameters());
  }
}

TEST_F(SnacWeightsTest, NormIsOverAllAxesButTheFirst) {
  write_safetensors(folder_ / "norm.safetensors", {{"m.weight_g", {{2, 1, 1}, {10, 3}}},
                                                   {"m.weight_v", {{2, 1, 2}, {3, 4, 0, 0}}}});
  const auto archive = open_safetensors(folder_ / "norm.safetensors");
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  WeightReader read(*archive);
  std::vector<float> w;
  read.normed("m", {2, 1, 2}, w);
  ThreadPool threads(2);
  ASSERT_TRUE(read.finish(threads).ok());
  EXPECT_EQ(w, (std::vector<float>{6, 8, 0, 0})) << "a row of zeros stays zero";
}

TEST_F(SnacWeightsTest, MissingTensorIsNamed) {
  tensors_.erase("decoder.model.3.block.4.block.3.weight_v");
  expect_error(ErrorCode::kDataCorrupt, {"decoder.model.3.block.4.block.3", "model.safetensors"});
}

TEST_F(SnacWeightsTest, WrongShapeSaysBoth) {
  tensors_["decoder.model.2.block.0.alpha"] = {{1, 63, 1}, std::vector<float>(63, 1.0f)};
  expect_error(ErrorCode::kDataCorrupt,
               {"decoder.model.2.block.0.alpha", "(1, 64, 1)", "(1, 63, 1)"});
}

TEST_F(SnacWeightsTest, MissingGainIsNamed) {
  tensors_.erase("decoder.model.1.weight_g");
  expect_error(ErrorCode::kDataCorrupt, {"decoder.model.1.weight_g"});
}

// Sizes of a config of another model are compared with the file before memory is taken for them.
TEST_F(SnacWeightsTest, HugeConfigCostsNoMemory) {
  std::ifstream in(test::codec_folder("tiny") / "config.json");
  std::string json{std::istreambuf_iterator<char>(in), {}};
  const size_t at = json.find("64", json.find("decoder_dim"));
  std::ofstream(folder_ / "config.json") << json.replace(at, 2, "16384");
  expect_error(ErrorCode::kDataCorrupt, {"decoder.model.1", "16384"});
}

TEST_F(SnacWeightsTest, FolderWithoutWeights) {
  const auto w = load_snac_decoder(folder_);
  ASSERT_FALSE(w.ok());
  EXPECT_EQ(w.error().code, ErrorCode::kNotFound);
  EXPECT_NE(w.error().message.find("pytorch_model.bin"), std::string::npos);
}

TEST_F(SnacWeightsTest, EncoderReadsTheSameFolder) {
  write_safetensors(folder_ / "model.safetensors", tensors_);
  const auto encoder = load_snac_encoder(folder_);
  ASSERT_TRUE(encoder.ok()) << encoder.error().message;
  EXPECT_EQ(encoder->blocks.size(), 3u);
  EXPECT_EQ(encoder->quantizers[0].in_proj.outputs, 6);
}

TEST(RandomSnac, HasTheTrueShapesAndKeepsTheSignalInRange) {
  SnacConfig c;
  c.sampling_rate_hz = 24000;
  c.encoder_dim = 48;
  c.encoder_rates = {2, 4, 8, 8};
  c.latent_dim = 768;
  c.decoder_dim = 1024;
  c.decoder_rates = {8, 8, 4, 2};
  c.codebook_size = 4096;
  c.codebook_dim = 8;
  c.vq_strides = {4, 2, 1};
  const auto w = random_snac_decoder(c, 1);
  // 13.12 M weights of the decode path of the public model, the codebooks among them.
  EXPECT_NEAR(static_cast<double>(w.parameters()), 13.12e6, 0.15e6);
  ThreadPool threads(1);
  const auto codec = make_cpu_codec(w, {1, 2}, threads);
  const auto pcm = test::stream_all(*codec, test::random_frames(2, 4096, 1), {3, true}, {2});
  double energy = 0;
  for (const float x : pcm) {
    ASSERT_LT(std::abs(x), 0.9999f) << "tanh should not be saturated";
    energy += double{x} * double{x};
  }
  EXPECT_GT(std::sqrt(energy / static_cast<double>(pcm.size())), 0.01);
}

}  // namespace
}  // namespace lyre
