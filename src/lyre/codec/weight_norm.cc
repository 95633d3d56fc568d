#include "lyre/codec/weight_norm.h"

#include <array>
#include <cmath>

namespace lyre {
namespace {

constexpr std::array kFloatTypes = {DType::kF32, DType::kF16, DType::kBF16};

}  // namespace

std::vector<float> WeightReader::plain(const std::string& name, const Shape& shape) {
  if (failed_) return {};
  const WeightSpec spec{name, shape};
  // Checked before memory is taken: the sizes come from a config that may be of another model.
  const auto views = read_weights(archive_, {&spec, 1}, kFloatTypes);
  Status status = views.ok() ? ok_status() : Status(views.error());
  std::vector<float> out;
  if (status.ok()) {
    out.resize(static_cast<size_t>(shape.elements()));
    status = convert_to_f32((*views)[0], out);
  }
  if (!status.ok()) {
    failed_ = true;
    error_ = status.error();
    return {};
  }
  return out;
}

std::vector<float> WeightReader::normed(const std::string& module, const Shape& shape) {
  std::string g_name = module + ".parametrizations.weight.original0";
  std::string v_name = module + ".parametrizations.weight.original1";
  if (archive_.find(v_name) == nullptr) {
    if (archive_.find(module + ".weight") != nullptr) return plain(module + ".weight", shape);
    if (archive_.find(module + ".weight_v") != nullptr) {
      g_name = module + ".weight_g";
      v_name = module + ".weight_v";
    }
  }
  const std::vector<float> g = plain(g_name, {shape[0], 1, 1});
  std::vector<float> v = plain(v_name, shape);
  if (failed_) return {};
  const size_t row_size = v.size() / g.size();
  for (size_t row = 0; row < g.size(); ++row) {
    float* values = v.data() + row * row_size;
    double squares = 0;
    for (size_t i = 0; i < row_size; ++i) squares += double{values[i]} * double{values[i]};
    // A row of zeros stays zero; torch would make NaN of it.
    const double scale = squares > 0 ? double{g[row]} / std::sqrt(squares) : 0;
    for (size_t i = 0; i < row_size; ++i) {
      values[i] = static_cast<float>(double{values[i]} * scale);
    }
  }
  return v;
}

}  // namespace lyre
