#include "lyre/codec/cuda/decoder.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <string>
#include <utility>

#include "lyre/base/cuda/status.h"

namespace lyre::snac_cuda {
namespace {

Status check_widths(const StreamPlan& plan) {
  // The rows of the first block's input and of the latents go through shared memory in parts.
  int widest = 0;
  for (const BlockPlan& block : plan.blocks) widest = std::max(widest, block.channels);
  if (widest <= kMostChannels) return ok_status();
  return Error{ErrorCode::kInvalidArgument,
               "codec: a decoder block of " + std::to_string(widest) +
                   " channels is too wide for the CUDA backend, which takes up to " +
                   std::to_string(kMostChannels)};
}

}  // namespace

Result<Decoder> Decoder::open(const SnacDecoderWeights& weights, int max_streams, int most_slots) {
  LYRE_RETURN_IF_ERROR(check_widths(StreamPlan(weights.config)));
  LYRE_RETURN_IF_ERROR(prepare_latents(weights.config.latents_per_frame()));
  LYRE_RETURN_IF_ERROR(prepare_projection());
  LYRE_RETURN_IF_ERROR(prepare_noise());
  LYRE_RETURN_IF_ERROR(prepare_residual_unit());
  LYRE_RETURN_IF_ERROR(prepare_head());
  LYRE_ASSIGN_OR_RETURN(DeviceWeights device_weights, DeviceWeights::upload(weights));
  Decoder d(weights.config, std::move(device_weights));
  const StreamPlan& plan = d.plan_;
  int64_t halves = int64_t{plan.latent_rows} * plan.decoder_channels, rows = 0;
  for (const BlockPlan& block : plan.blocks) {
    rows = std::max(rows, int64_t{block.rows} * block.channels);
  }
  halves = std::max(halves, rows);
  constexpr int64_t kFloat = sizeof(float), kHalf = sizeof(__half);
  using cuda::DeviceMemory;
  const auto work_memory = [&](int64_t bytes) {
    return DeviceMemory::allocate(most_slots * bytes, "the codec's work memory");
  };
  LYRE_ASSIGN_OR_RETURN(
      d.states_,
      DeviceMemory::allocate(int64_t{max_streams} * 2 * plan.state_bytes, "the codec's streams"));
  LYRE_ASSIGN_OR_RETURN(d.slots_, work_memory(sizeof(Slot)));
  LYRE_ASSIGN_OR_RETURN(d.pcm_, work_memory(plan.samples * kFloat));
  // Samples before a speech and behind its end are copied to the host with the rest, unwritten.
  LYRE_RETURN_IF_ERROR(cuda::status_of(
      cudaMemset(d.pcm_.data(), 0, static_cast<size_t>(d.pcm_.size_bytes())), "clearing memory"));
  LYRE_ASSIGN_OR_RETURN(d.latents_,
                        work_memory(int64_t{plan.latent_rows} * plan.latent_channels * kHalf));
  LYRE_ASSIGN_OR_RETURN(d.halves_, work_memory(halves * kHalf));
  for (DeviceMemory& memory : d.rows_) {
    LYRE_ASSIGN_OR_RETURN(memory, work_memory(rows * kFloat));
  }
  return d;
}

void Decoder::put(cuda::Queue& queue, int slot_count) const {
  const Round round = {slots(), slot_count, states_.as<unsigned char>(), plan_.state_bytes};

  LatentsArgs latents;
  latents.round = round;
  latents.table = weights_.table;
  latents.levels = config_.levels();
  latents.codebook_size = config_.codebook_size;
  latents.depthwise = weights_.depthwise_in;
  latents.rows = plan_.latent_rows;
  latents.channels = plan_.latent_channels;
  latents.delay = plan_.latent_delay;
  latents.state_offset = plan_.latent_state_offset;
  latents.y = latents_.as<__half>();
  put_latents(queue, latents);

  ProjectionArgs in;
  in.name = "codec.pointwise_in";
  in.round = round;
  in.x = latents.y;
  in.in_rows = plan_.latent_rows;
  in.in_channels = plan_.latent_channels;
  in.weights = weights_.pointwise_in;
  in.bias = weights_.pointwise_bias;
  in.channels = plan_.decoder_channels;
  in.delay = plan_.latent_delay;
  in.snake = weights_.blocks.front().snake;
  in.y_half = halves_.as<__half>();
  put_projection(queue, in);

  for (size_t i = 0; i < plan_.blocks.size(); ++i) {
    const BlockPlan& block = plan_.blocks[i];
    const DeviceBlock& w = weights_.blocks[i];
    float* rows = rows_[0].as<float>();
    float* next = rows_[1].as<float>();

    ProjectionArgs up;
    up.name = "codec.upsample";
    up.round = round;
    up.x = halves_.as<__half>();
    up.in_rows = block.in_rows;
    up.in_channels = block.in_channels;
    up.taps = 2;
    up.state_offset = block.state_offset;
    up.weights = w.upsample;
    up.bias = w.upsample_bias;
    up.stride = block.stride;
    up.channels = block.channels;
    up.delay = block.delay;
    up.y = rows;
    const bool adds_noise =
        w.noise != nullptr &&
        projection_adds_noise(slot_count, block.in_rows, block.stride, block.channels);
    if (adds_noise) {
      up.name = "codec.upsample_noise";
      up.noise = w.noise;
      up.noise_block = static_cast<int>(i);
    }
    put_projection(queue, up);

    if (w.noise != nullptr && !adds_noise) {
      NoiseArgs noise;
      noise.round = round;
      noise.x = rows;
      noise.weights = w.noise;
      noise.rows = block.rows;
      noise.channels = block.channels;
      noise.block = static_cast<int>(i);
      noise.delay = block.delay;
      noise.y = next;
      put_noise(queue, noise);
      std::swap(rows, next);
    }

    for (size_t u = 0; u < w.units.size(); ++u) {
      const DeviceUnit& from = w.units[u];
      ResidualUnitArgs unit;
      unit.round = round;
      unit.x = rows;
      unit.snake_in = from.snake_in;
      unit.depthwise = from.depthwise;
      unit.snake_mid = from.snake_mid;
      unit.weights = from.pointwise;
      unit.bias = from.bias;
      unit.rows = block.rows;
      unit.channels = block.channels;
      unit.dilation = block.units[u].dilation;
      unit.delay = block.units[u].delay;
      unit.state_offset = block.units[u].state_offset;
      if (u + 1 < w.units.size()) {
        unit.y = next;
      } else {  // only the Snake of it is used
        const bool last = i + 1 == plan_.blocks.size();
        unit.snake_out = last ? weights_.snake_out : weights_.blocks[i + 1].snake;
        unit.y_half = halves_.as<__half>();
      }
      put_residual_unit(queue, unit);
      std::swap(rows, next);
    }
  }

  HeadArgs head;
  head.round = round;
  head.x = halves_.as<__half>();
  head.weights = weights_.head;
  head.bias = weights_.head_bias;
  head.rows = plan_.samples;
  head.channels = plan_.blocks.back().channels;
  head.state_offset = plan_.head_state_offset;
  head.pcm = pcm_.as<float>();
  put_head(queue, head);
}

}  // namespace lyre::snac_cuda
