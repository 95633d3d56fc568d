// The kernels of the cpu backend against plain double precision loops, on every SIMD target of this
// machine and at odd shapes; and against themselves, cut in other ways, bit by bit.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "codec/every_target.h"
#include "lyre/base/philox.h"
#include "lyre/codec/cpu/elementwise.h"
#include "lyre/codec/cpu/matmul.h"
#include "lyre/codec/cpu/pack_layers.h"
#include "lyre/codec/reference/snac_layers.h"
#include "lyre/codec/snac_geometry.h"
#include "support/compare.h"

namespace lyre::snac_cpu {
namespace {

using test::all_close;

// Relative to the root mean square of the expected values. A chain of n multiply-adds of random
// signs errs by about sqrt(n) roundings of 6e-8; the worst of thousands of values by some more.
double matmul_tolerance(int inputs) { return 6e-8 * (8 + 4 * std::sqrt(inputs)); }
constexpr double kElementwiseTolerance = 1e-6;

class Random {
 public:
  explicit Random(uint32_t seed) : key_{seed, 0} {}
  float next() {  // (-1, 1)
    const auto words = philox4x32({counter_++, 0, 0, 0}, key_);
    return 2.0f * uniform_from_bits(words[0]) - 1.0f;
  }
  AlignedFloats floats(int64_t size) {
    AlignedFloats a(size);
    for (int64_t i = 0; i < size; ++i) a.data()[i] = next();
    return a;
  }
  std::vector<float> values(int64_t size) {
    std::vector<float> v(static_cast<size_t>(size));
    for (float& x : v) x = next();
    return v;
  }

 private:
  std::array<uint32_t, 2> key_;
  uint32_t counter_ = 0;
};

struct MatmulShape {
  int outputs, taps, depth, rows;
  bool add;
};

void check_matmul(const MatmulShape& shape) {
  SCOPED_TRACE(testing::Message() << shape.outputs << " outputs, " << shape.taps << " taps of "
                                  << shape.depth << ", " << shape.rows << " rows");
  Random random(1);
  const ConvWeights layer = {shape.outputs, shape.depth, shape.taps,
                             random.values(int64_t{shape.outputs} * shape.taps * shape.depth),
                             random.values(shape.outputs)};
  const std::vector<float>& bias = layer.bias;
  const auto w = [&](int n, int tap, int k) {
    return layer.weight[static_cast<size_t>((n * shape.depth + k) * shape.taps + tap)];
  };
  const PackedMatrix m = pack_convolution(layer);
  const int64_t x_stride = shape.depth + 3;  // rows need no alignment
  const int64_t y_stride = m.outputs() + kLaneBlock;
  const auto x = random.values((shape.rows + shape.taps) * x_stride);
  const AlignedFloats add = random.floats(shape.rows * y_stride);

  std::vector<float> expected;
  for (int64_t t = 0; t < shape.rows; ++t) {
    for (int n = 0; n < shape.outputs; ++n) {
      double sum = double{bias[static_cast<size_t>(n)]};
      if (shape.add) sum += double{add.data()[t * y_stride + n]};
      for (int tap = 0; tap < shape.taps; ++tap) {
        for (int k = 0; k < shape.depth; ++k) {
          sum += double{w(n, tap, k)} * double{x[static_cast<size_t>((t + tap) * x_stride + k)]};
        }
      }
      expected.push_back(static_cast<float>(sum));
    }
  }
  const auto multiply = [&](int64_t rows_at_once, int panels_at_once) {
    AlignedFloats y(shape.rows * y_stride);
    for (int64_t t = 0; t < shape.rows; t += rows_at_once) {
      for (int p = 0; p < m.panels(); p += panels_at_once) {
        MatmulArgs args;
        args.x = x.data() + t * x_stride;
        args.x_stride = args.tap_stride = x_stride;
        args.rows = std::min(rows_at_once, shape.rows - t);
        args.add = shape.add ? add.data() + t * y_stride : nullptr;
        args.add_stride = args.y_stride = y_stride;
        args.y = y.data() + t * y_stride;
        matmul(m, {p, std::min(p + panels_at_once, m.panels())}, args);
      }
    }
    std::vector<float> out;
    for (int64_t t = 0; t < shape.rows; ++t) {
      out.insert(out.end(), y.data() + t * y_stride, y.data() + t * y_stride + shape.outputs);
      for (int64_t n = m.outputs(); n < y_stride; ++n) {
        EXPECT_EQ(y.data()[t * y_stride + n], 0.0f) << "wrote past the outputs";
      }
    }
    return out;
  };
  const auto whole = multiply(shape.rows, m.panels());
  EXPECT_TRUE(all_close(whole, expected, matmul_tolerance(shape.taps * shape.depth)));
  for (const int64_t rows : {1, 5, 12}) EXPECT_EQ(multiply(rows, 1), whole) << rows;
}

TEST(Kernels, Matmul) {
  test::for_every_target([] {
    for (const int outputs : {1, 16, 28, 33, 80}) {
      for (const int depth : {1, 7, 65}) {
        for (const int rows : {1, 4, 12, 13, 31}) {
          check_matmul({outputs, 1 + rows % 2, depth, rows, depth == 7});
        }
      }
    }
    check_matmul({48, 2, 513, 3, false});
  });
}

// Every residue of the period, both signs, small and large steepness.
TEST(Kernels, Snake) {
  test::for_every_target([] {
    SnakeWeights w;
    for (int c = 0; c < 19; ++c) w.alpha.push_back(0.01f * static_cast<float>((c + 1) * (c + 1)));
    const Snake snake(w);
    constexpr int64_t kRows = 4001;
    const int64_t stride = pad_channels(19);
    AlignedFloats in(kRows * stride), out(kRows * stride);
    for (int64_t t = 0; t < kRows; ++t) {
      for (int64_t c = 0; c < 19; ++c) {
        in.data()[t * stride + c] = 0.025f * static_cast<float>(t - kRows / 2) + 1e-3f;
      }
    }
    snake_rows(snake, {in.data(), stride}, {out.data(), stride}, kRows,
               {0, static_cast<int>(stride)});
    double worst = 0;
    for (int64_t t = 0; t < kRows; ++t) {
      for (int64_t c = 0; c < stride; ++c) {
        const double x = double{in.data()[t * stride + c]};
        if (c >= 19) {
          ASSERT_EQ(out.data()[t * stride + c], 0.0f) << "padding";
          continue;
        }
        const double alpha = double{w.alpha[static_cast<size_t>(c)]};
        // The angle as float, as the original rounds it: what is tested is the sine.
        const double sine =
            std::sin(double{w.alpha[static_cast<size_t>(c)] * in.data()[t * stride + c]});
        const double term = (double{out.data()[t * stride + c]} - x) * (alpha + 1e-9);
        // x is added in float: what it costs, scaled back, does not count against the sine.
        const double rounding = std::abs(x) * 1.2e-7 * alpha;
        worst = std::max(worst, std::abs(term - sine * sine) - rounding);
      }
    }
    EXPECT_LT(worst, 1e-6);
    EXPECT_GT(worst, -1.0);
  });
}

// Beyond all sense, Snake must still give numbers: x plus something in [0, 1 / alpha].
TEST(Kernels, SnakeOfHugeValuesStaysInRange) {
  test::for_every_target([] {
    const Snake snake(SnakeWeights{std::vector<float>(16, 1.0f)});
    AlignedFloats in(16), out(16);
    for (int c = 0; c < 16; ++c)
      in.data()[c] = (c % 2 == 0 ? 1.0f : -1.0f) * std::pow(10.0f, static_cast<float>(c));
    snake_rows(snake, {in.data(), 16}, {out.data(), 16}, 1, {0, 16});
    for (int c = 0; c < 16; ++c) {
      EXPECT_GE(out.data()[c], in.data()[c]);
      EXPECT_LE(out.data()[c], std::nextafter(in.data()[c] + 1.0f, 1e30f) + 1e-5f);
    }
  });
}

TEST(Kernels, Depthwise) {
  test::for_every_target([] {
    for (const int channels : {1, 16, 31, 33}) {
      for (const int dilation : kDilations) {
        Random random(static_cast<uint32_t>(channels * 10 + dilation));
        const int64_t rows = 37, reach = kDepthwiseReach * dilation;
        const int64_t stride = pad_channels(channels);
        const ConvWeights w{channels, 1, kDepthwiseTaps,
                            random.values(int64_t{channels} * kDepthwiseTaps),
                            random.values(channels)};
        SnakeWeights alpha;
        for (int c = 0; c < channels; ++c) alpha.alpha.push_back(0.5f + 0.1f * random.next());
        // Time-major with padding rows for the kernel, channel-major without for the reference.
        AlignedFloats in((rows + 2 * reach) * stride), out(rows * stride);
        reference::Signal x(channels, rows);
        for (int64_t t = 0; t < rows; ++t) {
          for (int c = 0; c < channels; ++c) {
            x.row(c)[t] = in.data()[(t + reach) * stride + c] = random.next();
          }
        }
        for (const bool with_snake : {false, true}) {
          const Snake snake(alpha);
          depthwise_rows(Depthwise(w), with_snake ? &snake : nullptr, dilation, {in.data(), stride},
                         {out.data(), stride}, rows, {0, static_cast<int>(stride)});
          auto expected = reference::convolve_same(w, x, dilation);
          if (with_snake) expected = reference::snake(alpha, expected);
          std::vector<float> actual;
          for (int c = 0; c < channels; ++c) {
            for (int64_t t = 0; t < rows; ++t) actual.push_back(out.data()[t * stride + c]);
          }
          EXPECT_TRUE(all_close(actual, expected.values, kElementwiseTolerance))
              << channels << " channels, dilation " << dilation;
        }
      }
    }
  });
}

TEST(Kernels, NoiseAndHead) {
  test::for_every_target([] {
    constexpr int kChannels = 20;
    constexpr int64_t kRows = 41;
    const int64_t stride = pad_channels(kChannels);
    Random random(5);
    // Noise: sum = x + n * product, and its Snake.
    const SnakeWeights alpha{std::vector<float>(kChannels, 0.7f)};
    const AlignedFloats x = random.floats(kRows * stride), product = random.floats(kRows * stride);
    const auto noise = random.values(kRows);
    AlignedFloats sum(kRows * stride), out(kRows * stride);
    noise_snake_rows(Snake(alpha), {x.data(), stride}, {product.data(), stride}, noise.data(),
                     {sum.data(), stride}, {out.data(), stride}, kRows,
                     {0, static_cast<int>(stride)});
    std::vector<float> sums, snakes, expected_sums, expected_snakes;
    for (int64_t t = 0; t < kRows; ++t) {
      for (int64_t c = 0; c < kChannels; ++c) {
        const int64_t i = t * stride + c;
        const double s =
            double{x.data()[i]} + double{noise[static_cast<size_t>(t)]} * double{product.data()[i]};
        sums.push_back(sum.data()[i]);
        snakes.push_back(out.data()[i]);
        expected_sums.push_back(static_cast<float>(s));
        expected_snakes.push_back(
            static_cast<float>(s + std::pow(std::sin(double{0.7f} * s), 2) / double{0.7f}));
      }
    }
    EXPECT_TRUE(all_close(sums, expected_sums, kElementwiseTolerance));
    EXPECT_TRUE(all_close(snakes, expected_snakes, kElementwiseTolerance));

    // Head: k7 over all channels to one, tanh.
    const ConvWeights w{
        1, kChannels, kDepthwiseTaps, random.values(kChannels * kDepthwiseTaps), {0.1f}};
    AlignedFloats in((kRows + 6) * stride);
    for (int64_t t = 0; t < kRows + 6; ++t) {
      for (int64_t c = 0; c < kChannels; ++c) in.data()[t * stride + c] = 0.3f * random.next();
    }
    std::vector<float> pcm(kRows), expected;
    head_rows(Head(w), {in.data(), stride}, pcm.data(), kRows);
    for (int64_t t = 0; t < kRows; ++t) {
      double s = 0.1;
      for (int64_t k = 0; k < kDepthwiseTaps; ++k) {
        for (int64_t c = 0; c < kChannels; ++c) {
          s += double{w.weight[static_cast<size_t>(c * kDepthwiseTaps + k)]} *
               double{in.data()[(t + k) * stride + c]};
        }
      }
      expected.push_back(static_cast<float>(std::tanh(s)));
    }
    EXPECT_TRUE(all_close(pcm, expected, kElementwiseTolerance));
    // Any cut gives the same bits.
    std::vector<float> pieces(kRows);
    for (int64_t t = 0; t < kRows; t += 7) {
      head_rows(Head(w), {in.data() + t * stride, stride}, pieces.data() + t,
                std::min<int64_t>(7, kRows - t));
    }
    EXPECT_EQ(pieces, pcm);
  });
}

}  // namespace
}  // namespace lyre::snac_cpu
