// Packed weights against what the layout says of every single element, over odd sizes.

#include "lyre/codec/cpu/pack_layers.h"

#include <vector>

#include <gtest/gtest.h>

namespace lyre::snac_cpu {
namespace {

std::vector<float> distinct(int count, float first) {
  std::vector<float> values;
  for (int i = 0; i < count; ++i) values.push_back(first + static_cast<float>(i));
  return values;
}

float packed_weight(const PackedMatrix& m, int output, int tap, int input) {
  const int panel = output / kPanelWidth, width = m.panel_width(panel);
  return m.panel(panel)[(tap * m.depth() + input) * width + output % kPanelWidth];
}

TEST(PackLayers, ConvolutionsOfAnySize) {
  for (const int outputs : {1, 16, 31, 48, 70}) {
    for (const int taps : {1, 3}) {
      for (const int inputs : {1, 5, 130}) {
        SCOPED_TRACE(testing::Message() << outputs << " " << taps << " " << inputs);
        const ConvWeights w = {outputs, inputs, taps, distinct(outputs * inputs * taps, 1),
                               distinct(outputs, 0.5f)};
        LayerPacker packer;
        const PackedMatrix m = packer.convolution(w);
        ThreadPool threads(2);
        packer.run(threads);
        ASSERT_EQ(m.outputs(), pad_channels(outputs));
        for (int n = 0; n < m.outputs(); ++n) {
          ASSERT_EQ(m.bias()[n], n < outputs ? w.bias[static_cast<size_t>(n)] : 0.0f);
          for (int tap = 0; tap < taps; ++tap) {
            for (int k = 0; k < inputs; ++k) {
              const float expected =
                  n < outputs ? w.weight[static_cast<size_t>((n * inputs + k) * taps + tap)] : 0.0f;
              ASSERT_EQ(packed_weight(m, n, tap, k), expected) << n << " " << tap << " " << k;
            }
          }
        }
      }
    }
  }
}

TEST(PackLayers, TransposedConvolutionsOfAnySize) {
  for (const int outputs : {1, 16, 20, 48, 64}) {
    for (const int stride : {1, 2, 5, 8}) {
      for (const int inputs : {1, 64, 131}) {
        SCOPED_TRACE(testing::Message() << outputs << " " << stride << " " << inputs);
        const int channels = pad_channels(outputs);
        const UpsampleWeights w = {inputs, outputs, stride,
                                   distinct(inputs * outputs * 2 * stride, 1),
                                   distinct(outputs, 0.5f)};
        LayerPacker packer;
        const PackedMatrix m = packer.upsample(w, channels);
        ThreadPool threads(2);
        packer.run(threads);
        ASSERT_EQ(m.outputs(), stride * channels);
        ASSERT_EQ(m.taps(), 2);
        for (int n = 0; n < m.outputs(); ++n) {
          const int channel = n % channels, phase = n / channels;
          const bool padding = channel >= outputs;
          ASSERT_EQ(m.bias()[n], padding ? 0.0f : w.bias[static_cast<size_t>(channel)]);
          for (int tap = 0; tap < 2; ++tap) {
            const int k = phase + (tap == 0 ? stride : 0);
            for (int input = 0; input < inputs; ++input) {
              const float expected =
                  padding
                      ? 0.0f
                      : w.weight[static_cast<size_t>((input * outputs + channel) * 2 * stride + k)];
              ASSERT_EQ(packed_weight(m, n, tap, input), expected)
                  << n << " " << tap << " " << input;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace lyre::snac_cpu
