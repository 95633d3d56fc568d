#include <cstring>
#include <string>

#include "lyre/base/check.h"
#include "lyre/tensor/float_formats.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre {
namespace {

// memcpy and not a cast: a view of raw storage holds no objects of type T.
template <class T, class Convert>
void convert(const void* data, std::span<float> out, Convert to_float) {
  const auto* bytes = static_cast<const std::byte*>(data);
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    out[i] = to_float(value);
  }
}

}  // namespace

Status convert_to_f32(const TensorView& view, std::span<float> out) {
  LYRE_CHECK(view.device.kind == DeviceKind::kCpu);
  LYRE_CHECK(static_cast<int64_t>(out.size()) == view.shape.elements());
  switch (view.dtype) {
    case DType::kF64:
      convert<double>(view.data, out, [](double value) { return static_cast<float>(value); });
      return ok_status();
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), view.data, out.size_bytes());
      return ok_status();
    case DType::kF16:
      convert<uint16_t>(view.data, out, f16_to_f32);
      return ok_status();
    case DType::kBF16:
      convert<uint16_t>(view.data, out, bf16_to_f32);
      return ok_status();
    default:
      return Error{
          ErrorCode::kInvalidArgument,
          std::string("expected a floating-point tensor, found ") + dtype_name(view.dtype)};
  }
}

}  // namespace lyre
