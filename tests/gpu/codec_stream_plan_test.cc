// The scheme of the CUDA codec without a GPU: the layers in plain loops over its slots, rows,
// delays and states give what the whole decode gives, for any chunking, company and size of round.
#include "lyre/codec/cuda/stream_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "lyre/codec/cuda/push_rounds.h"
#include "lyre/codec/noise.h"
#include "lyre/codec/reference/snac_decode.h"
#include "lyre/codec/snac_weights.h"
#include "support/compare.h"

namespace lyre::snac_cuda {
namespace {

using test::all_close;

// Another order of adding up to 2 x 64 products in each of some 30 layers: as the cpu backend's.
// Measured: tiny 1.4e-5 (112 dB).
constexpr double kTolerance = 5e-5;

// Channels last, not padded. Its own loops: shares with the kernels the plan, the slots and
// InputRows, which is what is tested.
class Simulation {
 public:
  Simulation(const SnacDecoderWeights& weights, int streams)
      : w_(weights), plan_(weights.config), streams_(streams) {}

  const StreamPlan& plan() const { return plan_; }

  std::vector<float> run(std::span<const Slot> slots) {
    slots_ = slots;
    layer_ = 0;
    const SnacConfig& c = w_.config;
    std::vector<float> x = latents();
    x = depthwise(x, c.latent_dim, plan_.latent_rows, 1, w_.depthwise_in, plan_.latent_delay);
    x = pointwise(x, c.latent_dim, w_.pointwise_in);
    force_zeros(x, plan_.latent_rows, c.decoder_dim, plan_.latent_delay);
    for (size_t i = 0; i < plan_.blocks.size(); ++i) {
      const BlockPlan& block = plan_.blocks[i];
      const DecoderBlockWeights& b = w_.blocks[i];
      const int channels = b.upsample.outputs;
      x = upsample(snake(x, b.snake), b.upsample, block);
      if (c.noise) add_noise(x, static_cast<int>(i), b.noise, block);
      for (int u = 0; u < kResidualUnits; ++u) {
        const ResidualUnitWeights& unit = b.units[static_cast<size_t>(u)];
        const int64_t delay = block.units[u].delay;
        const std::vector<float> held =
            delayed(x, channels, block.rows, unit.dilation, block.units[u].kept_rows());
        std::vector<float> y = depthwise(snake(x, unit.snake_in), channels, block.rows,
                                         unit.dilation, unit.depthwise, delay);
        y = pointwise(snake(y, unit.snake_mid), channels, unit.pointwise);
        for (size_t k = 0; k < y.size(); ++k) y[k] += held[k];
        force_zeros(y, block.rows, channels, delay);
        x = y;
      }
    }
    const int last = c.decoder_channels(static_cast<int>(plan_.blocks.size()) - 1);
    x = head(snake(x, w_.snake_out), last);
    for (float& value : x) value = std::tanh(value);
    return x;
  }

 private:
  std::vector<float> latents() const {
    const SnacConfig& c = w_.config;
    const int rows = plan_.latent_rows;
    std::vector<float> x(slots_.size() * static_cast<size_t>(rows * c.latent_dim));
    for (size_t s = 0; s < slots_.size(); ++s) {
      if (slots_[s].has_codes == 0) continue;
      for (int r = 0; r < rows; ++r) {
        float* out = &x[(s * static_cast<size_t>(rows) + static_cast<size_t>(r)) *
                        static_cast<size_t>(c.latent_dim)];
        for (int level = 0; level < c.levels(); ++level) {
          const QuantizerWeights& q = w_.quantizers[static_cast<size_t>(level)];
          const int code = slots_[s].codes[code_slot(level, r, rows)];
          for (int i = 0; i < c.latent_dim; ++i) {
            float sum = q.out_proj.bias[static_cast<size_t>(i)];
            for (int d = 0; d < c.codebook_dim; ++d) {
              sum += q.out_proj.weight[static_cast<size_t>(i * c.codebook_dim + d)] *
                     q.codebook[static_cast<size_t>(code * c.codebook_dim + d)];
            }
            out[i] += sum;
          }
        }
      }
    }
    return x;
  }

  // Rows -kept ... rows - 1 of a slot's input as one array.
  std::vector<float> with_history(const std::vector<float>& x, size_t slot, int channels, int rows,
                                  int kept, const std::vector<float>& state) const {
    std::vector<float> out(static_cast<size_t>((kept + rows) * channels));
    const float* fresh = &x[slot * static_cast<size_t>(rows * channels)];
    const InputRows<float> source(slots_[slot], fresh, state.data(), kept, rows, channels);
    for (int i = -kept; i < rows; ++i) {
      const float* row = source.at(i);
      if (row != nullptr) {
        std::copy_n(row, channels, &out[static_cast<size_t>((kept + i) * channels)]);
      }
    }
    return out;
  }

  // Gives body(slot, rows with history), and saves what the next round needs.
  template <class Body>
  void each_slot(const std::vector<float>& x, int channels, int rows, int kept, Body&& body) {
    const size_t layer = layer_++;
    if (layer == states_.size()) {
      // NaN: what a stream has not saved must not be read.
      states_.push_back(std::vector<std::vector<float>>(
          static_cast<size_t>(2 * streams_),
          std::vector<float>(static_cast<size_t>(kept * channels), std::nanf(""))));
    }
    for (size_t s = 0; s < slots_.size(); ++s) {
      const Slot& slot = slots_[s];
      const auto state = static_cast<size_t>(2 * slot.stream + slot.parity);
      const auto rows_in = with_history(x, s, channels, rows, kept, states_[layer][state]);
      body(s, rows_in);
      if (slot.save != 0) {
        states_[layer][state ^ 1].assign(rows_in.end() - kept * channels, rows_in.end());
      }
    }
  }

  std::vector<float> depthwise(const std::vector<float>& x, int channels, int rows, int dilation,
                               const ConvWeights& w, int64_t delay) {
    std::vector<float> y(x.size());
    const int kept = 2 * kDepthwiseReach * dilation;
    each_slot(x, channels, rows, kept, [&](size_t s, const std::vector<float>& in) {
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < channels; ++c) {
          float sum = w.bias[static_cast<size_t>(c)];
          for (int k = 0; k < kDepthwiseTaps; ++k) {
            sum += w.weight[static_cast<size_t>(c * kDepthwiseTaps + k)] *
                   in[static_cast<size_t>((r + k * dilation) * channels + c)];
          }
          y[s * static_cast<size_t>(rows * channels) + static_cast<size_t>(r * channels + c)] = sum;
        }
      }
    });
    force_zeros(y, rows, channels, delay);
    return y;
  }

  // A unit's input, as late as its output.
  std::vector<float> delayed(const std::vector<float>& x, int channels, int rows, int dilation,
                             int kept) {
    std::vector<float> y(x.size());
    each_slot(x, channels, rows, kept, [&](size_t s, const std::vector<float>& in) {
      std::copy_n(in.begin() + kDepthwiseReach * dilation * channels, rows * channels,
                  y.begin() + static_cast<int64_t>(s) * rows * channels);
    });
    return y;
  }

  static std::vector<float> pointwise(const std::vector<float>& x, int inputs,
                                      const ConvWeights& w) {
    const auto count = x.size() / static_cast<size_t>(inputs);
    std::vector<float> y;
    for (size_t r = 0; r < count; ++r) {
      for (int o = 0; o < w.outputs; ++o) {
        float sum = w.bias.empty() ? 0.0f : w.bias[static_cast<size_t>(o)];
        for (int i = 0; i < inputs; ++i) {
          sum += w.weight[static_cast<size_t>(o * inputs + i)] *
                 x[r * static_cast<size_t>(inputs) + static_cast<size_t>(i)];
        }
        y.push_back(sum);
      }
    }
    return y;
  }

  static std::vector<float> snake(std::vector<float> x, const SnakeWeights& w) {
    for (size_t i = 0; i < x.size(); ++i) {
      const float alpha = w.alpha[i % w.alpha.size()];
      const float sine = std::sin(alpha * x[i]);
      x[i] += sine * sine / (alpha + 1e-9f);
    }
    return x;
  }

  std::vector<float> upsample(const std::vector<float>& x, const UpsampleWeights& w,
                              const BlockPlan& block) {
    const int s = w.stride;
    std::vector<float> y(x.size() / static_cast<size_t>(w.inputs) *
                         static_cast<size_t>(s * w.outputs));
    each_slot(x, w.inputs, block.in_rows, 1, [&](size_t slot, const std::vector<float>& in) {
      for (int i = 0; i < block.in_rows; ++i) {
        for (int j = 0; j < s; ++j) {
          for (int o = 0; o < w.outputs; ++o) {
            float sum = w.bias[static_cast<size_t>(o)];
            for (int c = 0; c < w.inputs; ++c) {
              const float* taps = &w.weight[static_cast<size_t>((c * w.outputs + o) * 2 * s)];
              sum += taps[j] * in[static_cast<size_t>((i + 1) * w.inputs + c)] +
                     taps[j + s] * in[static_cast<size_t>(i * w.inputs + c)];
            }
            y[slot * static_cast<size_t>(block.rows * w.outputs) +
              static_cast<size_t>((i * s + j) * w.outputs + o)] = sum;
          }
        }
      }
    });
    force_zeros(y, block.rows, w.outputs, block.delay);
    return y;
  }

  void add_noise(std::vector<float>& x, int index, const ConvWeights& w, const BlockPlan& block) {
    const std::vector<float> product = pointwise(x, w.outputs, w);
    for (size_t s = 0; s < slots_.size(); ++s) {
      if (slots_[s].noise == 0) continue;
      const uint64_t seed = uint64_t{slots_[s].seed_high} << 32 | slots_[s].seed_low;
      for (int r = 0; r < block.rows; ++r) {
        const int64_t time = int64_t{slots_[s].position} * block.rows + r - block.delay;
        if (time < 0) continue;
        float n = 0;
        fill_noise(seed, index, time, {&n, 1});
        for (int c = 0; c < w.outputs; ++c) {
          const auto at = s * static_cast<size_t>(block.rows * w.outputs) +
                          static_cast<size_t>(r * w.outputs + c);
          x[at] += n * product[at];
        }
      }
    }
  }

  std::vector<float> head(const std::vector<float>& x, int channels) {
    const int rows = plan_.samples;
    std::vector<float> y(slots_.size() * static_cast<size_t>(rows));
    each_slot(x, channels, rows, 2 * kDepthwiseReach, [&](size_t s, const std::vector<float>& in) {
      for (int r = 0; r < rows; ++r) {
        float sum = w_.head.bias[0];
        for (int c = 0; c < channels; ++c) {
          for (int k = 0; k < kDepthwiseTaps; ++k) {
            sum += w_.head.weight[static_cast<size_t>(c * kDepthwiseTaps + k)] *
                   in[static_cast<size_t>((r + k) * channels + c)];
          }
        }
        y[s * static_cast<size_t>(rows) + static_cast<size_t>(r)] = sum;
      }
    });
    return y;
  }

  void force_zeros(std::vector<float>& x, int rows, int channels, int64_t delay) const {
    for (size_t s = 0; s < slots_.size(); ++s) {
      const RowRange valid = rows_of_speech(slots_[s], rows, delay);
      for (int r = 0; r < rows; ++r) {
        if (r >= valid.begin && r < valid.end) continue;
        std::fill_n(x.begin() + (static_cast<int64_t>(s) * rows + r) * channels, channels, 0.0f);
      }
    }
  }

  const SnacDecoderWeights& w_;
  const StreamPlan plan_;
  const int streams_;
  std::span<const Slot> slots_;
  size_t layer_ = 0;
  std::vector<std::vector<std::vector<float>>> states_;  // by layer, 2 * stream + parity
};

struct Speech {
  std::vector<CodeFrame> frames;
  StreamOptions options;
  std::vector<size_t> pieces;  // frames a push, again and again
};

// Pushes all speeches side by side, each in its own pieces, with a preview now and then, and
// compares samples push by push with whole decodes.
void check(const SnacDecoderWeights& weights, const std::vector<Speech>& speeches, int most_slots) {
  const auto stream_count = static_cast<int>(speeches.size());
  Simulation simulation(weights, stream_count);
  const StreamPlan& plan = simulation.plan();
  std::vector<Stream> streams(speeches.size());
  std::vector<size_t> done(speeches.size(), 0);
  std::vector<bool> ended(speeches.size(), false);
  std::vector<std::vector<float>> actual(speeches.size());
  const auto decode = [&](const Speech& speech, size_t frames) {
    return reference::decode(weights, std::span(speech.frames).first(frames),
                             [&](int block, std::span<float> out) {
                               if (speech.options.noise) {
                                 fill_noise(speech.options.noise_seed, block, 0, out);
                               }
                             });
  };
  for (size_t s = 0; s < speeches.size(); ++s) streams[s].options = speeches[s].options;
  for (size_t turn = 0; turn < 100; ++turn) {
    std::vector<CodecWork> batch;
    for (size_t s = 0; s < speeches.size(); ++s) {
      if (ended[s] || turn < s % 3) continue;  // they do not begin together
      const Speech& speech = speeches[s];
      const size_t count =
          std::min(speech.pieces[turn % speech.pieces.size()], speech.frames.size() - done[s]);
      const bool finish = done[s] + count == speech.frames.size();
      batch.push_back({static_cast<StreamId>(s), std::span(speech.frames).subspan(done[s], count),
                       finish, (turn + s) % 2 == 0});
      done[s] += count;
      ended[s] = finish;
    }
    if (batch.empty()) break;
    std::vector<Slot> slots(
        static_cast<size_t>(most_rounds_of_push(plan, stream_count, 9, most_slots) * most_slots));
    std::vector<PushedStream> pushed(batch.size());
    std::vector<float> pcm;
    const auto run = [&](std::span<const Slot> round) {
      EXPECT_LE(round.size(), static_cast<size_t>(most_slots));
      const auto out = simulation.run(round);
      pcm.insert(pcm.end(), out.begin(), out.end());
      return ok_status();
    };
    ASSERT_TRUE(for_each_round(plan, batch, streams, most_slots, slots, pushed, run).ok());
    for (size_t i = 0; i < batch.size(); ++i) {
      const auto s = static_cast<size_t>(batch[i].stream);
      const PushedSamples samples = samples_of(plan, batch[i], pushed[i]);
      actual[s].insert(actual[s].end(), pcm.begin() + samples.begin,
                       pcm.begin() + samples.final_end);
      if (!ended[s]) {
        EXPECT_EQ(static_cast<int64_t>(actual[s].size()),
                  final_samples(weights.config, static_cast<int64_t>(done[s]) * plan.latent_rows));
      }
      if (!batch[i].preview || batch[i].finish || done[s] == 0) continue;
      auto whole = actual[s];
      whole.insert(whole.end(), pcm.begin() + samples.final_end, pcm.begin() + samples.end);
      EXPECT_TRUE(all_close(whole, decode(speeches[s], done[s]), kTolerance))
          << "preview of stream " << s << " after " << done[s] << " frames";
    }
  }
  for (size_t s = 0; s < speeches.size(); ++s) {
    if (speeches[s].frames.empty()) {
      EXPECT_TRUE(actual[s].empty());
      continue;
    }
    EXPECT_TRUE(all_close(actual[s], decode(speeches[s], speeches[s].frames.size()), kTolerance))
        << "stream " << s << ", " << most_slots << " slots";
  }
}

std::vector<Speech> speeches(int codebook_size) {
  const auto speech = [&](size_t frames, uint32_t seed, bool noise, std::vector<size_t> pieces) {
    return Speech{test::random_frames(frames, codebook_size, seed),
                  {uint64_t{seed} << 33 | 5, noise},
                  std::move(pieces)};
  };
  return {speech(7, 1, true, {1}),   speech(12, 2, true, {2, 0, 3}), speech(1, 3, true, {1}),
          speech(0, 4, true, {1}),   speech(9, 5, false, {9}),       speech(5, 6, true, {1, 0, 0}),
          speech(3, 7, true, {0, 3})};
}

SnacConfig odd_shape() {
  SnacConfig c;
  c.sampling_rate_hz = 24000;
  c.encoder_dim = 12;
  c.encoder_rates = {3, 5};
  c.latent_dim = 48;
  c.decoder_dim = 36;
  c.decoder_rates = {5, 3};
  c.codebook_size = 37;
  c.codebook_dim = 3;
  c.vq_strides = {8, 4, 2};
  return c;
}

TEST(CodecStreamPlan, SlotsGiveTheWholeDecodeOfTheTinyVoice) {
  const auto weights = load_snac_decoder(test::codec_folder("tiny"));
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  for (const int most_slots : {64, 7}) {
    check(*weights, speeches(weights->config.codebook_size), most_slots);
  }
}

TEST(CodecStreamPlan, SlotsGiveTheWholeDecodeOfOddShapes) {
  SnacConfig config = odd_shape();
  for (const bool noise : {true, false}) {
    config.noise = noise;
    const SnacDecoderWeights weights = random_snac_decoder(config, 3);
    for (const int most_slots : {5, 6, 8, 100}) {
      check(weights, speeches(config.codebook_size), most_slots);
    }
  }
}

TEST(CodecStreamPlan, DelayIsTheReceptiveField) {
  SnacConfig c = odd_shape();
  c.encoder_dim = 48;
  c.encoder_rates = {2, 4, 8, 8};
  c.latent_dim = 768;
  c.decoder_dim = 1024;
  c.decoder_rates = {8, 8, 4, 2};
  c.vq_strides = {4, 2, 1};
  const StreamPlan full(c);
  EXPECT_EQ(full.delay, 4757);
  EXPECT_EQ(full.samples, 2048);
  EXPECT_EQ(full.drain_slots, 3);
  EXPECT_EQ(full.delay, final_delay_samples(c));
  const SnacConfig odd = odd_shape();
  EXPECT_EQ(StreamPlan(odd).delay, final_delay_samples(odd));
}

// Layers' parts of a state follow each other without overlap, aligned for 16-byte loads.
TEST(CodecStreamPlan, StateHoldsEveryLayer) {
  const StreamPlan plan(odd_shape());
  int64_t next = 0;
  const auto take = [&](int64_t offset, int64_t bytes) {
    EXPECT_GE(offset, next);
    EXPECT_EQ(offset % 16, 0);
    next = offset + bytes;
  };
  take(plan.latent_state_offset, 6 * plan.latent_channels * 4);
  for (const BlockPlan& block : plan.blocks) {
    take(block.state_offset, block.in_channels * 2);
    for (const UnitPlan& unit : block.units) {
      take(unit.state_offset, int64_t{unit.kept_rows()} * block.channels * 4);
    }
  }
  take(plan.head_state_offset, 6 * plan.blocks.back().channels * 2);
  EXPECT_GE(plan.state_bytes, next);
  EXPECT_EQ(plan.state_bytes % 16, 0);
}

}  // namespace
}  // namespace lyre::snac_cuda
