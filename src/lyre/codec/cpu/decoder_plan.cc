#include "lyre/codec/cpu/decoder_plan.h"

#include "lyre/codec/cpu/pack_layers.h"

namespace lyre::snac_cpu {
namespace {

class StateLayout {
 public:
  KeptRows keep(int64_t rows, int64_t stride) {
    const KeptRows kept{floats_, stride};
    floats_ += rows * stride;
    return kept;
  }
  int64_t floats() const { return floats_; }

 private:
  int64_t floats_ = 0;
};

}  // namespace

DecoderPlan::DecoderPlan(const SnacDecoderWeights& w, ThreadPool& threads)
    : config(w.config), latent_channels(pad_channels(w.config.latent_dim)) {
  StateLayout state;
  LayerPacker pack;
  for (const QuantizerWeights& q : w.quantizers) {
    codebooks.push_back(q.codebook);
    projections.push_back(pack.convolution(q.out_proj));
  }
  depthwise_in = Depthwise(w.depthwise_in);
  latent_tail = state.keep(2 * kDepthwiseReach, latent_channels);
  pointwise_in = pack.convolution(w.pointwise_in);
  snake_in = Snake(w.blocks.front().snake);

  int inputs = pad_channels(config.decoder_dim);
  for (size_t block = 0; block < w.blocks.size(); ++block) {
    const DecoderBlockWeights& from = w.blocks[block];
    BlockPlan b;
    b.stride = from.upsample.stride;
    b.channels = pad_channels(from.upsample.outputs);
    b.tail = state.keep(1, inputs);
    b.upsample = pack.upsample(from.upsample, b.channels);
    if (config.noise) b.noise = pack.convolution(from.noise);
    b.snake_first = Snake(from.units[0].snake_in);
    for (size_t k = 0; k < b.units.size(); ++k) {
      const ResidualUnitWeights& unit = from.units[k];
      UnitPlan& u = b.units[k];
      u.dilation = unit.dilation;
      u.reach = int64_t{kDepthwiseReach} * unit.dilation;
      u.depthwise = Depthwise(unit.depthwise);
      u.snake_mid = Snake(unit.snake_mid);
      u.pointwise = pack.convolution(unit.pointwise);
      u.tail = state.keep(2 * u.reach, b.channels);
      u.residual = state.keep(u.reach, b.channels);
      const bool last_unit = k + 1 == b.units.size();
      const bool last_block = block + 1 == w.blocks.size();
      b.after[k] = Snake(!last_unit    ? from.units[k + 1].snake_in
                         : !last_block ? w.blocks[block + 1].snake
                                       : w.snake_out);
    }
    inputs = b.channels;
    blocks.push_back(std::move(b));
  }
  head = Head(w.head);
  head_tail = state.keep(2 * kDepthwiseReach, inputs);
  pack.run(threads);

  state_floats = state.floats();
  parameters = w.parameters();
  for (const auto& codebook : codebooks) {
    weight_bytes += static_cast<int64_t>(codebook.size() * sizeof(float));
  }
  for (const PackedMatrix& m : projections) weight_bytes += m.size_bytes();
  weight_bytes += pointwise_in.size_bytes();
  for (const BlockPlan& b : blocks) {
    weight_bytes += b.upsample.size_bytes() + b.noise.size_bytes();
    for (const UnitPlan& u : b.units) {
      weight_bytes += u.pointwise.size_bytes() + u.depthwise.weight.size_bytes();
    }
  }
}

}  // namespace lyre::snac_cpu
